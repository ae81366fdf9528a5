"""Personal access tokens: made, revoked, recognised; and the one rule about what may be done with them.

A token is ``lmp_`` and 49 characters (litemaas.foundation.crypto). It is shown once and kept as SHA-256.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts import audit, holders, rbac
from accounts.devices import Place, place_of
from accounts.models import User
from accounts.ways_in import NOTED_EVERY, PersonalToken, TokenScope
from litemaas.foundation import crypto, logs, validators
from litemaas.foundation.access import PUBLIC, SIGNED_IN
from litemaas.foundation.errors import Invalid, NotAuthenticated, NotFound, PermissionDenied, QuotaExceeded

SCHEME: Final = b"bearer"
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
# A token that leaked must not be able to stay by another way in, or to lock its owner out.
FOR_PEOPLE_ONLY: Final = frozenset(
    {
        rbac.Permission.DRIFT_ADOPT,
        rbac.Permission.SESSIONS_END,
        rbac.Permission.TOKENS_CREATE,
        rbac.Permission.TOKENS_REVOKE,
        rbac.Permission.USERS_CREATE,
        rbac.Permission.USERS_DEACTIVATE,
        rbac.Permission.USERS_GRANT,
        rbac.Permission.USERS_LINK,
        rbac.Permission.USERS_OFFBOARD,
    }
)
# Questions that are sent by POST because what they are about, somebody's secret, does not belong into an address. A
# gateway's token needs no right to write for them.
ASKING: Final = frozenset({rbac.Permission.APIKEYS_VALIDATE})
# A script that goes on with an ended token would fill the audit log.
REFUSAL_NOTED_EVERY: Final = timedelta(hours=1)
# One statement, written already, as for access tokens.
HOLDER: Final = """
    SELECT person.*, token.id AS token_id, token.name AS token_name, token.scope AS token_scope,
        token.expires_at AS token_expires_at, token.revoked_at AS token_revoked_at,
        token.last_used_at AS token_last_used_at
    FROM accounts_user person JOIN accounts_personaltoken token ON token.user_id = person.id WHERE token.digest = %s
"""
# Whoever holds the row notes the same use: nobody waits.
NOTE_USE: Final = """
    UPDATE accounts_personaltoken SET last_used_at = %s, last_address = %s WHERE id =
    (SELECT id FROM accounts_personaltoken WHERE id = %s FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True)
class IssuedToken:
    """A new token with its secret, which can be read here and never again."""

    token: PersonalToken
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Grant:
    """What ``request.auth`` is when somebody came with a personal access token."""

    id: UUID
    scope: str


# --- Verbs -----------------------------------------------------------------------------------------------------------


def create_personal_token(actor: User, *, name: str, scope: str, days: int | None = None) -> IssuedToken:
    """Make a token for oneself that is good for ``days``, or as many as the settings say.

    Raises Invalid (name, scope, days) and QuotaExceeded (too many tokens).
    """
    rbac.require(actor, rbac.Permission.TOKENS_CREATE, actor)
    wanted = settings.PERSONAL_TOKEN_DAYS if days is None else days
    _check(name, scope, wanted)
    secret, now = crypto.new_personal_token(), timezone.now()
    with transaction.atomic():
        # The owner's row is the lock under which tokens are counted: twenty at once must not pass the limit.
        rbac.require_still(actor, rbac.Permission.TOKENS_CREATE, actor)
        most: int = settings.PERSONAL_TOKENS_PER_USER
        if PersonalToken.objects.alive(now).filter(user=actor).count() >= most:
            message = _("You have %(number)s access tokens, and more are not allowed. Revoke one that you do not need.")
            raise QuotaExceeded(message % {"number": most}, code="too_many_tokens", limit=most)
        made = PersonalToken.objects.create(
            user=actor,
            name=name,
            digest=crypto.secret_digest(secret),
            last4=secret[-4:],
            scope=scope,
            created_at=now,
            expires_at=now + timedelta(days=wanted),
        )
        audit.record(actor, audit.Action.TOKEN_CREATED, actor, token=name, id=str(made.pk), scope=scope, days=wanted)
    return IssuedToken(made, secret)


def _check(name: str, scope: str, days: int) -> None:
    try:
        validators.validate_key_name(name)
    except ValidationError as error:
        raise Invalid(error.messages[0], code=error.code, field="name") from error
    if scope not in TokenScope.values:
        message = _("The scopes are: %(scopes)s.") % {"scopes": ", ".join(TokenScope.values)}
        raise Invalid(message, code="unknown_scope", field="scope")
    if not 1 <= days <= settings.PERSONAL_TOKEN_MAX_DAYS:
        message = _("A token lives from one day to %(maximum)s days.")
        raise Invalid(message % {"maximum": settings.PERSONAL_TOKEN_MAX_DAYS}, code="token_days", field="days")


