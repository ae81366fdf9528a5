"""The questions that are asked of the facts; each is one aggregate over an index."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import ExpressionWrapper, F, Field, Model, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils.translation import gettext as _

from accounts import rbac
from accounts.models import User
from apikeys.models import ApiKey
from litemaas.foundation import validators
from litemaas.foundation.errors import Invalid
from teams.models import Team
from usage.models import DailyTotal, DailyUsage, Span, UsageDay
from usage.services import FIGURES

DEFAULT_DAYS = 30
LONGEST_DAYS = 366
METRICS = (*FIGURES, "total_tokens")
COUNTS = FIGURES[:-1]
# Django would put each sum of each row through converters, which takes longer than PostgreSQL does.
AS_THEY_COME: "Field[Any, Any]" = Field()
# Dimension -> the column that it groups by.
DIMENSIONS = {"model": "model", "api_key": "api_key_id", "team": "team_id", "user": "user_id", "provider": "provider"}
# What the ready sums of a day do not know.
WHOSE = frozenset({"api_key", "team", "user"})
DAYS_A_WEEK = 7
SOURCE = "litellm"


@dataclass(frozen=True)
class Question:
    """Which facts are asked for. Dates are UTC and both included; empty filters mean everything one may see."""

    start: date
    end: date
    model: Sequence[str] = ()
    api_key: Sequence[Any] = ()
    team: Sequence[Any] = ()
    user: Sequence[Any] = ()
    provider: Sequence[str] = ()

    @classmethod
    def of(cls, start: date | None = None, end: date | None = None, **filters: Sequence[Any]) -> "Question":
        """A question whose dates were left out is about the last 30 days, today included.

        Raises Invalid when they are in the wrong order or span more than a year.
        """
        end = end or max(datetime.now(UTC).date(), start or date.min)
        start = start or date.fromordinal(max(1, end.toordinal() - DEFAULT_DAYS + 1))
        try:
            validators.validate_date_range(start, end, max_days=LONGEST_DAYS)
        except ValidationError as error:
            raise Invalid(error.messages[0], code=error.code or "invalid", field="start") from error
        return cls(start=start, end=end, **filters)

    def previous(self) -> "Question":
        """The same question about as many days just before."""
        days = (self.end - self.start).days + 1
        return replace(self, start=self.start - timedelta(days=days), end=self.start - timedelta(days=1))

    def days(self) -> list[date]:
        """Every day of the range."""
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days + 1)]


@dataclass(frozen=True)
class Freshness:
    """Where the figures come from: ``as_of`` is None when nothing of the range was ever fetched."""

    source: str
    as_of: datetime | None
    missing_days: list[date] = field(default_factory=list)


def facts_of(actor: User, question: Question, *dimensions: str | None) -> QuerySet[Any]:
    """The rows that a question is about, less its dates: facts, or ready sums where these say the same.

    A question about everybody, which names nobody and is not divided by somebody, is answered by ``DailyTotal``.
    """
    rows: QuerySet[Any] = (
        DailyTotal.objects.all()
        if _sees_all(actor) and not _asked(question, *dimensions) & WHOSE
        else DailyUsage.objects.visible_to(actor)
    )
    return _filtered(rows, question)


def _facts(actor: User, question: Question, *dimensions: str | None) -> QuerySet[Any]:
    return facts_of(actor, question, *dimensions).filter(date__range=(question.start, question.end))


def parts_of(actor: User, question: Question, by: str) -> QuerySet[Any]:
    """The rows of a question that is divided by something but not by days.

    Where everybody's are divided by key, team or user, whole weeks come ready made, and only the days before and after
    them from the facts. Who names people, keys or models asks for few facts behind an index.
    """
    if by in WHOSE and _sees_all(actor) and _asked(question) <= {"team"}:
        return _filtered(Span.objects.filter(spans(question.start, question.end)), question)
    return _facts(actor, question, by)


def spans(start: date, end: date) -> Q:
    """Every day of a range once: whole weeks as such, the days around them one by one."""
    first, last = start.toordinal(), end.toordinal()
    monday = first + -(first - 1) % DAYS_A_WEEK  # the first day of the calendar was a Monday
    sunday = last - last % DAYS_A_WEEK
    if monday > sunday:
        return Q(days=1, start__range=(start, end))
    weeks = Q(days=DAYS_A_WEEK, start__range=(date.fromordinal(monday), date.fromordinal(sunday)))
    before, after = (first, monday - 1), (sunday + 1, last)
    edges = [tuple(map(date.fromordinal, edge)) for edge in (before, after) if edge[0] <= edge[1]]
    return reduce(or_, (Q(days=1, start__range=edge) for edge in edges), weeks)


def _sees_all(actor: User) -> bool:
    return rbac.scope(actor, rbac.Permission.USAGE_READ) is rbac.Scope.ALL


def _asked(question: Question, *dimensions: str | None) -> set[str | None]:
    """What a question filters or divides by."""
    return {name for name in DIMENSIONS if getattr(question, name)} | {*dimensions}


def _filtered(rows: QuerySet[Any], question: Question) -> QuerySet[Any]:
    for name, column in DIMENSIONS.items():
        if wanted := getattr(question, name):
            rows = rows.filter(**{f"{column}__in": wanted})
    return rows


class _WholeSum(Sum):
    """PostgreSQL adds whole numbers up to a decimal; as a whole number it is read in a fraction of the time."""

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """What a year's sum is at most, 64 bits hold a thousand times."""
        sql, params = super().as_sql(*args, **kwargs)
        return f"({sql})::bigint", params


