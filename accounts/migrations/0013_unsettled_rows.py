
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0012_gateway_role'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='user',
            index=models.Index(condition=models.Q(('sync_status', 'synced'), _negated=True), fields=['sync_status', 'sync_requested_at'], name='accounts_user_open'),
        ),
    ]
