"""Running and watching the synchronisation: runs, pushes that are tried again, the outage clock, and what is due."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import OF_THE_INTEGRATION, AuditEvent, User
from apikeys.rotation import keep_until_arrived
from litellm_sync import keys, late, reconcile, runs, schedules, state, steps
from litellm_sync.failures import FAILING
from litellm_sync.health import get_integration_health
from litellm_sync.measures import measured_run
from litellm_sync.models import UNFINISHED, RunKind, RunStatus, SyncRun, SyncSchedule, Upstream
from litellm_sync.runs import Interrupted, Run, RunLost
from litellm_sync.steps import sync_users
from litellm_sync.upstream import circuit_state, probe
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotFound
from teams.models import Team

# The service layer's names are found here, wherever they are written.
__all__ = [
    "generate_audit_log",
    "get_integration_health",
    "notice",
    "perform",
    "perform_full_sync",
    "request_due_syncs",
    "request_sync",
    "resolve_conflicts",
    "retry",
    "retry_push",
    "retry_pushes",
    "schedule_all",
    "schedule_auto_sync",
    "sync_users",
    "tick",
]

log = structlog.get_logger(__name__)

# What everything is, in this order: no key before its owner, no owner before the teams.
FULL_SYNC: Final = (RunKind.MODELS, RunKind.TEAMS, RunKind.USERS, RunKind.KEYS, RunKind.USAGE)
# How a run ends here that goes on elsewhere or later, as the metrics call it.
GOES_ON: Final = {Interrupted: "interrupted", RunLost: "lost"}
LATENCIES_KEPT: Final = 30
# Tables that are LiteLLM's -> what fetches them; everything else that both sides have is ours.
THEIRS: Final = {"subscriptions.model": RunKind.MODELS, "usage.dailyusage": RunKind.USAGE}


# --- Runs ------------------------------------------------------------------------------------------------------------


def request_sync(actor: User | None, *, what: str) -> SyncRun:
    """Queue a run; raises Conflict (sync_already_running) with its id while one of the kind is not finished."""
    if actor is not None:
        rbac.require(actor, rbac.Permission.INTEGRATION_SYNC)
    if what not in RunKind.values:
        message = _("What can be synchronised: %(kinds)s.") % {"kinds": ", ".join(RunKind.values)}
        raise Invalid(message, field="what")
    if actor is not None and what == RunKind.ORPHANS:
        rbac.require(actor, rbac.Permission.TEAMS_ASSIGN)
    try:
        with transaction.atomic():
            run = SyncRun.objects.create(kind=what, requested_by=actor.pk if actor else None)
            if actor is not None:
                audit.record(actor, audit.Action.SYNC_REQUESTED, run, kind=what)
            runs.queue(run)
    except IntegrityError as error:
        running = SyncRun.objects.filter(kind=what, status__in=UNFINISHED).first()
        message = _("This is being synchronised already.")
        raise Conflict(message, code="sync_already_running", run=str(running.pk) if running else None) from error
    return run


def perform(run_id: str) -> None:
    """Carry a queued run out; whoever claims it first does it, and its outcome is stored whatever happens."""
    if run := runs.take(run_id):
        _carry_out(run)


def _carry_out(run: Run) -> None:
    about = {"kind": run.row.kind, "run_id": str(run.row.pk)}
    try:
        with measured_run(run.row.kind, run.row.pk, GOES_ON):
            report = RUNS[run.kind](run)
    except RunLost:
        log.warning("run_lost", **about)
    except Interrupted:
        log.warning("run_interrupted", **about)
        run.pause()
    except DomainError as error:
        log.warning("sync_failed", code=error.code, **about)
        run.finish(RunStatus.FAILED, error=str(error.message)[:500], report={"code": error.code, **error.details})
    except Exception:
        # Nobody waits for the exception of a job: the run has to say that it failed.
        log.exception("sync_broke", **about)
        run.finish(RunStatus.FAILED, error=_("Something went wrong on our side. It has been recorded."))
    else:
        run.finish(RunStatus.DONE, report=report)


def perform_full_sync(run: Run) -> dict[str, Any]:
    """Models, teams, people, keys, usage, one after the other, each a run of its own under this one.

    Raises Conflict (sync_incomplete) with all outcomes when one of them failed; the others were carried out.
    """
    weights = {RunKind.TEAMS: Team.objects.count(), RunKind.USERS: User.objects.count()}
    weights[RunKind.KEYS] = steps.secrets_to_push().count()
    before, outcomes = 0, {}
    run.moved(0, sum(weights.get(kind, 1) for kind in FULL_SYNC))
    for kind in FULL_SYNC:
        weight = weights.get(kind, 1)
        outcomes[kind.value] = _step(run.step(kind, before=before, weight=weight))
        before += weight
        run.moved(before, run.row.total)
    if failed := [kind for kind in FULL_SYNC if outcomes[kind.value]["status"] == RunStatus.FAILED]:
        message = _("Not everything could be synchronised: %(kinds)s.")
        kinds = ", ".join(str(kind.label) for kind in failed)
        raise Conflict(message % {"kinds": kinds}, code="sync_incomplete", steps=outcomes)
    return {"steps": outcomes}


def _step(step: Run | None) -> dict[str, Any]:
    """Carry one step out, unless a former worker did. Raises Interrupted when it could not come to its end."""
    if step is None:
        return {"status": "running", "code": "sync_already_running"}
    if step.row.status in UNFINISHED:
        _carry_out(step)
        step.row.refresh_from_db()
    if step.row.status in UNFINISHED:
        raise Interrupted
    return {"status": step.row.status, "run": str(step.row.pk), "error": step.row.error, "report": step.row.report}


RUNS: Final[dict[RunKind, Callable[[Run], dict[str, Any]]]] = {
    RunKind.MODELS: steps.sync_models,
    RunKind.USAGE: steps.sync_usage,
    RunKind.TEAMS: steps.sync_teams,
    RunKind.USERS: sync_users,
    RunKind.KEYS: steps.sync_keys,
    RunKind.ALL: perform_full_sync,
    RunKind.ORPHANS: steps.migrate_orphans,
    RunKind.RECONCILE: steps.compare,
}


# --- The schedule ----------------------------------------------------------------------------------------------------


def schedule_auto_sync(actor: User, *, kind: str, seconds: int | None) -> schedules.Interval:
    """Let a kind be synchronised every so many seconds, never (0), or as the settings say (None).

    All workers obey within seconds. Raises Invalid outside of what the kind allows.
    """
    rbac.require(actor, rbac.Permission.INTEGRATION_SCHEDULE)
    if kind not in RunKind.values:
        message = _("What can be synchronised: %(kinds)s.") % {"kinds": ", ".join(RunKind.values)}
        raise Invalid(message, field="kind")
    least, most = schedules.LEAST[RunKind(kind)], schedules.MONTH
    if seconds and not least <= seconds <= most:
        message = _("Between %(least)s and %(most)s seconds, or 0 for never.") % {"least": least, "most": most}
        raise Invalid(message, field="seconds", least=least, most=most)
    with transaction.atomic():
        before = schedules.intervals()[RunKind(kind)]
        if seconds is None:
            SyncSchedule.objects.filter(kind=kind).delete()
        else:
            SyncSchedule.objects.update_or_create(kind=kind, defaults={"seconds": seconds})
        after = schedules.intervals()[RunKind(kind)]
        if after != before:
            old = None if before.is_default else before.seconds
            audit.record(actor, audit.Action.SYNC_SCHEDULED, kind=kind, seconds=[old, seconds])
    return after


def schedule_all(actor: User, *, seconds: Mapping[str, int | None]) -> None:
    """Several intervals, all or none. Raises as schedule_auto_sync()."""
    with transaction.atomic():
        for kind, wanted in seconds.items():
            schedule_auto_sync(actor, kind=kind, seconds=wanted)


def request_due_syncs(now: datetime) -> list[str]:
    """Queue the runs whose interval has passed; called every few seconds by any worker, so losing a race is normal."""
    requested = []
    for kind, interval in schedules.intervals().items():
        if interval.is_due(now):
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
    return _push_again(actor, kind, object_id, audit.Action.PUSH_RETRIED)


def _push_again(actor: User, kind: str, object_id: Any, action: audit.Action) -> state.Synced:
    rbac.require(actor, rbac.Permission.INTEGRATION_SYNC)
    rows = _synced_model(kind)._base_manager.all()
    with transaction.atomic():
        try:
            row = rows.select_for_update().filter(pk=object_id).first()
        except (ValidationError, ValueError) as error:  # no id of this table
            raise NotFound from error
        if row is None:
            raise NotFound
        if row.sync_status != state.SyncStatus.SYNCED or action is audit.Action.PUSH_FORCED:
            audit.record(actor, action, row, kind=kind, was=row.sync_status, error=row.sync_error)
            if action is audit.Action.PUSH_FORCED:
                reconcile.note_asked(row)
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
    """With those that are tried for ever: somebody who has mended the cause does not wait for their next turn."""
    failed = table._base_manager.select_for_update().filter(FAILING)
    return state.request_pushes(table, failed.values_list("pk", flat=True))


def _synced_model(kind: str) -> type[state.Synced]:
    found = {state.kind_of(model): model for model in state.synced_models()}
    if kind not in found:
        message = _("What can be pushed again: %(kinds)s.") % {"kinds": ", ".join(sorted(found))}
        raise Invalid(message, code="unknown_kind", field="kind")
    return found[kind]


def retry(actor: User, *, kind: str | None = None, object_id: Any = None) -> int:
    """One row, all failing rows of a kind, or all. Returns how many. Raises Invalid (unknown_kind), NotFound."""
    if kind is None or not object_id:
        return retry_pushes(actor, kind=kind)
    retry_push(actor, kind=kind, object_id=object_id)
    return 1


def resolve_conflicts(actor: User, *, kind: str, object_id: Any = None) -> state.Synced | SyncRun:
    """Let the owner of a thing win where both sides differ.

    People, teams, memberships and keys are ours: the row is pushed as it stands here, also one that counts as synced.
    Models and spend are LiteLLM's: they are fetched. Raises Invalid (unknown_kind), NotFound, Conflict.
    """
    if kind in THEIRS:
        return request_sync(actor, what=THEIRS[kind])
    return _push_again(actor, kind, object_id, audit.Action.PUSH_FORCED)


def generate_audit_log(
    actor: User, *, start: datetime | None = None, end: datetime | None = None
) -> QuerySet[AuditEvent]:
    """What was asked of the integration and what it did, the newest first; from ``start`` on, before ``end``."""
    rbac.require(actor, rbac.Permission.AUDIT_READ)
    events = AuditEvent.objects.filter(OF_THE_INTEGRATION)
    if start is not None:
        events = events.filter(at__gte=start)
    return events if end is None else events.filter(at__lt=end)


# --- The outage clock ------------------------------------------------------------------------------------------------


def tick(now: datetime) -> None:
    """What happens every few seconds: ask whether LiteLLM is there, and push what is due.

    While LiteLLM is away nothing is queued. When it is back, everything that waits is due at once, however long its
    own back-off had become.
    """
    if not settings.LITELLM_API_URL:
        return
    circuit, latency = circuit_state(), probe()
    if notice(latency=latency, now=now, circuit=circuit):
        log.info("litellm_is_back", woken=state.wake_all())
    keep_until_arrived(now)
    if latency is not None:
        runs.take_up_silent(now)
        request_due_syncs(now)
        keys.follow_the_clock(now)
        late.follow(now)
        state.defer_due()


def notice(*, latency: int | None, now: datetime, circuit: str = "") -> bool:
    """Remember whether LiteLLM is there (``latency`` None: it is not) and how quick it was.

    True exactly once for each outage: when it ends.
    """
    upstream, _made = Upstream.objects.get_or_create(id=1)
    seen = upstream.latencies if latency is None else [*upstream.latencies, latency][-LATENCIES_KEPT:]
    Upstream.objects.update(checked_at=now, latencies=seen, circuit=circuit)
    if latency is not None:
        return bool(Upstream.objects.filter(down_since__isnull=False).update(down_since=None, version_at=None))
    if Upstream.objects.filter(down_since=None).update(down_since=now):
        log.warning("litellm_is_away")
    return False
