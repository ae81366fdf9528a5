"""The seal on the audit log: the transaction of each entry, the table of seals, and triggers that keep both tables."""

import accounts.models
from django.db import migrations, models

TABLES = ("accounts_auditevent", "accounts_auditseal")
FORWARDS = """
CREATE TRIGGER accounts_auditseal_append_only
    BEFORE UPDATE OR DELETE ON accounts_auditseal
    FOR EACH ROW EXECUTE FUNCTION accounts_auditevent_append_only();
""" + "".join(
    f"""
CREATE TRIGGER {table}_no_truncate
    BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_auditevent_append_only();
"""
    for table in TABLES
)
BACKWARDS = "DROP TRIGGER accounts_auditseal_append_only ON accounts_auditseal;" + "".join(
    f"DROP TRIGGER {table}_no_truncate ON {table};" for table in TABLES
)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_identities'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditevent',
            name='transaction',
            field=models.BigIntegerField(db_default=accounts.models.TransactionId(), editable=False),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['transaction', 'id'], name='audit_transaction'),
        ),
        migrations.CreateModel(
            name='AuditSeal',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('sealed_at', models.DateTimeField()),
                ('after_id', models.BigIntegerField()),
                ('last_transaction', models.BigIntegerField()),
                ('last_id', models.BigIntegerField()),
                ('highest_id', models.BigIntegerField()),
                ('count', models.IntegerField()),
                ('links', models.BinaryField()),
                ('seal', models.BinaryField()),
            ],
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
