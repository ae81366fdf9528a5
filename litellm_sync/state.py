"""What rows that also exist in LiteLLM share: their state of synchronisation, and how a push is asked for.

It imports no app, so that every app may mix it in; the push itself is found by its name.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Self

import structlog
from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from procrastinate.contrib.django import app as jobs
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.jobs import JobDeferrer
from procrastinate.manager import JobManager
from procrastinate.tasks import configure_task

from litemaas.foundation.jobs import arguments as job_arguments

log = structlog.get_logger(__name__)

PUSH_TASK = "litellm_sync.push"
LEASE = timedelta(seconds=30)
# The job waits a moment, so that the immediate try in the web process goes first and the person sees "active".
JOB_DELAY = timedelta(seconds=5)
_left_to_jobs: ContextVar[bool] = ContextVar("left_to_jobs", default=False)
# Of rows that are asked for together, so many are queued at once.
FIRST_JOBS = 200
FIRST_BACK_OFF, SECOND_BACK_OFF = 2.0, 5.0
# Everything that waits is pushed within a minute of LiteLLM answering, also when only one of its routes was broken.
LONGEST_BACK_OFF = timedelta(minutes=1)


class SyncStatus(models.TextChoices):
    """Whether LiteLLM agrees with a row."""

    PENDING = "pending", _("Syncing")
    SYNCED = "synced", _("Synced")
    FAILED = "failed", _("Failed")


class Synced(models.Model):
    """A row that LiteLLM must agree with.

    ``sync_generation`` counts the wishes: a push writes its outcome only where it has not moved.
    ``sync_requested_at`` is since when a pending row has waited, however often it was changed and tried meanwhile.
    ``push_lease_until`` is the claim of the one push that may talk to LiteLLM about this row.
    """

    # What a push reads of other tables, so that it is read together with the row.
    pushed_with: ClassVar[tuple[str, ...]] = ()

    sync_status = models.CharField(max_length=10, choices=SyncStatus, default=SyncStatus.PENDING, editable=False)
    synced_at = models.DateTimeField(null=True, editable=False)
    sync_error = models.CharField(max_length=300, blank=True, editable=False)
    sync_generation = models.PositiveIntegerField(default=0, editable=False)
    sync_attempts = models.PositiveIntegerField(default=0, editable=False)
    sync_next_at = models.DateTimeField(null=True, editable=False)
    sync_requested_at = models.DateTimeField(null=True, editable=False)
    push_lease_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True
        indexes: ClassVar[tuple[models.Index, ...]] = (
            models.Index(
                fields=["sync_next_at"], condition=Q(sync_status=SyncStatus.PENDING), name="%(app_label)s_%(class)s_due"
            ),
            # What is not settled is counted and listed all the time, beside hundreds of thousands of rows that are.
            models.Index(
                fields=["sync_status", "sync_requested_at"],
                condition=~Q(sync_status=SyncStatus.SYNCED),
                name="%(app_label)s_%(class)s_open",
            ),
        )

    @classmethod
    def behind(cls, target: models.Model) -> models.QuerySet[Self] | None:  # noqa: ARG003 -- tables that follow use it
        """The rows of this table whose state in LiteLLM follows from ``target``; None where that cannot be."""
        return None


def kind_of(model: type[models.Model] | models.Model) -> str:
    """The name under which a push finds a row's table, such as ``apikeys.apikeysecret``."""
    return str(model._meta.label_lower)


def synced_models() -> list[type[Synced]]:
    """Every table whose rows LiteLLM must agree with."""
    return [model for model in apps.get_models() if issubclass(model, Synced)]


def _rows(kind: str) -> models.QuerySet[Any]:
    rows: models.QuerySet[Any] = apps.get_model(kind)._base_manager.all()
    return rows


# --- Asking for a push -----------------------------------------------------------------------------------------------


