"""What an entry's actor came with; the version of a seal; and a trigger that writes the transaction of each entry."""

from django.db import migrations, models

FORWARDS = """
CREATE FUNCTION accounts_auditevent_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.transaction := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_auditevent_stamp
    BEFORE INSERT ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION accounts_auditevent_stamp();
"""
BACKWARDS = """
DROP TRIGGER accounts_auditevent_stamp ON accounts_auditevent;
DROP FUNCTION accounts_auditevent_stamp();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_shut_out'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditevent',
            name='credential',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(condition=models.Q(('credential', ''), _negated=True), fields=['credential', '-id'], name='audit_credential'),
        ),
        migrations.AddField(
            model_name='auditseal',
            name='version',
            field=models.SmallIntegerField(db_default=1, default=1),
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
