"""What a comparison with LiteLLM knows of each kind of thing: its list, its single object, our rows, what differs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyStatus
from litellm_sync import ensure, key_bodies, keys, state
from litellm_sync.client import KeyInfo, LiteLLM, TeamInfo, UserInfo
from litellm_sync.client.bodies import Limits
from litellm_sync.client.lists import ListPage
from litellm_sync.drift import DriftKind, Subject
from litellm_sync.proof import is_refused
from litellm_sync.state import SyncStatus
from teams.models import Membership, Team

# LiteLLM's own user, and the team of the sessions of its pages.
THEIR_OWN: Final = frozenset({"default_user_id", "litellm-dashboard"})
NOTHING_LIMITED: Final = "budget_duration"
# A push takes seconds; what has waited for longer is not just being pushed.
WAITS: Final = timedelta(minutes=3)


@dataclass(frozen=True)
class Finding:
    """One thing that differs. ``look`` is the id of the object that was looked at: for a membership its team's."""

    what: Subject
    kind: DriftKind
    object_id: str
    name: str
    look: str
    row_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Every finding about a row of ours can be pushed, every other one cannot."""
        if (self.kind is DriftKind.UNKNOWN) == bool(self.row_id):
            raise ValueError(self.kind)


Pair = tuple[Any, Any]


class Side:
    """One kind of thing. ``column`` holds LiteLLM's id in our table, by which both lists are ordered."""

    what: ClassVar[Subject]
    table: ClassVar[type[state.Synced]]
    column: ClassVar[str] = "pk"

    def page(self, litellm: LiteLLM, number: int) -> ListPage[Any]:
        """A page of LiteLLM's list."""
        raise NotImplementedError

    def find(self, litellm: LiteLLM, object_id: str) -> Any:
        """The single object, or None where it is absent."""
        raise NotImplementedError

    def id_of(self, info: Any) -> str:
        """LiteLLM's id of an entry."""
        raise NotImplementedError

    def judge(self, pairs: Iterable[Pair]) -> list[Finding]:
        """What differs between rows of ours and LiteLLM's objects (None where absent), in few statements."""
        raise NotImplementedError

    def unknown(self, info: Any) -> Finding:
        """The finding about an object of which there is no row."""
        raise NotImplementedError

    def as_column(self, object_id: str) -> Any:
        """The id as our column has it, or None for what cannot be one of ours."""
        return own_id(object_id)

    def rows(self) -> QuerySet[Any]:
        """Our rows, ready to be judged."""
        return self.table._base_manager.all()

    def expected(self) -> QuerySet[Any]:
        """Those that LiteLLM must have."""
        return self.rows()


