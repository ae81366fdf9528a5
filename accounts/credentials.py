"""The only place that tells apart what a request of the API has come with: a session, or which kind of token."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import Token

from accounts import rbac, sessions
from accounts.enforcement import signed_in
from accounts.models import User
from accounts.personal_tokens import Grant
from accounts.session_store import SessionStore
from accounts.tokens import FAMILY
from accounts.ways_in import PersonalToken, TokenScope


@dataclass(frozen=True)
class Credential:
    """What a request has shown, and whom it speaks for; ``scope`` is what it may do of that which the person may."""

    kind: str
    id: UUID | None
    name: str
    scope: str
    issued_at: datetime | None
    expires_at: datetime | None
    user: User
    claims: dict[str, Any] | None = None

    @property
    def role(self) -> str | None:
        """The strongest role, as it is now: tokens say nothing of roles."""
        return rbac.role_of(self.user)


def sign_in_id(request: Request) -> UUID | None:
    """The id under which the sign-in that a request belongs to stands in the list; a personal token belongs to none."""
    if isinstance(request.auth, Token):
        return UUID(str(request.auth[FAMILY]))
    return None if isinstance(request.auth, Grant) else sessions.session_id(request.session)


def shown(request: Request) -> Credential:
    """What a request that was let in has come with."""
    user = signed_in(request)
    if isinstance(request.auth, Grant):
        token = PersonalToken.objects.get(pk=request.auth.id)
        about = (token.id, token.name, token.scope, token.created_at, token.expires_at)
        return Credential("personal_token", *about, user)
    if isinstance(request.auth, Token):
        payload: dict[str, Any] = dict(request.auth.payload)
        issued, expires = (
            datetime.fromtimestamp(payload[name], timezone.get_default_timezone()) for name in ("iat", "exp")
        )
        whole = TokenScope.WRITE.value
        return Credential("access_token", UUID(payload[FAMILY]), "", whole, issued, expires, user, claims=payload)
    return _session(user, request)


def _session(user: User, request: Request) -> Credential:
    store = SessionStore.of(request.session)
    row = store.row if store else None
    whole = TokenScope.WRITE.value
    if row is None:
        return Credential("session", None, "", whole, None, None, user)
    ends = sessions.end_of(row)
    return Credential("session", row.id, "", whole, row.begun_at, ends, user)
