"""The life of one run: a worker's hold on it, its heartbeat, where it goes on after its worker died."""

import time
from datetime import datetime, timedelta
from typing import Any, Final, Self

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from litellm_sync import state
from litellm_sync.drift import Drift
from litellm_sync.models import UNFINISHED, RunKind, RunStatus, SyncRun

log = structlog.get_logger(__name__)

RUN_TASK: Final = "litellm_sync.run"
# Longer than anything that a run waits for without a word: a day's activity may take LiteLLM a minute.
SILENCE: Final = timedelta(minutes=3)
BEAT_SECONDS: Final = 5.0
# A run that kills its workers must not go on for ever.
MOST_STALLS: Final = 3
# For how long what runs by itself is kept.
KEPT: Final = timedelta(days=7)
FORGOTTEN_AT_ONCE: Final = 1000
LEFT: Final = gettext_noop("The run that this was a step of ended without it.")
STALLED: Final = gettext_noop("It was taken up again and again, and never got any further.")


class RunLost(Exception):
    """Another worker has taken the run up, or it was declared dead: this one stops without a word."""


class Interrupted(Exception):
    """LiteLLM went away in the middle: the run waits, and goes on where it was."""


class Run:
    """One worker's hold on a run. Everything that it writes is written only while the hold is its own.

    A step of a larger run (``parent``) is ``weight`` of its progress, after the ``before`` that are done already.
    """

    def __init__(self, row: SyncRun, parent: "Run | None" = None, *, before: int = 0, weight: int = 0) -> None:
        self.row = row
        self.parent = parent
        self._before, self._weight = before, weight
        self._beaten = time.monotonic()

    @property
    def kind(self) -> RunKind:
        """What is synchronised."""
        return RunKind(self.row.kind)

    @property
    def cursor(self) -> dict[str, Any]:
        """Where an earlier worker stopped; empty at the beginning."""
        cursor: dict[str, Any] = self.row.cursor
        return cursor

    def moved(
        self, done: int, total: int | None, *, cursor: dict[str, Any] | None = None, is_further: bool = False
    ) -> None:
        """Record progress, and where to go on. Raises RunLost.

        A worker that takes a run up may go over ground that a former one had covered: that is no progress, and so it
        does not end the count of ``stalls``. A step may get further (``is_further``) by less than its larger run shows.
        """
        where = cursor or {}
        is_further = is_further or done > self.row.done or where != self.row.cursor
        ended: dict[str, Any] = {"stalls": 0} if is_further else {}
        self._write(done=max(done, self.row.done), total=total, cursor=where, **ended)
        if self.parent is not None:
            share = self._weight if total is None else self._weight * done // max(total, 1)
            share = self._before + min(share, self._weight)
            self.parent.moved(share, self.parent.row.total, is_further=is_further)

    def beat(self) -> None:
        """Say that the run still moves, every few seconds at most. Raises RunLost."""
        if time.monotonic() - self._beaten >= BEAT_SECONDS:
            self._write()

    def finish(self, status: RunStatus, **outcome: Any) -> None:
        """Record the end, also of steps that broke without being able to. A run that was lost stays as it is."""
        with transaction.atomic():
            if self._held().update(status=status, finished_at=timezone.now(), **outcome):
                _end(SyncRun.objects.filter(parent=self.row, status__in=UNFINISHED), LEFT)

    def pause(self) -> None:
        """Wait for LiteLLM: the first look that finds it again takes the run up."""
        waits = timezone.now() - SILENCE
        self._held().update(status=RunStatus.QUEUED, heartbeat_at=waits)

    def step(self, kind: RunKind, *, before: int, weight: int) -> Self | None:
        """The part of this run that is about one kind, from a former worker or new; held, unless it is over.

        None where somebody else synchronises that kind at this moment.
        """
        row = SyncRun.objects.filter(parent=self.row, kind=kind).first()
        if row is None:
            try:
                with transaction.atomic():
                    row = SyncRun.objects.create(
                        kind=kind, parent=self.row, requested_by=self.row.requested_by, status=RunStatus.QUEUED
                    )
            except IntegrityError:
                return None
        if row.status in UNFINISHED:
            row = _take(SyncRun.objects.filter(pk=row.pk, status__in=UNFINISHED)) or row
        return type(self)(row, self, before=before, weight=weight)

    def _held(self) -> Any:
        return SyncRun.objects.filter(pk=self.row.pk, status=RunStatus.RUNNING, takes=self.row.takes)

    def _write(self, **progress: Any) -> None:
        if not self._held().update(heartbeat_at=timezone.now(), **progress):
            raise RunLost
        for name, value in progress.items():
            setattr(self.row, name, value)
        self._beaten = time.monotonic()
        if self.parent is not None and not progress:
            self.parent.beat()


