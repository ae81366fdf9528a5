"""The questions that are asked of the facts; each is one aggregate over an index."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import F, QuerySet, Sum
from django.utils.translation import gettext as _

from accounts import rbac
from accounts.models import User
from apikeys.models import ApiKey
from litemaas.foundation import validators
from litemaas.foundation.errors import Invalid
from teams.models import Team
from usage.models import DailyTotal, DailyUsage, UsageDay
from usage.services import FIGURES

DEFAULT_DAYS = 30
LONGEST_DAYS = 366
METRICS = (*FIGURES, "total_tokens")
# Dimension -> the column that it groups by.
DIMENSIONS = {"model": "model", "api_key": "api_key_id", "team": "team_id", "user": "user_id", "provider": "provider"}
# What the ready sums of a day do not know.
WHOSE = frozenset({"api_key", "team", "user"})
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
    asked = {name for name in DIMENSIONS if getattr(question, name)} | {*dimensions}
    everybody = rbac.scope(actor, rbac.Permission.USAGE_READ) is rbac.Scope.ALL
    rows: QuerySet[Any] = (
        DailyTotal.objects.all() if everybody and not asked & WHOSE else DailyUsage.objects.visible_to(actor)
    )
    for name, column in DIMENSIONS.items():
        if wanted := getattr(question, name):
            rows = rows.filter(**{f"{column}__in": wanted})
    return rows


def _facts(actor: User, question: Question, *dimensions: str | None) -> QuerySet[Any]:
    return facts_of(actor, question, *dimensions).filter(date__range=(question.start, question.end))


def sums() -> dict[str, Any]:
    """Aggregates may not be called like the columns that they add up, so they carry a prefix until figures()."""
    return {f"sum_{name}": Sum(name) for name in FIGURES}


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """The figures of a row that was added up with ``sums()``, under their own names."""
    found = {name: row[f"sum_{name}"] or 0 for name in FIGURES}
    return found | {"total_tokens": found["prompt_tokens"] + found["completion_tokens"]}


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
    rows: Any = _facts(actor, question, by).values(group=F(DIMENSIONS[by])).annotate(**sums())
    tokens = F("sum_prompt_tokens") + F("sum_completion_tokens")
    highest = (tokens if order == "total_tokens" else F(f"sum_{order}")).desc()
    found = list(rows.order_by(highest, "-sum_spend", "-sum_requests", "group")[:limit])
    names = _names(by, [row["group"] for row in found])
    return [{by: row["group"], "name": name, **figures(row)} for row, name in zip(found, names, strict=True)]


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


def _names(by: str, ids: list[Any]) -> list[str]:
    sources = {"api_key": (ApiKey, "name"), "team": (Team, "name"), "user": (User, "username")}
    if by not in sources:
        return [str(value) for value in ids]
    table, column = sources[by]
    known = dict(table._base_manager.filter(pk__in=ids).values_list("pk", column))
    return [known.get(pk, "") for pk in ids]


def _known(value: str | None, allowed: Any, field_name: str) -> None:
    if value is not None and value not in allowed:
        message = _("Choose one of: %(allowed)s.") % {"allowed": ", ".join(allowed)}
        raise Invalid(message, field=field_name)


def _chosen(found: dict[str, Any], metric: str | None) -> dict[str, Any]:
    return found if metric is None else {metric: found[metric]}
