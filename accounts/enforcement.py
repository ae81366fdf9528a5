"""Where the marker of foundation.access is enforced for both faces; deny by default."""

from typing import TYPE_CHECKING, Any, Final, cast

from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import personal_tokens, provider_sessions, rbac, sessions
from accounts.models import User
from litemaas.foundation import rate_limits
from litemaas.foundation.access import PUBLIC, SIGNED_IN, required
from litemaas.foundation.errors import NotAuthenticated, PermissionDenied

# Writes that whoever has got hold of a sign-in could go on with for ever. The lists of the admin portal are marked with
# the permission to read them; what is sent to them is a verb for many rows.
COUNTED: Final = frozenset(
    {
        rbac.Permission.ADMIN_READ,
        rbac.Permission.SESSIONS_END,
        rbac.Permission.TOKENS_CREATE,
        rbac.Permission.TOKENS_REVOKE,
        rbac.Permission.USERS_CREATE,
        rbac.Permission.USERS_DEACTIVATE,
        rbac.Permission.USERS_GRANT,
        rbac.Permission.USERS_LINK,
        rbac.Permission.USERS_OFFBOARD,
        rbac.Permission.USERS_UPDATE,
    }
)

if TYPE_CHECKING:  # rest_framework.views imports this module while it is being imported
    from rest_framework.views import APIView


def enforce_api_access(actor: rbac.Actor, permission: str | None) -> None:
    """Raise unless ``actor`` may use a view marked with ``permission``; an unmarked view is refused to everybody."""
    if permission == PUBLIC:
        return
    if rbac.role_of(actor) is None:
        raise NotAuthenticated
    if permission is None:
        raise PermissionDenied
    if permission != SIGNED_IN:
        rbac.require(actor, rbac.Permission(permission))


def count_change(actor: rbac.Actor, method: str | None, permission: str | None) -> None:
    """Count a write that changes who comes in or what people may; raises RateLimited (access_changes).

    Here, because it is outside of every transaction: what a refusal rolls back would not be counted.
    """
    if method not in personal_tokens.SAFE_METHODS and permission in COUNTED:
        rate_limits.spend("access_changes", actor.pk)


def signed_in(request: HttpRequest | Request) -> User:
    """The person behind a request that has passed enforcement."""
    return cast("User", request.user)


def enforce_further(request: Request, permission: rbac.Permission) -> None:
    """For what a body asks beyond the marker of its view: the role, and the scope of a personal token."""
    rbac.require(signed_in(request), permission)
    if isinstance(request.auth, personal_tokens.Grant):
        personal_tokens.require_scope(request.auth, request.method or "", permission)


class BrowserSessionAuthentication(SessionAuthentication):
    """The cookie of the portal, for its own pages and for people who try the API out in their browser."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Raises NotAuthenticated for a session that its provider should have confirmed long ago."""
        found = super().authenticate(request)
        if found is not None:
            provider_sessions.require_confirmed(request.session)
        return found


class AccessPermission(BasePermission):
    """DRF's default permission: the marker of the action, else of the viewset; and the scope of a personal token."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Raises the error itself, so that its code reaches the answer."""
        action = getattr(view, "action", None) or request.method.lower() if request.method else None
        permission = required(view, action)
        try:
            enforce_api_access(request.user, permission)
        except NotAuthenticated:
            raise sessions.why_nobody(request.session) from None
        if isinstance(request.auth, personal_tokens.Grant):
            personal_tokens.require_scope(request.auth, request.method or "", permission)
        count_change(request.user, request.method, permission)
        return True
