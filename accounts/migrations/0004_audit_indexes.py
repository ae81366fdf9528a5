"""An index for searching the audit log by the beginnings of words."""

import accounts.models
import django.contrib.postgres.indexes
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_user_language_time_zone'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='auditevent',
            index=django.contrib.postgres.indexes.GinIndex(accounts.models.AuditWords('actor_name', 'target_name', 'action'), name='audit_words'),
        ),
    ]
