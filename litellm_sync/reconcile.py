"""Comparing both sides: LiteLLM's lists page by page beside ours, in constant memory; what differs is stored.

Nothing foreign is touched, and nothing is mended here by another way than a push. LiteLLM's lists shift while they are
read, so what differs is looked at again, alone, before it counts.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import structlog
from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from litellm_sync import state
from litellm_sync.client import LiteLLM
from litellm_sync.drift import Drift, DriftKind, Subject
from litellm_sync.models import RunStatus, SyncRun
from litellm_sync.sides import THEIR_OWN, Finding, Keys, Side, Teams, Users, is_settled
from teams.models import Membership

log = structlog.get_logger(__name__)

SIDES: Final[tuple[Side, ...]] = (Users(), Teams(), Keys())
TABLES: Final[dict[Subject, type[state.Synced]]] = {side.what: side.table for side in SIDES} | {
    Subject.MEMBERSHIP: Membership
}
CALL_SECONDS: Final = 10.0
CHUNK: Final = 200
NAME: Final = 255

Progress = Callable[[int, int], bool]


def reconcile(run: SyncRun, progress: Progress) -> dict[str, Any]:
    """Compare users, teams, memberships and keys, store what differs, mend what the settings say. Returns counts.

    ``progress`` is told how many things were compared of how many, and says whether the run is still wanted: one that
    was declared dead stops, and forgets nothing that its successor finds. Raises UpstreamUnavailable; what was found
    by then stays, and the next run goes over everything again.
    """
    return Reconcile(run, LiteLLM(CALL_SECONDS), progress).carry_out()


class Reconcile:
    """One comparison."""

    def __init__(self, run: SyncRun, litellm: LiteLLM, progress: Progress) -> None:
        self._run = run
        self._litellm = litellm
        self._progress = progress
        self._began = run.started_at or timezone.now()
        self._counts = {kind.value: 0 for kind in DriftKind} | {"compared": 0, "mended": 0}

    def carry_out(self) -> dict[str, Any]:
        """All three lists; what was found before and is not found any more is forgotten at the end."""
        ahead = [side.expected().count() for side in SIDES]
        for place, side in enumerate(SIDES):
            if not self._compare(side, ahead=sum(ahead[place + 1 :])):
                return self._counts
        if SyncRun.objects.filter(pk=self._run.pk, status=RunStatus.RUNNING).exists():
            gone, _tables = Drift.objects.exclude(run=self._run).delete()
            self._counts["settled"] = gone
        return self._counts

    def _compare(self, side: Side, *, ahead: int) -> bool:
        """Whether the run is still wanted; ``ahead`` is about how much there is after this list."""
        number, after, before = 1, None, self._counts["compared"]
        while True:
            page = side.page(self._fresh(), number)
            listed = {side.id_of(info): info for info in page.rows if side.id_of(info) not in THEIR_OWN}
            self._judge_listed(side, listed)
            upper = _last_of(side, listed, after)
            for rows in _not_listed(side, set(listed), after, None if page.is_last else upper, is_last=page.is_last):
                self._judge(side, [(row, None) for row in rows])
            self._counts["compared"] += len(listed)
            done = self._counts["compared"]
            if not self._progress(done, max(before + page.total, done) + ahead):
                return False
            if page.is_last:
                return True
            number, after = number + 1, upper

    def _fresh(self) -> LiteLLM:
        """Each call has its own limit: a long list must not run into that of a short one."""
        return self._litellm.with_limit(CALL_SECONDS)

    def _judge_listed(self, side: Side, listed: Mapping[str, Any]) -> None:
        # Our table is read after LiteLLM's list: whatever we made is here before it is there.
        columns = [column for object_id in listed if (column := side.as_column(object_id)) is not None]
        rows = list(side.rows().filter(**{f"{side.column}__in": columns}))
        ours = {str(getattr(row, side.column)) for row in rows}
        self._judge(side, [(row, listed[str(getattr(row, side.column))]) for row in rows])
        self._store([side.unknown(info) for object_id, info in listed.items() if object_id not in ours])

    def _judge(self, side: Side, pairs: list[tuple[Any, Any]]) -> None:
        settled = [(row, info) for row, info in pairs if is_settled(row, self._began)]
        suspects = dict.fromkeys(finding.look for finding in side.judge(settled))
        found: list[Finding] = []
        for object_id in suspects:
            info = side.find(self._fresh(), object_id)
            row = side.rows().filter(**{side.column: side.as_column(object_id)}).first()
            if row is not None and is_settled(row, self._began):
                found += side.judge([(row, info)])
        self._store(self._still_settled(found))

    def _still_settled(self, found: list[Finding]) -> list[Finding]:
        """Without memberships that are being pushed: they were judged with their team."""
        ids = [finding.row_id for finding in found if finding.what is Subject.MEMBERSHIP and finding.row_id]
        rows = {str(row.pk): row for row in Membership.objects.filter(pk__in=ids)}
        return [
            finding
            for finding in found
            if finding.row_id not in ids or is_settled(rows.get(finding.row_id, Membership()), self._began)
        ]

    def _store(self, found: list[Finding]) -> None:
        """One row a thing, however often it is found."""
        now = timezone.now()
        rows = [
            Drift(
                run=self._run,
                what=finding.what,
                kind=finding.kind,
                object_id=_fitting(finding.object_id),
                row_id=finding.row_id,
                name=finding.name[:NAME],
                details=dict(finding.details),
                seen_at=now,
            )
            for finding in {(one.what, one.object_id): one for one in found}.values()
        ]
        seen_anew = ["run", "kind", "row_id", "name", "details", "seen_at"]
        Drift.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["what", "object_id"], update_fields=seen_anew
        )
        for finding in found:
            self._counts[finding.kind.value] += 1
            if finding.kind is DriftKind.ALIVE:
                log.error("key_still_works", how="listed", object_id=finding.object_id, **finding.details)
        self._mend([finding for finding in found if _is_to_be_mended(finding)])

    def _mend(self, found: list[Finding]) -> None:
        for what, table in TABLES.items():
            ids = [finding.row_id for finding in found if finding.what is what]
            if ids:
                self._counts["mended"] += ask(table, what, ids)


def drift_by_kind() -> dict[str, int]:
    """How much differs, as the last comparison found it: kind -> number, the gravest first."""
    counted = Drift.objects.order_by().values_list("kind").annotate(number=Count("pk"))
    found: dict[str, int] = dict(counted)
    return {kind.value: found[kind] for kind in DriftKind if kind in found}


def ask(table: type[state.Synced], what: Subject, ids: list[str]) -> int:
    """Have rows pushed, and note on the findings about them when; returns how many rows."""
    Drift.objects.filter(what=what, row_id__in=ids).update(asked_at=timezone.now())
    return state.request_pushes(table, ids)


def _fitting(object_id: str) -> str:
    """LiteLLM's ids may have any length; of keys, of which alone something can be done by their id, all have 64."""
    longest: int = Drift._meta.get_field("object_id").max_length or 0
    return object_id if len(object_id) <= longest else sha256(object_id.encode()).hexdigest()


