
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0006_bulk_changes_and_notices'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='apikeysecret',
            index=models.Index(condition=models.Q(('sync_status', 'synced'), _negated=True), fields=['sync_status', 'sync_requested_at'], name='apikeys_apikeysecret_open'),
        ),
    ]
