"""How the integration stands, from our own tables alone: nothing here asks LiteLLM."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from litellm_sync import measures, schedules, state
from litellm_sync.models import RunKind, RunStatus, SyncRun, Upstream
from litellm_sync.upstream import circuit_state
from litellm_sync.versions import known_version

# A worker looks every five seconds: when nobody has for so long, none runs.
SILENT_AFTER: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Queue:
    """What of one table waits for LiteLLM, and what it refused; ``since`` when the oldest was asked for."""

    kind: str
    pending: int
    failed: int
    since: datetime | None


def queues() -> list[Queue]:
    """Every table that LiteLLM must agree with, in one statement."""
    found = measures.queue()
    empty = {"pending": 0, "failed": 0, "since": None}
    return [
        Queue(kind, **{name: found.get(kind, empty)[name] for name in empty})
        for kind in map(state.kind_of, state.synced_models())
    ]


def oldest(found: list[Queue]) -> Queue | None:
    """The queue in which something has waited longest."""
    waiting = [queue for queue in found if queue.since is not None]
    return min(waiting, key=lambda queue: queue.since or timezone.now(), default=None)


def last_runs() -> dict[str, dict[str, SyncRun]]:
    """Kind -> status -> the newest such run, and ``""`` for the newest of all; one statement."""
    found: dict[str, dict[str, SyncRun]] = {kind: {} for kind in RunKind.values}
    for run in SyncRun.objects.order_by("kind", "status", "-created_at").distinct("kind", "status"):
        mine = found.setdefault(run.kind, {})
        mine[run.status] = run
        if "" not in mine or mine[""].created_at < run.created_at:
            mine[""] = run
    return found


def last_comparison() -> SyncRun | None:
    """The newest run that compared both sides to its end."""
    return SyncRun.objects.filter(kind=RunKind.RECONCILE, status=RunStatus.DONE).first()


def seen() -> list[int]:
    """The milliseconds of the last looks that were answered, the newest last."""
    upstream = Upstream.objects.first()
    return list(upstream.latencies) if upstream else []


def latency(upstream: Upstream | None) -> dict[str, int] | None:
    """Milliseconds of the last look that was answered, and the middle and the worst of the last thirty."""
    seen = upstream.latencies if upstream else []
    return {"last": seen[-1], "median": round(median(seen)), "worst": max(seen), "looks": len(seen)} if seen else None


def is_watched(upstream: Upstream | None, now: datetime) -> bool:
    """Whether some worker still looks."""
    return bool(upstream and upstream.checked_at and now - upstream.checked_at < SILENT_AFTER)


def get_integration_health(runs: dict[str, dict[str, SyncRun]] | None = None) -> dict[str, Any]:
    """What is known without asking LiteLLM: outage, latency, circuit, queues, last syncs, drift, schedule.

    ``runs`` are the last_runs() of whoever has asked for them already.
    """
    now = timezone.now()
    upstream = Upstream.objects.first()
    found = queues()
    longest = oldest(found)
    runs = last_runs() if runs is None else runs
    compared = runs[RunKind.RECONCILE].get(RunStatus.DONE)
    return {
        "configured": bool(settings.LITELLM_API_URL),
        "reachable": upstream.down_since is None if upstream else None,
        "down_since": upstream.down_since if upstream else None,
        "checked_at": upstream.checked_at if upstream else None,
        "watched": is_watched(upstream, now),
        "version": known_version(upstream),
        "latency_ms": latency(upstream),
        "circuit": {"web": circuit_state() or None, "worker": upstream.circuit or None if upstream else None},
        "queue": {name: sum(getattr(queue, name) for queue in found) for name in ("pending", "failed")},
        "queues": {queue.kind: {"pending": queue.pending, "failed": queue.failed} for queue in found},
        "oldest_pending": _waiting(longest, now) if longest else None,
        "last_sync": {kind: _finished(runs[kind].get(RunStatus.DONE)) for kind in RunKind.values},
        "last_run": {kind: _told(runs[kind].get("")) for kind in RunKind.values},
        "drift": {"run": str(compared.pk), "at": compared.finished_at, "report": compared.report} if compared else None,
        "schedule": {kind.value: interval.seconds for kind, interval in schedules.intervals().items()},
    }


def _waiting(queue: Queue, now: datetime) -> dict[str, Any]:
    waits = now - (queue.since or now)
    return {"kind": queue.kind, "since": queue.since, "seconds": max(0, round(waits.total_seconds()))}


def _finished(run: SyncRun | None) -> datetime | None:
    return run.finished_at if run else None


def _told(run: SyncRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {"id": str(run.pk), "status": run.status, "error": run.error, "finished_at": run.finished_at}


def litellm_state() -> str:
    """One word for the readiness page."""
    if not settings.LITELLM_API_URL:
        return "not configured"
    return "unreachable" if Upstream.objects.filter(down_since__isnull=False).exists() else "ok"
