"""An index for what the audit log says about the integration."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0013_unsettled_rows'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(condition=models.Q(('category__in', ('drift', 'models', 'push', 'sync')), ('action', 'apikey.adopted'), _connector='OR'), fields=['-id'], name='audit_integration'),
        ),
    ]
