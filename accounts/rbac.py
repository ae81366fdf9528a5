"""The only place that knows who may do what: permissions, roles, and the table between them."""

import enum
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db import models

from accounts.models import Role, User
from litemaas.foundation.errors import NotAuthenticated, PermissionDenied

# The strongest role counts.
PRECEDENCE: Final = (Role.ADMIN, Role.ADMIN_READONLY, Role.GATEWAY, Role.USER)


class Permission(enum.StrEnum):
    """``noun.verb``, sorted. One for each kind of write, so that reading never implies writing."""

    ADMIN_READ = "admin.read"
    APIKEYS_BLOCK = "apikeys.block"
    APIKEYS_BULK = "apikeys.bulk"
    APIKEYS_CREATE = "apikeys.create"
    APIKEYS_DELETE = "apikeys.delete"
    APIKEYS_READ = "apikeys.read"
    APIKEYS_RESET_SPEND = "apikeys.reset_spend"
    APIKEYS_REVOKE = "apikeys.revoke"
    APIKEYS_ROTATE = "apikeys.rotate"
    APIKEYS_UPDATE = "apikeys.update"
    APIKEYS_VALIDATE = "apikeys.validate"
    AUDIT_READ = "audit.read"
    DRIFT_ADOPT = "drift.adopt"
    DRIFT_BLOCK = "drift.block"
    DRIFT_MEND = "drift.mend"
    INTEGRATION_READ = "integration.read"
    INTEGRATION_SCHEDULE = "integration.schedule"
    INTEGRATION_SYNC = "integration.sync"
    KEY_POLICY_READ = "key_policy.read"
    KEY_POLICY_WRITE = "key_policy.write"
    MODELS_HIDE = "models.hide"
    MODELS_READ = "models.read"
    MODELS_WRITE = "models.write"
    PROFILE_READ = "profile.read"
    PROFILE_WRITE = "profile.write"
    SESSIONS_END = "sessions.end"
    SUBSCRIPTIONS_APPROVE = "subscriptions.approve"
    SUBSCRIPTIONS_CANCEL = "subscriptions.cancel"
    SUBSCRIPTIONS_CREATE = "subscriptions.create"
    SUBSCRIPTIONS_READ = "subscriptions.read"
    TEAMS_ASSIGN = "teams.assign"
    TEAMS_READ = "teams.read"
    TOKENS_CREATE = "tokens.create"
    TOKENS_READ = "tokens.read"
    TOKENS_REVOKE = "tokens.revoke"
    USAGE_READ = "usage.read"
    USERS_CREATE = "users.create"
    USERS_DEACTIVATE = "users.deactivate"
    USERS_GRANT = "users.grant"
    USERS_LINK = "users.link"
    USERS_OFFBOARD = "users.offboard"
    USERS_READ = "users.read"
    USERS_UPDATE = "users.update"


class Scope(enum.IntEnum):
    """On whose things a permission holds."""

    NOTHING = 0
    OWN = 1
    ALL = 2


_P = Permission
_READS = {
    _P.ADMIN_READ,
    _P.APIKEYS_READ,
    _P.AUDIT_READ,
    _P.INTEGRATION_READ,
    _P.KEY_POLICY_READ,
    _P.MODELS_READ,
    _P.PROFILE_READ,
    _P.SUBSCRIPTIONS_READ,
    _P.TEAMS_READ,
    _P.TOKENS_READ,
    _P.USAGE_READ,
    _P.USERS_READ,
}

