"""Proving that LiteLLM refuses what must not work: by reading back, and by seeing that no call got through after it."""

import enum
import time
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from apikeys.models import ApiKeySecret, KeyModel, KeyStatus
from apikeys.stopped import Evidence
from litellm_sync import spend, state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.client.transport import NEEDS_ENTERPRISE
from litellm_sync.keys import offer_may_arrive
from litellm_sync.state import SyncStatus
from litellm_sync.upstream import probe
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable

log = structlog.get_logger(__name__)

# One worker of LiteLLM may know a key for a minute after another has deleted it, and writes its log up to 21 s late.
LATE: Final = timedelta(seconds=90)
# A proof that is as late as this is something to be told of.
OVERDUE: Final = timedelta(minutes=15)
# LiteLLM's clock may run ahead of ours.
SKEW: Final = timedelta(seconds=5)
CALL_SECONDS: Final = 5.0
# A round looks so often and begins no look after so long: the next one begins ten seconds after it, and whoever wants
# a revocation pushed needs the workers too.
AT_ONCE: Final = 50
ROUND_SECONDS: Final = 8.0
# Two looks at one secret never overlap: whoever takes it keeps others from it for longer than a look lasts.
TAKEN: Final = timedelta(seconds=30)
# What is answered where a route is closed or absent, also by a proxy in front of LiteLLM that lets few routes through.
CLOSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
NO_LOOK: Final = frozenset({"gone", "not_ended", "pending"})
# So many looks of a round may fail, each after CALL_SECONDS at the latest.
FAILING_AT_ONCE: Final = 5
NOTED_AT_ONCE: Final = 500
NOTHING: Final = {"proven_by": Evidence.UNKNOWN} | dict.fromkeys(
    ("stopped_at", "proven_at", "worked_at", "proof_due_at")
)


class Standing(enum.StrEnum):
    """How LiteLLM stands to a secret that must not work, as one look shows it."""

    ABSENT = "absent"
    MAY_ARRIVE = "may_arrive"  # absent; an earlier offer may still be carried out
    REFUSED = "refused"
    TAKEN = "taken"
    UNKNOWN = "unknown"  # it could not be asked: the secret may work


class LogClosed(Exception):
    """LiteLLM does not let its log of calls be read: reading the key back has to do."""


def late() -> timedelta:
    """How long after a stop a call may still get through or be written down; LiteLLM may be set to write seldom."""
    return max(LATE, spend.settling())


def begun(secret: ApiKeySecret) -> dict[str, Any]:
    """The columns with which a push settles: LiteLLM was told just now, so the proof begins or has no object any more.

    What was seen of the end before stays where nothing had to be changed in LiteLLM; an alarm until it is proved.
    """
    now = timezone.now()
    if not secret.must_not_work_at(now):
        return dict(NOTHING)
    if secret.stopped_at is not None:
        return {}
    return {"stopped_at": now, "proven_at": None, "proven_by": Evidence.UNKNOWN, "proof_due_at": now + late()}


def ended(now: datetime) -> Q:
    """Which secrets must not work by their key's state or their own end; those of ``idle()`` must not either."""
    by_state = Q(key__status__in=(KeyStatus.BLOCKED, KeyStatus.REVOKED)) | Q(key__user__is_active=False)
    by_time = Q(valid_until__lte=now) | Q(key__expires_at__lte=now)
    return by_state | by_time | Q(key__deleted_at__isnull=False)


def idle() -> QuerySet[ApiKeySecret]:
    """Secrets of keys without a usable model. Not one condition with ``ended()``: so each is quick over all keys."""
    return ApiKeySecret.objects.filter(_is_idle())


def _is_idle() -> Q:
    return Q(~Exists(KeyModel.objects.filter(key=OuterRef("key")).effective()))


def alarms() -> QuerySet[ApiKeySecret]:
    """Secrets that must not work, were seen to do so, and are not proved to have stopped.

    What may work again is none any more, also before its push has emptied the columns.
    """
    seen = ApiKeySecret.objects.filter(worked_at__isnull=False, proven_at=None)
    return seen.filter(ended(timezone.now()) | _is_idle())


