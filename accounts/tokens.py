"""JSON web tokens for API clients: short access tokens, rotating refresh tokens, families that die together.

simplejwt signs and verifies. Its own rotation answers 401 to a refresh token that is used twice but leaves the newer
one alive, and two refreshes at once both succeed; so the rotation is one compare-and-swap on RefreshFamily.current.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import ExpiredTokenError, InvalidToken, TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts import audit, holders, sessions
from accounts.devices import Place, place_of
from accounts.models import RefreshFamily, User
from litemaas.foundation import logs
from litemaas.foundation.errors import NotAuthenticated

FAMILY = "family"
SIGNED_IN_USER = """
    SELECT person.*, family.id AS family_id, family.last_used_at AS family_last_used_at
    FROM accounts_user person JOIN accounts_refreshfamily family ON family.user_id = person.id
    WHERE family.id = %s AND family.revoked_at IS NULL AND family.expires_at > %s AND person.id = %s
"""


class AccessTokenAuthentication(JWTAuthentication):
    """``Authorization: Bearer``; person and family are read from the database, so their end counts at once.

    Every question to the API begins with this, so it is one statement, and one that is written already: to have the ORM
    write it anew each time took 0.9 ms instead of 0.3.
    """

    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        """The person and the token; the use of the sign-in is noted, at most once a minute."""
        found = super().authenticate(request)
        if found is not None:
            user: Any = found[0]
            logs.bind_credential("access_token", user.family_id)
            sessions.note_use(sessions.API, user.family_id, user.family_last_used_at, place_of(request))
        return found

    def get_validated_token(self, raw_token: bytes) -> Token:
        """Raises NotAuthenticated (token_expired) for one of ours that is over, InvalidToken for any other."""
        try:
            return AccessToken(raw_token)  # type: ignore[arg-type]  # it takes the text of a token, as bytes too
        except ExpiredTokenError as error:
            raise _expired() from error
        except TokenError as error:
            raise InvalidToken from error

    def get_user(self, validated_token: Token) -> Any:
        """Raises NotAuthenticated when the sign-in that the token came from, or the person, has been ended."""
        asked = [validated_token.get(FAMILY), timezone.now(), validated_token.get("sub")]
        user = holders.found_by(SIGNED_IN_USER, asked)
        if user is None:
            raise NotAuthenticated(_("This sign-in has ended. Sign in again."), code="token_revoked")
        if not user.is_active:
            raise _deactivated()
        return user


def _deactivated() -> NotAuthenticated:
    message = _("Your account is deactivated. Ask an administrator of this portal.")
    return NotAuthenticated(message, code="user_deactivated")


def _expired() -> NotAuthenticated:
    return NotAuthenticated(_("This token has expired."), code="token_expired")


@dataclass(frozen=True)
class TokenPair:
    """What a client gets; ``expires_in`` are the seconds that the access token lives."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int


def generate_token_pair(user: User, place: Place | None = None) -> TokenPair:
    """A new family with its first refresh token; ``place`` is where the person signs in from.

    Raises NotAuthenticated (user_deactivated) for who was deactivated since the password was looked at: the lock makes
    a deactivation at this moment wait for the family, and end it.
    """
    refresh, where = RefreshToken.for_user(user), place or Place(agent="", address="")
    expires_at = timezone.now() + settings.REFRESH_TOKEN_LIFETIME
    with transaction.atomic():
        if not User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True).exists():
            raise _deactivated()
        family = RefreshFamily.objects.create(user=user, current=refresh["jti"], expires_at=expires_at, **where)
        sessions.keep_newest_programs(user)
    logs.bind_credential("access_token", family.id)
    return _pair(refresh, family.id)


def _pair(refresh: Token, family_id: UUID) -> TokenPair:
    refresh[FAMILY] = str(family_id)
    access = AccessToken()
    access["sub"], access[FAMILY] = refresh["sub"], refresh[FAMILY]
    return TokenPair(str(access), str(refresh), int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()))


def extract_claims(token: str) -> dict[str, Any]:
    """The payload of a valid refresh token; raises NotAuthenticated for any other."""
    try:
        claims = dict(RefreshToken(token).payload)  # type: ignore[arg-type]  # it takes the text of a token
    except ExpiredTokenError as error:
        raise _expired() from error
    except TokenError as error:
        raise NotAuthenticated(_("This refresh token is not valid."), code="token_not_valid") from error
    if FAMILY not in claims:
        raise NotAuthenticated(_("This refresh token is not valid."), code="token_not_valid")
    return claims


def refresh_token(token: str, place: Place | None = None) -> TokenPair:
    """A new pair for a refresh token, which is spent by it; ``place`` is where it was sent from.

    A token that was spent before has been copied: whoever holds the newer one is cut off too.
    """
    claims = extract_claims(token)
    families = RefreshFamily.objects.filter(pk=claims[FAMILY], revoked_at=None, expires_at__gt=timezone.now())
    family = families.select_related("user").first()
    if family is None or not family.user.is_active:
        raise NotAuthenticated(_("This sign-in has ended. Sign in again."), code="token_revoked")
    logs.bind_credential("access_token", family.id)
    fresh = RefreshToken.for_user(family.user)
    used: dict[str, Any] = {"last_used_at": timezone.now()} | ({"address": place["address"]} if place else {})
    if families.filter(current=claims["jti"]).update(current=fresh["jti"], **used):
        return _pair(fresh, family.id)
    with transaction.atomic():  # it is over before the error is raised, which would roll it back
        if families.update(revoked_at=timezone.now()):
            audit.record(family.user, audit.Action.TOKEN_REFUSED, family.user, success=False, reason="reused")
    raise NotAuthenticated(_("This refresh token was used before. Sign in again."), code="token_reused")


def revoke_token(token: str) -> None:
    """End the family of a refresh token; doing it again changes nothing."""
    claims = extract_claims(token)
    families = RefreshFamily.objects.filter(pk=claims[FAMILY], revoked_at=None).select_related("user")
    with transaction.atomic():
        family = families.first()
        if family:
            logs.bind_credential("access_token", family.id)
        if family and families.update(revoked_at=timezone.now()):
            audit.record(family.user, audit.Action.TOKEN_REVOKED, family.user)
