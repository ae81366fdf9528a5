"""The verbs that give a key another secret: rotate, and end the old one before its grace is over."""

import enum
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
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
# Why a new secret is not sent there: none of the configured keys opens it.
UNREADABLE = "secret_unreadable"
# An old secret whose successor LiteLLM does not have yet goes on for so long, so shortly before its end.
PROLONGED = timedelta(minutes=10)
BEFORE_ITS_END = timedelta(seconds=30)
# Whoever ends a secret at this moment, perhaps on another machine, is not overruled.
NOT_ENDED_NOW = timedelta(seconds=5)


class Prospect(enum.StrEnum):
    """What a rotation would do to the present secret now, or why there is none."""

    # It goes on working for the grace.
    GRACE = "grace"
    # Nobody used it while an older one works: it ends, the older one goes on.
    UNUSED = "unused"
    # LiteLLM lost or refused it: it ends, an older one that works goes on.
    USELESS = "useless"
    # None: LiteLLM does not have it yet.
    NOT_ARRIVED = "secret_not_arrived"
    # None: an older secret works beside it, or has just ended.
    RUNNING = "rotation_running"


def prospect(key: ApiKey) -> Prospect:
    """What a rotation of ``key``, which has not ended, would do now; the verb does this and pages say it."""
    secrets, now = sorted(key.secrets.all(), key=lambda secret: (secret.created_at, secret.pk)), timezone.now()
    present, older = secrets[-1], [secret for secret in secrets[:-1] if secret.carried_at is None]
    if _is_useless(present):
        return Prospect.USELESS
    if present.has_pending:
        return Prospect.NOT_ARRIVED
    if present.last_used_at is None and any(not secret.has_ended(now) for secret in older):
        return Prospect.UNUSED
    return Prospect.RUNNING if older else Prospect.GRACE


def rotate_api_key(actor: User, *, key_id: UUID | str, grace_seconds: int | None = None) -> IssuedKey:
    """Give a key of the actor's a new secret; the key itself stays what it is, with its id, limits, spend and history.

    The present secret goes on working for ``grace_seconds`` (None is the policy's default, 0 ends it at once). Each may
    use what is left of the budget; what the old one spends meanwhile is added to the new one afterwards.
    A present secret that LiteLLM lost or refused, or that nobody used while an older one works, ends now instead, and
    the older one works for the longer of its own grace and the one asked for (0 ends it too).
    Raises NotFound, PermissionDenied (not the owner), Invalid (grace_seconds), Conflict (key_revoked, key_expired,
    secret_not_arrived, rotation_running), RateLimited.
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
        outlook = prospect(key)
        _require_possible(key, outlook)
        valid = _still_valid(key, now)
        granted = _replace(valid, outlook, grace, now)
        row = add_secret(key, secret)
        details: dict[str, Any] = {
            "old": str(valid[-1]),
            "new": str(row),
            "grace_seconds": int(granted.total_seconds()),
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


def keep_until_arrived(now: datetime) -> int:
    """Move the end of old secrets that would end before LiteLLM has the ones that replace them: a grace is there so
    that one of the two always works. LiteLLM is told beforehand. Returns how many.

    What was ended on purpose stays ended, and keys that have expired need no secret.
    """
    newest = ApiKeySecret.objects.filter(key=OuterRef("key"), valid_until=None, pending_secret__isnull=False)
    living = ApiKeySecret.objects.filter(key__deleted_at=None).exclude(key__status=KeyStatus.REVOKED)
    ending = living.exclude(key__expires_at__lte=now).filter(
        Exists(newest), valid_until__gt=now, valid_until__lte=now + BEFORE_ITS_END
    )
    with transaction.atomic():
        rows = list(ending.order_by("pk").select_for_update(skip_locked=True, of=("self",)))
        kept = [row for row in rows if row.valid_until and row.valid_until > timezone.now() + NOT_ENDED_NOW]
        _end(kept, now + PROLONGED, now)
    return len(kept)


def _require_possible(key: ApiKey, outlook: Prospect) -> None:
    """What LiteLLM does not have yet, but may have soon, is not replaced: it is waited for. And only one secret at a
    time spends beside the newest: else each of many would spend what is left of the budget."""
    if outlook is Prospect.NOT_ARRIVED:
        message = _("LiteLLM has not got the present secret of “%(name)s” yet. Rotate it when it works.")
        raise Conflict(message % {"name": key.name}, code="secret_not_arrived")
    if outlook is Prospect.RUNNING:
        message = _(
            "An old secret of “%(name)s” still works, or has just ended. End it, and rotate about half a minute later."
        )
        raise Conflict(message % {"name": key.name}, code="rotation_running")


def _replace(valid: list[ApiKeySecret], outlook: Prospect, grace: timedelta, now: datetime) -> timedelta:
    """Give the secrets of a key that gets a new one their ends; returns how long the present one goes on working."""
    *older, present = valid
    if outlook is Prospect.GRACE:
        _end([present], now + grace, now)
        return grace
    _end([present], now, now)
    for secret in older:
        _end([secret], max(secret.valid_until or now, now + grace) if grace else now, now)
    return timedelta()


def _is_useless(secret: ApiKeySecret) -> bool:
    """Whether LiteLLM has lost it, or has refused it when it was new, or nobody can read it to send it there."""
    is_failed = secret.sync_status == SyncStatus.FAILED
    if secret.has_pending:
        return is_failed or secret.sync_error == UNREADABLE
    return is_failed and secret.sync_error == NEEDS_ROTATION


def _require_rotatable(key: ApiKey) -> None:
    status = key.current_status
    if status is KeyStatus.REVOKED:
        raise Conflict(_("“%(name)s” is revoked; that is for ever.") % {"name": key.name}, code="key_revoked")
    if status is KeyStatus.EXPIRED:
        message = _("“%(name)s” has expired. Move its expiry to rotate it.") % {"name": key.name}
        raise Conflict(message, code="key_expired")


def _still_valid(key: ApiKey, now: datetime) -> list[ApiKeySecret]:
    return [secret for secret in key.secrets.order_by("created_at", "pk") if not secret.has_ended(now)]


def _end(secrets: list[ApiKeySecret], at: datetime, now: datetime) -> None:
    """LiteLLM is told of the end beforehand, so that it refuses the secret in time whatever happens here."""
    for secret in secrets:
        ApiKeySecret.objects.filter(pk=secret.pk).update(valid_until=at, due_at=at)
        state.request_push(secret, immediately=at <= now)
