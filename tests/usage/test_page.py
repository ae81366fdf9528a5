"""The page of usage: what its address asks is what it shows, and wrong questions lose nothing."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from tests.usage.conftest import day, fact
from usage import queries
from usage.forms import days_of
from usage.models import UsageDay
from usage.queries import DIMENSIONS, Question
from usage.services import Fact, replace_day

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
RANGE = f"start={day(0)}&end={day(4)}"
MOST_STATEMENTS = 12


def page_of(client: Client, query: str, status: int = 200, **extra: Any) -> Any:
    """The answer to a query string."""
    response = client.get(f"/usage?{query}", **extra)
    assert response.status_code == status
    return response


def text_of(response: Any) -> str:
    """A page as text."""
    return unescape(response.content.decode())


# --- Ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "today", "first", "last"),
    [
        ("today", "2026-03-15", "2026-03-15", "2026-03-15"),
        ("7", "2026-03-03", "2026-02-25", "2026-03-03"),
        ("90", "2026-03-31", "2026-01-01", "2026-03-31"),
        ("month", "2026-03-01", "2026-03-01", "2026-03-01"),
        ("month", "2026-03-31", "2026-03-01", "2026-03-31"),
        ("last-month", "2026-03-31", "2026-02-01", "2026-02-28"),
        ("last-month", "2026-01-01", "2025-12-01", "2025-12-31"),
        ("last-month", "2028-03-10", "2028-02-01", "2028-02-29"),
    ],
)
def test_named_ranges(name: str, today: str, first: str, last: str) -> None:
    expected = (date.fromisoformat(first), date.fromisoformat(last))
    assert days_of(name, date.fromisoformat(today)) == expected


@pytest.mark.parametrize(
    ("query", "chosen", "days"),
    [
        ("", "30", 30),
        ("range=7", "7", 7),
        ("days=90", "90", 90),
        ("range=today", "today", 1),
        ("range=7&start=&end=", "7", 7),
        ("range=7&start=2026-03-01&end=2026-03-05", "", 5),
        ("end=2026-03-05", "", 30),
    ],
)
def test_two_dates_come_before_a_named_range(
    browser: Browser, ada: User, facts: dict[str, ApiKey], *, query: str, chosen: str, days: int
) -> None:
    context = page_of(browser(ada), query).context
    assert context["range"] == chosen
    assert context["report"].days == days
    if not chosen:
        assert context["report"].question.end == date(2026, 3, 5)


# --- Filters ---------------------------------------------------------------------------------------------------------


def test_trap_36_a_users_page_shows_the_users_own_figures(
    browser: Browser, ada: User, facts: dict[str, ApiKey]
) -> None:
    response = page_of(browser(ada), RANGE)
    assert response.context["report"].whole == queries.summary(ada, Question(day(0), day(4)))
    assert [part.name for part in response.context["report"].parts] == ["gpt-4o", "claude-sonnet"]
    assert "eves" not in text_of(response)
    assert 'name="user"' not in text_of(response)


def test_filters_add_up_with_those_of_the_address(
    browser: Browser, ann: User, ada: User, facts: dict[str, ApiKey]
) -> None:
    for filters in (
        {"model": ["gpt-4o", "unheard-of"]},
        {"provider": ["anthropic"]},
        {"user": [ada.pk]},
        {"user": [ada.pk], "api_key": [facts["two"].pk]},
    ):
        query = "&".join(f"{name}={value}" for name, values in filters.items() for value in values)
        context = page_of(browser(ann), f"{RANGE}&of=everybody&{query}").context
        assert context["report"].whole == queries.summary(ann, Question(day(0), day(4), **filters))
        assert len(context["chips"]) == sum(len(values) for values in filters.values())


def test_a_chip_takes_its_filter_away_and_nothing_else(browser: Browser, ada: User, facts: dict[str, ApiKey]) -> None:
    query = f"{RANGE}&model=gpt-4o&model=claude-sonnet&provider=openai&metric=requests"
    chips = page_of(browser(ada), query).context["chips"]
    assert [(chip.name, chip.words) for chip in chips] == [
        ("model", "gpt-4o"),
        ("model", "claude-sonnet"),
        ("provider", "openai"),
    ]
    left = parse_qs(urlsplit(chips[0].url).query)
    assert left == parse_qs(f"{RANGE}&model=claude-sonnet&provider=openai&metric=requests")


def test_choices_are_what_was_used_less_what_is_chosen(
    browser: Browser, ada: User, ann: User, facts: dict[str, ApiKey]
) -> None:
    def offered(person: User, query: str) -> dict[str, list[str]]:
        adding = page_of(browser(person), f"{RANGE}&{query}").context["adding"]
        return {one.name: [words for _value, words in one.offered] for one in adding}

    mine = {
        "model": ["claude-sonnet", "gpt-4o"],
        "api_key": ["one", "two"],
        "team": ["Default Team"],
        "provider": ["anthropic", "openai"],
    }
    assert offered(ada, "") == mine
    assert offered(ada, "model=gpt-4o")["model"] == ["claude-sonnet"]
    assert offered(ann, "") == {}
    assert offered(ann, "of=everybody") == {
        "model": ["claude-sonnet", "gpt-4o", "unheard-of"],
        "team": ["Default Team"],
        "provider": ["anthropic", "openai"],
    }
    assert offered(ann, f"user={ada.pk}") == mine


def test_people_are_named_as_they_sign_in(browser: Browser, ann: User, ada: User, facts: dict[str, ApiKey]) -> None:
    context = page_of(browser(ann), f"{RANGE}&user=ADA").context
    assert context["report"].question.user == [ada.pk]
    (chip,) = context["chips"]
    assert chip.words == "ada"
    assert "user" not in parse_qs(urlsplit(chip.url).query)


def test_strangers_learn_no_names_from_ids(browser: Browser, eve: User, ada: User, facts: dict[str, ApiKey]) -> None:
    ApiKey.objects.filter(pk=facts["one"].pk).update(name="very-secret-project")
    response = page_of(browser(eve), f"{RANGE}&api_key={facts['one'].pk}&user={ada.pk}&of=everybody")
    assert "very-secret-project" not in text_of(response)
    assert f"unknown ({str(facts['one'].pk)[:8]}…)" in text_of(response)
    assert "Nothing fits these filters" in text_of(response)


# --- Wrong questions -------------------------------------------------------------------------------------------------

WRONG = [
    ("start=2026-03-05&end=2026-03-01", "The start 2026-03-05 lies after the end 2026-03-01."),
    ("start=2020-01-01&end=2026-03-01", "at most 366 are allowed"),
    ("start=tomorrow", "Write the date as YYYY-MM-DD."),
    ("start=0001-01-01&end=0001-01-05", "Nothing is known of the time before 2000-01-01."),
    ("range=nonsense", "“nonsense” is not one of the choices."),
    ("days=31", "“31” is not one of the choices."),
    ("metric=happiness", "“happiness” is not one of the choices."),
    ("by=password", "“password” is not one of the choices."),
    ("api_key=mine", "“mine” is not an id."),
    ("model=a%00b", "This contains a character that cannot be used."),
    ("user=nobody", "Nobody is called “nobody”."),
]


@pytest.mark.parametrize(("query", "words"), WRONG)
def test_a_wrong_question_is_answered_in_words_and_nothing_is_lost(
    browser: Browser, ann: User, facts: dict[str, ApiKey], query: str, words: str
) -> None:
    response = page_of(browser(ann), f"{query}&provider=openai", status=422)
    assert words in text_of(response)
    assert "Nothing is shown until the choice above is right." in text_of(response)
    assert ("provider", "openai") in response.context["kept"]
    assert {name for name, _value in response.context["kept"]} == {"provider"}


@pytest.mark.parametrize(("query", "words"), WRONG)
def test_htmx_gets_the_reason_alone(browser: Browser, ann: User, query: str, words: str) -> None:
    response = page_of(browser(ann), query, status=422, headers={"HX-Request": "true"})
    assert words in text_of(response)
    assert "<html" not in text_of(response)


# --- What is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", list(DIMENSIONS))
@pytest.mark.parametrize("split", ["", "1"])
def test_trap_35_parts_add_up_to_the_figures(
    browser: Browser, ann: User, facts: dict[str, ApiKey], by: str, split: str
) -> None:
    report = page_of(browser(ann), f"{RANGE}&of=everybody&by={by}&split={split}&metric=total_tokens").context["report"]
    assert sum(part.figures["spend"] for part in report.parts) == report.whole["spend"]
    assert sum(part.percent for part in report.parts) == pytest.approx(100)
    assert [figure.now for figure in report.figures] == [
        report.whole[name] for name in ("spend", "requests", "total_tokens", "failed_requests")
    ]
    assert bool(report.trend.legend) == bool(split)


@pytest.mark.parametrize("by", list(DIMENSIONS))
@pytest.mark.parametrize("role", list(Role))
def test_an_address_with_a_division_opens_for_every_role(
    browser: Browser, role: Role, ada: User, facts: dict[str, ApiKey], by: str
) -> None:
    User.objects.filter(pk=ada.pk).update(roles=[role.value])
    ada.refresh_from_db()
    sees_people = role in {Role.ADMIN, Role.ADMIN_READONLY}
    for more in ("", "&split=1&of=everybody"):
        context = page_of(browser(ada), f"{RANGE}&by={by}{more}").context
        assert context["by"] == (by if sees_people or by != "user" else "model")
        assert ("user" in dict(context["parts"])) is sees_people
        assert context["report"].parts


def test_what_does_not_fit_the_list_is_in_its_last_line(browser: Browser, ada: User, facts: dict[str, ApiKey]) -> None:
    digest = facts["one"].secrets.get().digest
    replace_day(day(0), [fact(digest, f"model-{number:02}", number + 1) for number in range(30)])
    report = page_of(browser(ada), f"start={day(0)}&end={day(0)}&split=1").context["report"]
    assert len(report.parts) == 21
    assert report.parts[-1].name == "All others"
    assert report.parts[-1].figures["requests"] == 5 * sum(range(1, 11))
    assert [part.series for part in report.parts[:9]] == [f"s{n}" for n in range(1, 9)] + ["s0"]
    assert sum(part.figures["requests"] for part in report.parts) == report.whole["requests"]


def test_keys_of_one_name_are_told_apart_by_their_owner(browser: Browser, ann: User, facts: dict[str, ApiKey]) -> None:
    ApiKey.objects.update(name="notebook")
    parts = page_of(browser(ann), f"{RANGE}&of=everybody&by=api_key").context["report"].parts
    assert sorted((part.name, part.note) for part in parts) == [
        ("Keys that are not ours", ""),
        ("notebook", "ada"),
        ("notebook", "ada"),
        ("notebook", "eve"),
    ]


def test_trap_32_nothing_is_compared_when_days_are_missing(
    browser: Browser, ada: User, facts: dict[str, ApiKey]
) -> None:
    digest = facts["one"].secrets.get().digest
    for number in range(10, 24):
        replace_day(day(number), [Fact(digest, "gpt-4o", requests=number, spend=Decimal(number))])
    week = f"start={day(17)}&end={day(23)}"
    report = page_of(browser(ada), week).context["report"]
    assert [figure.before for figure in report.figures[:2]] == [Decimal(91), 91]
    assert [band.name for band in report.trend.legend] == ["This period", "The period before"]
    UsageDay.objects.filter(date=day(12)).delete()
    response = page_of(browser(ada), week)
    assert {figure.before for figure in response.context["report"].figures} == {None}
    assert response.context["report"].trend.legend == []
    assert text_of(response).count("Not compared: days are missing") == 4


def test_a_day_that_is_not_over_is_compared_with_nothing(browser: Browser, ada: User, facts: dict[str, ApiKey]) -> None:
    digest, today = facts["one"].secrets.get().digest, datetime.now(UTC).date()
    for ago in range(14):
        spent = Fact(digest, "gpt-4o", requests=1 if ago == 0 else 10 + ago, spend=Decimal(1))
        replace_day(today - timedelta(days=ago), [spent])
    response = page_of(browser(ada), "range=7")
    requests = response.context["report"].figures[1]
    over, before = sum(10 + ago for ago in range(1, 7)), sum(10 + ago for ago in range(7, 13))
    assert (requests.now, requests.compared, requests.before) == (over + 1, over, before)
    assert text_of(response).count("against the 6 days before, without today") == 4
    response = page_of(browser(ada), "range=today")
    assert {figure.before for figure in response.context["report"].figures} == {None}
    assert text_of(response).count("Not compared: today is not over") == 4


def test_the_first_line_says_whose_figures_these_are(browser: Browser, ann: User, facts: dict[str, ApiKey]) -> None:
    for query, whose in (("", True), ("&of=everybody", False), ("&user=ada", False)):
        assert ("What your keys did" in text_of(page_of(browser(ann), RANGE + query))) is whose


def test_days_to_come_are_not_zero(browser: Browser, ada: User, facts: dict[str, ApiKey]) -> None:
    today = datetime.now(UTC).date()
    replace_day(today, [fact(facts["one"].secrets.get().digest, "gpt-4o")])
    end = today + timedelta(days=2)
    slots = page_of(browser(ada), f"start={today}&end={end}").context["report"].trend.slots
    assert [slot.missing for slot in slots] == [False, True, True]


def test_each_chart_has_its_table_and_no_style(browser: Browser, ada: User, facts: dict[str, ApiKey]) -> None:
    text = text_of(page_of(browser(ada), f"start={day(-40)}&end={day(4)}&split=1"))
    assert text.count('<figure class="chart') == text.count("The same as a table") == 2
    assert "style=" not in text
    assert "<td>Not fetched</td>" in text


@pytest.mark.parametrize("person", ["ada", "ann"])
def test_the_files_are_of_the_same_question(
    browser: Browser, ada: User, ann: User, facts: dict[str, ApiKey], person: str
) -> None:
    client = browser({"ada": ada, "ann": ann}[person])
    context = page_of(client, f"{RANGE}&of=everybody&model=gpt-4o&model=claude-sonnet").context
    rows = client.get(f"/api/v1/usage/export?format=csv&{context['export']}").getvalue().decode().splitlines()[1:]
    assert sum(int(row.split(",")[9]) for row in rows) == context["report"].whole["requests"] > 0
    assert (person == "ann") == any("eves" in row for row in rows)


# --- Nothing to show -------------------------------------------------------------------------------------------------


def test_emptiness_says_why(browser: Browser, ada: User, ann: User, facts: dict[str, ApiKey]) -> None:
    for number in range(30, 40):
        replace_day(day(number), [])
    cases = [
        (ann, RANGE, "No usage yet"),
        (ada, f"{RANGE}&model=absent", "Nothing fits these filters"),
        (ada, f"start={day(30)}&end={day(39)}", "there were no calls"),
        (ada, "start=2020-01-01&end=2020-01-31", "These days were never fetched from LiteLLM"),
    ]
    for person, query, words in cases:
        assert words in text_of(page_of(browser(person), query))
    UsageDay.objects.all().delete()
    assert "Nothing has been fetched from LiteLLM yet" in text_of(page_of(browser(ann), "range=7"))


# --- Speed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["", "&split=1", "&of=everybody&by=api_key&split=1", "&of=everybody&by=user", "&model=absent"]
)
def test_trap_37_a_page_is_few_statements_whatever_its_rows_and_days(
    browser: Browser, ann: User, facts: dict[str, ApiKey], query: str
) -> None:
    client = browser(ann)

    def statements(days: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            page_of(client, f"start={day(5 - days)}&end={day(4)}{query}")
        return len(captured)

    few = statements(5)
    assert few <= MOST_STATEMENTS
    for number in range(20):
        key = create_api_key(facts["one"].user, name=f"key {number}", models=["gpt-4o"]).key
        replace_day(day(-number), [fact(key.secrets.get().digest, f"m{number}"), fact("foreign", "gpt-4o")])
    assert statements(200) == few


def test_the_last_day_of_the_calendar_is_a_day_like_others(browser: Browser, ann: User) -> None:
    for last in ("9999-12-31", "9999-12-30", "2000-01-01"):
        page_of(browser(ann), f"?end={last}")
    for table in ("accounts/auditevent/?at_to", "accounts/failedsignin/?at_to", "apikeys/apikey/?created_at_to"):
        assert browser(ann).get(f"/admin/{table}=9999-12-31").status_code == 200