def _is_to_be_mended(finding: Finding) -> bool:
    """What the settings say. A key of which nobody has the secret any more is pushed whatever they say: LiteLLM is only
    looked at by that, and its owner learns that it needs rotation."""
    is_lost = finding.kind is DriftKind.MISSING and finding.details.get("needs_rotation") == "untold"
    return bool(finding.row_id) and (is_lost or finding.kind.value in settings.RECONCILE_MENDS)


def _last_of(side: Side, listed: Mapping[str, Any], after: Any) -> Any:
    """Up to where our list has been laid beside this page; pages that shifted never lead back."""
    columns = [column for object_id in listed if (column := side.as_column(object_id)) is not None]
    return max([*columns, *([] if after is None else [after])], default=None)


def _not_listed(side: Side, listed: set[str], after: Any, upper: Any, *, is_last: bool) -> Iterator[list[Any]]:
    """Our rows between two ids that LiteLLM does not list there, a chunk at a time."""
    if not is_last and upper is None:
        return
    bounds = {} if is_last else {f"{side.column}__lte": upper}
    while True:
        beyond = {} if after is None else {f"{side.column}__gt": after}
        rows = list(side.expected().filter(**bounds, **beyond).order_by(side.column)[:CHUNK])
        yield [row for row in rows if str(getattr(row, side.column)) not in listed]
        if len(rows) < CHUNK:
            return
        after = getattr(rows[-1], side.column)
