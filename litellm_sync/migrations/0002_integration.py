
import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('litellm_sync', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='SyncSchedule',
            fields=[
                ('kind', models.CharField(choices=[('models', 'Models'), ('reconcile', 'Comparison'), ('usage', 'Usage'), ('teams', 'Teams'), ('users', 'People'), ('keys', 'Keys'), ('all', 'Everything'), ('orphans', 'People without a team')], max_length=10, primary_key=True, serialize=False)),
                ('seconds', models.PositiveIntegerField()),
            ],
            options={
                'ordering': ('kind',),
            },
        ),
        migrations.AddField(
            model_name='syncrun',
            name='cursor',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='syncrun',
            name='heartbeat_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddField(
            model_name='syncrun',
            name='parent',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='litellm_sync.syncrun'),
        ),
        migrations.AddField(
            model_name='syncrun',
            name='stalls',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='syncrun',
            name='takes',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='upstream',
            name='circuit',
            field=models.CharField(blank=True, max_length=10),
        ),
        migrations.AddField(
            model_name='upstream',
            name='enterprise',
            field=models.BooleanField(null=True),
        ),
        migrations.AddField(
            model_name='upstream',
            name='latencies',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), default=list, size=None),
        ),
        migrations.AddField(
            model_name='upstream',
            name='version',
            field=models.CharField(blank=True, default='', max_length=40),
        ),
        migrations.AddField(
            model_name='upstream',
            name='version_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name='syncrun',
            name='kind',
            field=models.CharField(choices=[('models', 'Models'), ('reconcile', 'Comparison'), ('usage', 'Usage'), ('teams', 'Teams'), ('users', 'People'), ('keys', 'Keys'), ('all', 'Everything'), ('orphans', 'People without a team')], max_length=10),
        ),
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=50)),
                ('subject', models.CharField(blank=True, max_length=100)),
                ('since', models.DateTimeField()),
                ('told_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('name', 'subject'), name='alert_once')],
            },
        ),
        migrations.CreateModel(
            name='Drift',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('what', models.CharField(choices=[('user', 'User'), ('team', 'Team'), ('membership', 'Membership'), ('key', 'API key')], max_length=10)),
                ('kind', models.CharField(choices=[('alive', 'Works although it must not'), ('missing', 'Missing in LiteLLM'), ('different', 'Different in LiteLLM'), ('unknown', 'Unknown here')], max_length=10)),
                ('object_id', models.CharField(max_length=600)),
                ('row_id', models.CharField(blank=True, max_length=40)),
                ('name', models.CharField(max_length=255)),
                ('details', models.JSONField(default=dict)),
                ('asked_at', models.DateTimeField(null=True)),
                ('first_seen_at', models.DateTimeField(auto_now_add=True)),
                ('seen_at', models.DateTimeField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='drifts', to='litellm_sync.syncrun')),
            ],
            options={
                'ordering': ('-first_seen_at', 'id'),
                'indexes': [models.Index(fields=['kind', 'what'], name='drift_kind')],
                'constraints': [models.UniqueConstraint(fields=('what', 'object_id'), name='drift_once')],
            },
        ),
    ]
