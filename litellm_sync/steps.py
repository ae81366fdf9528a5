"""What one run of each kind does; whole tables go by the push that every row has anyway."""

from datetime import date
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKeySecret, KeyStatus
from litellm_sync import activity, catalogue, reconcile, state
from litellm_sync.bulk import push_rows
from litellm_sync.client import LiteLLM
from litellm_sync.default_team import ensure_default_team_exists, migrate_orphaned_users_to_default_team, orphans
from litellm_sync.push import JOB_SECONDS, push
from litellm_sync.runs import Interrupted, Run
from litellm_sync.state import SyncStatus
from litellm_sync.upstream import probe
from litemaas.foundation.errors import UpstreamUnavailable
from teams.models import Membership, Team


def sync_models(run: Run) -> dict[str, Any]:
    """The catalogue becomes what LiteLLM lists."""
    report = catalogue.sync_models(shown=run.row.report.get(catalogue.CONFIRMED, ()))
    total = len(report.added) + len(report.changed) + len(report.hidden) + len(report.restored) + report.unchanged
    run.moved(total, total)
    return report.as_json()


def sync_usage(run: Run) -> dict[str, Any]:
    """What keys have spent is fetched, then the days that may have changed; whoever takes it up goes on at a day."""
    before: int = run.cursor.get("done", 0)
    day = run.cursor.get("day")

    def stored(day: date, done: int, total: int) -> None:
        run.moved(before + done, before + total, cursor={"day": day.isoformat(), "done": before + done})

    return activity.pull_usage(stored, run.beat, after=None if day is None else date.fromisoformat(day))


def compare(run: Run) -> dict[str, Any]:
    """Both sides are compared; what differs is stored, and mended as the settings say."""
    return reconcile.reconcile(run)


def sync_teams(run: Run) -> dict[str, Any]:
    """Every team is pushed: name, models, limits."""
    return push_rows(run, Team.objects.all())


def sync_users(run: Run) -> dict[str, Any]:
    """Everybody is pushed with the memberships, the default team first: nobody exists in LiteLLM before it does."""
    try:
        team = ensure_default_team_exists(LiteLLM(JOB_SECONDS))
    except UpstreamUnavailable as error:
        if probe() is None:
            raise Interrupted from error
        raise
    if team.synced_at is None:  # else everybody's push would look whether it is there
        push(state.kind_of(Team), str(team.pk), limit=JOB_SECONDS)
    return push_rows(run, User.objects.all(), behind=lambda ids: Membership.objects.filter(user__in=ids))


def sync_keys(run: Run) -> dict[str, Any]:
    """Every secret that LiteLLM is to have is pushed, and each that is not settled."""
    return push_rows(run, secrets_to_push())


def secrets_to_push() -> QuerySet[ApiKeySecret]:
    """What has ended and is settled is left out: it grows for ever, and comparing both sides finds what lives there."""
    now = timezone.now()
    living = Q(key__deleted_at=None) & ~Q(key__status=KeyStatus.REVOKED)
    living &= ~Q(valid_until__lte=now) & ~Q(key__expires_at__lte=now)
    return ApiKeySecret.objects.filter(living | ~Q(sync_status=SyncStatus.SYNCED))


def migrate_orphans(run: Run) -> dict[str, Any]:
    """Everybody without a team becomes a member of the default team."""
    before = run.cursor.get("done", 0)
    total = run.row.total or orphans().count()

    def progress(done: int, after: Any) -> None:
        run.moved(before + done, max(total, before + done), cursor={"done": before + done, "after": str(after)})

    run.moved(before, total, cursor=run.cursor)
    done = migrate_orphaned_users_to_default_team(dry_run=False, after=run.cursor.get("after"), progress=progress)
    return {"assigned": before + done}
