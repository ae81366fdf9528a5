"""A calendar of days, a week a column: on which days of the week something happens, and when it changed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django.utils.dates import MONTHS_3, WEEKDAYS, WEEKDAYS_ABBR
from django.utils.translation import gettext as _

from usage.charts import axis
from usage.charts.axis import WHOLE, Tick, place
from usage.charts.bars import known

LEVELS: Final = 4
DAYS: Final = 7
HIGH: Final = WHOLE / DAYS
FEW_WEEKS, MANY_WEEKS = 9, 27
MONTH_ROOM: Final = Decimal(8)  # per cent of the width that the name of a month needs


@dataclass(frozen=True)
class Cell:
    """A day: where it is, how much happened (None: not fetched), what to say, and its row in the table."""

    left: str
    top: str
    level: int | None
    words: str
    cells: list[str]


@dataclass(frozen=True)
class Heat:
    """A calendar; ``limits`` are the highest values of the levels 1 to 4, in words."""

    cells: list[Cell]
    width: str
    height: str
    weekdays: list[Any]
    months: list[Tick]
    limits: list[tuple[int, str]]
    summary: str
    head: list[Any]
    size: str
    has_gaps: bool


def heat_map(rows: Sequence[Mapping[str, Any]], metric: str, *, missing: Iterable[date] = ()) -> Heat:
    """The days of a range; they must follow each other."""
    values = known(rows, metric, missing)
    days = [row["date"] for row in rows]
    first = days[0] - timedelta(days=days[0].weekday())
    weeks = (days[-1] - first).days // DAYS + 1
    top = axis.scale(max((value or Decimal(0) for value in values), default=Decimal(0)), metric)[-1]
    wide = WHOLE / weeks
    return Heat(
        cells=[
            _cell(day, value, metric, left=(day - first).days // DAYS * wide, top=top)
            for day, value in zip(days, values, strict=True)
        ],
        width=place(wide * Decimal("0.9")),
        height=place(HIGH * Decimal("0.86")),
        weekdays=[WEEKDAYS_ABBR[number] for number in range(DAYS)],
        months=_months(first, weeks),
        limits=[(level, axis.in_words(top * level / LEVELS, metric)) for level in range(LEVELS + 1)],
        summary=_summary(days, values, metric),
        head=[_("Day"), _("Weekday"), axis.NAMES[metric]],
        size="few" if weeks < FEW_WEEKS else "many" if weeks >= MANY_WEEKS else "",
        has_gaps=None in values,
    )


def _cell(day: date, value: Decimal | None, metric: str, *, left: Decimal, top: Decimal) -> Cell:
    words = None if value is None else axis.in_words(value, metric)
    weekday = str(WEEKDAYS[day.weekday()])
    return Cell(
        left=place(left),
        top=place(HIGH * day.weekday()),
        level=None if value is None else math.ceil(value * LEVELS / top),
        words=_("%(weekday)s, %(day)s") % {"weekday": weekday, "day": axis.day_words(day, words)},
        cells=[day.isoformat(), weekday, _("Not fetched") if words is None else words],
    )


def _months(first: date, weeks: int) -> list[Tick]:
    """The month of a week where it begins, unless the name before needs the room."""
    found: list[Tick] = []
    free, shown, wide = Decimal(0), 0, WHOLE / weeks
    for number in range(weeks):
        # The last week of the calendar ends before its Sunday.
        sunday = min(first.toordinal() + DAYS * number + DAYS - 1, date.max.toordinal())
        month = date.fromordinal(sunday).month
        if month != shown and wide * number >= free:
            found.append(Tick(place(wide * number), str(MONTHS_3[month]).capitalize()))
            free, shown = wide * number + MONTH_ROOM, month
    return found


def _summary(days: Sequence[date], values: Sequence[Decimal | None], metric: str) -> str:
    """The weekday with the highest mean of the days that are known."""
    sums: dict[int, list[Decimal]] = {}
    for day, value in zip(days, values, strict=True):
        if value is not None:
            sums.setdefault(day.weekday(), []).append(value)
    means = {weekday: sum(found, Decimal(0)) / len(found) for weekday, found in sums.items()}
    if not any(means.values()):
        return _("Nothing was used in these days.")
    busiest, quietest = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    places = Decimal("0.0001") if metric == "spend" else Decimal(1)
    return _("On average the most on %(most)s (%(high)s), the least on %(least)s (%(low)s).") % {
        "most": WEEKDAYS[busiest],
        "high": axis.in_words(means[busiest].quantize(places), metric),
        "least": WEEKDAYS[quietest],
        "low": axis.in_words(means[quietest].quantize(places), metric),
    }
