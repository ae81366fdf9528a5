"""The default team on LiteLLM's side, under the names that the service layer fixed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q, QuerySet

from accounts import rbac
from accounts.models import User
from apikeys.models import ApiKey
from litellm_sync import ensure
from litellm_sync.client import LiteLLM
from litemaas.foundation.errors import NotFound
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from teams.services import DEFAULT_TEAM, ensure_default_team, join_default_team

BATCH: Final = 100


def ensure_default_team_exists(litellm: LiteLLM) -> Team:
    """The default team, here and in LiteLLM; it comes before any user there, for anybody's keys may carry it."""
    team = ensure_default_team()
    ensure.ensure_team_was_made(team, litellm)
    return team


def assign_user_to_default_team(actor: User, *, user_id: UUID) -> Membership:
    """Make somebody a member, here at once and in LiteLLM by the push. Who is one already stays. Raises NotFound."""
    rbac.require(actor, rbac.Permission.TEAMS_ASSIGN)
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound
    join_default_team(actor, [user], source="assigned")
    return Membership.objects.get(team=DEFAULT_TEAM_ID, user=user)


# --- People without a team -------------------------------------------------------------------------------------------


def orphans() -> QuerySet[User]:
    """People who are in no team at all. The product makes none; restored or imported tables may hold some."""
    return User.objects.filter(memberships=None).order_by("pk")


def migrate_orphaned_users_to_default_team(
    actor: User | None = None,
    *,
    dry_run: bool,
    after: Any = None,
    progress: Callable[[int, Any], None] | None = None,
) -> int:
    """Make everybody without a team a member of the default team, a hundred at a time. Returns how many they are.

    With ``dry_run`` they are only counted. ``progress`` hears after each batch how many are done and the id to go on
    ``after``, should this be cut off.
    """
    if actor is not None:
        rbac.require(actor, rbac.Permission.TEAMS_ASSIGN)
    rows = orphans()
    if dry_run:
        return rows.count()
    done = 0
    while people := list((rows if after is None else rows.filter(pk__gt=after))[:BATCH]):
        done += len(join_default_team(actor, people, source="migration"))
        after = people[-1].pk
        if progress is not None:
            progress(done, after)
    return done


# --- Figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DefaultTeamStats:
    """``members`` here; ``listed`` in LiteLLM, at most ``cap``; ``waiting`` for it; USD, None without a budget."""

    members: int
    listed: int
    waiting: int
    cap: int
    keys: int
    orphans: int
    spend: Decimal
    max_budget: Decimal | None
    budget_left: Decimal | None
    budget_resets_at: datetime | None


def get_default_team_stats() -> DefaultTeamStats:
    """How large the team is, here and there, and what is left of the money that its members share."""
    team = Team.objects.filter(pk=DEFAULT_TEAM_ID).first() or Team(id=DEFAULT_TEAM_ID, **DEFAULT_TEAM)
    members = Membership.objects.filter(team=team).aggregate(
        members=Count("pk"),
        listed=Count("pk", filter=Q(listed=True)),
        waiting=Count("pk", filter=~Q(sync_status="synced")),
    )
    left = None if team.max_budget is None else max(team.max_budget - team.spend, Decimal(0))
    return DefaultTeamStats(
        **members,
        cap=settings.LITELLM_DEFAULT_TEAM_LISTED_MEMBERS,
        keys=ApiKey.objects.alive().filter(team=team).count(),
        orphans=orphans().count(),
        spend=team.spend,
        max_budget=team.max_budget,
        budget_left=left,
        budget_resets_at=team.budget_resets_at,
    )
