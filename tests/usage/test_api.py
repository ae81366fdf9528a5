"""Usage over the API: shapes, freshness, filters, and what a stranger does not see."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.models import ApiKey
from tests.answers import is_moment, is_money, problem_of
from tests.usage.conftest import MISSING, day
from usage.queries import METRICS

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
SUMMARY, SERIES, PARTS = (f"/api/v1/usage/{name}" for name in ("summary", "timeseries", "breakdown"))
RANGE = {"start": str(day(0)), "end": str(day(4))}
FRAME = {"start", "end", "source", "as_of", "missing_days"}


def test_the_summary_is_flat_and_says_where_it_comes_from(api: Api, ada: User, facts: dict[str, ApiKey]) -> None:
    answer = api(ada).get(SUMMARY, RANGE).json()
    assert set(answer) == {*FRAME, *METRICS}
    assert (answer["start"], answer["end"], answer["source"]) == ("2026-03-01", "2026-03-05", "litellm")
    assert is_moment(answer["as_of"])
    assert answer["missing_days"] == [str(MISSING)]
    assert is_money(answer["spend"])
    assert Decimal(answer["spend"]) == Decimal("0.123456789")
    counts = {name: answer[name] for name in METRICS if name != "spend"}
    assert counts == {
        "requests": 50,
        "successful_requests": 40,
        "failed_requests": 10,
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "cached_tokens": 100,
        "total_tokens": 1500,
    }


def test_without_dates_it_is_thirty_days_and_nothing_is_zero_not_absent(api: Api, ada: User) -> None:
    answer = api(ada).get(SUMMARY).json()
    today = datetime.now(UTC).date()
    assert (answer["start"], answer["end"]) == (str(today - timedelta(days=29)), str(today))
    assert (answer["requests"], answer["spend"], answer["as_of"]) == (0, "0.0000000000", None)
    assert len(answer["missing_days"]) == 30


def test_the_series_has_one_entry_a_day(api: Api, ada: User, facts: dict[str, ApiKey]) -> None:
    answer = api(ada).get(SERIES, RANGE).json()
    assert set(answer) == {*FRAME, "results"}
    assert [point["date"] for point in answer["results"]] == [str(day(n)) for n in range(5)]
    assert {frozenset(point) for point in answer["results"]} == {frozenset({"date", "group", *METRICS})}
    spend = api(ada).get(SERIES, RANGE | {"metric": "spend"}).json()["results"]
    assert spend == [{"date": p["date"], "group": None, "spend": p["spend"]} for p in answer["results"]]
    groups = api(ada).get(SERIES, RANGE | {"group_by": "api_key", "metric": "requests"}).json()["results"]
    assert {frozenset(point) for point in groups} == {frozenset({"date", "group", "requests"})}
    assert {point["group"] for point in groups} == {str(facts["one"].pk), str(facts["two"].pk)}


@pytest.mark.parametrize("by", ["model", "api_key", "team", "user", "provider"])
def test_parts_carry_their_id_and_name(api: Api, ann: User, facts: dict[str, ApiKey], by: str) -> None:
    answer = api(ann).get(PARTS, RANGE | {"by": by}).json()
    assert set(answer) == {*FRAME, "results"}
    assert {frozenset(part) for part in answer["results"]} == {frozenset({by, "name", *METRICS})}
    whole = api(ann).get(SUMMARY, RANGE).json()
    for name in METRICS:
        assert sum(Decimal(part[name]) for part in answer["results"]) == Decimal(whole[name])
    assert [Decimal(p["spend"]) for p in answer["results"]] == sorted(
        (Decimal(p["spend"]) for p in answer["results"]), reverse=True
    )


def test_by_is_the_model_unless_said(api: Api, ada: User, facts: dict[str, ApiKey]) -> None:
    asked = [api(ada).get(PARTS, RANGE | extra).json()["results"] for extra in ({}, {"by": "model"})]
    assert asked[0] == asked[1]
    assert [part["model"] for part in asked[0]] == ["gpt-4o", "claude-sonnet"]


def test_the_first_of_the_parts_by_any_figure(api: Api, ann: User, facts: dict[str, ApiKey]) -> None:
    def parts(**asked: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api(ann).get(PARTS, RANGE | {"by": "api_key"} | asked).json()["results"]
        return found

    for metric in METRICS:
        everything = parts(order=metric)
        values = [Decimal(part[metric]) for part in everything]
        assert values == sorted(values, reverse=True)
        assert parts(order=metric, limit=2) == everything[:2]
    assert parts(limit=1000) == parts()


@pytest.mark.parametrize(
    ("field", "sent"), [("limit", "0"), ("limit", "ten"), ("limit", "9" * 30), ("order", "password")]
)
def test_parts_say_what_cannot_be_asked(api: Api, ada: User, field: str, sent: str) -> None:
    (entry,) = problem_of(api(ada).get(PARTS, RANGE | {field: sent}), 422)["errors"]
    assert entry["field"] == field


def test_filters_may_be_repeated(api: Api, ann: User, ada: User, facts: dict[str, ApiKey]) -> None:
    def requests(**filters: Any) -> int:
        return int(api(ann).get(SUMMARY, RANGE | filters).json()["requests"])

    assert requests(api_key=[str(facts["one"].pk), str(facts["eves"].pk)]) == 115
    assert requests(user=str(ada.pk), model=["claude-sonnet", "unheard-of"]) == 15
    assert requests(provider=["anthropic"]) == 15
    assert requests(user="6a3d1e7e-1111-4111-8111-000000000000") == 0


def test_strangers_get_their_own_nothing(api: Api, ada: User, eve: User, facts: dict[str, ApiKey]) -> None:
    for path in (SUMMARY, SERIES, PARTS):
        for foreign in ({"user": str(eve.pk)}, {"api_key": str(facts["eves"].pk)}):
            text = api(ada).get(path, RANGE | foreign).content.decode()
            assert "eve" not in text
            assert str(facts["eves"].pk) not in text
    assert api(ada).get(SUMMARY, RANGE | {"user": str(eve.pk)}).json()["requests"] == 0


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"start": "2026-03-02", "end": "2026-03-01"}, "wrong_order"),
        ({"start": "2020-01-01", "end": "2026-01-01"}, "range_too_long"),
        ({"start": "2020-01-01"}, "range_too_long"),
    ],
)
@pytest.mark.parametrize("path", [SUMMARY, SERIES, PARTS])
def test_ranges_that_make_no_sense_are_422(api: Api, ada: User, path: str, query: dict[str, str], code: str) -> None:
    (entry,) = problem_of(api(ada).get(path, query), 422)["errors"]
    assert (entry["field"], entry["code"]) == ("start", code)
