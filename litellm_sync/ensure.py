"""The one place where people and teams come to exist in LiteLLM, and where "already exists" is success."""

from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import QuerySet

from accounts.models import User
from apikeys.models import ApiKey, KeyStatus
from litellm_sync import late, state
from litellm_sync.client import SENTINEL, LiteLLM, TeamInfo, UserInfo
from litellm_sync.client.bodies import Body, Limits, NewLimits, NewTeam, NewUser, TeamChanges, UserChanges, only
from litellm_sync.drift import Drift, Subject
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable
from litemaas.foundation.limits import Limited
from teams.models import DEFAULT_TEAM_ID, Membership, Team

log = structlog.get_logger(__name__)
Info = TypeVar("Info", TeamInfo, UserInfo)
New = TypeVar("New", bound=NewLimits)
Changes = TypeVar("Changes", bound=Limits)

# What people are in LiteLLM: nobody administrates it by us. A comparison calls its finding about that "role".
ROLE: Final = "internal_user"
ROLE_FIELD: Final = "role"

# Where null does not clear. A period without a budget limits nothing, so it may stay.
UNREACHABLE: Final[UserChanges] = {"max_budget": SENTINEL, "tpm_limit": SENTINEL, "rpm_limit": SENTINEL}


def with_new_limits(body: New, row: Limited) -> New:
    """``body`` with the limits that a row has."""
    if row.max_budget is not None:
        body["max_budget"] = float(row.max_budget)
    if row.budget_duration:
        body["budget_duration"] = row.budget_duration
    if row.tpm_limit is not None:
        body["tpm_limit"] = row.tpm_limit
    if row.rpm_limit is not None:
        body["rpm_limit"] = row.rpm_limit
    return body


def with_limits(body: Changes, row: Limited) -> Changes:
    """``body`` with all limits; null, which clears, where a row has none."""
    body["max_budget"] = None if row.max_budget is None else float(row.max_budget)
    body["budget_duration"] = row.budget_duration or None
    body["tpm_limit"] = row.tpm_limit
    body["rpm_limit"] = row.rpm_limit
    return body


def differences(wanted: Body, found: object) -> Body:
    """What of ``wanted`` LiteLLM has otherwise; ``found`` has attributes of the same names."""
    return only(wanted, {name for name, value in wanted.items() if not _same(value, getattr(found, name))})


def _same(wanted: Any, found: object) -> bool:
    if isinstance(found, Decimal) and wanted is not None:
        return found == Decimal(str(wanted))
    if isinstance(found, tuple):
        return bool(sorted(wanted) == sorted(found))
    return bool(found == wanted)


# --- Teams -----------------------------------------------------------------------------------------------------------


def ensure_team_exists_in_litellm(team: Team, litellm: LiteLLM) -> TeamInfo:
    """Look, create, read back. Returns the team as LiteLLM has it."""
    found = litellm.get_team_info(str(team.pk))
    if found is not None:
        return found
    body: NewTeam = {"team_id": str(team.pk), "team_alias": team.name, "models": sorted(team.allowed_models)}
    try:
        late.send(team, litellm.create_team, with_new_limits(body, team))
    except UpstreamRejected as error:
        if not _exists_already(error, f"Team id = {team.pk} already exists"):
            raise
    return _read_back(litellm.get_team_info(str(team.pk)), "team")


def ensure_team_was_made(team: Team, litellm: LiteLLM) -> None:
    """Like the above, but a team that was pushed once is taken to be there: looking at one reads all its members."""
    if team.synced_at is None:
        ensure_team_exists_in_litellm(team, litellm)


def make_team_equal(team: Team, litellm: LiteLLM) -> TeamInfo:
    """LiteLLM's team gets our name, models and limits, and is not blocked: here only keys are. Only what differs is
    sent. By an update 1.81 takes its keys again at once; /team/unblock leaves them refused for a minute."""
    found = ensure_team_exists_in_litellm(team, litellm)
    wanted: TeamChanges = {"models": sorted(team.allowed_models)}
    changes = differences(with_limits(wanted, team), found)
    if team.name != found.alias:
        changes["team_alias"] = team.name
    if found.blocked:
        changes["blocked"] = False
    if changes:
        late.send(team, litellm.update_team, str(team.pk), changes)
        found = _read_back(litellm.get_team_info(str(team.pk)), "team")
    return found


# --- Users -----------------------------------------------------------------------------------------------------------


def ensure_user_exists_in_litellm(user: User, litellm: LiteLLM) -> UserInfo:
    """Look, create, read back. Returns the user as LiteLLM has it.

    The person is created in our teams, which must exist before: LiteLLM drops unknown teams silently. A taken e-mail
    means that our id was *not* created, so it is created without an e-mail.
    """
    found = litellm.get_user_info(str(user.pk))
    if found is not None:
        return found
    memberships = list(listed_memberships(user))
    for membership in memberships:
        ensure_team_was_made(membership.team, litellm)
    body: NewUser = {
        "user_id": str(user.pk),
        "user_alias": user.username,
        "user_role": ROLE,
        "teams": [str(membership.team_id) for membership in memberships],
    }
    _create_user(user, with_new_limits(body, user), litellm)
    return _read_back(litellm.get_user_info(str(user.pk)), "user")


