"""Which reset of spend each secret has had; of those in step it is the key's last one."""

from typing import Any

from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def take_over(apps: Any, _schema_editor: Any) -> None:
    secrets, keys = apps.get_model("apikeys", "ApiKeySecret"), apps.get_model("apikeys", "ApiKey")
    in_step = secrets.objects.filter(sync_status="synced", key__spend_reset_at__isnull=False)
    in_step.update(reset_at=Subquery(keys.objects.filter(pk=OuterRef("key")).values("spend_reset_at")[:1]))


class Migration(migrations.Migration):
    dependencies = [
        ("apikeys", "0008_proven_by"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikeysecret",
            name="reset_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.RunPython(take_over, migrations.RunPython.noop),
    ]
