"""Lines over days: the figure now beside the one before, and sparks, which are lines without words."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from django.utils.translation import gettext as _

from usage.charts import axis
from usage.charts.axis import WHOLE, Band, Chart, Slot, place
from usage.charts.bars import SERIES, known

BEFORE: Final = "before"
BOX: Final = (Decimal(1000), Decimal(100))
SPARK: Final = (Decimal(100), Decimal(24))
Points = list[tuple[Decimal, Decimal]]


def line_chart(
    rows: Sequence[Mapping[str, Any]],
    metric: str,
    *,
    before: Sequence[Mapping[str, Any]] = (),
    missing: Iterable[date] = (),
) -> Chart:
    """A line over the days; ``before`` are as many days of an earlier time, drawn behind it in dashes.

    Days that were not fetched interrupt the lines.
    """
    gaps = set(missing)
    values, earlier = known(rows, metric, gaps), known(before, metric, gaps)
    days = [row["date"] for row in rows]
    marks = axis.scale(max((value or Decimal(0) for value in [*values, *earlier]), default=Decimal(0)), metric)
    runs, old = _runs(values, marks[-1], BOX), _runs(earlier, marks[-1], BOX)
    names = [Band(SERIES[0], _("This period")), Band(BEFORE, _("The period before"))] if before else []
    lines = [(BEFORE, _points(run)) for run in old] + [(SERIES[0], _points(run)) for run in runs]
    pairs: list[tuple[Mapping[str, Any], Decimal | None] | None] = [*zip(before, earlier, strict=True)]
    pairs = pairs or [None] * len(days)
    return Chart(
        slots=[
            _slot(room, day, value, pair, metric=metric, top=marks[-1])
            for room, day, value, pair in zip(axis.rooms(len(days)), days, values, pairs, strict=True)
        ],
        ticks=axis.ticks(marks, metric),
        dates=axis.date_ticks(days),
        summary=axis.summary(days, values, metric),
        is_empty=not any(values),
        metric=metric,
        head=[_("Day"), axis.NAMES[metric], *([_("Day before"), _("Then")] if before else [])],
        legend=names,
        lines=lines,
        areas=[_area(run) for run in runs],
    )


def _slot(
    room: tuple[Decimal, Decimal],
    day: date,
    value: Decimal | None,
    pair: tuple[Mapping[str, Any], Decimal | None] | None,
    *,
    metric: str,
    top: Decimal,
) -> Slot:
    left, width = room
    words = None if value is None else axis.in_words(value, metric)
    lines = [axis.day_words(day, words)]
    cells = [day.isoformat(), _("Not fetched") if words is None else words]
    if pair is not None:
        then = None if pair[1] is None else axis.in_words(pair[1], metric)
        lines.append(axis.day_words(pair[0]["date"], then))
        cells += [pair[0]["date"].isoformat(), _("Not fetched") if then is None else then]
    return Slot(
        left=place(left),
        width=place(width),
        middle=place(left + width / 2),
        words="\n".join(lines),
        cells=cells,
        missing=value is None,
        dot="" if value is None else place(WHOLE - WHOLE * value / top),
    )


def spark_line(values: Sequence[Decimal | int | None]) -> list[str]:
    """The lines of a small drawing of 100 by 24 without an axis, from 0 to the highest; None interrupts it."""
    exact = [None if value is None else Decimal(value) for value in values]
    top = max((value or Decimal(0) for value in exact), default=Decimal(0)) or Decimal(1)
    return [_points(run) for run in _runs(exact, top, SPARK)]


def _runs(values: Sequence[Decimal | None], top: Decimal, box: tuple[Decimal, Decimal]) -> list[Points]:
    """The stretches of known values as points at the middle of their rooms; a lonely one is as wide as its room."""
    wide, high = box
    width = wide / max(len(values), 1)
    edges = [-1, *(number for number, value in enumerate(values) if value is None), len(values)]
    runs: list[Points] = []
    for start, end in pairwise(edges):
        run = [
            (width * number + width / 2, high - high * (values[number] or Decimal(0)) / top)
            for number in range(start + 1, end)
        ]
        if len(run) == 1:
            ((middle, level),) = run
            run = [(middle - width / 2, level), (middle + width / 2, level)]
        if run:
            runs.append(run)
    return runs


def _points(run: Points) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in run)


def _area(run: Points) -> str:
    """The ground below a line."""
    ground = BOX[1]
    return _points([(run[0][0], ground), *run, (run[-1][0], ground)])
