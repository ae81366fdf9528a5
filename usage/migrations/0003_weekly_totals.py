import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Facts of before get their sums too.
ADD_UP = """
    INSERT INTO usage_weeklytotal (week, user_id, api_key_id, team_id, requests, successful_requests, failed_requests,
                                   prompt_tokens, completion_tokens, cached_tokens, spend)
    SELECT date_trunc('week', date)::date, user_id, api_key_id, team_id,
           SUM(requests), SUM(successful_requests), SUM(failed_requests),
           SUM(prompt_tokens), SUM(completion_tokens), SUM(cached_tokens), SUM(spend)
    FROM usage_dailyusage
    GROUP BY date_trunc('week', date), user_id, api_key_id, team_id
"""
FIGURES = (
    "requests, successful_requests, failed_requests, prompt_tokens, completion_tokens, cached_tokens, spend"
)
VIEW = f"""
    CREATE VIEW usage_span AS
        SELECT week AS start, 7::smallint AS days, user_id, api_key_id, team_id, {FIGURES} FROM usage_weeklytotal
        UNION ALL
        SELECT date, 1::smallint, user_id, api_key_id, team_id, {FIGURES} FROM usage_dailyusage
"""


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0002_list_indexes'),
        ('teams', '0001_initial'),
        ('usage', '0002_daily_totals'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='WeeklyTotal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('week', models.DateField(db_index=True)),
                ('requests', models.BigIntegerField()),
                ('successful_requests', models.BigIntegerField()),
                ('failed_requests', models.BigIntegerField()),
                ('prompt_tokens', models.BigIntegerField()),
                ('completion_tokens', models.BigIntegerField()),
                ('cached_tokens', models.BigIntegerField()),
                ('spend', models.DecimalField(decimal_places=10, max_digits=24)),
                ('api_key', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='apikeys.apikey')),
                ('team', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='teams.team')),
                ('user', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Span',
            fields=[
                ('start', models.DateField(primary_key=True, serialize=False)),
                ('days', models.SmallIntegerField()),
                ('requests', models.BigIntegerField()),
                ('successful_requests', models.BigIntegerField()),
                ('failed_requests', models.BigIntegerField()),
                ('prompt_tokens', models.BigIntegerField()),
                ('completion_tokens', models.BigIntegerField()),
                ('cached_tokens', models.BigIntegerField()),
                ('spend', models.DecimalField(decimal_places=10, max_digits=24)),
            ],
            options={
                'db_table': 'usage_span',
                'managed': False,
            },
        ),
        migrations.RunSQL(ADD_UP, migrations.RunSQL.noop),
        migrations.RunSQL(VIEW, "DROP VIEW usage_span"),
    ]
