"""Pushing whole tables: in batches, a few rows at a time, by the push that every row has anyway."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet

from litellm_sync import state
from litellm_sync.client.transport import give_connection_back
from litellm_sync.push import JOB_SECONDS, push
from litellm_sync.runs import Interrupted, Run
from litellm_sync.state import Synced, SyncStatus
from litellm_sync.upstream import probe

BATCH: Final = 100
# So many refused rows are named in a report; all of them are among the failed pushes.
NAMED: Final = 20
COUNTED: Final = {SyncStatus.SYNCED: "in_step", SyncStatus.FAILED: "failed", SyncStatus.PENDING: "waiting"}

Rows = QuerySet[Any, Any]
Behind = Callable[[list[Any]], Rows]


def push_rows(run: Run, rows: Rows, *, behind: Behind | None = None) -> dict[str, Any]:
    """Ask for every row, batch after batch in the order of their ids, and push it. Returns the report.

    ``behind`` gives the rows that go with a batch (the memberships of people); they are pushed after it, and are rows
    of the report but no progress. What each batch came to stands in the run's cursor: another worker goes on there.
    Raises Interrupted when nothing of a batch could be done because LiteLLM is away.
    """
    report: dict[str, Any] = run.cursor or {"done": 0, "in_step": 0, "failed": 0, "waiting": 0, "named": []}
    total = run.row.total or rows.count()
    run.moved(report["done"], total, cursor=report)
    with _pusher() as pushing:
        for ids in _batches(rows, report.get("after")):
            _push_batch(run, rows, ids, pushing, report)
            if behind is not None:
                followers = behind(ids)
                _push_batch(run, followers, list(followers.values_list("pk", flat=True)), pushing, report)
            report |= {"done": report["done"] + len(ids), "after": str(ids[-1])}
            run.moved(report["done"], max(total, report["done"]), cursor=report)
    return {name: value for name, value in report.items() if name not in {"after", "done"}}


def _batches(rows: Rows, after: Any) -> Iterator[list[Any]]:
    while True:
        more = rows.filter(pk__gt=after) if after is not None else rows
        ids = list(more.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not ids:
            return
        yield ids
        after = ids[-1]


Pushing = Callable[[str, list[Any]], Iterable[Any]]


@contextmanager
def _pusher() -> Iterator[Pushing]:
    """Pushes rows, as many at a time as the settings allow; one at a time in this thread."""
    number: int = settings.BULK_PUSH_CONCURRENCY
    if number == 1:
        yield lambda kind, ids: map(partial(_push_one, kind), ids)
        return
    with ThreadPoolExecutor(number, thread_name_prefix="bulk-push") as threads:
        yield lambda kind, ids: threads.map(partial(_push_one, kind), ids)


def _push_one(kind: str, pk: Any) -> None:
    try:
        push(kind, str(pk), limit=JOB_SECONDS)
    finally:
        give_connection_back()


def _push_batch(run: Run, rows: Rows, ids: list[Any], pushing: Pushing, report: dict[str, Any]) -> None:
    """Push, and note what became of each row; those that have gone meanwhile are left out."""
    table: type[Synced] = rows.model
    state.request_pushes(table, ids)
    for _pushed in pushing(state.kind_of(table), ids):
        run.beat()
    # What is settled may be no row of the selection any more.
    found: list[Synced] = list(table._base_manager.filter(pk__in=ids))
    if found and all(row.sync_status == SyncStatus.PENDING for row in found) and probe() is None:
        raise Interrupted
    for row in found:
        report[COUNTED[SyncStatus(row.sync_status)]] += 1
        if row.sync_status == SyncStatus.FAILED and len(report["named"]) < NAMED:
            names = {"kind": state.kind_of(row), "id": str(row.pk), "name": str(row), "reason": row.sync_error}
            report["named"].append(names)
