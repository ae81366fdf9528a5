"""Comparing both sides: LiteLLM's lists page by page beside ours, in constant memory; what differs is stored.

Nothing foreign is touched, and nothing is mended here by another way than a push. LiteLLM's lists shift while they are
read, so what differs is looked at again, alone, before it counts.
"""

from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from math import floor
from typing import Any, Final

import structlog
from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apikeys.models import ApiKeySecret
from apikeys.rotation import NEEDS_ROTATION
from litellm_sync import proof, state
from litellm_sync.client import LiteLLM
from litellm_sync.client.lists import ListPage
from litellm_sync.drift import Drift, DriftKind, Subject
from litellm_sync.runs import Interrupted, Run
from litellm_sync.sides import THEIR_OWN, Finding, Keys, Side, Teams, Users, is_settled, waits_long
from litellm_sync.state import SyncStatus
from litellm_sync.upstream import probe
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable
from teams.models import Membership

log = structlog.get_logger(__name__)

SIDES: Final[tuple[Side, ...]] = (Users(), Teams(), Keys())
TABLES: Final[dict[Subject, type[state.Synced]]] = {side.what: side.table for side in SIDES} | {
    Subject.MEMBERSHIP: Membership
}
CALL_SECONDS: Final = 10.0
CHUNK: Final = 200
NAME: Final = 255
# When LiteLLM lacks more of the keys that it must have, it has lost its data, and they may come back with a backup.
LOST_SHARE: Final = 0.2
# A page that LiteLLM breaks over is asked for so often in all.
PAGE_TRIES: Final = 3
# So many single looks may fail, each after as long as CALL_SECONDS; no more are tried then.
MOST_FAILED_LOOKS: Final = 50


def reconcile(run: Run) -> dict[str, Any]:
    """Compare users, teams, memberships and keys, store what differs, mend what the settings say. Returns counts.

    Whoever takes the run up goes on at the page where it stopped. Raises RunLost, Interrupted when LiteLLM has gone
    away, and UpstreamUnavailable when it is there and breaks over a page again and again; what was found by then stays,
    nothing is forgotten, and the next run goes over everything again. A single object that LiteLLM cannot show is
    counted (``unread``) and keeps what was found of it.
    """
    return Reconcile(run, LiteLLM(CALL_SECONDS)).carry_out()


