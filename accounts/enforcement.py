"""Where the marker of foundation.access is enforced for both faces; deny by default."""

from typing import TYPE_CHECKING, cast

from django.http import HttpRequest
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import rbac
from accounts.models import User
from litemaas.foundation.access import PUBLIC, SIGNED_IN, required
from litemaas.foundation.errors import NotAuthenticated, PermissionDenied

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


def signed_in(request: HttpRequest | Request) -> User:
    """The person behind a request that has passed enforcement."""
    return cast("User", request.user)


class AccessPermission(BasePermission):
    """DRF's default permission: the marker of the action, else of the viewset."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Raises the error itself, so that its code reaches the answer."""
        action = getattr(view, "action", None) or request.method.lower() if request.method else None
        enforce_api_access(request.user, required(view, action))
        return True