def overdue(now: datetime) -> QuerySet[ApiKeySecret]:
    """Secrets that LiteLLM was told to refuse so long ago that the proof ought to be there, whatever it waits for."""
    waiting = ApiKeySecret.objects.filter(proof_due_at__isnull=False, proven_at=None)
    patience = OVERDUE + late()
    return waiting.filter(Q(proof_due_at__lte=now - OVERDUE) | Q(stopped_at__lte=now - patience))


def note_waiting(now: datetime) -> int:
    """Put what has ended and LiteLLM does not agree with on the list of the next look; returns how many."""
    return sum(_note(rows.exclude(sync_status=SyncStatus.SYNCED), now) for rows in _unnoticed(now))


def note_ended(now: datetime) -> int:
    """Put whatever has ended and nobody has looked at on the list of the next look; returns how many.

    This reads all keys. A push says so itself of what is revoked, blocked or expired: here is what came otherwise.
    """
    return sum(_note(rows, now) for rows in _unnoticed(now))


def _unnoticed(now: datetime) -> Iterator[QuerySet[ApiKeySecret]]:
    for rows in (ApiKeySecret.objects.filter(ended(now)), idle()):
        yield rows.filter(proven_at=None, proof_due_at=None)


def _note(rows: QuerySet[ApiKeySecret], now: datetime) -> int:
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:NOTED_AT_ONCE])
    return ApiKeySecret.objects.filter(pk__in=ids, proof_due_at=None).update(proof_due_at=now)


def note_taken(ids: Collection[Any], now: datetime) -> None:
    """A comparison saw that LiteLLM takes these secrets: an alarm until the opposite is proved, whatever was before."""
    rows = ApiKeySecret.objects.filter(pk__in=ids).filter(ended(now) | _is_idle())
    nothing = {"stopped_at": None, "proven_at": None, "proven_by": Evidence.UNKNOWN}
    rows.update(worked_at=now, proof_due_at=now + late(), **nothing)


def prove_due(now: datetime) -> dict[str, int]:
    """Look after those secrets whose time has come, the longest due first and at most AT_ONCE; counts by outcome.

    Several rounds may run at the same time. A look that fails is put off, so that the others have their turn. LiteLLM
    being away ends the round: all are as due in the next one.
    """
    counts: dict[str, int] = {}
    until, looks = time.monotonic() + ROUND_SECONDS, 0
    while looks < AT_ONCE and time.monotonic() < until and (taken := _take(now)):
        outcome = _prove_or_put_off(*taken, now)
        if outcome == "away":
            break
        looks += outcome not in NO_LOOK
        counts[outcome] = counts.get(outcome, 0) + 1
        if counts.get("put_off") == FAILING_AT_ONCE:
            break
    return counts


def _take(now: datetime) -> tuple[Any, Any] | None:
    """The secret that has been due for longest, and since when; nobody else takes it meanwhile."""
    with transaction.atomic():
        due = ApiKeySecret.objects.filter(proof_due_at__lte=now).order_by("proof_due_at", "pk")
        free = due.select_for_update(skip_locked=True, no_key=True, of=("self",))
        taken: tuple[Any, Any] | None = free.values_list("pk", "proof_due_at").first()
        if taken is not None:
            ApiKeySecret.objects.filter(pk=taken[0]).update(proof_due_at=now + TAKEN)
    return taken


def _prove_or_put_off(pk: Any, due_at: datetime, now: datetime) -> str:
    still_taken = ApiKeySecret.objects.filter(pk=pk, proof_due_at=now + TAKEN)
    try:
        return prove(pk, now)
    except (UpstreamRejected, UpstreamUnavailable) as error:
        log.warning("proof_put_off", secret_id=pk, **error.details)
        if probe() is None:
            still_taken.update(proof_due_at=due_at)
            return "away"
    except Exception:  # a bug of ours with one row must not keep the others from being proved
        log.exception("proof_broke", secret_id=pk)
    still_taken.update(proof_due_at=now + late())
    return "put_off"