class Reconcile:
    """One comparison."""

    def __init__(self, run: Run, litellm: LiteLLM) -> None:
        self._run = run
        self._litellm = litellm
        self._began = run.row.started_at or timezone.now()
        self._compared: int = run.cursor.get("compared", 0)
        self._mended: int = run.cursor.get("mended", 0)
        self._unread: int = run.cursor.get("unread", 0)
        self._failed_looks = 0

    def carry_out(self) -> dict[str, Any]:
        """All three lists; what was judged again and is not found any more is forgotten at the end."""
        ahead = [side.expected().count() for side in SIDES]
        for place in range(self._run.cursor.get("side", 0), len(SIDES)):
            self._compare(place, ahead=sum(ahead[place + 1 :]))
        held_back = self._push_lost_keys()
        settled, _tables = Drift.objects.exclude(run=self._run.row).delete()
        found = drift_by_kind(Drift.objects.filter(run=self._run.row, seen_at__gte=self._began))
        counts = {kind.value: found.get(kind.value, 0) for kind in DriftKind}
        counts |= {"compared": self._compared, "mended": self._mended, "settled": settled}
        counts |= {"held_back": held_back} if held_back else {}
        return counts | ({"unread": self._unread} if self._unread else {})

    def _compare(self, place: int, *, ahead: int) -> None:
        """One list; ``ahead`` is about how much there is after it."""
        side, cursor = SIDES[place], self._run.cursor if self._run.cursor.get("side") == place else {}
        number, after = cursor.get("page", 1), cursor.get("after")
        after = None if after is None else side.as_column(after)
        before = cursor.get("before", self._compared)

        def moved(total: int, **where: Any) -> None:
            so_far = {"compared": self._compared, "mended": self._mended, "unread": self._unread}
            self._run.moved(self._compared, max(before + total, self._compared) + ahead, cursor=where | so_far)

        while True:
            page = self._page(side, number)
            listed = {side.id_of(info): info for info in page.rows if side.id_of(info) not in THEIR_OWN}
            self._judge_listed(side, listed)
            self._keep(side, page.unreadable)
            there = page.unreadable.union(listed)
            upper = _last_of(side, there, after)
            bound = None if page.is_last else upper
            for rows, last in _not_listed(side, there, after, bound, is_last=page.is_last):
                self._judge(side, [(row, None) for row in rows])
                if last is not None:
                    moved(page.total, side=place, page=number, after=str(last), before=before)
            self._compared += len(there)
            if page.is_last:
                moved(page.total, side=place + 1)
                return
            number, after = number + 1, upper
            moved(page.total, side=place, page=number, after=None if after is None else str(after), before=before)

    def _page(self, side: Side, number: int) -> ListPage[Any]:
        """A page of LiteLLM's list, asked for again when LiteLLM broke over it and is there all the same."""
        for _try in range(PAGE_TRIES - 1):
            try:
                return side.page(self._fresh(), number)
            except UpstreamUnavailable as error:
                self._require_litellm(error)
                log.warning("page_unread", what=side.what.value, page=number, **error.details)
                self._run.beat()
        return side.page(self._fresh(), number)

    @staticmethod
    def _require_litellm(error: Exception) -> None:
        """Raise Interrupted where LiteLLM is away: the run goes on here when it is back."""
        if probe() is None:
            raise Interrupted from error

    def _keep(self, side: Side, object_ids: Collection[str]) -> None:
        """Of what LiteLLM has and could not be read, what was found before stays."""
        if not object_ids:
            return
        self._unread += len(object_ids)
        columns = [column for object_id in object_ids if (column := side.as_column(object_id)) is not None]
        ids = [str(pk) for pk in side.rows().filter(**{f"{side.column}__in": columns}).values_list("pk", flat=True)]
        known = Q(what=side.what) & (Q(object_id__in=object_ids) | Q(row_id__in=ids))
        Drift.objects.filter(known | self._of_members(side, object_ids)).update(run=self._run.row)

    @staticmethod
    def _of_members(side: Side, team_ids: Collection[str]) -> Q:
        """The findings about the members of teams, which were judged with them."""
        is_team = side.what is Subject.TEAM
        return Q(what=Subject.MEMBERSHIP, details__team__in=team_ids) if is_team else Q(pk__in=[])

    def _fresh(self) -> LiteLLM:
        """Each call has its own limit: a long list must not run into that of a short one."""
        return self._litellm.with_limit(CALL_SECONDS)

    def _judge_listed(self, side: Side, listed: Mapping[str, Any]) -> None:
        # Our table is read after LiteLLM's list: whatever we made is here before it is there.
        columns = [column for object_id in listed if (column := side.as_column(object_id)) is not None]
        rows = list(side.rows().filter(**{f"{side.column}__in": columns}))
        ours = {str(getattr(row, side.column)) for row in rows}
        # At once: looking at single objects takes minutes, in which somebody may adopt what is unknown here.
        self._store([side.unknown(info) for object_id, info in listed.items() if object_id not in ours])
        back = [row.pk for row in rows if row.sync_status == SyncStatus.FAILED and row.sync_error == NEEDS_ROTATION]
        self._mended += state.request_pushes(side.table, back) if back else 0
        self._judge(side, [(row, listed[str(getattr(row, side.column))]) for row in rows])

    def _judge(self, side: Side, pairs: list[tuple[Any, Any]]) -> None:
        self._carry_over(side, [row for row, _info in pairs])
        suspects = dict.fromkeys(finding.look for finding in self._differing(side, pairs))
        listed = {str(getattr(row, side.column)): info for row, info in pairs}
        found: list[Finding] = []
        for object_id in suspects:
            seen, info = self._look(side, object_id)
            self._run.beat()
            row = side.rows().filter(**{side.column: side.as_column(object_id)}).first()
            if row is None:
                continue
            self._carry_over(side, [row])
            if seen:
                found += self._differing(side, [(row, info)])
                continue
            self._keep(side, [object_id])
            # What works although it must not is told by the list, too: ending it again does no harm.
            in_list = self._differing(side, [(row, listed[object_id])])
            found += [finding for finding in in_list if finding.kind is DriftKind.ALIVE]
        self._store(self._still_settled(found))

    def _look(self, side: Side, object_id: str) -> tuple[bool, Any]:
        """Whether LiteLLM could show a single object, and the object; one that it breaks over must not hide others."""
        if self._failed_looks >= MOST_FAILED_LOOKS:
            return False, None
        try:
            return True, side.find(self._fresh(), object_id)
        except (UpstreamUnavailable, UpstreamRejected) as error:
            self._require_litellm(error)
            self._failed_looks += 1
            log.warning("object_unread", what=side.what.value, object_id=object_id, **error.details)
            return False, None

    def _differing(self, side: Side, pairs: list[tuple[Any, Any]]) -> list[Finding]:
        """Of settled rows whatever differs; of those that wait in vain what works although it must not."""
        settled = [pair for pair in pairs if is_settled(pair[0], self._began)]
        waiting = [pair for pair in pairs if waits_long(pair[0], timezone.now())]
        works = [finding for finding in side.judge(waiting) if finding.kind is DriftKind.ALIVE]
        return [*side.judge(settled), *works]

    def _carry_over(self, side: Side, rows: list[Any]) -> None:
        """What was found of rows that are not judged now stays: that they are pushed does not mean that they agree."""
        now = timezone.now()
        busy = [row for row in rows if not is_settled(row, self._began)]
        if not busy:
            return
        judged = [str(row.pk) for row in busy if waits_long(row, now)]
        ids = [str(row.pk) for row in busy]
        findings = Drift.objects.filter(what=side.what, row_id__in=ids)
        findings.exclude(kind=DriftKind.ALIVE, row_id__in=judged).update(run=self._run.row)
        Drift.objects.filter(self._of_members(side, ids)).update(run=self._run.row)

    def _still_settled(self, found: list[Finding]) -> list[Finding]:
        """Without memberships that are being pushed: they were judged with their team."""
        ids = [finding.row_id for finding in found if finding.what is Subject.MEMBERSHIP and finding.row_id]
        rows = Membership.objects.filter(pk__in=ids)
        settled = {str(row.pk) for row in rows if is_settled(row, self._began)}
        busy = set(ids) - settled
        if busy:
            Drift.objects.filter(what=Subject.MEMBERSHIP, row_id__in=busy).update(run=self._run.row)
        return [finding for finding in found if finding.what is not Subject.MEMBERSHIP or finding.row_id not in busy]

    def _store(self, found: list[Finding]) -> None:
        """One row a thing, however often it is found."""
        now = timezone.now()
        rows = [
            Drift(
                run=self._run.row,
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
            if finding.kind is DriftKind.ALIVE:
                log.error("key_still_works", how="listed", object_id=finding.object_id, **finding.details)
        proof.note_taken([finding.row_id for finding in found if finding.kind is DriftKind.ALIVE], now)
        self._mend([finding for finding in found if _is_to_be_mended(finding)])

    def _mend(self, found: list[Finding]) -> None:
        for what, table in TABLES.items():
            ids = [finding.row_id for finding in found if finding.what is what]
            if ids:
                self._mended += ask(table, what, ids)

    def _push_lost_keys(self) -> int:
        """Push the missing keys of which nobody has the secret any more, whatever the settings say: LiteLLM is only
        looked at by that, and their owners learn that they need rotation. Too many at once are left to an
        administrator; returns how many then."""
        untold = {"what": Subject.KEY, "kind": DriftKind.MISSING, "details__needs_rotation": "untold"}
        lost = Drift.objects.filter(run=self._run.row, seen_at__gte=self._began, **untold).order_by("pk")
        number, allowed = lost.count(), max(1, floor(Keys().expected().count() * LOST_SHARE))
        if number > allowed:
            log.error("keys_lost", missing=number, allowed=allowed)
            return number
        ids = list(lost.values_list("row_id", flat=True))
        for start in range(0, len(ids), CHUNK):
            self._mended += ask(ApiKeySecret, Subject.KEY, ids[start : start + CHUNK])
            self._run.beat()
        return 0


def drift_by_kind(drifts: QuerySet[Drift] | None = None) -> dict[str, int]:
    """How much differs, as the last comparison found it: kind -> number, the gravest first."""
    rows = Drift.objects.all() if drifts is None else drifts
    found: dict[str, int] = dict(rows.order_by().values_list("kind").annotate(number=Count("pk")))
    return {kind.value: found[kind] for kind in DriftKind if kind in found}


def ask(table: type[state.Synced], what: Subject, ids: list[str]) -> int:
    """Have rows pushed, and note on the findings about them when; returns how many rows."""
    Drift.objects.filter(what=what, row_id__in=ids).update(asked_at=timezone.now())
    return state.request_or_wake(table, ids)


def note_asked(row: state.Synced) -> None:
    """Note on the findings about one row that somebody has decided that LiteLLM is to agree with it."""
    what = [subject for subject, table in TABLES.items() if isinstance(row, table)]
    Drift.objects.filter(what__in=what, row_id=str(row.pk)).update(asked_at=timezone.now())


def _fitting(object_id: str) -> str:
    """LiteLLM's ids may have any length; of keys, of which alone something can be done by their id, all have 64."""
    longest: int = Drift._meta.get_field("object_id").max_length or 0
    return object_id if len(object_id) <= longest else sha256(object_id.encode()).hexdigest()


def _is_to_be_mended(finding: Finding) -> bool:
    """What the settings say, but for keys of which nobody has the secret any more: see Reconcile._push_lost_keys."""
    is_lost = finding.kind is DriftKind.MISSING and finding.details.get("needs_rotation") == "untold"
    return bool(finding.row_id) and not is_lost and finding.kind.value in settings.RECONCILE_MENDS


def _last_of(side: Side, listed: Collection[str], after: Any) -> Any:
    """Up to where our list has been laid beside this page; pages that shifted never lead back."""
    columns = [column for object_id in listed if (column := side.as_column(object_id)) is not None]
    return max([*columns, *([] if after is None else [after])], default=None)


def _not_listed(
    side: Side, listed: frozenset[str], after: Any, upper: Any, *, is_last: bool
) -> Iterator[tuple[list[Any], Any]]:
    """Our rows between two ids that LiteLLM does not list there, a chunk at a time, with where the next one begins."""
    if not is_last and upper is None:
        return
    bounds = {} if is_last else {f"{side.column}__lte": upper}
    while True:
        beyond = {} if after is None else {f"{side.column}__gt": after}
        rows = list(side.expected().filter(**bounds, **beyond).order_by(side.column)[:CHUNK])
        after = getattr(rows[-1], side.column) if len(rows) == CHUNK else None
        yield [row for row in rows if str(getattr(row, side.column)) not in listed], after
        if after is None:
            return