def _create_user(user: User, body: NewUser, litellm: LiteLLM) -> None:
    try:
        late.send(user, litellm.create_user, {**body, "user_email": user.email} if user.email else body)
    except UpstreamRejected as error:
        if _exists_already(error, f"User with id {user.pk} already exists"):
            return
        if not _exists_already(error, "User with email"):
            raise
        log.warning("litellm_email_taken", user_id=str(user.pk))
        late.send(user, litellm.create_user, body)


def make_user_equal(user: User, litellm: LiteLLM) -> UserInfo:
    """LiteLLM's user gets our limits and address, and its role where somebody asked for that; what 1.81 does not clear
    by null gets the sentinel for "no limit"."""
    found = ensure_user_exists_in_litellm(user, litellm)
    wanted = with_limits(UserChanges(), user)
    changes = differences(wanted, found)
    if email := _new_email(user, found, litellm):
        changes["user_email"] = email
    if found.role not in {None, ROLE} and _is_role_asked_for(user):
        # With all limits: LiteLLM gives those that are left out its own figures for internal users, if it has such.
        changes = {**changes, **wanted, "user_role": ROLE}
    if not changes:
        return found
    late.send(user, litellm.update_user, str(user.pk), changes)
    found = _read_back(litellm.get_user_info(str(user.pk)), "user")
    still = only(UNREACHABLE, {name for name, value in differences(wanted, found).items() if value is None})
    if still:
        late.send(user, litellm.update_user, str(user.pk), still)
        found = _read_back(litellm.get_user_info(str(user.pk)), "user")
    return found


def _is_role_asked_for(user: User) -> bool:
    """Whether the role is to be set back: since the last push that succeeded, an administrator or the settings
    (RECONCILE_MENDS) have decided so about what a comparison found.

    Somebody may administrate LiteLLM on purpose. Another push, of a new limit for instance, must not end that silently.
    """
    asked = Drift.objects.filter(what=Subject.USER, row_id=str(user.pk), details__fields__has_key=ROLE_FIELD)
    since = {} if user.synced_at is None else {"asked_at__gt": user.synced_at}
    return asked.filter(asked_at__isnull=False, **since).exists()


def _new_email(user: User, found: UserInfo, litellm: LiteLLM) -> str:
    """The address where LiteLLM has another, or nothing. It would take one of somebody else's, which no creation could
    have."""
    if not user.email or user.email.lower() == (found.email or "").lower():
        return ""
    if litellm.get_user_ids_with_email(user.email) - {str(user.pk)}:
        log.warning("litellm_email_taken", user_id=str(user.pk))
        return ""
    return user.email


# --- Memberships -----------------------------------------------------------------------------------------------------


def listed_memberships(user: User) -> list[Membership]:
    """The memberships of a person that LiteLLM is to list."""
    return [row for row in Membership.objects.filter(user=user).select_related("team") if is_listed(row)]


def is_listed(membership: Membership) -> bool:
    """Whether LiteLLM lists this member: always, but for the default team only up to the settings' number.

    With 5,000 listed members each call with a key of the team takes 230 to 380 ms instead of 30 to 40.
    """
    if membership.listed or membership.team_id != DEFAULT_TEAM_ID:
        return True
    limit: int = settings.LITELLM_DEFAULT_TEAM_LISTED_MEMBERS
    before = Membership.objects.filter(team=DEFAULT_TEAM_ID, pk__lt=membership.pk)
    return before[:limit].count() < limit


def make_membership_equal(membership: Membership, litellm: LiteLLM) -> bool:
    """LiteLLM lists the member, if it is to. Returns whether it does."""
    if not is_listed(membership):
        return False
    user_id, team_id = str(membership.user_id), str(membership.team_id)
    ensure_team_was_made(membership.team, litellm)
    found = ensure_user_exists_in_litellm(membership.user, litellm)
    if team_id not in found.teams:
        # Also one that was pushed before, should somebody have deleted it there.
        ensure_team_exists_in_litellm(membership.team, litellm)
        try:
            late.send(membership.user, litellm.add_team_member, team_id, user_id)
        except UpstreamRejected as error:
            if not _exists_already(error, "already in team"):
                raise
    return True


def leave_former_teams(user: User, found: UserInfo, litellm: LiteLLM) -> None:
    """LiteLLM takes the person out of those of our teams that the person is no longer a member of.

    LiteLLM deletes the person's keys of the team by that, and nobody has their secrets any more: while there are living
    ones (they are blocked), the person stays listed, so that they can work again after a return.
    """
    ours = Team.objects.filter(pk__in=[team for team in found.teams if _is_id(team)])
    former = ours.exclude(memberships__user=user).exclude(pk=DEFAULT_TEAM_ID)
    for team in former.exclude(pk__in=_teams_of_living_keys(user)):
        try:
            late.send(user, litellm.remove_team_member, str(team.pk), str(user.pk))
        except UpstreamRejected as error:
            if "User not found in team" not in error.text:
                raise
        # Somebody who came back at this very moment is listed again.
        back = Membership.objects.filter(user=user, team=team)
        state.request_pushes(Membership, back.values_list("pk", flat=True))


def _teams_of_living_keys(user: User) -> QuerySet[Any]:
    living = ApiKey.objects.filter(user=user, deleted_at=None).exclude(status=KeyStatus.REVOKED)
    return living.order_by().values("team")


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _exists_already(error: UpstreamRejected, words: str) -> bool:
    return words in error.text


def _read_back(found: Info | None, what: str) -> Info:
    if found is None:
        raise UpstreamUnavailable(reason="not_there_after_creation", what=what)
    return found
