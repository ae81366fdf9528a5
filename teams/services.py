"""The verbs about teams; a person comes into being here, because nobody exists without a team."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import structlog
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import Role, User
from litellm_sync import state
from litemaas.foundation.errors import Conflict
from teams.models import DEFAULT_TEAM_ID, Membership, Team

log = structlog.get_logger(__name__)

# Fixed by the product: shared by everybody who belongs to no other team; installation asks for other figures.
DEFAULT_TEAM: Final[dict[str, Any]] = {
    "name": "Default Team",
    "description": "Everybody who belongs to no other team.",
    "max_budget": Decimal(10_000),
    "budget_duration": "1mo",
    "tpm_limit": 50_000,
    "rpm_limit": 1_000,
}


def ensure_default_team() -> Team:
    """The default team's row, made if it is missing; figures that were changed by hand are left alone."""
    team = Team.objects.filter(pk=DEFAULT_TEAM_ID).first()
    if team is not None:
        return team
    try:
        with transaction.atomic():
            team = Team.objects.create(id=DEFAULT_TEAM_ID, **DEFAULT_TEAM)
            audit.record(None, audit.Action.TEAM_CREATED, team)
            state.request_push(team, immediately=False)
    except IntegrityError:  # somebody else made it at the same moment
        return Team.objects.get(pk=DEFAULT_TEAM_ID)
    return team


def provision_user(
    actor: User | None,
    *,
    username: str,
    email: str = "",
    full_name: str = "",
    roles: list[Role] | None = None,
    password: str | None = None,
    user_id: UUID | None = None,
    email_verified: bool = True,
) -> User:
    """Make a person, a member of the default team, and queue both for LiteLLM in one transaction.

    ``actor`` None is the system (a first sign-in, a command). ``roles`` are given by hand. An address that an
    administrator types counts as verified; ``email_verified`` is for those that come from elsewhere.
    Raises Conflict when the name is taken.
    """
    if actor is not None:
        rbac.require(actor, rbac.Permission.USERS_CREATE)
        if set(roles or ()) - {Role.USER}:
            rbac.require(actor, rbac.Permission.USERS_GRANT)
    team = ensure_default_team()
    fields: dict[str, Any] = {"username": username, "email": email, "full_name": full_name}
    fields["email_verified"] = bool(email) and email_verified
    fields["hand_roles"] = [role.value for role in roles or []]
    if user_id:
        fields["id"] = user_id
    try:
        with transaction.atomic():
            user = User.objects.create(
                **fields,
                roles=[role.value for role in roles or [Role.USER]],
                password=make_password(password),
            )
            membership = Membership.objects.create(team=team, user=user)
            audit.record(actor, audit.Action.USER_CREATED, user, roles=user.roles)
            audit.record(actor, audit.Action.MEMBERSHIP_ADDED, membership, team=str(team.pk), user=str(user.pk))
            state.request_push(user, immediately=False)
            state.request_push(membership, immediately=False)
    except IntegrityError as error:
        raise Conflict(
            _("There is somebody with this name already."), code="username_taken", field="username"
        ) from error
    return user


def set_provider_teams(user: User, names: Iterable[str]) -> None:
    """Make somebody a member of the teams of these names, as a provider's groups say, and of no other by groups.

    A team that does not exist is no reason to refuse a sign-in: it is logged. What was given by hand stays.
    """
    wanted = set(names)
    with transaction.atomic():
        # A rotation of a key that is charged to one of them takes the same lock: the new secret stops, or works, too.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        teams = list(Team.objects.filter(name__in=wanted))
        if unknown := wanted - {team.name for team in teams}:
            log.warning("teams_of_groups_unknown", teams=sorted(unknown))
        mine = {membership.team_id: membership for membership in user.memberships.select_related("team")}
        for team in teams:
            if team.pk not in mine:
                _join(user, team)
        given = [membership.pk for membership in mine.values() if membership.team in teams]
        user.memberships.filter(pk__in=given, by_provider=False).update(by_provider=True)
        gone = [one for one in mine.values() if one.by_provider and one.team not in teams]
        user.memberships.filter(pk__in=[one.pk for one in gone], by_hand=True).update(by_provider=False)
        remove_memberships(None, user, [one for one in gone if not one.by_hand])


def _join(user: User, team: Team) -> None:
    membership = Membership.objects.create(team=team, user=user, by_hand=False, by_provider=True)
    added = audit.Action.MEMBERSHIP_ADDED
    audit.record(None, added, membership, team=str(team.pk), user=str(user.pk), source="provider")
    state.request_push(membership, immediately=False)
    # Keys that were charged to the team when the person was in it before work again.
    state.request_pushes_behind(membership)


def remove_memberships(actor: User | None, user: User, memberships: list[Membership]) -> None:
    """Let somebody leave teams, in the caller's transaction; keys that are charged to them are blocked.

    The default team is never left. LiteLLM follows by the person's push, which looks at all teams.
    """
    leaving = [one for one in memberships if one.team_id != DEFAULT_TEAM_ID]
    if not leaving:
        return
    details = [(one, {"team": str(one.team_id), "user": str(user.pk)}) for one in leaving]
    audit.record_many(actor, audit.Action.MEMBERSHIP_REMOVED, details)
    Membership.objects.filter(pk__in=[one.pk for one in leaving]).delete()
    for one in leaving:
        state.request_pushes_behind(one)
    state.request_push(user, immediately=False)


def join_default_team(actor: User | None, people: Iterable[User], *, source: str) -> list[Membership]:
    """Make people members of the default team; who is one already stays as before. Returns the new memberships.

    ``source`` says in the audit log why. ``actor`` None is the system.
    """
    if actor is not None:
        rbac.require(actor, rbac.Permission.TEAMS_ASSIGN)
    team = ensure_default_team()
    with transaction.atomic():
        # Under locks, in one order: whoever else assigns the same people waits, and then finds them assigned.
        wanted = User.objects.select_for_update(no_key=True).filter(pk__in=[one.pk for one in people]).order_by("pk")
        users = {user.pk: user for user in wanted}
        members = set(Membership.objects.filter(team=team, user__in=users).values_list("user", flat=True))
        new = [Membership(team=team, user=user) for user in users.values() if user.pk not in members]
        Membership.objects.bulk_create(new)
        details = [(one, {"team": str(team.pk), "user": str(one.user_id), "source": source}) for one in new]
        audit.record_many(actor, audit.Action.MEMBERSHIP_ADDED, details)
        state.request_pushes(User, [one.user_id for one in new])
        state.request_pushes(Membership, [one.pk for one in new])
    return new


def get_user_primary_team(user: User) -> Team:
    """The team that a new key is charged to: the default team; for whoever is not in it, the first one joined."""
    mine = list(Membership.objects.filter(user=user).select_related("team").order_by("created_at", "pk"))
    first = next((one for one in mine if one.team_id == DEFAULT_TEAM_ID), mine[0] if mine else None)
    return first.team if first else ensure_default_team()