def request_push(target: models.Model, *, immediately: bool = True) -> None:
    """Ask for LiteLLM to be made equal to ``target``; call it inside the transaction that changes the row.

    The job is queued in the same transaction. ``immediately`` also tries once, after commit, in this process.
    Of a target that is not ``Synced`` (a subscription) the rows that follow from it are pushed: a job that is lost
    would be the only trace of it.
    """
    if not isinstance(target, Synced):
        request_pushes_behind(target)
        return
    kind, object_id = kind_of(target), str(target.pk)
    immediately = immediately and not _left_to_jobs.get()
    _mark_pending(kind, [target.pk])
    _defer(kind, object_id, delay=JOB_DELAY if immediately else timedelta())
    if immediately:
        transaction.on_commit(partial(_try_now, kind, object_id))


@contextmanager
def left_to_jobs() -> Iterator[None]:
    """Within it nothing is tried at once: whoever changes many rows does not wait for LiteLLM with each of them."""
    before = _left_to_jobs.set(True)
    try:
        yield
    finally:
        _left_to_jobs.reset(before)


def request_pushes_behind(target: models.Model) -> int:
    """Ask for all rows that follow from ``target``, in SQL, however many; call it where ``target`` is changed.

    The first jobs are queued in the same transaction, the periodic task queues the others. Returns how many rows.
    """
    count = 0
    for model in synced_models():
        rows = model.behind(target)
        ids = list(rows.values_list("pk", flat=True)) if rows is not None else []
        count += _mark_pending(kind_of(model), ids) if ids else 0
        _queue(model, ids[:FIRST_JOBS])
    return count


def request_pushes(model: type[Synced], ids: Iterable[Any]) -> int:
    """Ask for many rows of one table; the periodic task queues their jobs. Returns how many rows there were."""
    return _mark_pending(kind_of(model), list(ids))


def request_or_wake(model: type[Synced], ids: Iterable[Any]) -> int:
    """Ask for rows that LiteLLM does not agree with. What waits already is no newer wish: it is only tried soon, and
    how often it was tried in vain, and why, stays known. Returns how many rows."""
    rows, now = model._base_manager.filter(pk__in=list(ids)), timezone.now()
    woken = _update_in_order(rows.filter(sync_status=SyncStatus.PENDING), sync_next_at=now)
    others = list(rows.exclude(sync_status=SyncStatus.PENDING).values_list("pk", flat=True))
    return woken + (request_pushes(model, others) if others else 0)


def _mark_pending(kind: str, ids: list[Any]) -> int:
    now = timezone.now()
    still = Case(When(sync_status=SyncStatus.PENDING, then=Coalesce("sync_requested_at", Value(now))), default=now)
    return _update_in_order(
        _rows(kind).filter(pk__in=ids),
        sync_status=SyncStatus.PENDING,
        sync_generation=F("sync_generation") + 1,
        sync_attempts=0,
        sync_error="",
        sync_next_at=now,
        sync_requested_at=still,
    )


