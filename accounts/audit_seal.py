"""The seal on the audit log: a chain of hashes over its entries, in a table of its own, made by a job.

A verb only writes its entry; chaining there would make all verbs of the product queue up. The sealer comes a moment
later, and the order of the chain is (transaction, id), not id: PostgreSQL says below which number every transaction
has ended, so what lies below is complete for ever, however late an entry with a lower id shows up.

    link of an entry = SHA-256(link before ‖ the entry's bytes)
    seal             = SHA-256(last link ‖ the seal's own bytes), which is the link before the next entry

The bytes are JSON in UTF-8 without spaces, the keys of objects sorted, of the list of all columns (as_bytes()).
Which columns those are is the seal's version: what was sealed before a column came stays as it is.
The link before the first entry is 32 zero bytes.
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AuditSeal

log = structlog.get_logger(__name__)

ENTRIES_A_SEAL: Final = 500
GENESIS: Final = bytes(32)
# Below every id and every transaction, forged ones too.
LOWEST: Final = -(2**63)
LINK: Final = struct.Struct(">q32s")
FIRST: Final = (
    "id",
    "at",
    "actor_id",
    "actor_name",
    "action",
    "category",
    "target_type",
    "target_id",
    "target_name",
    "details",
    "success",
    "request_id",
    "address",
    "transaction",
)
# By version. A new column makes a new version: the newest has every column, and a guard compares it with the table.
VERSIONS: Final = {1: FIRST, 2: (*FIRST[:-1], "credential", "transaction")}
VERSION: Final = max(VERSIONS)
COLUMNS: Final = VERSIONS[VERSION]
SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM accounts_auditevent"  # noqa: S608 -- our own columns
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Cursor:
    """How far the chain has come: everything up to this transaction and id is in it."""

    transaction: int = LOWEST
    id: int = LOWEST


# --- Bytes -----------------------------------------------------------------------------------------------------------


def as_bytes(row: Row, version: int = VERSION) -> bytes:
    """An entry, all columns in their order, as it goes into the chain. Moments are UTC with microseconds.

    A column that an older version does not know is empty; where it is not, it counts, and the bytes are others.
    """
    columns = VERSIONS.get(version, COLUMNS)
    values = zip(COLUMNS, row, strict=True)
    return _canonical([_plain(name, value) for name, value in values if name in columns or value])


def _plain(column: str, value: Any) -> Any:
    if column == "details":
        # The text is PostgreSQL's, whose spelling is its own business; figures keep every digit.
        return json.loads(value, parse_float=Decimal) if isinstance(value, str) else value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, int) else str(value)


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_figure)
    return text.encode()


def _figure(value: Any) -> dict[str, str]:
    return {"figure": str(value)}


def link(before: bytes, row: Row, version: int = VERSION) -> bytes:
    """The link of an entry behind the link ``before``."""
    return hashlib.sha256(before + as_bytes(row, version)).digest()


def closing(before: bytes, seal: AuditSeal) -> bytes:
    """The seal on the link ``before``, with everything that the seal's row says of itself."""
    moment = seal.sealed_at.astimezone(UTC).isoformat(timespec="microseconds")
    own = [seal.number, moment, seal.after_id, seal.last_transaction, seal.last_id, seal.highest_id, seal.count]
    if seal.version != 1:  # the first said nothing of versions
        own.append(seal.version)
    return hashlib.sha256(before + _canonical(own)).digest()