def revoke_personal_token(actor: User, *, token_id: UUID | str) -> PersonalToken:
    """Refuse a token from now on, for ever; again changes nothing. Owners and administrators may. Raises NotFound."""
    rbac.require(actor, rbac.Permission.TOKENS_REVOKE)
    with transaction.atomic():
        mine = rbac.filter_resources_by_role(actor, rbac.Permission.TOKENS_REVOKE, PersonalToken.objects.all())
        found: PersonalToken | None = (
            mine.select_for_update(of=("self",)).select_related("user").filter(pk=token_id).first()
        )
        if found is None:
            raise NotFound
        if found.revoked_at is None:
            found.revoked_at = timezone.now()
            found.save(update_fields=["revoked_at"])
            audit.record(actor, audit.Action.TOKEN_REVOKED, found.user, token=found.name, id=str(found.pk))
    return found


def count_personal_tokens(user: User) -> int:
    """How many tokens of somebody have not ended."""
    return PersonalToken.objects.alive(timezone.now()).filter(user=user).count()


def revoke_personal_tokens(actor: User | None, user: User) -> int:
    """Revoke all tokens of somebody, in the caller's transaction; ``actor`` None is the system. Returns how many."""
    if actor is not None:
        rbac.require(actor, rbac.Permission.TOKENS_REVOKE, user)
    living = list(PersonalToken.objects.alive(timezone.now()).filter(user=user).select_for_update())
    PersonalToken.objects.filter(pk__in=[one.pk for one in living]).update(revoked_at=timezone.now())
    details = [(user, {"token": one.name, "id": str(one.pk)}) for one in living]
    audit.record_many(actor, audit.Action.TOKEN_REVOKED, details)
    return len(living)


# --- Recognising one -------------------------------------------------------------------------------------------------


class PersonalTokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer lmp_…``; whatever else is left to the next class."""

    def authenticate(self, request: Request) -> tuple[User, Grant] | None:
        """Raises NotAuthenticated for a token that lets nobody in."""
        parts = get_authorization_header(request).split()
        if len(parts) != 2 or parts[0].lower() != SCHEME or not parts[1].startswith(crypto.TOKEN_PREFIX.encode()):  # noqa: PLR2004 -- a scheme and a token
            return None
        return holder_of(parts[1].decode("latin-1"), place_of(request))

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says (RFC 6750, 3)."""
        return 'Bearer realm="api"'


def holder_of(secret: str, place: Place) -> tuple[User, Grant]:
    """The person whose token this is, and what it may do: one statement, and one more at most once a minute.

    Raises NotAuthenticated when it is unknown, revoked or expired, and when the person is deactivated.
    """
    found: Any = None
    if crypto.is_well_formed_token(secret):  # a typing error costs no statement
        found = holders.found_by(HOLDER, [crypto.secret_digest(secret)])
    if found is None:
        raise NotAuthenticated(_("This access token is not one of ours."), code="token_not_valid")
    logs.bind_credential("personal_token", found.token_id)  # before the refusals: they are about it too
    if found.token_revoked_at is not None:
        _note_refusal(found, "revoked")
        raise NotAuthenticated(_("This access token was revoked. Make a new one."), code="token_revoked")
    if found.token_expires_at <= timezone.now():
        _note_refusal(found, "expired")
        raise NotAuthenticated(_("This access token has expired. Make a new one."), code="token_expired")
    if not found.is_active:
        _note_refusal(found, "deactivated")
        message = _("Your account is deactivated. Ask an administrator of this portal.")
        raise NotAuthenticated(message, code="user_deactivated")
    _note_use(found, place)
    return found, Grant(found.token_id, found.token_scope)


def _note_use(holder: Any, place: Place) -> None:
    now = timezone.now()
    if holder.token_last_used_at is None or holder.token_last_used_at <= now - NOTED_EVERY:
        with connection.cursor() as cursor:
            cursor.execute(NOTE_USE, [now, place["address"], holder.token_id])


def _note_refusal(holder: Any, reason: str) -> None:
    """Somebody goes on with a token that has ended: the audit log says so once an hour."""
    now = timezone.now()
    with transaction.atomic():
        if (
            PersonalToken.objects.refusal_due(now - REFUSAL_NOTED_EVERY)
            .filter(pk=holder.token_id)
            .update(refused_at=now)
        ):
            details = {"token": holder.token_name, "id": str(holder.token_id), "reason": reason}
            audit.record(holder, audit.Action.TOKEN_REFUSED, holder, success=False, **details)


# --- What may be done with one ---------------------------------------------------------------------------------------


def require_scope(grant: Grant, method: str, permission: str | None) -> None:
    """Raise PermissionDenied unless a token of this scope may do this; what is not allowed here is refused.

    Reading takes any scope. Writing takes the scope "write" and a permission that is not for people only.
    """
    if method in SAFE_METHODS or permission in ASKING:
        return
    if grant.scope != TokenScope.WRITE:
        message = _("This access token may only read.")
        raise PermissionDenied(message, code="token_scope", scope=grant.scope, needed=TokenScope.WRITE.value)
    if permission in {None, PUBLIC, SIGNED_IN, *FOR_PEOPLE_ONLY}:
        raise PermissionDenied(_("Access tokens may not do this. Sign in to do it."), code="not_with_a_token")
