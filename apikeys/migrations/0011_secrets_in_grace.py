from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0010_key_figures'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='apikeysecret',
            index=models.Index(condition=models.Q(('carried_at', None), ('valid_until__isnull', False)), fields=['valid_until'], name='api_key_secret_in_grace'),
        ),
    ]
