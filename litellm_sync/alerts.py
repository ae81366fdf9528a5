"""What somebody should be woken for, as events of the log: when it begins, once a period while it lasts, at its end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import CharField, Count, Exists, F, Min, OuterRef, QuerySet, Value, Window
from django.db.models.functions import Cast, RowNumber

from litellm_sync import proof, state
from litellm_sync.failures import FAILING
from litellm_sync.measures import queue
from litellm_sync.models import Alert, RunStatus, SyncRun, Upstream
from litellm_sync.versions import judge
from litemaas.foundation.locks import advisory_lock

log = structlog.get_logger(__name__)

# So many runs of a kind have to fail one after the other; a failed one is tried again within seconds.
FAILURES_IN_A_ROW: Final = 3
# What is told of one by one is told of the oldest only: the next ones follow as these end.
ONE_BY_ONE: Final = 20
KEY_WORKS: Final = "key_still_works"
# A kind that has not run for as long is not failing but switched off.
RECENTLY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong now. ``name`` is the event; it stays the same for ever, for people search for it."""

    name: str
    subject: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same trouble as before."""
        return self.name, self.subject


def watch(now: datetime) -> None:
    """Compare what is wrong with what was told of. Called every few seconds, by any worker."""
    with transaction.atomic():
        advisory_lock("litellm_sync.alerts")  # or two workers would both tell of the same beginning
        found = {trouble.key: trouble for trouble in _troubles(now)}
        known = {(alert.name, alert.subject): alert for alert in Alert.objects.all()}
        for key in sorted(found.keys() | known.keys()):
            _tell(found.get(key), known.get(key), now)


def _tell(trouble: Trouble | None, alert: Alert | None, now: datetime) -> None:
    if trouble is None:
        if alert is not None:
            _end(alert, now)
    elif alert is None:
        Alert.objects.create(name=trouble.name, subject=trouble.subject, since=now, told_at=now)
        log.error(trouble.name, alert="begins", subject=trouble.subject, **trouble.facts)
    elif now - alert.told_at >= timedelta(seconds=settings.ALERT_REPEAT_SECONDS):
        Alert.objects.filter(pk=alert.pk).update(told_at=now)
        log.error(trouble.name, alert="lasts", subject=alert.subject, alerted_since=alert.since, **trouble.facts)


def _end(alert: Alert, now: datetime) -> None:
    alert.delete()
    lasted = round((now - alert.since).total_seconds())
    log.warning("alert_ended", alert=alert.name, subject=alert.subject, lasted_seconds=lasted)


def _troubles(now: datetime) -> Iterator[Trouble]:
    yield from _working_keys()
    yield from _waiting_pushes(now)
    yield from _late_proofs(now)
    yield from _upstream(now)
    yield from _failing_runs(now)


def _waiting_pushes(now: datetime) -> Iterator[Trouble]:
    """What is tried in vain is told of one by one: it may wait for ever, and must hide nothing that waits later."""
    before = now - timedelta(seconds=settings.PUSH_ALERT_SECONDS)
    alone: dict[str, list[str]] = {}
    for kind, row_id, since, error, attempts in _in_vain(before):
        alone.setdefault(kind, []).append(row_id)
        facts = {"waiting_since": since, "error": error, "attempts": attempts}
        yield Trouble("push_is_in_vain", f"{kind}/{row_id}", facts)
    for kind, row in queue(waiting_only=True, without=alone).items():
        if row["since"] and row["since"] <= before:
            facts = {"waiting": row["pending"], "oldest_since": row["since"]}
            yield Trouble("push_waits_too_long", kind, facts)


def _late_proofs(now: datetime) -> Iterator[Trouble]:
    late = proof.overdue(now).aggregate(late=Count("pk"), oldest_since=Min("stopped_at"))
    if late["late"]:
        yield Trouble("proofs_overdue", facts=late)


def _in_vain(before: datetime) -> QuerySet[Any, Any]:
    """Table, id, since when, error and attempts of the first rows that wait and need somebody; one statement."""
    parts = [
        table._base_manager.filter(FAILING, sync_status=state.SyncStatus.PENDING, sync_requested_at__lte=before)
        .order_by()
        .annotate(table=Value(state.kind_of(table)), row=Cast("pk", CharField()))
        .values_list("table", "row", "sync_requested_at", "sync_error", "sync_attempts")
        for table in state.synced_models()
    ]
    rows: QuerySet[Any, Any] = parts[0].union(*parts[1:], all=True)
    return rows.order_by("sync_requested_at", "row")[:ONE_BY_ONE]


def _working_keys() -> Iterator[Trouble]:
    """Secrets that must not work and do, as a proof or a comparison saw it.

    Those that were told of come first, so that of them only what is over ends; of what is beyond the number is told.
    """
    told = Alert.objects.filter(name=KEY_WORKS, subject=Cast(OuterRef("pk"), CharField()))
    alarms = proof.alarms().annotate(is_told=Exists(told)).order_by("-is_told", "pk")
    secrets = list(alarms[:ONE_BY_ONE])
    for secret in secrets:
        yield Trouble(KEY_WORKS, str(secret.pk), {"key_id": str(secret.key_id), "worked_at": secret.worked_at})
    if len(secrets) == ONE_BY_ONE and (more := proof.alarms().count() - ONE_BY_ONE) > 0:
        yield Trouble("more_keys_still_work", facts={"more": more})


def _upstream(now: datetime) -> Iterator[Trouble]:
    upstream = Upstream.objects.first()
    if upstream is None:
        return
    if upstream.down_since and now - upstream.down_since >= timedelta(seconds=settings.OUTAGE_ALERT_SECONDS):
        yield Trouble("litellm_outage_lasts", facts={"down_since": upstream.down_since})
    judgement = judge(upstream.version)
    if judgement.is_bad:
        facts = {"version": upstream.version, "judgement": judgement.code}
        yield Trouble("litellm_version_is_bad", upstream.version, facts)


def _failing_runs(now: datetime) -> Iterator[Trouble]:
    """The kinds whose last runs have all failed."""
    number = Window(RowNumber(), partition_by=F("kind"), order_by=F("created_at").desc())
    ended = SyncRun.objects.filter(created_at__gt=now - RECENTLY, status__in=(RunStatus.DONE, RunStatus.FAILED))
    last = ended.annotate(number=number).filter(number__lte=FAILURES_IN_A_ROW).order_by("kind", "number")
    kinds: dict[str, list[SyncRun]] = {}
    for run in last:
        kinds.setdefault(run.kind, []).append(run)
    for kind, runs in kinds.items():
        if len(runs) == FAILURES_IN_A_ROW and all(run.status == RunStatus.FAILED for run in runs):
            facts = {"run_id": str(runs[0].pk), "code": runs[0].report.get("code", "")}
            yield Trouble("run_keeps_failing", kind, facts)
