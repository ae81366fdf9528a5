"""The verbs that give a key another secret: rotate, and end the old one before its grace is over."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from apikeys.policy import get_policy, granted_grace
from apikeys.services import IssuedKey, add_secret, locked, reread, visible
from litellm_sync import state
from litellm_sync.state import SyncStatus
from litemaas.foundation import crypto, rate_limits
from litemaas.foundation.errors import Conflict

# Why a push gave up: LiteLLM has lost the key, and nobody can tell it the secret again.
NEEDS_ROTATION = "needs_rotation"


def rotate_api_key(actor: User, *, key_id: UUID | str, grace_seconds: int | None = None) -> IssuedKey:
    """Give a key of the actor's a new secret; the key itself stays what it is, with its id, limits, spend and history.

    The present secret goes on working for ``grace_seconds`` (None is the policy's default, 0 ends it at once), one that
    was replaced before and still works ends now. Each may use what is left of the budget; what the old one spends
    meanwhile is added to the new one afterwards.
    Raises NotFound, PermissionDenied (not the owner), Invalid (grace_seconds), Conflict (key_revoked, key_expired,
    secret_not_arrived), RateLimited.
    """
    found = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_ROTATE, found)
    grace = granted_grace(get_policy(), grace_seconds)
    rate_limits.spend("key_rotations", actor.pk)
    secret = crypto.new_api_key_secret()
    with transaction.atomic():
        # First the owner, as in a creation: who was deactivated meanwhile gets no secret any more.
        rbac.require_still(actor, rbac.Permission.APIKEYS_ROTATE, found)
        key, now = locked(found), timezone.now()
        _require_rotatable(key)
        present = _present(key)
        is_lost = present.sync_status == SyncStatus.FAILED and present.sync_error == NEEDS_ROTATION
        _end(_still_valid(key, now), now, now, except_for=present)
        _end([present], now if is_lost else now + grace, now)
        row = add_secret(key, secret)
        details: dict[str, Any] = {
            "old": str(present),
            "new": str(row),
            "grace_seconds": 0 if is_lost else int(grace.total_seconds()),
        }
        audit.record(actor, audit.Action.APIKEY_ROTATED, key, **details)
        state.request_push(row)
    return IssuedKey(reread(key), secret)


def end_old_secret(actor: User, *, key_id: UUID | str) -> ApiKey:
    """End the grace of a rotated key now; only its newest secret works from this moment. Again changes nothing.

    Raises NotFound, PermissionDenied.
    """
    found = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_REVOKE, found)
    with transaction.atomic():
        key, now = locked(found), timezone.now()
        old = [secret for secret in _still_valid(key, now) if secret.valid_until is not None]
        if old:
            _end(old, now, now)
            audit.record(actor, audit.Action.APIKEY_OLD_SECRET_ENDED, key, old=", ".join(map(str, old)))
    return reread(found)


def _present(key: ApiKey) -> ApiKeySecret:
    """The newest secret. What LiteLLM does not have yet cannot be replaced: nothing says what it will have spent."""
    newest = key.secrets.order_by("-created_at", "-pk").first()
    if newest is None or newest.pending_secret is not None:
        message = _("LiteLLM has not got the present secret of “%(name)s” yet. Rotate it when it works.")
        raise Conflict(message % {"name": key.name}, code="secret_not_arrived")
    return newest


def _require_rotatable(key: ApiKey) -> None:
    status = key.current_status
    if status is KeyStatus.REVOKED:
        raise Conflict(_("“%(name)s” is revoked; that is for ever.") % {"name": key.name}, code="key_revoked")
    if status is KeyStatus.EXPIRED:
        message = _("“%(name)s” has expired. Move its expiry to rotate it.") % {"name": key.name}
        raise Conflict(message, code="key_expired")


def _still_valid(key: ApiKey, now: datetime) -> list[ApiKeySecret]:
    return [secret for secret in key.secrets.order_by("created_at", "pk") if not secret.has_ended(now)]


def _end(secrets: list[ApiKeySecret], at: datetime, now: datetime, *, except_for: ApiKeySecret | None = None) -> None:
    """LiteLLM is told of the end beforehand, so that it refuses the secret in time whatever happens here."""
    for secret in secrets:
        if secret != except_for:
            ApiKeySecret.objects.filter(pk=secret.pk).update(valid_until=at, due_at=at)
            state.request_push(secret, immediately=at <= now)
