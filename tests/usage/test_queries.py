"""The questions: every way of asking gives the same totals, and each asker's own."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from apikeys.models import ApiKey
from litemaas.foundation.errors import Invalid, NotAuthenticated
from teams.models import DEFAULT_TEAM_ID
from tests.usage.conftest import MISSING, day, fact
from usage import queries
from usage.export import export
from usage.models import DailyTotal, DailyUsage, Span, UsageDay
from usage.queries import DIMENSIONS, METRICS, Question
from usage.services import rebuild_totals, replace_day

pytestmark = pytest.mark.django_db

WHOLE = Question(day(0), day(4))
SPEND = Decimal("0.0123456789")


def figures(scale: int) -> dict[str, Any]:
    """What ``fact(…, scale)`` adds up to."""
    counts = {"requests": 5, "successful_requests": 4, "failed_requests": 1, "prompt_tokens": 100}
    counts |= {"completion_tokens": 50, "cached_tokens": 10, "total_tokens": 150}
    return {name: value * scale for name, value in counts.items()} | {"spend": SPEND * scale}


def added(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of rows, figure by figure."""
    return {name: sum(row[name] for row in rows) for name in METRICS}


# --- Totals ----------------------------------------------------------------------------------------------------------


def test_everybody_sees_ones_own_and_administrators_all(
    facts: dict[str, ApiKey], ada: User, eve: User, ann: User, ro: User
) -> None:
    assert queries.summary(ada, WHOLE) == figures(2 + 3 + 1 + 4)
    assert queries.summary(eve, WHOLE) == figures(7 + 11)
    assert queries.summary(ann, WHOLE) == queries.summary(ro, WHOLE) == figures(10 + 18 + 2)


def test_nobody_sees_nothing(facts: dict[str, ApiKey], ada: User) -> None:
    ada.is_active = False
    for actor in (AnonymousUser(), ada):
        for ask in (
            lambda who: queries.summary(who, WHOLE),
            lambda who: queries.timeseries(who, WHOLE),
            lambda who: queries.breakdown(who, WHOLE, by="model"),
        ):
            with pytest.raises(NotAuthenticated):
                ask(actor)


def test_asking_for_somebody_elses_gives_nothing(facts: dict[str, ApiKey], ada: User, eve: User) -> None:
    wishes: list[dict[str, Any]] = [{"user": [eve.pk]}, {"api_key": [facts["eves"].pk]}]
    for foreign in wishes:
        question = Question(day(0), day(4), **foreign)
        assert queries.summary(ada, question) == figures(0)
        assert queries.breakdown(ada, question, by="user") == []
    assert queries.summary(ada, Question(day(0), day(4), team=[DEFAULT_TEAM_ID])) == figures(10)


