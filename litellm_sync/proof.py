"""Proving that LiteLLM refuses what must not work: by reading back, and by seeing that no call got through after it."""

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db.models import Q, QuerySet
from django.utils import timezone

from apikeys.models import ApiKeySecret, KeyStatus
from litellm_sync import state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable

log = structlog.get_logger(__name__)

# One worker of LiteLLM may know a key for a minute after another has deleted it, and writes its log up to 21 s late.
LATE: Final = timedelta(seconds=90)
# LiteLLM's clock may run ahead of ours.
SKEW: Final = timedelta(seconds=5)
SOON: Final = timedelta(seconds=10)
CALL_SECONDS: Final = 5.0
AT_ONCE: Final = 50
NOTED_AT_ONCE: Final = 500
NOTHING: Final = {"stopped_at": None, "proven_at": None, "worked_at": None, "proof_due_at": None}


def begun(secret: ApiKeySecret) -> dict[str, Any]:
    """The columns with which a push settles: LiteLLM was told just now, so the proof begins or has no object any more.

    An alarm stays until the end is proved.
    """
    now = timezone.now()
    if not secret.must_not_work_at(now):
        return dict(NOTHING)
    return {"stopped_at": now, "proven_at": None, "proof_due_at": now + LATE}


def ended(now: datetime) -> Q:
    """Which secrets must not work, as Stoppable.must_not_work_at() says of one."""
    by_state = Q(key__status__in=(KeyStatus.BLOCKED, KeyStatus.REVOKED)) | Q(key__user__is_active=False)
    by_time = Q(valid_until__lte=now) | Q(key__expires_at__lte=now)
    return by_state | by_time | Q(key__deleted_at__isnull=False)


def alarms() -> QuerySet[ApiKeySecret]:
    """Secrets that must not work, were seen to do so, and are not proved to have stopped."""
    return ApiKeySecret.objects.filter(worked_at__isnull=False, proven_at=None)


def note_ended(now: datetime) -> int:
    """Put what has ended and nobody has looked at on the list of the next look; returns how many.

    Of what is revoked or blocked a push says so itself; an expiry only passes.
    """
    nobody_looked = ApiKeySecret.objects.filter(ended(now), proven_at=None, proof_due_at=None)
    ids = list(nobody_looked.order_by("pk").values_list("pk", flat=True)[:NOTED_AT_ONCE])
    return ApiKeySecret.objects.filter(pk__in=ids, proof_due_at=None).update(proof_due_at=now)


def prove_due(now: datetime) -> dict[str, int]:
    """Look after those secrets whose time has come, the longest due first and at most AT_ONCE; counts by outcome.

    LiteLLM being away ends the round: the others are as due in the next one.
    """
    due = ApiKeySecret.objects.filter(proof_due_at__lte=now).order_by("proof_due_at", "pk")
    counts: dict[str, int] = {}
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        try:
            outcome = prove(pk, now)
        except UpstreamUnavailable as error:
            log.info("proof_postponed", **error.details)
            break
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


def prove(pk: Any, now: datetime) -> str:
    """Look at one secret and write what was seen; returns its name. Raises UpstreamUnavailable."""
    secret = ApiKeySecret.objects.select_related("key__user", "key__team").filter(pk=pk).first()
    if secret is None:
        return "gone"
    if not secret.must_not_work_at(now):
        return _write(secret, "not_ended", proof_due_at=None)
    if secret.was_never_there:
        return _write(secret, "proven", stopped_at=now, proven_at=now, proof_due_at=None)
    if secret.sync_status == SyncStatus.PENDING:
        return _write(secret, "pending", proof_due_at=now + SOON)
    return _look(secret, now)


def _look(secret: ApiKeySecret, now: datetime) -> str:
    """Ask LiteLLM about a secret that must not work and that it was told about."""
    if not is_refused(LiteLLM(CALL_SECONDS).get_key_info(secret.digest), now):
        return _alarm(secret, "taken", now, worked_at=now, stopped_at=None)
    if secret.stopped_at is None:
        return _write(secret, "stopped", stopped_at=now, proof_due_at=now + LATE)
    if now < secret.stopped_at + LATE:
        return _write(secret, "early", proof_due_at=secret.stopped_at + LATE)
    worked_at = _last_success(secret)
    if worked_at is not None and worked_at > secret.stopped_at + SKEW:
        return _alarm(secret, "used", now, worked_at=worked_at, stopped_at=now)
    return _write(secret, "proven", proven_at=now, proof_due_at=None)


def is_refused(found: KeyInfo | None, now: datetime) -> bool:
    """Whether LiteLLM takes no call with a key that it shows like this."""
    return found is None or found.blocked or (found.expires is not None and found.expires <= now)


def _last_success(secret: ApiKeySecret) -> datetime | None:
    """The newest successful call since the stop; None also where LiteLLM does not let its log be read."""
    try:
        return LiteLLM(CALL_SECONDS).get_last_success(secret.digest, secret.stopped_at or secret.created_at)
    except UpstreamRejected as error:
        log.warning("spend_log_unreadable", **error.details)
        return None


def _alarm(secret: ApiKeySecret, how: str, now: datetime, **seen: datetime | None) -> str:
    """It works although it must not: whoever watches the log is told, LiteLLM is told again, and it is looked again."""
    log.error("key_still_works", key_id=str(secret.key_id), secret_id=secret.pk, how=how, **_as_text(seen))
    outcome = _write(secret, "works", proof_due_at=now + LATE, **seen)
    state.request_pushes(ApiKeySecret, [secret.pk])
    return outcome


def _as_text(seen: dict[str, datetime | None]) -> dict[str, str]:
    return {name: value.isoformat() for name, value in seen.items() if value is not None}


def _write(secret: ApiKeySecret, outcome: str, **columns: datetime | None) -> str:
    """Only where nobody has wished otherwise since the look: what was seen belongs to the wish of then."""
    ApiKeySecret.objects.filter(pk=secret.pk, sync_generation=secret.sync_generation).update(**columns)
    return outcome
