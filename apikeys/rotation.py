"""The verbs that give a key another secret: rotate, and end the old one before its grace is over."""

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import AuditEvent, User
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from apikeys.policy import get_policy, granted_grace
from apikeys.services import IssuedKey, add_secret, locked, reread, visible
from litellm_sync import state
from litellm_sync.state import SyncStatus
from litemaas.foundation import crypto, rate_limits
from litemaas.foundation.errors import Conflict
from subscriptions.models import Subscription

# Why a push gave up: LiteLLM has lost the key, and nobody can tell it the secret again.
NEEDS_ROTATION = "needs_rotation"
# Why a new secret is not sent there: none of the configured keys opens it.
UNREADABLE = "secret_unreadable"
# An old secret whose successor LiteLLM does not have yet goes on for so long, so shortly before its end.
PROLONGED = timedelta(minutes=10)
BEFORE_ITS_END = timedelta(seconds=30)
# Whoever ends a secret at this moment, perhaps on another machine, is not overruled.
NOT_ENDED_NOW = timedelta(seconds=5)


class Stage(enum.StrEnum):
    """Where the secrets of a key stand, for whoever would rotate it."""

    IDLE = "idle"  # the newest works, and nothing is left of older ones
    USELESS = "useless"  # LiteLLM has lost the newest, or refused it, or nobody can read it to send it there
    WAITING = "waiting"  # LiteLLM does not have the newest yet
    WORKING = "working"  # the newest has arrived, and an older one works too
    SETTLING = "settling"  # the newest has arrived; what an older one spent is not carried over yet


def stage(secrets: Iterable[ApiKeySecret], now: datetime) -> Stage:
    """Where all secrets of one key stand."""
    newest, *older = _newest_first(secrets)
    if _is_useless(newest):
        return Stage.USELESS
    if newest.has_pending:
        return Stage.WAITING
    left = [secret for secret in older if secret.carried_at is None]
    if not left:
        return Stage.IDLE
    return Stage.WORKING if any(not secret.has_ended(now) for secret in left) else Stage.SETTLING


def waits_for_spend(key: ApiKey) -> bool:
    """Whether the newest secret waits until it is known what those between it and the oldest spent, because it begins
    with that: about a minute and a half from their end."""
    newest, *older = _newest_first(key.secrets.all())
    return newest.has_pending and len([secret for secret in older if secret.carried_at is None]) > 1


# Where nothing but an older secret works.
NOT_THERE: Final = frozenset({Stage.USELESS, Stage.WAITING})


# --- Verbs -----------------------------------------------------------------------------------------------------------


def rotate_api_key(
    actor: User, *, key_id: UUID | str, grace_seconds: int | None = None, replace_newest: bool = False
) -> IssuedKey:
    """Give a key of the actor's a new secret; the key itself stays what it is, with its id, limits, spend and history.

    The present secret goes on working for ``grace_seconds`` (None is the policy's default). Each may use what is left
    of the budget; what the old one spends meanwhile is added to the new one afterwards. 0 ends every secret at once,
    whatever is going on: then nothing works until the new one does.
    ``replace_newest``: the newest secret of a running rotation, which never reached its owner, ends at once, and the
    older one goes on for its own time. So it does where LiteLLM lost or refused the newest.
    Raises NotFound, PermissionDenied (not the owner), Invalid (grace_seconds), Conflict (key_revoked, key_expired,
    secret_not_arrived, rotation_running), RateLimited.
    """
    found = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_ROTATE, found)
    rate_limits.spend("key_rotations", actor.pk)
    secret = crypto.new_api_key_secret()
    with transaction.atomic():
        # First the owner, as in a creation: who was deactivated meanwhile gets no secret any more, and whoever leaves
        # the key's team waits for the new secret to be there, and stops it too.
        rbac.require_still(actor, rbac.Permission.APIKEYS_ROTATE, found)
        key, now = locked(found), timezone.now()
        _hold_subscriptions(key)
        grace = granted_grace(get_policy(), grace_seconds)  # as it is now, not as it was before somebody was waited for
        _require_rotatable(key)
        old = _newest_first(key.secrets.all())
        granted = _replace(key, old, now, grace=grace, ends_all=grace_seconds == 0, replace_newest=replace_newest)
        row = add_secret(key, secret)
        details: dict[str, Any] = {"old": str(old[0]), "new": str(row), "grace_seconds": int(granted.total_seconds())}
        audit.record(actor, audit.Action.APIKEY_ROTATED, key, **details, **_kept(key, now))
        state.request_push(row)
    return IssuedKey(reread(key), secret)


