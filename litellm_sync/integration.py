"""Running and watching the synchronisation: runs, pushes that are tried again, the outage clock, and what is due."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from litellm_sync import activity, catalogue, keys, state
from litellm_sync.client import LiteLLM
from litellm_sync.models import UNFINISHED, RunKind, RunStatus, SyncRun, Upstream
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotFound

log = structlog.get_logger(__name__)

RUN_TASK = "litellm_sync.run"
PROBE_SECONDS = 3.0
# A run that has not finished by then died with its worker.
RUN_LIMIT = timedelta(minutes=15)
# A failed run is tried again soon, whatever the interval: without a catalogue nobody can do anything.
RETRY_AFTER = timedelta(seconds=30)


# --- Runs ------------------------------------------------------------------------------------------------------------


def request_sync(actor: User | None, *, what: str) -> SyncRun:
    """Queue a run; raises Conflict (sync_already_running) with its id while one of the kind is not finished."""
    if actor is not None:
        rbac.require(actor, rbac.Permission.INTEGRATION_SYNC)
    if what not in RunKind.values:
        message = _("What can be synchronised: %(kinds)s.") % {"kinds": ", ".join(RunKind.values)}
        raise Invalid(message, field="what")
    try:
        with transaction.atomic():
            run = SyncRun.objects.create(kind=what, requested_by=actor.pk if actor else None)
            if actor is not None:
                audit.record(actor, audit.Action.SYNC_REQUESTED, run, kind=what)
            state.job(RUN_TASK).defer(run_id=str(run.pk))
    except IntegrityError as error:
        running = SyncRun.objects.filter(kind=what, status__in=UNFINISHED).first()
        message = _("This is being synchronised already.")
        raise Conflict(message, code="sync_already_running", run=str(running.pk) if running else None) from error
    return run


def perform(run_id: str) -> None:
    """Carry a queued run out; whoever claims it first does it, and its outcome is stored whatever happens."""
    queued = SyncRun.objects.filter(pk=run_id, status=RunStatus.QUEUED)
    if not queued.update(status=RunStatus.RUNNING, started_at=timezone.now()):
        return
    run = SyncRun.objects.get(pk=run_id)
    try:
        report = RUNS[RunKind(run.kind)](run)
    except DomainError as error:
        log.warning("sync_failed", kind=run.kind, run_id=run_id, code=error.code)
        _finish(run, RunStatus.FAILED, error=str(error.message), report={"code": error.code, **error.details})
    except Exception:
        # Nobody waits for the exception of a job: the run has to say that it failed.
        log.exception("sync_broke", kind=run.kind, run_id=run_id)
        _finish(run, RunStatus.FAILED, error=_("Something went wrong on our side. It has been recorded."))
    else:
        _finish(run, RunStatus.DONE, report=report)


def _finish(run: SyncRun, status: RunStatus, **outcome: Any) -> None:
    """A run that was declared dead meanwhile stays so: another may have taken its place."""
    running = SyncRun.objects.filter(pk=run.pk, status=RunStatus.RUNNING)
    running.update(status=status, finished_at=timezone.now(), **outcome)


def _run_models(run: SyncRun) -> dict[str, Any]:
    report = catalogue.sync_models()
    total = len(report.added) + len(report.changed) + len(report.hidden) + len(report.restored) + report.unchanged
    SyncRun.objects.filter(pk=run.pk).update(done=total, total=total)
    return report.as_json()


def _run_usage(run: SyncRun) -> dict[str, Any]:
    def progress(done: int, total: int) -> None:
        SyncRun.objects.filter(pk=run.pk).update(done=done, total=total)

    return activity.pull_usage(progress)


RUNS: dict[RunKind, Callable[[SyncRun], dict[str, Any]]] = {RunKind.MODELS: _run_models, RunKind.USAGE: _run_usage}


def request_due_syncs(now: datetime) -> list[str]:
    """Queue the runs whose interval has passed; called every few seconds by any worker, so losing a race is normal."""
    SyncRun.objects.filter(status__in=UNFINISHED, created_at__lt=now - RUN_LIMIT).update(
        status=RunStatus.FAILED, finished_at=now, error="The worker that carried it out is gone."
    )
    intervals = {RunKind.MODELS: settings.MODEL_SYNC_SECONDS, RunKind.USAGE: settings.USAGE_SYNC_SECONDS}
    requested = []
    for kind, seconds in intervals.items():
        counts = Q(created_at__gt=now - timedelta(seconds=seconds)) & ~Q(status=RunStatus.FAILED)
        counts |= Q(created_at__gt=now - RETRY_AFTER, status=RunStatus.FAILED)
        if not SyncRun.objects.filter(counts, kind=kind).exists():
            try:
                request_sync(None, what=kind)
            except Conflict:
                continue
            requested.append(kind.value)
    return requested


# --- Pushing again ---------------------------------------------------------------------------------------------------


def retry_push(actor: User, *, kind: str, object_id: Any) -> state.Synced:
    """Make a failed or waiting row due at once; one that LiteLLM has is left alone. Returns the row.

    ``kind`` is the name of its table, such as ``apikeys.apikeysecret``. Raises Invalid (unknown_kind), NotFound.
    """
    rbac.require(actor, rbac.Permission.INTEGRATION_SYNC)
    rows = _synced_model(kind)._base_manager.all()
    with transaction.atomic():
        row = rows.select_for_update().filter(pk=object_id).first()
        if row is None:
            raise NotFound
        if row.sync_status != state.SyncStatus.SYNCED:
            audit.record(actor, audit.Action.PUSH_RETRIED, row, kind=kind, was=row.sync_status, error=row.sync_error)
            state.request_push(row)
    found: state.Synced = rows.get(pk=row.pk)
    return found


def retry_pushes(actor: User, *, kind: str | None = None) -> int:
    """Make every failed row of one table, or of all, due at once. Returns how many. Raises Invalid (unknown_kind)."""
    rbac.require(actor, rbac.Permission.INTEGRATION_SYNC)
    tables = state.synced_models() if kind is None else [_synced_model(kind)]
    with transaction.atomic():
        counts = {state.kind_of(table): _retry_failed(table) for table in tables}
        rows = {name: count for name, count in counts.items() if count}
        if rows:
            audit.record(actor, audit.Action.PUSH_RETRIED, rows=rows)
    return sum(rows.values())


def _retry_failed(table: type[state.Synced]) -> int:
    failed = table._base_manager.select_for_update().filter(sync_status=state.SyncStatus.FAILED)
    return state.request_pushes(table, failed.values_list("pk", flat=True))


def _synced_model(kind: str) -> type[state.Synced]:
    found = {state.kind_of(model): model for model in state.synced_models()}
    if kind not in found:
        message = _("What can be pushed again: %(kinds)s.") % {"kinds": ", ".join(sorted(found))}
        raise Invalid(message, code="unknown_kind", field="kind")
    return found[kind]


# --- The outage clock ------------------------------------------------------------------------------------------------


def tick(now: datetime) -> None:
    """What happens every few seconds: ask whether LiteLLM is there, and push what is due.

    While LiteLLM is away nothing is queued. When it is back, everything that waits is due at once, however long its
    own back-off had become.
    """
    if not settings.LITELLM_API_URL:
        return
    reachable = is_reachable()
    if notice(reachable=reachable, now=now):
        log.info("litellm_is_back", woken=state.wake_all())
    if reachable:
        request_due_syncs(now)
        keys.follow_the_clock(now)
        state.defer_due()


def is_reachable() -> bool:
    """Ask LiteLLM, around the circuit; an answer closes it."""
    try:
        LiteLLM(PROBE_SECONDS).test_connection()
    except DomainError:
        return False
    return True


def notice(*, reachable: bool, now: datetime) -> bool:
    """Remember whether LiteLLM is there. True exactly once for each outage: when it ends."""
    Upstream.objects.get_or_create(id=1)
    Upstream.objects.update(checked_at=now)
    if reachable:
        return bool(Upstream.objects.filter(down_since__isnull=False).update(down_since=None))
    if Upstream.objects.filter(down_since=None).update(down_since=now):
        log.warning("litellm_is_away")
    return False


def get_integration_health() -> dict[str, Any]:
    """What is known without asking LiteLLM: outage, queue, last syncs."""
    upstream = Upstream.objects.first()
    last = {
        kind.value: SyncRun.objects.filter(kind=kind, status=RunStatus.DONE)
        .values_list("finished_at", flat=True)
        .first()
        for kind in RunKind
    }
    return {
        "configured": bool(settings.LITELLM_API_URL),
        "reachable": upstream.down_since is None if upstream else None,
        "down_since": upstream.down_since if upstream else None,
        "checked_at": upstream.checked_at if upstream else None,
        "queue": state.queue_depth(),
        "last_sync": last,
    }


def litellm_state() -> str:
    """One word for the readiness page."""
    if not settings.LITELLM_API_URL:
        return "not configured"
    return "unreachable" if Upstream.objects.filter(down_since__isnull=False).exists() else "ok"
