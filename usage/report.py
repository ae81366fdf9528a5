"""Everything that the usage page shows of one question, asked in a constant number of statements."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from apikeys.models import ApiKey
from usage import queries
from usage.charts import (
    NAMES,
    OTHERS,
    SERIES,
    Chart,
    Heat,
    column_chart,
    heat_map,
    line_chart,
    share,
    spark_line,
    stacked_chart,
)
from usage.models import DailyUsage, UsageDay
from usage.queries import METRICS, Freshness, Question

PARTS: Final = 20
LINE_FROM_DAYS: Final = 4
HEAT_FROM_DAYS: Final = 28
FIGURES: Final = ("spend", "requests", "total_tokens", "failed_requests")
# What a part is called whose id is empty: the key, and so its owner, is not ours, or the model is in no catalogue.
NOBODY: Final = {
    "model": gettext_lazy("No model"),
    "api_key": gettext_lazy("Keys that are not ours"),
    "team": gettext_lazy("No team"),
    "provider": gettext_lazy("Unknown provider"),
    "user": gettext_lazy("Nobody that we know"),
}
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """One of the four figures: now, what of it is compared with what was before (None: cannot be said), its course."""

    name: str
    label: Any
    now: Any
    compared: Any
    before: Any
    sparks: list[str]


@dataclass(frozen=True)
class Part:
    """A line of the breakdown: ``series`` is its colour in a divided trend, ``value`` what filters by it."""

    name: str
    note: str
    value: str
    series: str
    percent: Decimal
    figures: dict[str, Any]


@dataclass(frozen=True)
class Report:
    """The answers of one question."""

    question: Question
    freshness: Freshness
    figures: list[Figure]
    rows: list[dict[str, Any]]
    unknown_days: list[date]
    whole: dict[str, Any]
    parts: list[Part]
    trend: Chart
    heat: Heat | None
    was_ever_fetched: bool
    compared_days: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was used, as far as is known."""
        return not any(self.whole.values())

    @property
    def is_unknown(self) -> bool:
        """Whether no day of the range was fetched."""
        return self.freshness.as_of is None

    @property
    def failed_percent(self) -> Decimal:
        """How many of the requests failed, in per cent."""
        return share(self.whole["failed_requests"], self.whole["requests"])

    @property
    def days(self) -> int:
        """The length of the range."""
        return len(self.rows)


def report(actor: User, question: Question, *, metric: str, by: str, split: bool) -> Report:
    """Ask everything; ``metric`` is the figure of trend, parts and calendar, ``by`` what divides the parts."""
    earlier = question.previous()
    both = queries.timeseries(actor, replace(question, start=earlier.start))
    rows, before = both[len(both) // 2 :], both[: len(both) // 2]
    today = datetime.now(UTC).date()
    fresh, old = queries.freshness(question), queries.freshness(earlier)
    unknown = [*fresh.missing_days, *(day for day in question.days() if day > today)]
    whole = added(rows)
    found = queries.breakdown(actor, question, by=by, order=metric, limit=PARTS)
    dashed = before if not fresh.missing_days and not old.missing_days else []
    over, ago = _comparable(rows, before, today)
    return Report(
        question=question,
        freshness=fresh,
        figures=_figures(rows, over, ago, {*fresh.missing_days, *old.missing_days}, set(unknown)),
        rows=rows,
        unknown_days=unknown,
        whole=whole,
        parts=_parts(found, whole, by, metric, _notes(question, by, found)),
        trend=_trend(actor, question, rows, dashed, found if split else None, metric=metric, by=by, unknown=unknown),
        heat=heat_map(rows, metric, missing=unknown) if len(rows) >= HEAT_FROM_DAYS else None,
        was_ever_fetched=fresh.as_of is not None or UsageDay.objects.exists(),
        compared_days=len(over),
    )


def was_ever_used(actor: User, question: Question) -> bool:
    """Whether those whom a question is about have any usage, in whatever range."""
    rows = DailyUsage.objects.visible_to(actor)
    return (rows.filter(user__in=question.user) if question.user else rows).exists()


def added(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all rows together; what ``queries.summary`` says of the same range."""
    return {name: sum(row[name] for row in rows) for name in METRICS}


def _comparable(rows: Rows, before: Rows, today: date) -> tuple[Rows, Rows]:
    """The days that are over, and as many just before the range; a part of a day is not compared with a whole one."""
    over = [row for row in rows if row["date"] < today]
    return over, before[len(before) - len(over) :]


def _figures(rows: Rows, over: Rows, ago: Rows, missing: set[date], unknown: set[date]) -> list[Figure]:
    """Nothing is compared where no day is over, or where one of those that would be compared was not fetched."""
    whole, compared, before = added(rows), added(over), added(ago)
    comparable = bool(over) and not missing & {row["date"] for row in (*over, *ago)}
    return [
        Figure(
            name,
            NAMES[name],
            whole[name],
            compared[name],
            before[name] if comparable else None,
            spark_line([None if row["date"] in unknown and not row[name] else row[name] for row in rows]),
        )
        for name in FIGURES
    ]


def _trend(
    actor: User,
    question: Question,
    rows: list[dict[str, Any]],
    before: list[dict[str, Any]],
    found: list[dict[str, Any]] | None,
    *,
    metric: str,
    by: str,
    unknown: list[date],
) -> Chart:
    """The course of one figure: as a line, as columns where there are few days, divided where ``found`` are parts."""
    if found is not None:
        named = _coloured(found, by)
        groups = [part[by] for part in named]
        days = queries.days_of_groups(actor, question, by=by, groups=groups, metric=metric) if groups else {}
        return stacked_chart(rows, metric, [(part["name"], days[part[by]]) for part in named], missing=unknown)
    if len(rows) < LINE_FROM_DAYS:
        return column_chart(rows, metric, missing=unknown)
    return line_chart(rows, metric, before=before if any(row[metric] for row in before) else [], missing=unknown)


def _coloured(found: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """The parts that have a colour of their own: the first that are somebody's or something's."""
    return [part for part in found if part[by]][: len(SERIES)]


def _notes(question: Question, by: str, found: list[dict[str, Any]]) -> dict[Any, str]:
    """Whose the keys are, where several people have keys of one name."""
    if by != "api_key" or len(question.user) == 1:
        return {}
    keys = ApiKey._base_manager.filter(pk__in=[part["api_key"] for part in found])
    return dict(keys.values_list("pk", "user__username"))


def _parts(
    found: list[dict[str, Any]], whole: dict[str, Any], by: str, metric: str, notes: dict[Any, str]
) -> list[Part]:
    """The lines of the breakdown, and one for what was left out, so that they add up to the whole."""
    colours = dict(zip((part[by] for part in _coloured(found, by)), SERIES, strict=False))
    parts = [
        Part(
            name=part["name"] or (str(part[by])[:8] if part[by] else str(NOBODY[by])),
            note=notes.get(part[by], ""),
            value=str(part[by]) if part[by] else "",
            series=colours.get(part[by], OTHERS),
            percent=share(part[metric], whole[metric]),
            figures={name: part[name] for name in METRICS},
        )
        for part in found
    ]
    shown = added(found)
    rest = {name: whole[name] - shown[name] for name in METRICS}
    if len(found) == PARTS and any(rest.values()):
        parts.append(Part(_("All others"), "", "", OTHERS, share(rest[metric], whole[metric]), rest))
    return parts
