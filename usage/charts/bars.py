"""Columns by day: of one figure, or stacked by what it consists of."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _

from usage.charts import axis
from usage.charts.axis import WHOLE, Band, Block, Chart, Slot, place

# Names of the series in the stylesheet, in the order in which they are given out; the last is what has none.
SERIES: Final = tuple(f"s{number}" for number in range(1, 9))
OTHERS: Final = "s0"
GAP: Final = Decimal("0.2")
WIDEST: Final = Decimal(12)  # per cent: a single day is a column too, not a wall
THINNEST: Final = Decimal(1)  # per cent: something is never drawn as nothing


def known(rows: Sequence[Mapping[str, Any]], metric: str, missing: Iterable[date]) -> list[Decimal | None]:
    """The values of days in order; None where a day was not fetched, which is not zero."""
    gaps = set(missing)
    values = [Decimal(row[metric]) for row in rows]
    return [value if value or row["date"] not in gaps else None for row, value in zip(rows, values, strict=True)]


def column_chart(rows: Sequence[Mapping[str, Any]], metric: str, *, missing: Iterable[date] = ()) -> Chart:
    """One column a day; days that were never fetched are marked, because they are not zero."""
    return _chart(rows, metric, known(rows, metric, missing), [Band(SERIES[0], "")], [])


def stacked_chart(
    rows: Sequence[Mapping[str, Any]],
    metric: str,
    parts: Sequence[tuple[str, Mapping[date, Any]]],
    *,
    missing: Iterable[date] = (),
) -> Chart:
    """Columns made of named parts (at most eight) and, on top, of what remains of the day.

    The parts' values are looked up by day, a day that is not there is nothing. ``rows`` are the whole of each day, so
    a column is as high as without parts, whatever was left out.
    """
    values = known(rows, metric, missing)
    bands = [Band(series, name) for series, (name, _values) in zip(SERIES, parts, strict=False)]
    shares = [[Decimal(found.get(row["date"], 0)) for _name, found in parts[: len(bands)]] for row in rows]
    rest = [(value or Decimal(0)) - sum(share, Decimal(0)) for value, share in zip(values, shares, strict=True)]
    if any(rest):
        bands.append(Band(OTHERS, _("Others")))
        shares = [[*share, other] for share, other in zip(shares, rest, strict=True)]
    return _chart(rows, metric, values, bands, shares)


def _chart(
    rows: Sequence[Mapping[str, Any]],
    metric: str,
    values: list[Decimal | None],
    bands: list[Band],
    shares: list[list[Decimal]],
) -> Chart:
    days = [row["date"] for row in rows]
    marks = axis.scale(max((value or Decimal(0) for value in values), default=Decimal(0)), metric)
    pieces: list[list[Decimal] | None] = [*shares] or [None] * len(days)
    whole = zip(axis.rooms(len(days)), days, values, pieces, strict=True)
    named = bands if shares else []
    return Chart(
        slots=[
            _slot(room, day, value, share, bands=bands, metric=metric, top=marks[-1])
            for room, day, value, share in whole
        ],
        ticks=axis.ticks(marks, metric),
        dates=axis.date_ticks(days),
        summary=axis.summary(days, values, metric),
        is_empty=not any(values),
        metric=metric,
        head=[_("Day"), axis.NAMES[metric], *(band.name for band in named)],
        legend=named,
    )


def _slot(
    room: tuple[Decimal, Decimal],
    day: date,
    value: Decimal | None,
    parts: list[Decimal] | None,
    *,
    bands: list[Band],
    metric: str,
    top: Decimal,
) -> Slot:
    """``parts`` None is a column of one piece."""
    left, width = room
    thick = min(width * (1 - GAP), WIDEST)
    words = None if value is None else axis.in_words(value, metric)
    cells = [] if value is None else [axis.in_words(part, metric) for part in parts or []]
    lines = [
        _("%(name)s: %(value)s") % {"name": band.name, "value": cell}
        for band, cell, part in zip(bands, cells, parts or [], strict=False)
        if part
    ]
    return Slot(
        left=place(left),
        width=place(width),
        middle=place(left + width / 2),
        words="\n".join([axis.day_words(day, words), *lines]),
        cells=[day.isoformat(), _("Not fetched") if words is None else words, *cells],
        missing=value is None,
        bar_left=place(left + (width - thick) / 2),
        bar_width=place(thick),
        blocks=_blocks([value or Decimal(0)] if parts is None else parts, bands, top),
    )


def _blocks(parts: list[Decimal], bands: list[Band], top: Decimal) -> list[Block]:
    """The pieces of a column from the ground up."""
    found, below = [], Decimal(0)
    for part, band in zip(parts, bands, strict=True):
        if part > 0:
            height = max(WHOLE * part / top, THINNEST if not below else Decimal(0))
            found.append(Block(place(WHOLE - below - height), place(height), band.series))
            below += height
    return found
