"""Memberships know whether they were given by hand or by the groups of a provider."""

import uuid

from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Cast

DEFAULT_TEAM_ID = uuid.UUID("a0000000-0000-4000-8000-000000000001")


def keep_sources(apps, schema_editor):
    """Until now nobody but the system, at a sign-in with groups, has added people to other teams; the log says so."""
    Membership = apps.get_model("teams", "Membership")
    AuditEvent = apps.get_model("accounts", "AuditEvent")
    added = AuditEvent.objects.filter(action="membership.added", target_type="membership", actor_id=None)
    others = Membership.objects.exclude(team=DEFAULT_TEAM_ID).annotate(text=Cast("pk", models.CharField()))
    ids = list(others.filter(text__in=added.values("target_id")).values_list("pk", flat=True))
    Membership.objects.filter(pk__in=ids).update(by_hand=False, by_provider=True)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_identities'),
        ('teams', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='membership',
            name='by_hand',
            field=models.BooleanField(default=True, editable=False),
        ),
        migrations.AddField(
            model_name='membership',
            name='by_provider',
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.RunPython(keep_sources, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.CheckConstraint(condition=models.Q(('by_hand', True), ('by_provider', True), _connector='OR'), name='membership_has_a_source'),
        ),
    ]
