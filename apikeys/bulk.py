"""The verbs about many keys at once: planned first, which changes nothing, then carried out by a job, key by key."""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys import endings
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyStatus
from apikeys.policy import LONGEST_REASON
from apikeys.risks import HYGIENE, require_known, untidy
from apikeys.upkeep import BulkAction, BulkChange, BulkChangeKey, BulkStatus, Outcome
from litellm_sync import state
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotAuthenticated, NotFound, PermissionDenied
from litemaas.foundation.validators import sanitize_string

log = structlog.get_logger(__name__)

TASK: Final = "apikeys.carry_out_bulk_change"
# One plan takes the oldest so many: what is about more is done in several steps that somebody has looked at.
MOST_KEYS: Final = 10_000
PERMISSIONS: Final = {
    BulkAction.BLOCK: rbac.Permission.APIKEYS_BLOCK,
    BulkAction.REVOKE: rbac.Permission.APIKEYS_REVOKE,
}
# A job stops after a while and queues itself again, so that a worker can end and other jobs get their turn.
SLICE_SECONDS: Final = 20.0
# Longer than a slice: whoever has not come back by then has died.
LEASE: Final = timedelta(minutes=2)
# A job that was queued and has not begun by then is lost, or another that is queued now does no harm.
LOST_AFTER: Final = timedelta(minutes=1)
PLANS_KEPT: Final = timedelta(days=7)


# --- Verbs -----------------------------------------------------------------------------------------------------------


def plan_bulk_change(actor: User, *, action: str, which: str, reason: str = "") -> BulkChange:
    """Choose and freeze the keys, without changing any. Raises Invalid (unknown_action, unknown_hygiene), Conflict
    (uses_unknown; nothing_to_do where no key fits)."""
    _require(actor, action)
    if which not in HYGIENE:
        message = _("Keys can be chosen by: %(ways)s.") % {"ways": ", ".join(HYGIENE)}
        raise Invalid(message, code="unknown_hygiene", field="which")
    require_known(which)
    words = sanitize_string(reason, max_length=LONGEST_REASON)
    rows = _fitting(which, BulkAction(action))
    ids = list(rows.order_by("created_at", "pk").values_list("pk", flat=True)[:MOST_KEYS])
    if not ids:
        raise Conflict(_("There is no such key at present: nothing would be done."), code="nothing_to_do")
    matching = len(ids) if len(ids) < MOST_KEYS else rows.count()
    with transaction.atomic():
        change = BulkChange.objects.create(
            action=action, which=which, reason=words, matching=matching, total=len(ids), requested_by=actor.pk
        )
        BulkChangeKey.objects.bulk_create((BulkChangeKey(change=change, key_id=pk) for pk in ids), batch_size=2000)
        audit.record(actor, audit.Action.APIKEY_BULK_PLANNED, change, what=action, which=which, keys=len(ids))
    return change


def start_bulk_change(actor: User, *, change_id: UUID | str) -> BulkChange:
    """Carry out what was planned, or go on with what was stopped, as ``actor``; a job does it.

    Again changes nothing. Raises NotFound, Conflict (bulk_change_over).
    """
    change = _existing(change_id)
    _require(actor, change.action)
    startable = BulkChange.objects.filter(pk=change.pk, status__in=(BulkStatus.PLANNED, BulkStatus.STOPPED))
    with transaction.atomic():
        now = timezone.now()
        if startable.update(
            status=BulkStatus.RUNNING,
            requested_by=actor.pk,
            started_at=change.started_at or now,
            error="",
            lease_until=now,
        ):
            details: dict[str, Any] = {
                "what": change.action,
                "which": change.which,
                "keys": change.total,
                "reason": change.reason,
            }
            audit.record(actor, audit.Action.APIKEY_BULK_STARTED, change, **details)
            state.job(TASK).defer(change_id=str(change.pk))
    return _now(change, BulkStatus.RUNNING)


def stop_bulk_change(actor: User, *, change_id: UUID | str) -> BulkChange:
    """Do nothing more; what was done stays. Again changes nothing. Raises NotFound, Conflict (bulk_change_over)."""
    change = _existing(change_id)
    _require(actor, change.action)
    with transaction.atomic():
        if _stop(change, "by_hand"):
            audit.record(actor, audit.Action.APIKEY_BULK_STOPPED, change, reason="by_hand")
    return _now(change, BulkStatus.STOPPED)


def _require(actor: User, action: str) -> None:
    """To do it to many, and to do it to anybody's key."""
    rbac.require(actor, rbac.Permission.APIKEYS_BULK)
    if action not in BulkAction.values:
        message = _("What can be done to many keys: %(actions)s.") % {"actions": ", ".join(BulkAction.values)}
        raise Invalid(message, code="unknown_action", field="action")
    rbac.require(actor, PERMISSIONS[BulkAction(action)])


def _existing(change_id: UUID | str) -> BulkChange:
    change = BulkChange.objects.filter(pk=change_id).first()
    if change is None:
        raise NotFound
    return change


