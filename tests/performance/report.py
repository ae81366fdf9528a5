"""How the bench says what it saw: a table for people, JSON for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tests.performance.load import Load
from tests.performance.measure import OK, Row

HEAD = (
    f"{'question':<34} {'through':<8} {'conn':>4} {'req/s':>7} {'p50':>8} {'p95':>8} {'p99':>8} {'err':>4}"
    f" {'stmts':>5} {'SQL ms':>7} {'bare/':>6} {'original':>8} {'ratio':>7}"
)


def lines(rows: Sequence[Row], bare: Row) -> Iterator[str]:
    """The table, a line for each number of connections."""
    yield HEAD
    yield "-" * len(HEAD)
    for row in rows:
        if row.status != OK:
            what = "not there yet" if row.status == 404 else f"answered {row.status}"
            yield f"{row.question:<34} {row.face:<8} {what}"
            continue
        for seen, alone in zip(row.loads, bare.loads, strict=True):
            yield _line(row, seen, alone)
        yield from (f"{'':<34} {'':<8} !! {fault}" for fault in row.faults)


def _line(row: Row, seen: Load, alone: Load) -> str:
    original = row.original.at(seen.connections)
    first = seen is row.loads[0]
    return (
        f"{row.question if first else '':<34} {row.face if first else '':<8} {seen.connections:>4}"
        f" {seen.per_second:>7.1f} {seen.p50:>8.2f} {seen.p95:>8.2f} {seen.p99:>8.2f} {seen.errors:>4}"
        f" {_shown(row.statements, 5) if first else '':>5} {_shown(row.sql_ms, 7, 2) if first else '':>7}"
        f" {alone.per_second / max(seen.per_second, 0.001):>6.1f}"
        f" {_shown(original, 8, 2)} {_ratio(row, seen)}"
    )


def _ratio(row: Row, seen: Load) -> str:
    """Ours by the original's; an arrow where we are behind."""
    original = row.original.at(seen.connections)
    if not original:
        return " " * 7
    return f"{seen.per_second / original:>6.2f}x{' <--' if seen.per_second < original else ''}"


def behind(rows: Sequence[Row]) -> Iterator[str]:
    """Each question that the original answered more often, with the connections and our share of its answers."""
    yield "Behind the original, by its figures at size L:"
    found = [
        f"  {row.question} ({row.face or 'the server'}): {shares}"
        for row in rows
        if (shares := ", ".join(_shares(row)))
    ]
    yield from found or ["  nothing that was measured"]


def _shares(row: Row) -> Iterator[str]:
    for seen in row.loads:
        original = row.original.at(seen.connections)
        if original and seen.per_second < original:
            yield f"{seen.per_second / original:.0%} at {seen.connections}"


def _shown(value: float | None, width: int, digits: int = 0) -> str:
    return " " * width if value is None else f"{value:>{width}.{digits}f}"


def pages(rows: Sequence[Row]) -> Iterator[str]:
    """What pages weigh."""
    yield f"{'page':<34} {'HTML':>8} {'CSS + JS':>9}   bytes over the wire"
    yield from (f"{row.question:<34} {row.page.html:>8,} {row.page.assets:>9,}" for row in rows if row.page)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{**asdict(row), "faults": row.faults} for row in rows]