def own_id(text: str) -> UUID | None:
    """The id of a row of ours, spelt as we spell it: to LiteLLM capitals are another user."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def is_settled(row: state.Synced, since: datetime) -> bool:
    """Whether a difference of this row is drift: what is being pushed, or was since, has only just changed."""
    is_busy = row.sync_status == SyncStatus.PENDING or row.push_lease_until is not None
    return not is_busy and (row.synced_at is None or row.synced_at < since)


def waits_long(row: state.Synced, now: datetime) -> bool:
    """Whether a row has waited for so long that what works although it must not is no matter of moments any more."""
    since = row.sync_requested_at
    return row.sync_status == SyncStatus.PENDING and since is not None and since <= now - WAITS


def _shown(value: Any) -> Any:
    """As JSON, with decimals as text: amounts keep their figures."""
    if value is None or isinstance(value, bool | int | str | dict):
        return value
    return [str(one) for one in value] if isinstance(value, list | tuple | frozenset | set) else str(value)


def _fields(wanted: Mapping[str, Any], found: Any) -> dict[str, list[Any]]:
    return {name: [_shown(value), _shown(getattr(found, name, None))] for name, value in wanted.items()}


def _limits_that_differ(row: Any, found: Any) -> dict[str, list[Any]]:
    """A period without a budget limits nothing, and 1.81 cannot be told to forget one."""
    changes = ensure.differences(ensure.with_limits(Limits(), row), found)
    if row.max_budget is None and found.max_budget is None:
        changes.pop(NOTHING_LIMITED, None)
    return _fields(changes, found)


class Users(Side):
    """People. LiteLLM knows nothing of who is deactivated: their keys are blocked."""

    what, table = Subject.USER, User

    def page(self, litellm: LiteLLM, number: int) -> ListPage[UserInfo]:
        """A page of users."""
        return litellm.get_user_page(number)

    def find(self, litellm: LiteLLM, object_id: str) -> UserInfo | None:
        """One user."""
        return litellm.get_user_info(object_id)

    def id_of(self, info: UserInfo) -> str:
        """Of a user."""
        return info.user_id

    def judge(self, pairs: Iterable[Pair]) -> list[Finding]:
        """Absent, or with other limits, another address or another role: no role at all gives nothing."""
        found = []
        for user, info in pairs:
            about = {"object_id": str(user.pk), "name": user.username, "look": str(user.pk), "row_id": str(user.pk)}
            if info is None:
                found.append(Finding(self.what, DriftKind.MISSING, **about))
                continue
            fields = _limits_that_differ(user, info)
            if user.email and user.email.lower() != (info.email or "").lower():
                fields["email"] = [user.email, info.email]
            if info.role not in {None, ensure.ROLE}:
                fields[ensure.ROLE_FIELD] = [ensure.ROLE, info.role]
            if fields:
                found.append(Finding(self.what, DriftKind.DIFFERENT, details={"fields": fields}, **about))
        return found

    def unknown(self, info: UserInfo) -> Finding:
        """A user that was made in LiteLLM."""
        details = {"alias": info.alias, "email": info.email, "role": info.role, "spend": str(info.spend)}
        name = info.alias or info.email or info.user_id
        return Finding(self.what, DriftKind.UNKNOWN, info.user_id, name, info.user_id, details=details)


class Teams(Side):
    """Teams, and who is a member of ours."""

    what, table = Subject.TEAM, Team

    def page(self, litellm: LiteLLM, number: int) -> ListPage[TeamInfo]:
        """A page of teams."""
        return litellm.get_team_page(number)

    def find(self, litellm: LiteLLM, object_id: str) -> TeamInfo | None:
        """One team."""
        return litellm.get_team_info(object_id)

    def id_of(self, info: TeamInfo) -> str:
        """Of a team."""
        return info.team_id

    def judge(self, pairs: Iterable[Pair]) -> list[Finding]:
        """Absent, blocked, or with another name, other models, limits or members."""
        found, there = [], []
        for team, info in pairs:
            about = {"object_id": str(team.pk), "name": team.name, "look": str(team.pk), "row_id": str(team.pk)}
            if info is None:
                found.append(Finding(self.what, DriftKind.MISSING, **about))
                continue
            there.append(info)
            fields = _limits_that_differ(team, info)
            wanted = {"models": sorted(team.allowed_models), "alias": team.name, "blocked": False}
            fields |= _fields(ensure.differences(wanted, info), info)
            if fields:
                found.append(Finding(self.what, DriftKind.DIFFERENT, details={"fields": fields}, **about))
        return [*found, *_members(there)]

    def unknown(self, info: TeamInfo) -> Finding:
        """A team that was made in LiteLLM."""
        details = {"alias": info.alias, "members": len(info.members), "spend": str(info.spend)}
        name = info.alias or info.team_id
        return Finding(self.what, DriftKind.UNKNOWN, info.team_id, name, info.team_id, details=details)


def _members(teams: list[TeamInfo]) -> list[Finding]:
    """Who is listed here and not there, or there and not here.

    Somebody who left a team stays listed there while living keys are charged to it (ensure.leave_former_teams).
    """
    infos = {UUID(team.team_id): team for team in teams}
    listed = Membership.objects.filter(team__in=infos.keys(), listed=True).select_related("user", "team")
    found = [
        _membership(DriftKind.MISSING, row, str(row.team_id), str(row.user_id), str(row))
        for row in listed
        if str(row.user_id) not in infos[row.team_id].members
    ]
    return [*found, *_strangers(infos)]


def _strangers(infos: Mapping[UUID, TeamInfo]) -> list[Finding]:
    there = {(str(team_id), user_id) for team_id, team in infos.items() for user_id in team.members}
    ids = {one for _team, user_id in there if (one := own_id(user_id))}
    here = Membership.objects.filter(team__in=infos.keys(), user__in=ids).values_list("team", "user")
    ours = ApiKey.objects.filter(team__in=infos.keys(), user__in=ids, deleted_at=None)
    living = ours.exclude(status=KeyStatus.REVOKED)
    allowed = {(str(team), str(user)) for team, user in [*here, *living.values_list("team", "user")]}
    names = {str(user.pk): user.username for user in User.objects.filter(pk__in=ids).only("username")}
    found = []
    for team_id, user_id in sorted(there - allowed):
        name = f"{names.get(user_id, user_id)} in {infos[UUID(team_id)].alias}"
        found.append(_membership(DriftKind.UNKNOWN, None, team_id, user_id, name))
    return found


def _membership(kind: DriftKind, row: Membership | None, team_id: str, user_id: str, name: str) -> Finding:
    details = {"team": team_id, "user": user_id}
    row_id = "" if row is None else str(row.pk)
    return Finding(Subject.MEMBERSHIP, kind, f"{team_id}/{user_id}", name, team_id, row_id, details)


class Keys(Side):
    """Secrets of keys."""

    what, table, column = Subject.KEY, ApiKeySecret, "digest"

    def page(self, litellm: LiteLLM, number: int) -> ListPage[KeyInfo]:
        """A page of keys."""
        return litellm.get_key_page(number)

    def find(self, litellm: LiteLLM, object_id: str) -> KeyInfo | None:
        """One key."""
        return litellm.get_key_info(object_id)

    def id_of(self, info: KeyInfo) -> str:
        """Of a key."""
        return info.token

    def as_column(self, object_id: str) -> str:
        """Hashes stand in both as text."""
        return object_id

    def rows(self) -> QuerySet[Any]:
        """With what a judgement looks at."""
        return ApiKeySecret.objects.select_related("key__user", "key__team")

    def expected(self) -> QuerySet[Any]:
        """Dead ones are absent by right."""
        alive = self.rows().filter(key__deleted_at=None).exclude(key__status=KeyStatus.REVOKED)
        return alive.exclude(valid_until__lte=timezone.now())

    def judge(self, pairs: Iterable[Pair]) -> list[Finding]:
        """Absent, different, or working although they must not."""
        looked = list(pairs)
        models: dict[Any, list[str]] = {}
        links = KeyModel.objects.filter(key__in={secret.key_id for secret, _info in looked}).effective()
        for key_id, model_id in links.order_by("key", "model").values_list("key_id", "model_id"):
            models.setdefault(key_id, []).append(model_id)
        judged = (_judge_key(secret, info, models.get(secret.key_id, [])) for secret, info in looked)
        return [finding for finding in judged if finding is not None]

    def unknown(self, info: KeyInfo) -> Finding:
        """A key that was made in LiteLLM, or one of ours of which the row is lost."""
        details = {
            "alias": info.alias,
            "key_name": info.key_name,
            "user": info.user_id,
            "team": info.team_id,
            "models": list(info.models),
            "spend": str(info.spend),
            "max_budget": _shown(info.max_budget),
            "expires": _shown(info.expires),
            "last_active": _shown(info.last_active),
            "blocked": info.blocked,
            "may_manage": info.allowed_routes != key_bodies.LLM_ROUTES,
            "was_ours": info.metadata.get("managed_by") == "litemaas",
        }
        name = info.alias or info.key_name or info.token
        return Finding(self.what, DriftKind.UNKNOWN, info.token, name[:255], info.token, details=details)


def _judge_key(secret: ApiKeySecret, info: KeyInfo | None, models: list[str]) -> Finding | None:
    now = timezone.now()
    is_alive = keys.is_alive(secret, now)
    if info is None:
        return _about(secret, DriftKind.MISSING, {}) if is_alive else None
    works = not is_refused(info, now)
    if not is_alive:
        if works:
            return _about(secret, DriftKind.ALIVE, {"works": [False, True]})
        return None if _may_stay(secret) else _about(secret, DriftKind.DIFFERENT, {"key": ["absent", "refused"]})
    changes = key_bodies.differences_of(secret, models, info)
    if secret.key.max_budget is None and info.max_budget is None:
        changes.pop(NOTHING_LIMITED, None)
    if changes.get("blocked") and works:
        return _about(secret, DriftKind.ALIVE, {"blocked": [True, False]})
    return _about(secret, DriftKind.DIFFERENT, _key_fields(secret, changes, info)) if changes else None


def _may_stay(secret: ApiKeySecret) -> bool:
    """Whether LiteLLM may have a secret that must not work, as long as it refuses it: an expired key may come back, and
    one that a newer secret has replaced is deleted by its push when nothing is left to be carried over."""
    return secret.key.deleted_at is None and secret.key.status != KeyStatus.REVOKED


def _key_fields(secret: ApiKeySecret, changes: key_bodies.KeyDifferences, info: KeyInfo) -> dict[str, list[Any]]:
    """By the names that people know; a duration is sent where a moment is meant."""
    fields = _fields({name: value for name, value in changes.items() if name != "duration"}, info)
    if "key_alias" in fields:
        fields["key_alias"][1] = info.alias
    if "duration" in changes:
        fields["expires"] = [_shown(secret.key.expires_at), _shown(info.expires)]
    return fields


def _about(secret: ApiKeySecret, kind: DriftKind, fields: dict[str, list[Any]]) -> Finding:
    details: dict[str, Any] = {"key": str(secret.key_id), "owner": secret.key.user.username}
    if fields:
        details["fields"] = fields
    if kind is DriftKind.MISSING and not secret.has_pending:
        details["needs_rotation"] = "told" if secret.sync_status == SyncStatus.FAILED else "untold"
    name = f"{secret.key.name} ({secret})"
    return Finding(Subject.KEY, kind, secret.digest, name, secret.digest, str(secret.pk), details)