def take(run_id: str) -> Run | None:
    """Take a queued run; None for all but the first who ask."""
    row = _take(SyncRun.objects.filter(pk=run_id, status=RunStatus.QUEUED))
    return Run(row) if row else None


def _take(rows: Any) -> SyncRun | None:
    with transaction.atomic():
        row: SyncRun | None = rows.select_for_update().first()
        if row is None:
            return None
        now = timezone.now()
        row.status, row.heartbeat_at, row.takes = RunStatus.RUNNING, now, row.takes + 1
        row.started_at = row.started_at or now
        row.save(update_fields=["status", "heartbeat_at", "takes", "started_at"])
    return row


def queue(run: SyncRun) -> None:
    """A job for a run, in the transaction of the moment."""
    state.job(RUN_TASK).defer(run_id=str(run.pk))


def take_up_silent(now: datetime) -> list[str]:
    """Queue again the runs whose workers fell silent, and those that waited for LiteLLM. Returns their ids.

    Called every few seconds by any worker while LiteLLM answers. The steps of a larger run go on with it; one that its
    run has left behind is ended, or nothing of its kind could ever be synchronised again.
    """
    with transaction.atomic():
        steps = SyncRun.objects.filter(status__in=UNFINISHED, heartbeat_at__lte=now - SILENCE, parent__isnull=False)
        _end(steps.exclude(parent__status__in=UNFINISHED), LEFT)
        silent = SyncRun.objects.filter(status__in=UNFINISHED, heartbeat_at__lte=now - SILENCE, parent=None)
        rows = list(silent.select_for_update(skip_locked=True, of=("self",)).order_by("pk"))
        return [str(run.pk) for run in rows if _take_up(run, now)]


def forget_old_runs(now: datetime) -> int:
    """Delete what the schedule ran long ago, with its steps: thousands a day. Returns how many.

    What somebody asked for stays, and so do the newest run of each kind and outcome, also where it is a step, and those
    whose findings stand.
    """
    old = SyncRun.objects.filter(requested_by=None, parent=None, created_at__lte=now - KEPT)
    newest = SyncRun.objects.order_by("kind", "status", "-created_at").distinct("kind", "status")
    kept = Q(pk__in=list(newest.values_list("pk", flat=True))) | Q(status__in=UNFINISHED)
    kept |= Q(Exists(Drift.objects.filter(run=OuterRef("pk"))))
    with_kept_steps = Exists(SyncRun.objects.filter(kept, parent=OuterRef("pk")))
    forgotten = old.exclude(kept).exclude(with_kept_steps).order_by("pk")
    count = 0
    while ids := list(forgotten.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        count += SyncRun.objects.filter(pk__in=ids).delete()[1].get(SyncRun._meta.label, 0)
    return count


def _end(rows: QuerySet[SyncRun], error: str) -> None:
    rows.update(status=RunStatus.FAILED, finished_at=timezone.now(), error=error)


def _take_up(run: SyncRun, now: datetime) -> bool:
    if run.status == RunStatus.RUNNING:
        run.stalls += 1
    if run.stalls > MOST_STALLS:
        log.error("run_stalled", run_id=str(run.pk), kind=run.kind)
        _end(SyncRun.objects.filter(Q(pk=run.pk) | Q(parent=run.pk, status__in=UNFINISHED)), STALLED)
        return False
    log.warning("run_taken_up", run_id=str(run.pk), kind=run.kind, stalls=run.stalls)
    run.status, run.heartbeat_at = RunStatus.QUEUED, now
    run.save(update_fields=["status", "heartbeat_at", "stalls"])
    queue(run)
    return True