def _update_in_order(rows: models.QuerySet[Any], **columns: Any) -> int:
    """Lock the rows in one order, then change them: else two who change the same ones could wait for each other."""
    with transaction.atomic(savepoint=False):
        ids = list(rows.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
        changed: int = rows.model._base_manager.filter(pk__in=ids).update(**columns)
    return changed


def _defer(kind: str, object_id: str, *, delay: timedelta = timedelta()) -> None:
    schedule: dict[str, Any] = {"schedule_in": {"seconds": int(delay.total_seconds())}} if delay else {}
    job(PUSH_TASK, **schedule).defer(kind=kind, object_id=object_id)


def job(task: str, **options: Any) -> JobDeferrer:
    """A job of that name, to be queued through Django's own connection and so in the transaction of the moment.

    A running worker gives the global app a connector with connections of its own: a job that is queued through that one
    can start before the rows that it is about are committed.
    """
    manager = JobManager(DjangoConnector(alias=DEFAULT_DB_ALIAS))
    return configure_task(name=task, job_manager=manager, task_kwargs=job_arguments(), **options)


def _try_now(kind: str, object_id: str) -> None:
    """The immediate try; whatever goes wrong in it, the job and the row remain."""
    if not settings.LITELLM_API_URL:
        return
    try:
        jobs.tasks[PUSH_TASK](kind=kind, object_id=object_id, immediate=True)
    except Exception:  # the verb has been committed, its caller must hear of success; the job tries again
        log.exception("immediate_push_failed", kind=kind, object_id=object_id)


# --- The life of one push --------------------------------------------------------------------------------------------


def claim(kind: str, object_id: str) -> Any:
    """The row, as it stands now, if this caller may push it; None when it is settled or somebody else is at it."""
    now = timezone.now()
    free = Q(push_lease_until=None) | Q(push_lease_until__lt=now)
    rows = _rows(kind).filter(free, pk=object_id, sync_status=SyncStatus.PENDING)
    if not rows.update(push_lease_until=now + LEASE):
        return None
    return _rows(kind).select_related(*apps.get_model(kind).pushed_with).filter(pk=object_id).first()


def settle(row: Synced, **facts: Any) -> bool:
    """Record that LiteLLM agrees with the row as it was read; False when the row has moved on and stays pending."""
    now = timezone.now()
    settled = (
        claimed(row)
        .filter(sync_generation=row.sync_generation)
        .update(
            sync_status=SyncStatus.SYNCED,
            synced_at=now,
            sync_error="",
            sync_attempts=0,
            sync_next_at=None,
            push_lease_until=None,
            **facts,
        )
    )
    return bool(settled) or _release(row)


def postpone(row: Synced, reason: str, *, wait: timedelta | None = None) -> None:
    """Record that LiteLLM could not be made to agree yet: wait 2, 5, 10 … seconds, a minute at most, or ``wait``."""
    attempts = row.sync_attempts + 1
    seconds = FIRST_BACK_OFF if attempts == 1 else SECOND_BACK_OFF * 2.0 ** (attempts - 2)
    claimed(row).filter(sync_generation=row.sync_generation).update(
        sync_attempts=attempts,
        sync_error=reason[:300],
        sync_next_at=timezone.now() + (wait or min(timedelta(seconds=seconds), LONGEST_BACK_OFF)),
        push_lease_until=None,
    ) or _release(row)


def refuse(row: Synced, reason: str) -> None:
    """Record that LiteLLM will never agree as things stand; the push stops and the reason is shown."""
    claimed(row).filter(sync_generation=row.sync_generation).update(
        sync_status=SyncStatus.FAILED, sync_error=reason[:300], sync_next_at=None, push_lease_until=None
    ) or _release(row)


def _release(row: Synced) -> bool:
    """The row moved on while it was pushed: give the claim back and let the newer wish be pushed at once."""
    claimed(row).update(push_lease_until=None)
    return False


def claimed(row: Synced) -> models.QuerySet[Any]:
    """The row, while it still carries the claim that it was read with: a slow push may have lost it to another."""
    return _rows(kind_of(row)).filter(pk=row.pk, push_lease_until=row.push_lease_until)


# --- What waits ------------------------------------------------------------------------------------------------------


def defer_due(limit: int = 500) -> int:
    """Queue a job for each pending row whose time has come; returns how many.

    The row's time is moved on by a lease, so that it is not queued twice and a lost job is queued again.
    """
    now = timezone.now()
    count = 0
    for model in synced_models():
        due = model._base_manager.filter(sync_status=SyncStatus.PENDING, sync_next_at__lte=now)
        ids = list(due.order_by("sync_next_at").values_list("pk", flat=True)[:limit])
        count += _queue(model, ids)
    return count


def _queue(model: type[Synced], ids: list[Any]) -> int:
    """Jobs for these rows, which are not due again before a lease has passed."""
    if ids:
        _update_in_order(model._base_manager.filter(pk__in=ids), sync_next_at=timezone.now() + LEASE)
        payloads: list[dict[str, Any]] = [{"kind": kind_of(model), "object_id": str(pk)} for pk in ids]
        job(PUSH_TASK).batch_defer(*payloads)
    return len(ids)


def wake_all() -> int:
    """Make every pending row due at once: LiteLLM has come back. Returns how many."""
    now = timezone.now()
    waiting = {"sync_status": SyncStatus.PENDING, "sync_next_at__gt": now}
    return sum(_update_in_order(model._base_manager.filter(**waiting), sync_next_at=now) for model in synced_models())
