"""How the end of a secret was proved; of those that were proved before, it is not known."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("apikeys", "0007_unsettled_rows"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikeysecret",
            name="proven_by",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=20),
        ),
    ]
