"""What differs is found by the row of ours that it is about."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("litellm_sync", "0003_late_calls"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="drift",
            index=models.Index(fields=["what", "row_id"], name="drift_row"),
        ),
    ]