FILTERS: list[dict[str, Any]] = [
    {},
    {"model": ["gpt-4o"]},
    {"model": ["gpt-4o", "claude-sonnet"]},
    {"provider": ["anthropic"]},
    {"provider": [""]},
    {"model": ["unheard-of"]},
    {"team": [DEFAULT_TEAM_ID]},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("who", ["ada", "ann"])
def test_trap_35_every_way_of_asking_gives_the_same_totals(
    facts: dict[str, ApiKey], ada: User, ann: User, who: str, filters: dict[str, Any]
) -> None:
    actor, question = {"ada": ada, "ann": ann}[who], Question(day(0), day(4), **filters)
    whole = queries.summary(actor, question)
    assert added(queries.timeseries(actor, question)) == whole
    for dimension in DIMENSIONS:
        assert added(queries.breakdown(actor, question, by=dimension)) == whole
        assert added(queries.timeseries(actor, question, group_by=dimension)) == whole
    days = [Question(day(n), day(n), **filters) for n in range(5)]
    assert added([queries.summary(actor, one) for one in days]) == whole


POSSIBLE: dict[str, list[Any]] = {
    "model": ["gpt-4o", "claude-sonnet", "unheard-of", "absent"],
    "provider": ["openai", "anthropic", ""],
    "team": [DEFAULT_TEAM_ID],
}


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_trap_35_whatever_is_asked_summary_series_parts_and_export_agree(
    facts: dict[str, ApiKey], ada: User, eve: User, ann: User, data: st.DataObject
) -> None:
    possible = POSSIBLE | {"user": [ada.pk, eve.pk], "api_key": [key.pk for key in facts.values()]}
    filters = {
        name: data.draw(st.lists(st.sampled_from(values), max_size=2, unique=True), label=name)
        for name, values in possible.items()
    }
    first, last = sorted(data.draw(st.tuples(st.integers(-8, 15), st.integers(-8, 15)), label="days"))
    actor = data.draw(st.sampled_from([ada, ann]), label="actor")
    question = Question(day(first), day(last), **filters)
    whole = queries.summary(actor, question)
    assert added(queries.timeseries(actor, question)) == whole
    for dimension in DIMENSIONS:
        parts = queries.breakdown(actor, question, by=dimension)
        assert added(parts) == whole
        groups = [part[dimension] for part in parts if part[dimension] is not None]
        days = queries.days_of_groups(actor, question, by=dimension, groups=groups, metric="spend")
        named = [part for part in parts if part[dimension] is not None]
        assert {part[dimension]: part["spend"] for part in named} == {g: sum(v.values()) for g, v in days.items()}
    rows = list(csv.DictReader(b"".join(export(actor, question, file_format="csv")).decode().splitlines()))
    assert {name: sum(Decimal(row[name]) for row in rows) for name in METRICS} == whole
    assert json.loads(b"".join(export(actor, question, file_format="json")))["results"] == [
        {name: (int(row[name]) if name in METRICS and name != "spend" else row[name] or None) for name in row}
        | {name: row[name] for name in ("model", "provider")}
        for row in rows
    ]


@pytest.mark.parametrize("filters", [{}, {"model": ["gpt-4o"]}, {"provider": ["anthropic", ""]}], ids=str)
def test_trap_35_ready_sums_and_facts_give_the_same_answers(
    facts: dict[str, ApiKey], ann: User, ada: User, eve: User, filters: dict[str, Any]
) -> None:
    question = Question(day(0), day(4), **filters)
    named = Question(day(0), day(4), **filters, api_key=[key.pk for key in facts.values()])
    DailyUsage.objects.filter(api_key=None).delete()
    for number in range(5):
        rebuild_totals(day(number), day(number))
    assert queries.facts_of(ann, question).model is DailyTotal
    assert queries.facts_of(ann, named).model is DailyUsage
    assert queries.summary(ann, question) == queries.summary(ann, named)
    assert queries.timeseries(ann, question) == queries.timeseries(ann, named)
    for by in ("model", "provider"):
        assert queries.breakdown(ann, question, by=by) == queries.breakdown(ann, named, by=by)


def test_ready_sums_answer_only_questions_about_everybody(facts: dict[str, ApiKey], ada: User, ro: User) -> None:
    assert queries.facts_of(ada, WHOLE).model is DailyUsage
    assert queries.facts_of(ro, WHOLE).model is DailyTotal
    for whose in ("api_key", "team", "user"):
        assert queries.facts_of(ro, WHOLE, whose).model is DailyUsage


def test_whole_weeks_come_ready_made_and_the_days_around_them_from_the_facts(
    facts: dict[str, ApiKey], ann: User, ada: User
) -> None:
    monday = day(1)
    assert monday.weekday() == 0
    for start, end in ((day(0), day(7)), (day(1), day(7)), (day(1), day(9)), (day(-6), day(8))):
        asked = Question(start, end)
        for by in ("api_key", "team", "user"):
            assert queries.parts_of(ann, asked, by).model is Span
            assert queries.breakdown(ann, asked, by=by) == _from_facts(ann, asked, by)
    # Days alone are asked for where there is no whole week; names and models are asked of the facts.
    assert not queries.parts_of(ann, Question(day(1), day(6)), "user").filter(days=7).exists()
    assert queries.parts_of(ann, Question(day(1), day(7)), "user").filter(days=7).exists()
    for question in (Question(day(0), day(9), model=["gpt-4o"]), Question(day(0), day(9), user=[ada.pk])):
        assert queries.parts_of(ann, question, "user").model is DailyUsage
    assert queries.parts_of(ada, Question(day(0), day(9)), "user").model is DailyUsage


def _from_facts(actor: User, question: Question, by: str) -> list[dict[str, Any]]:
    """The same, but of everybody who is named, so that it is answered by the facts, and of nobody else."""
    days = [Question(one, one) for one in question.days()]
    added_up: dict[Any, dict[str, Any]] = {}
    for one in days:  # a day alone is no week
        for part in queries.breakdown(actor, one, by=by):
            sums = added_up.setdefault(part[by], part | dict.fromkeys(METRICS, 0))
            sums |= {name: sums[name] + part[name] for name in METRICS}
    return sorted(added_up.values(), key=lambda part: (-part["spend"], -part["requests"], str(part[by])))


def test_the_ends_of_the_calendar_have_weeks_too(db: None) -> None:
    """Nothing before the first day and after the last is asked for, which no database could answer."""
    for start, end in ((date.min, date.min + timedelta(days=20)), (date.max - timedelta(days=20), date.max)):
        assert Span.objects.filter(queries.spans(start, end)).count() == 0
    assert Span.objects.filter(queries.spans(date.max, date.max)).count() == 0
    assert Span.objects.filter(queries.spans(date.min, date.min)).count() == 0


@pytest.mark.parametrize("metric", METRICS)
def test_parts_come_in_the_order_of_any_figure_and_may_be_cut_off(
    facts: dict[str, ApiKey], ann: User, metric: str
) -> None:
    parts = queries.breakdown(ann, WHOLE, by="user", order=metric)
    assert [part[metric] for part in parts] == sorted((part[metric] for part in parts), reverse=True)
    assert queries.breakdown(ann, WHOLE, by="user", order=metric, limit=1) == parts[:1]


def test_filters_of_each_dimension(facts: dict[str, ApiKey], ann: User, ada: User, eve: User) -> None:
    expected: list[tuple[dict[str, Any], int]] = [
        ({"model": ["gpt-4o"]}, 2 + 7 + 1 + 1 + 4 + 11),
        ({"model": ["claude-sonnet"]}, 3),
        ({"api_key": [facts["one"].pk]}, 5),
        ({"api_key": [facts["one"].pk, facts["eves"].pk]}, 23),
        ({"user": [ada.pk]}, 10),
        ({"user": [ada.pk], "model": ["claude-sonnet"]}, 3),
        ({"user": [eve.pk], "model": ["claude-sonnet"]}, 0),
        ({"team": [DEFAULT_TEAM_ID]}, 28),
        ({"provider": ["anthropic"]}, 3),
        ({"provider": ["openai", "anthropic"]}, 29),
    ]
    for filters, scale in expected:
        assert queries.summary(ann, Question(day(0), day(4), **filters)) == figures(scale), filters


def test_dates_are_inclusive_on_both_sides(facts: dict[str, ApiKey], ada: User) -> None:
    assert queries.summary(ada, Question(day(0), day(0))) == figures(2)
    assert queries.summary(ada, Question(day(1), day(4))) == figures(8)
    assert queries.summary(ada, Question(day(2), day(3))) == figures(0)


# --- Series and parts ------------------------------------------------------------------------------------------------


def test_a_series_has_every_day_once(facts: dict[str, ApiKey], ada: User) -> None:
    points = queries.timeseries(ada, WHOLE)
    assert points == [{"date": day(n)} | figures(scale) for n, scale in enumerate((2, 4, 0, 0, 4))]
    spend = queries.timeseries(ada, WHOLE, metric="spend")
    assert spend == [{"date": point["date"], "spend": point["spend"]} for point in points]


def test_a_series_by_group_has_each_group_of_each_day(facts: dict[str, ApiKey], ada: User) -> None:
    points = queries.timeseries(ada, WHOLE, group_by="model", metric="requests")
    assert points == [
        {"date": day(0), "group": "gpt-4o", "requests": 10},
        {"date": day(1), "group": "claude-sonnet", "requests": 15},
        {"date": day(1), "group": "gpt-4o", "requests": 5},
        {"date": day(4), "group": "gpt-4o", "requests": 20},
    ]


def test_parts_are_named_and_the_dearest_comes_first(facts: dict[str, ApiKey], ann: User, ada: User, eve: User) -> None:
    keys = queries.breakdown(ann, WHOLE, by="api_key")
    found = [(part["name"], part["requests"]) for part in keys]
    assert (found[0], sorted(found[1:3]), found[3]) == (("eves", 90), [("one", 25), ("two", 25)], ("", 10))
    assert queries.breakdown(ann, WHOLE, by="user") == [
        {"user": eve.pk, "name": "eve"} | figures(18),
        {"user": ada.pk, "name": "ada"} | figures(10),
        {"user": None, "name": ""} | figures(2),
    ]
    assert [part["name"] for part in queries.breakdown(ann, WHOLE, by="provider")] == ["openai", "anthropic", ""]
    assert queries.breakdown(ann, WHOLE, by="team")[0]["name"] == "Default Team"


def test_trap_33_names_are_joined_when_somebody_reads(facts: dict[str, ApiKey], ada: User) -> None:
    ApiKey.objects.filter(name="one").update(name="renamed", deleted_at=datetime.now(UTC), status="revoked")
    assert {part["name"] for part in queries.breakdown(ada, WHOLE, by="api_key")} == {"renamed", "two"}


@pytest.mark.parametrize(
    "ask",
    [
        lambda who: queries.breakdown(who, WHOLE, by="password"),
        lambda who: queries.timeseries(who, WHOLE, metric="happiness"),
        lambda who: queries.timeseries(who, WHOLE, group_by="user__password"),
    ],
)
def test_dimensions_and_metrics_are_known_ones(ask: Any, ada: User) -> None:
    with pytest.raises(Invalid):
        ask(ada)


# --- Ranges and freshness --------------------------------------------------------------------------------------------


def test_without_dates_it_is_the_last_thirty_days_today_included(db: None) -> None:
    today = datetime.now(UTC).date()
    asked = Question.of()
    assert (asked.start, asked.end, len(asked.days())) == (today - timedelta(days=29), today, 30)
    assert Question.of(end=day(4)) == Question(day(4) - timedelta(days=29), day(4))
    assert Question.of(start=today) == Question(today, today)
    tomorrow = today + timedelta(days=1)
    assert Question.of(start=tomorrow) == Question(tomorrow, tomorrow)
    assert Question.of(end=date.min) == Question(date.min, date.min)


def test_ranges_are_in_order_and_a_year_at_most(db: None) -> None:
    assert len(Question.of(start=date(2024, 1, 1), end=date(2024, 12, 31)).days()) == 366
    for start, end, code in ((day(1), day(0), "wrong_order"), (day(0), day(366), "range_too_long")):
        with pytest.raises(Invalid) as caught:
            Question.of(start=start, end=end)
        assert (caught.value.code, caught.value.details) == (code, {"field": "start"})


def test_the_previous_question_is_about_as_many_days_just_before(db: None) -> None:
    asked = Question(day(3), day(4), model=["gpt-4o"])
    assert asked.previous() == Question(day(1), day(2), model=["gpt-4o"])
    assert asked.previous().previous().end == day(0)
    assert Question(day(0), day(0)).previous() == Question(day(-1), day(-1))


def test_trap_32_days_that_were_never_fetched_are_named(facts: dict[str, ApiKey]) -> None:
    fresh = queries.freshness(WHOLE)
    newest = UsageDay.objects.get(date=day(4)).fetched_at
    assert (fresh.source, fresh.as_of, fresh.missing_days) == ("litellm", newest, [MISSING])
    before = queries.freshness(WHOLE.previous())
    assert (before.as_of, before.missing_days) == (None, WHOLE.previous().days())
    today = datetime.now(UTC).date()
    ahead = queries.freshness(Question(today, today + timedelta(days=3)))
    assert ahead.missing_days == [today]  # what has not come cannot be missing


# --- Cost ------------------------------------------------------------------------------------------------------------


def test_trap_37_a_year_costs_as_many_statements_as_a_day(facts: dict[str, ApiKey], ann: User) -> None:
    def statements(question: Question) -> list[int]:
        counts = []
        asks: list[Any] = [
            lambda: queries.summary(ann, question),
            lambda: queries.timeseries(ann, question),
            lambda: queries.timeseries(ann, question, group_by="api_key"),
            lambda: queries.freshness(question),
            *(lambda by=by: queries.breakdown(ann, question, by=by) for by in DIMENSIONS),
        ]
        for ask in asks:
            with CaptureQueriesContext(connection) as seen:
                ask()
            counts.append(len(seen))
        return counts

    one_day = statements(Question(day(0), day(0)))
    for n in range(5, 40):
        replace_day(day(n), [fact(f"t{n}", "m")])
    assert statements(Question(day(0), day(365))) == one_day == [1] * 9
    assert DailyUsage.objects.count() > 30
