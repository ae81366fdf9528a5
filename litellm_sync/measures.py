"""What is measured of the synchronisation: each push and run where they happen, and what waits, from the tables."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import structlog
from django.db.models import Count, Max, Min, Q, QuerySet, Value
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob
from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from litellm_sync import state
from litellm_sync.drift import Drift, DriftKind
from litellm_sync.models import Alert, RunStatus, SyncRun, Upstream
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable

pushes = Histogram("litemaas_push_seconds", "Pushes to LiteLLM", ["kind", "outcome"])
runs = Histogram(
    "litemaas_run_seconds", "Synchronisations", ["kind", "outcome"], buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900)
)


@contextmanager
def measured_push(row: state.Synced) -> Iterator[None]:
    """Around one push: its time and outcome (done, postponed, refused, broke); each of its calls names the row."""
    kind, started = state.kind_of(row), time.perf_counter()
    outcome = "broke"
    with structlog.contextvars.bound_contextvars(push=f"{kind}/{row.pk}"):
        try:
            yield
            outcome = "done"
        except UpstreamRejected:
            outcome = "refused"
            raise
        except UpstreamUnavailable:
            outcome = "postponed"
            raise
        finally:
            pushes.labels(kind, outcome).observe(time.perf_counter() - started)


@contextmanager
def measured_run(kind: str, run_id: Any, goes_on: Mapping[type[Exception], str]) -> Iterator[None]:
    """Around one synchronisation: its time and outcome (done, failed, or the word in ``goes_on`` of an exception that
    is no failure); each of its calls names the run."""
    outcome, started = "failed", time.perf_counter()
    with structlog.contextvars.bound_contextvars(run=f"{kind}/{run_id}"):
        try:
            yield
            outcome = "done"
        except tuple(goes_on) as error:
            outcome = goes_on[type(error)]
            raise
        finally:
            runs.labels(kind, outcome).observe(time.perf_counter() - started)


def queue(
    *, waiting_only: bool = False, without: Mapping[str, Collection[str]] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """Table -> how many of its rows wait or failed, and since when the oldest waits; one statement.

    ``without`` are ids of rows that do not count, by their table.
    """
    parts = [_queue_of(table, without.get(state.kind_of(table), ())) for table in state.synced_models()]
    rows: Any = parts[0].union(*parts[1:], all=True)
    return {row["table"]: row for row in rows if row["pending"] or not waiting_only}


def _queue_of(table: type[state.Synced], without: Collection[str]) -> QuerySet[Any, dict[str, Any]]:
    waits = Q(sync_status=state.SyncStatus.PENDING)
    rows: Any = table._base_manager.exclude(sync_status=state.SyncStatus.SYNCED).order_by()
    if without:
        rows = rows.exclude(pk__in=without)
    named = rows.annotate(table=Value(state.kind_of(table))).values("table")
    found: QuerySet[Any, dict[str, Any]] = named.annotate(
        pending=Count("pk", filter=waits),
        failed=Count("pk", filter=~waits),
        since=Min("sync_requested_at", filter=waits),
    )
    return found


class StateOfSync(Collector):
    """What stands in the tables, the same whichever process is asked; six statements."""

    def collect(self) -> Iterator[Metric]:
        """Queue, outage, alerts, jobs and runs as they are now."""
        now = timezone.now()
        yield from _queued(now)
        yield from _outage(now)
        yield _gauge("litemaas_alert_active", "What is alerted of now", ("name",), _active_alerts())
        yield _gauge("litemaas_drift", "What the last comparisons found different", ("kind",), _drift())
        yield _gauge("litemaas_jobs_waiting", "Jobs that no worker has begun", ("task",), _waiting_jobs())
        yield _gauge(
            "litemaas_run_last_success_timestamp_seconds",
            "When the last run of a kind was done",
            ("kind",),
            _last_runs(),
        )


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, words: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    gauge = GaugeMetricFamily(name, words, labels=labels)
    for values, figure in samples:
        gauge.add_metric(values, figure)
    return gauge


def _queued(now: datetime) -> Iterator[Metric]:
    found = queue()
    kinds = [state.kind_of(table) for table in state.synced_models()]
    depth = [
        ((kind, word), float(found.get(kind, {}).get(word, 0))) for kind in kinds for word in ("pending", "failed")
    ]
    yield _gauge("litemaas_push_queue", "Rows that LiteLLM does not agree with", ("kind", "status"), depth)
    since = {kind: found.get(kind, {}).get("since") for kind in kinds}
    oldest = [((kind,), (now - moment).total_seconds() if moment else 0.0) for kind, moment in since.items()]
    yield _gauge("litemaas_push_oldest_waiting_seconds", "How long the oldest row has waited", ("kind",), oldest)


def _outage(now: datetime) -> Iterator[Metric]:
    upstream = Upstream.objects.first()
    down = upstream.down_since if upstream else None
    away = (now - down).total_seconds() if down else 0.0
    yield _gauge("litemaas_litellm_outage_seconds", "How long LiteLLM has been away; 0: it is there", (), [((), away)])
    asked = upstream.checked_at if upstream and upstream.checked_at else datetime.fromtimestamp(0, UTC)
    words = "When a worker last asked whether LiteLLM is there"
    yield _gauge("litemaas_litellm_checked_timestamp_seconds", words, (), [((), asked.timestamp())])
    version = upstream.version if upstream else ""
    yield _gauge("litemaas_litellm_info", "Which release LiteLLM says it is", ("version",), [((version,), 1.0)])


def _active_alerts() -> Samples:
    counted = Alert.objects.order_by().values_list("name").annotate(number=Count("pk"))
    return [((name,), float(number)) for name, number in counted]


def _drift() -> Samples:
    counted = dict(Drift.objects.order_by().values_list("kind").annotate(number=Count("pk")))
    return [((kind,), float(counted.get(kind, 0))) for kind in DriftKind.values]


def _waiting_jobs() -> Samples:
    waiting = ProcrastinateJob.objects.filter(status="todo").order_by().values_list("task_name")
    return [((task,), float(number)) for task, number in waiting.annotate(number=Count("pk"))]


def _last_runs() -> Samples:
    done = SyncRun.objects.filter(status=RunStatus.DONE).order_by().values_list("kind")
    return [((kind,), at.timestamp()) for kind, at in done.annotate(at=Max("finished_at")) if at]