SCOPES: Final[dict[Role, dict[Permission, Scope]]] = {
    # Whoever rotates a key sees its new secret, and that is for nobody but the key's owner.
    Role.ADMIN: dict.fromkeys(Permission, Scope.ALL) | {_P.APIKEYS_ROTATE: Scope.OWN},
    Role.ADMIN_READONLY: dict.fromkeys(_READS, Scope.ALL),
    # Services that ask about everybody's keys. They make and change nothing but what signing in and tokens need.
    Role.GATEWAY: {
        _P.APIKEYS_READ: Scope.OWN,
        _P.APIKEYS_VALIDATE: Scope.ALL,
        _P.KEY_POLICY_READ: Scope.ALL,
        _P.MODELS_READ: Scope.ALL,
        _P.PROFILE_READ: Scope.OWN,
        _P.PROFILE_WRITE: Scope.OWN,
        _P.SESSIONS_END: Scope.OWN,
        _P.SUBSCRIPTIONS_READ: Scope.OWN,
        _P.TEAMS_READ: Scope.OWN,
        _P.TOKENS_CREATE: Scope.OWN,
        _P.TOKENS_READ: Scope.OWN,
        _P.TOKENS_REVOKE: Scope.OWN,
        _P.USAGE_READ: Scope.OWN,
    },
    Role.USER: {
        _P.APIKEYS_CREATE: Scope.OWN,
        _P.APIKEYS_DELETE: Scope.OWN,
        _P.APIKEYS_READ: Scope.OWN,
        _P.APIKEYS_REVOKE: Scope.OWN,
        _P.APIKEYS_ROTATE: Scope.OWN,
        _P.APIKEYS_UPDATE: Scope.OWN,
        _P.APIKEYS_VALIDATE: Scope.OWN,
        _P.KEY_POLICY_READ: Scope.ALL,
        _P.MODELS_READ: Scope.ALL,
        _P.PROFILE_READ: Scope.OWN,
        _P.PROFILE_WRITE: Scope.OWN,
        _P.SESSIONS_END: Scope.OWN,
        _P.SUBSCRIPTIONS_CANCEL: Scope.OWN,
        _P.SUBSCRIPTIONS_CREATE: Scope.OWN,
        _P.SUBSCRIPTIONS_READ: Scope.OWN,
        _P.TEAMS_READ: Scope.OWN,
        _P.TOKENS_CREATE: Scope.OWN,
        _P.TOKENS_READ: Scope.OWN,
        _P.TOKENS_REVOKE: Scope.OWN,
        _P.USAGE_READ: Scope.OWN,
    },
}

Actor = User | AnonymousUser
Row = TypeVar("Row", bound=models.Model)


class Owned(Protocol):
    """What has one owner."""

    @property
    def owner_id(self) -> Any: ...


def role_of(actor: Actor) -> Role | None:
    """The strongest role of somebody; None for the anonymous and the deactivated."""
    if not isinstance(actor, User) or not actor.is_active:
        return None
    return next((role for role in PRECEDENCE if role.value in actor.roles), None)


def strongest(roles: Iterable[str]) -> Role:
    """The role that counts of several, whether the person may use it at the moment or not."""
    given = set(roles)
    return next((role for role in PRECEDENCE if role.value in given), Role.USER)


def effective_roles(by_hand: Iterable[str], by_provider: Iterable[str]) -> list[str]:
    """What somebody is by both sources, the strongest first; who was given nothing is a user."""
    given = {*by_hand, *by_provider}
    return [role.value for role in PRECEDENCE if role.value in given] or [Role.USER.value]


def has_role(actor: Actor, role: Role) -> bool:
    """Whether ``role`` is among somebody's roles, the strongest or not."""
    return role_of(actor) is not None and role.value in actor.roles  # type: ignore[union-attr]  # role_of() was not None


def can_access_admin_features(actor: Actor) -> bool:
    """Whether somebody sees what belongs to others."""
    return role_of(actor) in {Role.ADMIN, Role.ADMIN_READONLY}


def scope(actor: Actor, permission: Permission) -> Scope:
    """On whose things ``actor`` has ``permission``."""
    role = role_of(actor)
    return SCOPES[role].get(permission, Scope.NOTHING) if role else Scope.NOTHING


def check_permission(actor: Actor, permission: Permission, target: Owned | None = None) -> bool:
    """Whether ``actor`` may do this, to ``target`` where there is one."""
    found = scope(actor, permission)
    if found is Scope.OWN and target is not None:
        return bool(target.owner_id == actor.pk)
    return found is not Scope.NOTHING


def require(actor: Actor, permission: Permission, target: Owned | None = None) -> None:
    """Raise NotAuthenticated or PermissionDenied unless ``actor`` may do this."""
    if role_of(actor) is None:
        raise NotAuthenticated
    if not check_permission(actor, permission, target):
        raise PermissionDenied(permission=permission.value)


def require_still(actor: User, permission: Permission, target: Owned | None = None) -> User:
    """As require(), of the person as it stands now, locked for the caller's transaction; returns it.

    Whoever was deactivated or off-boarded since the request began makes nothing lasting any more, and whoever is being
    deactivated waits for it to be there, and ends it too.
    """
    now = User.objects.select_for_update(no_key=True).filter(pk=actor.pk).first()
    if now is None:
        raise NotAuthenticated
    require(now, permission, target)
    return now


def filter_resources_by_role(
    actor: Actor, permission: Permission, rows: models.QuerySet[Row], *, owner: str = "user"
) -> models.QuerySet[Row]:
    """The rows that ``actor`` may see: what one may not see does not exist."""
    found = scope(actor, permission)
    if found is Scope.ALL:
        return rows
    return rows.filter(**{owner: actor.pk}) if found is Scope.OWN else rows.none()


def permissions_of(actor: Actor) -> list[str]:
    """The names of what somebody may do, sorted."""
    role = role_of(actor)
    return sorted(permission.value for permission in SCOPES[role]) if role else []
