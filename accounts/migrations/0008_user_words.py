"""An index for searching people by the beginnings of words."""

import accounts.models
import django.contrib.postgres.indexes
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_sessions_and_tokens'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='user',
            index=django.contrib.postgres.indexes.GinIndex(accounts.models.IndexedWords('username', 'full_name', 'email'), name='user_words'),
        ),
    ]
