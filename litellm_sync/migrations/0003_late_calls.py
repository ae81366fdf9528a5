"""Changes of people and teams in LiteLLM that were not answered."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("litellm_sync", "0002_integration"),
    ]

    operations = [
        migrations.CreateModel(
            name="LateCall",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=50)),
                ("object_id", models.CharField(max_length=36)),
                ("call", models.CharField(max_length=30)),
                ("until", models.DateTimeField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["until"], name="late_call_until"),
                    models.Index(fields=["object_id"], name="late_call_object"),
                ],
            },
        ),
    ]
