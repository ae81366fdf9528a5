
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('teams', '0003_waiting_since'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='membership',
            index=models.Index(condition=models.Q(('sync_status', 'synced'), _negated=True), fields=['sync_status', 'sync_requested_at'], name='teams_membership_open'),
        ),
        migrations.AddIndex(
            model_name='team',
            index=models.Index(condition=models.Q(('sync_status', 'synced'), _negated=True), fields=['sync_status', 'sync_requested_at'], name='teams_team_open'),
        ),
    ]