def end_old_secret(actor: User, *, key_id: UUID | str, force: bool = False) -> ApiKey:
    """End the grace of a rotated key now; only its newest secret works from this moment. Again changes nothing.

    Where LiteLLM does not have the newest nothing would work, so only ``force`` ends the old one there: it may have
    leaked. Raises NotFound, PermissionDenied, Conflict (secret_not_arrived).
    """
    found = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_REVOKE, found)
    with transaction.atomic():
        key, now = locked(found), timezone.now()
        secrets = _newest_first(key.secrets.all())
        old = [secret for secret in secrets if secret.valid_until is not None and not secret.has_ended(now)]
        if old and not force and stage(secrets, now) in NOT_THERE:
            message = _(
                "LiteLLM does not have the new secret of “%(name)s”: without the old one nothing would work. "
                "End it all the same if it has leaked."
            )
            raise Conflict(message % {"name": key.name}, code="secret_not_arrived")
        if old:
            _end(old, now, now)
            audit.record(actor, audit.Action.APIKEY_OLD_SECRET_ENDED, key, old=", ".join(map(str, old)))
    return reread(found)


# --- By the clock ----------------------------------------------------------------------------------------------------


def keep_until_arrived(now: datetime) -> int:
    """Move the end of old secrets that would end before LiteLLM has the ones that replace them: a grace is there so
    that one of the two always works. LiteLLM is told beforehand. Returns how many.

    No secret is kept longer than the policy's longest grace from its replacement. What was ended on purpose stays
    ended, and keys that have expired need no secret.
    """
    ending = ApiKeySecret.objects.filter(
        carried_at=None, valid_until__gt=now, valid_until__lte=now + BEFORE_ITS_END, key__deleted_at=None
    )
    rows = ending.exclude(key__status=KeyStatus.REVOKED).exclude(key__expires_at__lte=now).order_by("pk")
    with transaction.atomic():
        found = rows.select_related("key").prefetch_related("key__secrets")
        return sum(_keep(row, now) for row in list(found.select_for_update(skip_locked=True, of=("self",))))


def _keep(secret: ApiKeySecret, now: datetime) -> bool:
    """Whether there was a later end for it; the history tells of the first time, and until when at the longest."""
    secrets = _newest_first(secret.key.secrets.all())
    if not secrets[0].has_pending:
        return False
    replaced_at = min(one.created_at for one in secrets if one.created_at > secret.created_at)
    at_the_longest = replaced_at + timedelta(seconds=get_policy().maximum_grace_seconds)
    ends_at, later = secret.valid_until or now, min(now + PROLONGED, at_the_longest)
    if ends_at <= timezone.now() + NOT_ENDED_NOW or later <= ends_at + NOT_ENDED_NOW:
        return False
    _end([secret], later, now)
    told = AuditEvent.objects.filter(action=audit.Action.APIKEY_GRACE_PROLONGED, at__gte=replaced_at)
    if not told.filter(target_type="apikey", target_id=str(secret.key_id)).exists():
        audit.record(
            None, audit.Action.APIKEY_GRACE_PROLONGED, secret.key, old=str(secret), valid_until=_text(at_the_longest)
        )
    return True


# --- The parts -------------------------------------------------------------------------------------------------------


def _hold_subscriptions(key: ApiKey) -> None:
    """Whoever takes a model away from the key's owner meanwhile waits for the new secret to be there, and stops it
    too; else the new one would keep the model until somebody compares."""
    theirs = Subscription.objects.filter(user=key.user_id, model__in=key.model_ids)
    list(theirs.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))


def _newest_first(secrets: Iterable[ApiKeySecret]) -> list[ApiKeySecret]:
    return sorted(secrets, key=lambda secret: (secret.created_at, secret.pk), reverse=True)


def _replace(
    key: ApiKey, secrets: list[ApiKeySecret], now: datetime, *, grace: timedelta, ends_all: bool, replace_newest: bool
) -> timedelta:
    """Give the secrets of a key that gets a new one their ends; returns how long the present one goes on working.

    Only one at a time spends beside the newest: else each of many would spend what is left of the budget.
    """
    present, where = secrets[0], stage(secrets, now)
    if ends_all:
        _end([secret for secret in secrets if not secret.has_ended(now)], now, now)
    elif where is Stage.IDLE:
        _end([present], now + grace, now)
        return grace
    elif where is Stage.USELESS or (where is Stage.WORKING and replace_newest):
        _end([present], now, now)
    elif where is Stage.WAITING:
        message = _("LiteLLM has not got the present secret of “%(name)s” yet. Rotate it when it works.")
        raise Conflict(message % {"name": key.name}, code="secret_not_arrived")
    else:
        message = _(
            "An old secret of “%(name)s” still works, or has just ended. "
            "End it, and rotate about a minute and a half later."
        )
        raise Conflict(message % {"name": key.name}, code="rotation_running")
    return timedelta()


def _kept(key: ApiKey, now: datetime) -> dict[str, Any]:
    """What of the replaced secrets goes on working, for the history."""
    working = key.secrets.filter(valid_until__gt=now).order_by("pk")
    kept = {str(secret): secret.valid_until for secret in working if secret.valid_until}
    until = max(kept.values(), default=None)
    return {"kept": ", ".join(kept), "valid_until": _text(until) if until else None}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


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


def _end(secrets: list[ApiKeySecret], at: datetime, now: datetime) -> None:
    """LiteLLM is told of the end beforehand, so that it refuses the secret in time whatever happens here."""
    for secret in secrets:
        ApiKeySecret.objects.filter(pk=secret.pk).update(valid_until=at, due_at=at)
        state.request_push(secret, immediately=at <= now)