def prove(pk: Any, now: datetime) -> str:
    """Look at one secret and write what was seen; returns its name. Raises UpstreamUnavailable and UpstreamRejected.

    A push has its time first. One that waits for longer is not waited for: LiteLLM may take the secret all the while.
    """
    secret = ApiKeySecret.objects.select_related("key__user", "key__team").filter(pk=pk).first()
    if secret is None:
        return "gone"
    if not secret.must_not_work_at(now):
        return _write(secret, "not_ended", proof_due_at=None)
    if secret.was_never_there:
        never = Evidence.NEVER_THERE
        return _write(secret, "proven", stopped_at=now, proven_at=now, proven_by=never, proof_due_at=None)
    waits_until = (secret.sync_requested_at or secret.created_at) + LATE
    if secret.sync_status == SyncStatus.PENDING and now < waits_until:
        return _write(secret, "pending", proof_due_at=waits_until)
    return _look(secret, now)


def _look(secret: ApiKeySecret, now: datetime) -> str:
    """Ask LiteLLM about a secret that must not work and that it was told about, or should have been."""
    if not is_refused(LiteLLM(CALL_SECONDS).get_key_info(secret.digest), now):
        return _alarm(secret, "taken", now, worked_at=now, stopped_at=None)
    if secret.stopped_at is None:
        return _write(secret, "stopped", stopped_at=now, proof_due_at=now + late())
    if now < secret.stopped_at + late():
        return _write(secret, "early", proof_due_at=secret.stopped_at + late())
    evidence = Evidence.LOG
    try:
        worked_at = _last_success(secret)
    except LogClosed:
        worked_at, evidence = None, Evidence.READ_BACK
    if worked_at is not None and worked_at > secret.stopped_at + SKEW:
        return _alarm(secret, "used", now, worked_at=worked_at, stopped_at=now)
    return _write(secret, "proven", proven_at=now, proven_by=evidence, proof_due_at=None)


def standing(secret: ApiKeySecret, litellm: LiteLLM) -> Standing:
    """Look once at a secret that must not work; whatever keeps LiteLLM from answering is no answer, and no error."""
    try:
        found = litellm.get_key_info(secret.digest)
    except (UpstreamRejected, UpstreamUnavailable):
        return Standing.UNKNOWN
    now = timezone.now()
    if found is None:
        return Standing.MAY_ARRIVE if offer_may_arrive(secret, now) else Standing.ABSENT
    return Standing.REFUSED if is_refused(found, now) else Standing.TAKEN


def is_refused(found: KeyInfo | None, now: datetime) -> bool:
    """Whether LiteLLM takes no call with a key that it shows like this."""
    return found is None or found.blocked or (found.expires is not None and found.expires <= now)


def _last_success(secret: ApiKeySecret) -> datetime | None:
    """The newest successful call since the stop. Raises LogClosed where LiteLLM does not let its log be read.

    Whatever else keeps it from being read is a failed look, and proves nothing.
    """
    try:
        return LiteLLM(CALL_SECONDS).get_last_success(secret.digest, secret.stopped_at or secret.created_at)
    except (UpstreamRejected, UpstreamUnavailable) as error:
        if not _is_closed(error):
            raise
        log.warning("spend_log_unreadable", **error.details)
        raise LogClosed from error


def _is_closed(error: UpstreamRejected | UpstreamUnavailable) -> bool:
    """Whether the log is closed to us: by the licence, or by its route, for the credential has just read the key."""
    return error.details.get("reason") == NEEDS_ENTERPRISE or error.details.get("http_status") in CLOSED


def _alarm(secret: ApiKeySecret, how: str, now: datetime, **seen: datetime | None) -> str:
    """It works although it must not: whoever watches the log is told, LiteLLM is told again, and it is looked again."""
    log.error("key_still_works", key_id=str(secret.key_id), secret_id=secret.pk, how=how, **_as_text(seen))
    outcome = _write(secret, "works", proof_due_at=now + late(), **seen)
    if secret.sync_status != SyncStatus.PENDING:  # else LiteLLM is being told, and why it does not hear is kept
        state.request_pushes(ApiKeySecret, [secret.pk])
    return outcome


def _as_text(seen: dict[str, datetime | None]) -> dict[str, str]:
    return {name: value.isoformat() for name, value in seen.items() if value is not None}


def _write(secret: ApiKeySecret, outcome: str, **columns: datetime | Evidence | None) -> str:
    """Only where nobody has wished otherwise since the look: what was seen belongs to the wish of then."""
    ApiKeySecret.objects.filter(pk=secret.pk, sync_generation=secret.sync_generation).update(**columns)
    return outcome
