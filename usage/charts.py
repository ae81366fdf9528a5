"""The only place that turns figures into drawings: geometry for SVG, drawn on the server and coloured by the tokens."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _

# The drawing is stretched to its place, so these are shares rather than pixels.
WIDTH: Final = 1000
HEIGHT: Final = 100
GAP: Final = Decimal("0.25")
LABELS: Final = 4
STEPS: Final = (1, 2, 4, 6, 8, 10)  # their halves are short too
LOWEST: Final = {"spend": Decimal("0.01")}
LOWEST_COUNT: Final = Decimal(2)


@dataclass(frozen=True)
class Column:
    """One day: where its column stands, and what to say about it."""

    left: str
    width: str
    top: str
    height: str
    slot_left: str
    slot_width: str
    missing: bool
    words: str


@dataclass(frozen=True)
class Chart:
    """A column chart; ``summary`` says in words what it shows."""

    columns: list[Column]
    ticks: list[str]
    dates: list[date]
    summary: str
    is_empty: bool
    metric: str


def column_chart(rows: Sequence[Mapping[str, Any]], metric: str, *, missing: Iterable[date] = ()) -> Chart:
    """One column a day; days that were never fetched are marked, because they are not zero."""
    values = [Decimal(row[metric]) for row in rows]
    top = max(nice_ceiling(max(values, default=Decimal(0))), LOWEST.get(metric, LOWEST_COUNT))
    gaps = set(missing)
    slot = Decimal(WIDTH) / max(len(rows), 1)
    columns = [
        _column(slot * index, slot, value / top, row["date"], _words(value, metric, row["date"] in gaps))
        for index, (row, value) in enumerate(zip(rows, values, strict=True))
    ]
    days = [row["date"] for row in rows]
    return Chart(
        columns=columns,
        ticks=[in_words(top * part / 2, metric) for part in (2, 1, 0)],
        dates=_some(days),
        summary=_summary(days, values, metric),
        is_empty=not any(values),
        metric=metric,
    )


def _column(left: Decimal, slot: Decimal, share: Decimal, day: date, words: str | None) -> Column:
    """``share`` is the part of the axis that the column reaches; ``words`` None marks a day that was not fetched."""
    height = max(HEIGHT * share, Decimal(1)) if share else Decimal(0)  # something is never drawn as nothing
    return Column(
        left=_place(left + slot * GAP / 2),
        width=_place(slot * (1 - GAP)),
        top=_place(HEIGHT - height),
        height=_place(height),
        slot_left=_place(left),
        slot_width=_place(slot),
        missing=words is None,
        words=f"{day.isoformat()}: {_('not fetched') if words is None else words}",
    )


def _words(value: Decimal, metric: str, is_missing: bool) -> str | None:  # noqa: FBT001 -- private, and always the last
    return None if is_missing and not value else in_words(value, metric)


def _place(value: Decimal) -> str:
    return f"{value:.2f}"


def _some(days: Sequence[date]) -> list[date]:
    """First, last and two between, or all when there are few."""
    if len(days) <= LABELS:
        return list(days)
    step = (len(days) - 1) / (LABELS - 1)
    return [days[round(step * n)] for n in range(LABELS)]


def nice_ceiling(highest: Decimal) -> Decimal:
    """The next round figure, so that the axis reads well."""
    if highest <= 0:
        return Decimal(0)
    power = Decimal(10) ** math.floor(highest.log10())
    return next(step * power for step in STEPS if step * power >= highest)


def in_words(value: Decimal, metric: str) -> str:
    """A value with its unit."""
    if metric == "spend":
        places = 2 if value == value.quantize(Decimal("0.01")) or value >= Decimal("0.1") else 4
        return f"${number_format(value, places, force_grouping=True)}"
    shown = value.to_integral_value() if value == value.to_integral_value() else value.normalize()
    return str(number_format(shown, force_grouping=True))


def _summary(days: Sequence[date], values: Sequence[Decimal], metric: str) -> str:
    """The whole and its highest day."""
    if not any(values):
        return _("Nothing was used in these days.")
    highest = max(range(len(values)), key=values.__getitem__)
    named = {
        "total": in_words(sum(values, Decimal(0)), metric),
        "first": days[0].isoformat(),
        "last": days[-1].isoformat(),
        "highest": in_words(values[highest], metric),
        "day": days[highest].isoformat(),
    }
    if metric == "spend":
        return _("%(total)s spent from %(first)s to %(last)s; the most on %(day)s: %(highest)s.") % named
    return _("%(total)s requests from %(first)s to %(last)s; the most on %(day)s: %(highest)s.") % named
