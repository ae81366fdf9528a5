from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0009_reset_of_a_secret'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeyFigures',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('as_of', models.DateTimeField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='key_figures_one_row')],
            },
        ),
    ]
