"""The counts that rate limits go by."""

from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name='RateCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40)),
                ('subject', models.CharField(max_length=200)),
                ('count', models.BigIntegerField()),
                ('ends_at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.AddConstraint(
            model_name='ratecount',
            constraint=models.UniqueConstraint(fields=('name', 'subject'), name='ratecount_once'),
        ),
    ]
