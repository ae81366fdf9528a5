"""What the kinds of charts share: places in per cent, round axes, days that do not overlap, and values in words."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from litemaas.foundation.money import CENT, dollars

WHOLE: Final = Decimal(100)
STEPS: Final = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
PARTS: Final = 4  # so many steps an axis has at most, or one more
SMALLEST: Final = {"spend": Decimal("0.0001")}
SMALLEST_COUNT: Final = Decimal(1)
DAY_STEPS: Final = (1, 2, 4, 7, 14, 28, 56)
DAY_LABELS: Final = 8
UNITS: Final = ((Decimal(1_000_000_000), "G"), (Decimal(1_000_000), "M"), (Decimal(1_000), "k"))
SHORTEN_FROM: Final = 10_000

# Figure -> what its values are called, above a column of a table.
NAMES: Final = {
    "spend": gettext_lazy("Spend"),
    "requests": gettext_lazy("Requests"),
    "total_tokens": gettext_lazy("Tokens"),
    "failed_requests": gettext_lazy("Failed requests"),
}
# Figure -> whole sentences, because what stands around a number depends on the language.
SUMMARIES: Final = {
    "spend": gettext_lazy("%(total)s spent from %(first)s to %(last)s; the most on %(day)s: %(highest)s."),
    "requests": gettext_lazy("%(total)s requests from %(first)s to %(last)s; the most on %(day)s: %(highest)s."),
    "total_tokens": gettext_lazy("%(total)s tokens from %(first)s to %(last)s; the most on %(day)s: %(highest)s."),
    "failed_requests": gettext_lazy(
        "%(total)s failed requests from %(first)s to %(last)s; the most on %(day)s: %(highest)s."
    ),
}


@dataclass(frozen=True)
class Tick:
    """A mark of an axis; ``minor`` ones give way where there is little room."""

    place: str
    label: str
    title: str = ""
    minor: bool = False


@dataclass(frozen=True)
class Block:
    """A rectangle within its slot, of one series."""

    top: str
    height: str
    series: str


@dataclass(frozen=True)
class Slot:
    """The room of one day: what stands there, and what to say about it. ``cells`` are its row in the table."""

    left: str
    width: str
    middle: str
    words: str
    cells: list[str]
    missing: bool = False
    bar_left: str = ""
    bar_width: str = ""
    blocks: list[Block] = field(default_factory=list)
    dot: str = ""


@dataclass(frozen=True)
class Band:
    """A series in the legend and above its column of the table."""

    series: str
    name: str


@dataclass(frozen=True)
class Chart:
    """A chart over days; ``summary`` says in words what it shows, ``head`` and the slots' ``cells`` are its table.

    ``lines`` and ``areas`` are points in a box of 1000 by 100.
    """

    slots: list[Slot]
    ticks: list[Tick]
    dates: list[Tick]
    summary: str
    is_empty: bool
    metric: str
    head: list[Any]
    legend: list[Band] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    areas: list[str] = field(default_factory=list)

    @property
    def has_gaps(self) -> bool:
        """Whether days were not fetched, which the legend explains."""
        return any(slot.missing for slot in self.slots)


def place(value: Decimal) -> str:
    """A coordinate in per cent of the drawing."""
    return f"{value:.2f}%"


def share(part: Decimal | int, whole: Decimal | int) -> Decimal:
    """``part`` in per cent of ``whole``, 0 to 100, for a progress bar; nothing of nothing is 0."""
    if not whole:
        return Decimal(0)
    return min(max(Decimal(part) * 100 / Decimal(whole), Decimal(0)), WHOLE)


def rooms(count: int) -> Iterator[tuple[Decimal, Decimal]]:
    """Left edge and width of each of ``count`` equal rooms."""
    width = WHOLE / max(count, 1)
    for number in range(count):
        yield width * number, width


# --- Axes ------------------------------------------------------------------------------------------------------------


def scale(highest: Decimal, metric: str) -> list[Decimal]:
    """The marks of an axis, from 0 in equal and round steps to the first that is not below ``highest``."""
    smallest = SMALLEST.get(metric, SMALLEST_COUNT)
    wanted = max(highest / PARTS, smallest)
    power = Decimal(10) ** math.floor(wanted.log10())
    sizes = (step * power for step in STEPS)
    step = next(size for size in sizes if size >= wanted and (metric == "spend" or size == size.to_integral_value()))
    count = max(math.ceil(highest / step), 2)
    return [step * number for number in range(count + 1)]


def ticks(marks: Sequence[Decimal], metric: str) -> list[Tick]:
    """The labels of a vertical axis, from top to bottom."""
    top = marks[-1]
    return [Tick(place(WHOLE - WHOLE * mark / top), in_short(mark, metric, marks[1])) for mark in reversed(marks)]


def date_ticks(days: Sequence[date]) -> list[Tick]:
    """Some days, at the middle of their rooms, at most eight and half as many where there is little room."""
    step = next((size for size in DAY_STEPS if len(days) <= size * DAY_LABELS), DAY_STEPS[-1])
    width = WHOLE / max(len(days), 1)
    return [
        Tick(place(width * number + width / 2), f"{day:%m-%d}", day.isoformat(), minor=(number // step) % 2 == 1)
        for number, day in enumerate(days)
        if number % step == 0
    ]


# --- Words -----------------------------------------------------------------------------------------------------------


def _plain(value: Decimal) -> Decimal:
    """Without zeros at the end and without an exponent."""
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


def in_words(value: Decimal | int, metric: str) -> str:
    """A value with its unit; small amounts of money with as many decimals as say something."""
    amount = Decimal(value)
    if metric != "spend":
        return str(number_format(_plain(amount), force_grouping=True))
    if 0 < amount < SMALLEST["spend"]:
        return _("less than $0.0001")
    places = 2 if amount == amount.quantize(CENT) or amount >= CENT * 10 else 4
    return dollars(amount, places)


def in_short(value: Decimal, metric: str, step: Decimal) -> str:
    """A value at an axis, as short as the ``step`` of the axis allows."""
    if metric == "spend":
        exponent = _plain(step).as_tuple().exponent
        places = max(-int(exponent), 2) if step < 1 or int(exponent) < 0 else 0
        return dollars(value, places if value else 0)
    size, unit = next(
        ((size, unit) for size, unit in UNITS if value >= size and value >= SHORTEN_FROM), (Decimal(1), "")
    )
    text = str(number_format(_plain(value / size), force_grouping=True))
    return f"{text} {unit}" if unit else text


def day_words(day: date, words: str | None) -> str:
    """A day and what to say about it; None where it was not fetched."""
    return f"{day.isoformat()}: {_('not fetched') if words is None else words}"


def summary(days: Sequence[date], values: Sequence[Decimal | None], metric: str) -> str:
    """The whole and its highest day; days that were not fetched are None."""
    known = [value or Decimal(0) for value in values]
    if not any(known):
        # Models may be free, and calls may all succeed: neither says that nothing was used.
        name, nothing = NAMES[metric], in_words(0, metric)
        is_use = metric in {"requests", "total_tokens"}
        return (
            _("Nothing was used in these days.")
            if is_use
            else _("%(name)s: %(value)s") % {"name": name, "value": nothing}
        )
    highest = max(range(len(known)), key=known.__getitem__)
    return str(SUMMARIES[metric]) % {
        "total": in_words(sum(known, Decimal(0)), metric),
        "first": days[0].isoformat(),
        "last": days[-1].isoformat(),
        "highest": in_words(known[highest], metric),
        "day": days[highest].isoformat(),
    }