def links_of(seal: AuditSeal) -> list[tuple[int, bytes]]:
    """Id and link of each entry under a seal; what does not fit in at the end is left out."""
    kept = bytes(seal.links)
    return list(LINK.iter_unpack(kept[: len(kept) // LINK.size * LINK.size]))


# --- Sealing ---------------------------------------------------------------------------------------------------------


def seal_audit() -> int:
    """Seal what is complete, and return how many entries that were; one sealer at a time, others leave with 0.

    An entry is complete when every transaction that began before its own has ended, in the whole PostgreSQL server.
    """
    sealed = 0
    while made := _seal_next():
        sealed += made.count
        # Whoever keeps the log keeps a witness outside of the database.
        log.info("audit_sealed", seal=str(made), entries=made.count, up_to=made.last_id)
    return sealed


def _seal_next() -> AuditSeal | None:
    with transaction.atomic():
        if not _alone():
            return None
        newest = AuditSeal.objects.order_by("-number").first()
        horizon, began_anew = _horizon(newest)
        rows = _next_rows(newest, None if began_anew else horizon)
        if newest and began_anew and not rows:
            rows = _rows(Cursor(), newest.highest_id, horizon)
            return _made(newest, rows, after_id=newest.highest_id) if rows else None
        return _made(newest, rows, after_id=newest.after_id if newest else LOWEST) if rows else None


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('audit seal', 0))")
        return bool(cursor.fetchone()[0])


def _horizon(newest: AuditSeal | None) -> tuple[int, bool]:
    """The lowest transaction that still runs, and whether PostgreSQL has begun to count anew since the last seal.

    It does when a dump is restored into another server. Entries that came with the dump then have higher numbers than
    any that this server has given out, and are complete; those made since have lower ones, and higher ids.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint"
            " FROM pg_current_snapshot() now"
        )
        lowest, following = cursor.fetchone()
    return lowest, newest is not None and following <= newest.last_transaction


def eras() -> list[int]:
    """Where the ids of each era begin; there is one, and one more for each restored dump, even without a seal yet."""
    begun = list(AuditSeal.objects.order_by("after_id").values_list("after_id", flat=True).distinct())
    newest = _newest()
    return [*begun, newest.highest_id] if newest and _horizon(newest)[1] else begun


def _newest() -> AuditSeal | None:
    return AuditSeal.objects.order_by("-number").defer("links").first()


def _next_rows(newest: AuditSeal | None, horizon: int | None) -> list[Row]:
    if newest is None:
        return _rows(Cursor(), LOWEST, horizon)
    return _rows(Cursor(newest.last_transaction, newest.last_id), newest.after_id, horizon)


def _rows(behind: Cursor, after_id: int, horizon: int | None) -> list[Row]:
    """The next entries in the order of the chain; ``horizon`` None is for those of which no more can come."""
    where, values = "(transaction, id) > (%s, %s) AND id > %s", [behind.transaction, behind.id, after_id]
    if horizon is not None:
        where, values = f"{where} AND transaction < %s", [*values, horizon]
    with connection.cursor() as cursor:
        cursor.execute(f"{SELECT} WHERE {where} ORDER BY transaction, id LIMIT {ENTRIES_A_SEAL}", values)
        rows: list[Row] = cursor.fetchall()
    return rows


def _made(before: AuditSeal | None, rows: list[Row], *, after_id: int) -> AuditSeal:
    last, links = bytes(before.seal) if before else GENESIS, []
    for row in rows:
        last = link(last, row, VERSION)
        links.append(LINK.pack(row[0], last))
    made = AuditSeal(
        number=before.number + 1 if before else 1,
        version=VERSION,
        sealed_at=timezone.now(),
        after_id=after_id,
        last_transaction=rows[-1][-1],
        last_id=rows[-1][0],
        highest_id=max([before.highest_id if before else LOWEST, *(row[0] for row in rows)]),
        count=len(rows),
        links=b"".join(links),
    )
    made.seal = closing(last, made)
    made.save(force_insert=True)
    return made


# --- Reading back ----------------------------------------------------------------------------------------------------


def seals() -> Iterator[AuditSeal]:
    """Every seal in its order, one at a time."""
    number = LOWEST
    while found := AuditSeal.objects.filter(number__gt=number).order_by("number").first():
        yield found
        number = found.number


def entries(ids: list[int]) -> dict[int, Row]:
    """The entries of these ids as they are now."""
    with connection.cursor() as cursor:
        cursor.execute(f"{SELECT} WHERE id = ANY(%s)", [ids])
        return {row[0]: row for row in cursor.fetchall()}


def strangers(start: Cursor, end: Cursor | None, *, after_id: int, up_to: int | None, known: list[int]) -> list[int]:
    """Ids behind ``start``, up to and with ``end``, that are not ``known``; at most a hundred.

    ``after_id`` and ``up_to`` are the ids of the era. An index answers.
    """
    where = "(transaction, id) > (%s, %s) AND id > %s AND NOT id = ANY(%s)"
    values: list[Any] = [start.transaction, start.id, after_id, known]
    if end is not None:
        where, values = f"{where} AND (transaction, id) <= (%s, %s)", [*values, end.transaction, end.id]
    if up_to is not None:
        where, values = f"{where} AND id <= %s", [*values, up_to]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM accounts_auditevent WHERE {where} ORDER BY id LIMIT 100", values)  # noqa: S608 -- our own words
        return [row[0] for row in cursor.fetchall()]


# No transaction has such a number yet. One's own may, as long as it runs; and entries that came with a dump do.
AHEAD: Final = """
    (transaction >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint AND NOT %s
     AND transaction IS DISTINCT FROM pg_current_xact_id_if_assigned()::text::bigint)
"""
WAITING: Final = "accounts_auditevent WHERE (transaction, id) > (%s, %s) AND id > %s"


def waiting() -> tuple[int, datetime | None]:
    """How many entries are not sealed yet, and when the oldest of them was made; without those that never will be."""
    which, came_along = _unsealed()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), min(at) FROM {WAITING} AND NOT {AHEAD}", [*which, came_along])  # noqa: S608 -- our own words
        count, oldest = cursor.fetchone()
    return count, oldest


def out_of_turn(*, before: datetime, written_before: datetime) -> list[tuple[int, str]]:
    """What is wrong with entries that are not sealed yet: id and "ahead", "backdated" or "late"; at most a hundred.

    Ahead of the server's own count of transactions; dated before ``before``; complete, and yet not sealed although
    they were written before ``written_before``.
    """
    which, came_along = _unsealed()
    backdated = "at < %s"
    late = "at < %s AND NOT %s AND transaction < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    case = f"CASE WHEN {AHEAD} THEN 'ahead' WHEN {backdated} THEN 'backdated' WHEN {late} THEN 'late' END"
    values: list[Any] = [came_along, before, written_before, came_along, *which]
    statement = f"SELECT * FROM (SELECT id, {case} AS wrong FROM {WAITING}) waiting"  # noqa: S608 -- our own words
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} WHERE wrong IS NOT NULL ORDER BY id LIMIT 100", values)
        return [(entry, wrong) for entry, wrong in cursor.fetchall()]


def _unsealed() -> tuple[tuple[int, int, int], bool]:
    """What selects the entries that wait, and whether they have come with a dump, and PostgreSQL counts anew."""
    newest = _newest()
    if newest is None:
        return (LOWEST, LOWEST, LOWEST), False
    return (newest.last_transaction, newest.last_id, newest.after_id), _horizon(newest)[1]