def sums() -> dict[str, Any]:
    """Aggregates may not be called like the columns that they add up, so they carry a prefix until figures()."""
    added: dict[str, Any] = {f"sum_{name}": _WholeSum(name, output_field=AS_THEY_COME) for name in COUNTS}
    return added | {"sum_spend": Sum("spend", output_field=AS_THEY_COME)}


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """The figures of a row that was added up with ``sums()``, under their own names."""
    return _figures([row[f"sum_{name}"] for name in FIGURES])


def _figures(added: Sequence[Any]) -> dict[str, Any]:
    """Sums in the order of FIGURES by name; all are whole numbers but the last, the spend."""
    *counts, spend = added
    found: dict[str, Any] = {name: count or 0 for name, count in zip(COUNTS, counts, strict=True)}
    found["spend"] = spend or 0
    found["total_tokens"] = found["prompt_tokens"] + found["completion_tokens"]
    return found


def freshness(question: Question) -> Freshness:
    """When the newest day of the range was last fetched, and which days of it never were."""
    today = datetime.now(UTC).date()
    fetched = dict(
        UsageDay.objects.filter(date__range=(question.start, question.end)).values_list("date", "fetched_at")
    )
    missing = [day for day in question.days() if day not in fetched and day <= today]
    newest = max(fetched, default=None)
    return Freshness(SOURCE, fetched[newest] if newest else None, missing)


def summary(actor: User, question: Question) -> dict[str, Any]:
    """The figures of the whole range."""
    rbac.require(actor, rbac.Permission.USAGE_READ)
    return figures(_facts(actor, question).aggregate(**sums()))


def timeseries(
    actor: User, question: Question, *, metric: str | None = None, group_by: str | None = None
) -> list[dict[str, Any]]:
    """The figures of each day, days without usage as zero; with ``group_by`` one entry a day and group."""
    rbac.require(actor, rbac.Permission.USAGE_READ)
    _known(metric, METRICS, "metric")
    _known(group_by, DIMENSIONS, "group_by")
    grouped = {"group": F(DIMENSIONS[group_by])} if group_by else {}
    rows: Any = (
        _facts(actor, question, group_by).values("date", **grouped).annotate(**sums()).order_by("date", *grouped)
    )
    points = [{name: row[name] for name in ("date", *grouped)} | _chosen(figures(row), metric) for row in rows]
    if group_by:
        return points
    by_day = {point["date"]: point for point in points}
    zero = dict.fromkeys([metric] if metric else METRICS, 0)
    return [by_day.get(day) or {"date": day, **zero} for day in question.days()]


def breakdown(
    actor: User, question: Question, *, by: str, order: str = "spend", limit: int | None = None
) -> list[dict[str, Any]]:
    """The figures of each model, key, team, user or provider, the dearest first; ``name`` is joined at reading.

    ``order`` is the figure that decides what comes first; ``limit`` leaves out what comes after.
    """
    rbac.require(actor, rbac.Permission.USAGE_READ)
    _known(by, DIMENSIONS, "by")
    _known(order, METRICS, "order")
    rows: Any = parts_of(actor, question, by).values(group=F(DIMENSIONS[by])).annotate(**sums())
    tokens = ExpressionWrapper(F("sum_prompt_tokens") + F("sum_completion_tokens"), output_field=AS_THEY_COME)
    highest = (tokens if order == "total_tokens" else F(f"sum_{order}")).desc()
    ordered = _with_names(rows, by).order_by(highest, "-sum_spend", "-sum_requests", "group")
    found = ordered.values_list("group", "name", *(f"sum_{name}" for name in FIGURES))[:limit]
    return [{by: group, "name": name or "", **_figures(added)} for group, name, *added in found]


def days_of_groups(
    actor: User, question: Question, *, by: str, groups: Sequence[Any], metric: str
) -> dict[Any, dict[date, Any]]:
    """One figure of some models, keys, teams, users or providers: group -> day -> value; without days of nothing."""
    rbac.require(actor, rbac.Permission.USAGE_READ)
    column = DIMENSIONS[by]
    rows: Any = _facts(actor, question, by).filter(**{f"{column}__in": groups})
    found: dict[Any, dict[date, Any]] = {group: {} for group in groups}
    for row in rows.values("date", group=F(column)).annotate(**sums()).order_by():
        found[row["group"]][row["date"]] = figures(row)[metric]
    return found


def _with_names(rows: Any, by: str) -> Any:
    """Each group with how it is called today; looked up by its id, after the facts have been added up."""
    sources: dict[str, tuple[type[Model], str]] = {"api_key": (ApiKey, "name"), "team": (Team, "name")}
    sources["user"] = (User, "username")
    if by not in sources:
        return rows.annotate(name=F("group"))
    table, column = sources[by]
    named = table._base_manager.filter(pk=OuterRef(DIMENSIONS[by])).values(column)
    return rows.annotate(name=Subquery(named))


def _known(value: str | None, allowed: Any, field_name: str) -> None:
    if value is not None and value not in allowed:
        message = _("Choose one of: %(allowed)s.") % {"allowed": ", ".join(allowed)}
        raise Invalid(message, field=field_name)


def _chosen(found: dict[str, Any], metric: str | None) -> dict[str, Any]:
    return found if metric is None else {metric: found[metric]}