def _now(change: BulkChange, wanted: BulkStatus) -> BulkChange:
    change.refresh_from_db()
    if change.status != wanted:
        raise Conflict(_("This bulk change is not going on, or is done already."), code="bulk_change_over")
    return change


def _fitting(which: str, action: BulkAction) -> ApiKeyQuerySet:
    """What is blocked already is not blocked again."""
    rows = untidy(ApiKey.objects.filter(deleted_at=None), which)
    return rows.filter(status=KeyStatus.ACTIVE) if action is BulkAction.BLOCK else rows


def _stop(change: BulkChange, reason: str) -> int:
    running = BulkChange.objects.filter(pk=change.pk, status=BulkStatus.RUNNING)
    return running.update(status=BulkStatus.STOPPED, error=reason, lease_until=None)


# --- The job ---------------------------------------------------------------------------------------------------------


def carry_out(change_id: str) -> None:
    """Do what is left for a while, and queue the rest; may run twice, late, or be cut off anywhere."""
    claim = _claim(change_id)
    if claim is None:
        return
    until = time.monotonic() + SLICE_SECONDS
    # The pushes are jobs themselves: nobody waits for LiteLLM here, and a thousand keys are refused by us in seconds.
    with state.left_to_jobs():
        while _next(claim):
            if time.monotonic() > until:
                break
    _leave(claim)


def _claim(change_id: str) -> BulkChange | None:
    """The change with this job's claim, which is the moment until which it holds."""
    now = timezone.now()
    rows = BulkChange.objects.filter(pk=change_id, status=BulkStatus.RUNNING, lease_until__lte=now)
    return BulkChange(pk=change_id, lease_until=now + LEASE) if rows.update(lease_until=now + LEASE) else None


def _mine(claim: BulkChange) -> QuerySet[BulkChange]:
    """The change, while it runs under this claim: whoever stops it, or starts it anew in another name, ends that."""
    return BulkChange.objects.filter(pk=claim.pk, status=BulkStatus.RUNNING, lease_until=claim.lease_until)


def _leave(claim: BulkChange) -> None:
    """Done when nothing is left; else the next job goes on, unless the claim is lost."""
    with transaction.atomic():
        if not claim.rows.waiting().exists():
            _mine(claim).update(status=BulkStatus.DONE, finished_at=timezone.now(), lease_until=None)
        elif _mine(claim).update(lease_until=timezone.now()):
            state.job(TASK).defer(change_id=str(claim.pk))


def _next(claim: BulkChange) -> bool:
    """Do it to one key, together with the note that it is done; False when there is none left, or the claim is lost.

    The lock makes whoever stops it wait for this key: after that nothing more is done in the name of before.
    """
    with transaction.atomic():
        change = _mine(claim).select_for_update(no_key=True).first()
        row = change.rows.waiting().select_for_update(skip_locked=True).first() if change else None
        if change is None or row is None:
            return False
        try:
            outcome, code = _do(change, row)
        except (NotAuthenticated, PermissionDenied) as error:
            # Whoever asked for it may not do it any more, so nobody goes on in that name.
            if _stop(change, error.code):
                audit.record(None, audit.Action.APIKEY_BULK_STOPPED, change, reason=error.code)
            return False
        BulkChangeKey.objects.filter(pk=row.pk).update(outcome=outcome, code=code, done_at=timezone.now())
    return True


def _do(change: BulkChange, row: BulkChangeKey) -> tuple[Outcome, str]:
    """By the verb for one key, with all its rules. A key that does not fit any more is left alone."""
    action = BulkAction(change.action)
    actor = rbac.require_still(User(pk=change.requested_by), rbac.Permission.APIKEYS_BULK)
    rbac.require(actor, PERMISSIONS[action])
    if not _fitting(change.which, action).filter(pk=row.key_id).exists():
        return Outcome.SKIPPED, "changed_meanwhile"
    try:
        with transaction.atomic():
            _verb(change, actor)(key_id=row.key_id)
    except (NotAuthenticated, PermissionDenied, OperationalError):
        raise
    except DomainError as error:
        return Outcome.FAILED, error.code
    except Exception:  # one key that meets a bug of ours must not keep the others waiting
        log.exception("bulk_change_broke", change=str(change.pk), key=str(row.key_id))
        return Outcome.FAILED, "internal_error"
    return Outcome.DONE, ""


def _verb(change: BulkChange, actor: User) -> Callable[..., Any]:
    verb = endings.block_api_key if change.action == BulkAction.BLOCK else endings.revoke_api_key
    return partial(verb, actor, reason=change.reason)


def resume() -> int:
    """Queue what goes on without a job, because a worker died, and forget plans that nobody carried out.

    Returns how many were queued.
    """
    now = timezone.now()
    BulkChange.objects.filter(status=BulkStatus.PLANNED, created_at__lt=now - PLANS_KEPT).delete()
    died = BulkChange.objects.filter(status=BulkStatus.RUNNING, lease_until__lt=now - LOST_AFTER)
    ids: list[Any] = [{"change_id": str(pk)} for pk in died.values_list("pk", flat=True)]
    if ids:
        state.job(TASK).batch_defer(*ids)
    return len(ids)
