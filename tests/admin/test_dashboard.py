"""The dashboard: the right figures, what needs somebody first, few statements, and no word to LiteLLM."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from apikeys.upkeep import KeyFigures
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import SyncRun, Upstream
from litemaas.administration.dashboard import same_day_before
from subscriptions.models import Model
from subscriptions.services import create_subscription
from teams.models import Membership, Team
from tests.admin.conftest import restricted
from tests.cast import make_person
from usage.services import Fact, replace_day

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]


def shown(browser: Browser, reader: User) -> tuple[Any, str]:
    """The dashboard's data and text."""
    answer = browser(reader).get(reverse("admin:index"))
    assert answer.status_code == 200
    return answer.context, answer.content.decode()


def test_a_fresh_installation_is_told_what_to_do_first(ann: User, browser: Browser) -> None:
    context, text = shown(browser, ann)
    assert context["is_new"]
    assert "First steps" in text
    assert "LITELLM_API_URL is not set" in text
    assert reverse("admin:accounts_user_add") in text


def test_approvals_are_counted_and_the_oldest_named(
    ada: User, ann: User, models: list[Model], browser: Browser
) -> None:
    restricted(models[0])
    people = [make_person(f"asks{n}") for n in range(7)]
    for person in people:
        create_subscription(person, model=models[0].id)
    context, text = shown(browser, ann)
    assert context["approvals"]["total"] == 7
    assert [row.user for row in context["approvals"]["rows"]] == people[:5]
    assert "First steps" not in text


def test_what_litellm_refuses_is_shown_with_its_reason_and_what_waits_is_counted(
    key: ApiKey, ada: User, ann: User, ro: User, browser: Browser
) -> None:
    for table in (User, Team, Membership, ApiKeySecret):
        table._base_manager.update(sync_status="synced", sync_next_at=None)
    due = timezone.now() + timedelta(seconds=30)
    since = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    waiting = {"sync_status": "pending", "sync_next_at": due, "sync_requested_at": since}
    User.objects.filter(pk=ada.pk).update(**waiting, sync_attempts=4)
    Team.objects.update(
        **waiting | {"sync_requested_at": since + timedelta(hours=1), "sync_next_at": due + timedelta(hours=1)}
    )
    ApiKeySecret.objects.update(sync_status="failed", sync_error="budget is wrong")
    Membership.objects.filter(user=ada).update(sync_status="failed", sync_error="no such team")
    context, text = shown(browser, ann)
    pushes = context["pushes"]
    assert (pushes["failed"], pushes["pending"], pushes["tried"], pushes["next_at"]) == (2, 2, 4, due)
    assert pushes["since"] == since
    assert "The oldest since:" in text
    assert "2026-01-02 03:04" in text
    assert {(failure.page, failure.name, failure.reason) for failure in pushes["failures"]} == {
        ("apikeys_apikey", "notebook", "budget is wrong"),
        ("teams_membership", "ada · Default Team", "no such team"),
    }
    assert reverse("admin:apikeys_apikey_change", args=[key.pk]) in text
    assert reverse("admin:retry") in text
    assert reverse("admin:retry") not in shown(browser, ro)[1]


def test_keys_at_risk_are_counted_by_kind(key: ApiKey, ada: User, ann: User, browser: Browser) -> None:
    now = timezone.now()

    def made(name: str, **facts: Any) -> None:
        issued = create_api_key(ada, name=name, models=["gpt-4o"]).key
        ApiKey.objects.filter(pk=issued.pk).update(**facts)

    ApiKey.objects.update(max_budget=10, spend=Decimal("7.99"), last_used_at=now)
    made("at 80", max_budget=10, spend=8, last_used_at=now)
    made("soon", expires_at=now + timedelta(days=6), last_used_at=now)
    made("later", expires_at=now + timedelta(days=8), last_used_at=now)
    made("free", last_used_at=now)
    made("unused", expires_at=now + timedelta(days=90), last_used_at=None)
    made("ended", max_budget=10, spend=10, status="revoked")
    # A budget of nothing is used up from the beginning: LiteLLM refuses every call.
    made("nothing", max_budget=0, last_used_at=now)
    made("expired", expires_at=now - timedelta(days=1), last_used_at=None)
    context, text = shown(browser, ann)
    bounds = {"active": 7, "over_80": 2, "expiring": 1, "unlimited": 1}
    # Nobody knows which keys were used before that was fetched.
    assert context["keys"] == {**bounds, "unused": None}
    assert "unknown" in text
    KeyFigures.objects.create(as_of=timezone.now())
    context, text = shown(browser, ann)
    assert context["keys"] == {**bounds, "unused": 1}
    assert {key.name for key in context["risky"]} == {"at 80", "nothing", "soon"}
    assert "ended" not in text


def test_spenders_are_people_and_teams_over_80_percent(ada: User, eve: User, ann: User, browser: Browser) -> None:
    User.objects.filter(pk=ada.pk).update(max_budget=10, spend=8)
    User.objects.filter(pk=eve.pk).update(max_budget=10, spend=Decimal("7.9"))
    User.objects.filter(pk=ann.pk).update(max_budget=0)
    Team.objects.update(max_budget=100, spend=99)
    found = {str(entry["row"]) for entry in shown(browser, ann)[0]["spenders"]}
    assert found == {"ada", "ann", "Default Team"}


def test_figures_are_those_of_the_facts(key: ApiKey, ada: User, ann: User, browser: Browser) -> None:
    today = datetime.now(UTC).date()
    before, until = same_day_before(today)
    digest = key.secrets.get().digest

    def used(day: date, spend: str, requests: int, model: str = "gpt-4o") -> None:
        replace_day(day, [Fact(digest, model, requests, requests, spend=Decimal(spend))])

    used(today, "2.50", 10)
    used(before, "1.25", 4)
    used(before - timedelta(days=1), "100", 1000)
    if until + timedelta(days=1) < today.replace(day=1):
        used(until + timedelta(days=1), "50", 500)
    context, _text = shown(browser, ann)
    figures = context["figures"]
    assert figures["today_spend"] == figures["month_spend"] == Decimal("2.50")
    assert figures["today_requests"] == figures["month_requests"] == 10
    assert figures["before_spend"] == Decimal("1.25")
    assert figures["before_requests"] == 4
    assert [(row["name"], row["cost"], row["number"]) for row in context["top_models"]] == [
        ("gpt-4o", Decimal("2.50"), 10)
    ]
    assert [(row["name"], row["number"]) for row in context["top_people"]] == [("ada", 10)]
    assert context["people"] == User.objects.count()
    assert context["models"] == {"all": 3, "available": 3}


def test_the_day_a_month_before_exists() -> None:
    assert same_day_before(date(2026, 3, 31)) == (date(2026, 2, 1), date(2026, 2, 28))
    assert same_day_before(date(2026, 1, 5)) == (date(2025, 12, 1), date(2025, 12, 5))
    assert same_day_before(date(2024, 3, 30)) == (date(2024, 2, 1), date(2024, 2, 29))


def test_the_last_runs_are_told_with_what_they_found(ann: User, models: list[Model], browser: Browser) -> None:
    done = SyncRun.objects.create(
        kind="models", status="done", finished_at=timezone.now(), report={"added": ["a", "b"]}
    )
    failed = SyncRun.objects.create(kind="models", status="failed", error="LiteLLM cannot be reached.")
    context, text = shown(browser, ann)
    entry = next(one for one in context["runs"] if one["kind"] == "models")
    assert (entry["run"], entry["done"]) == (failed, done)
    assert "LiteLLM cannot be reached." in text
    assert "Last success:" in text


def test_an_outage_is_said_and_litellm_is_not_asked(
    ann: User, models: list[Model], litellm: Emulator, browser: Browser
) -> None:
    Upstream.objects.create(id=1, down_since=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    before = len(litellm.calls)
    text = shown(browser, ann)[1]
    assert "LiteLLM has not answered since 2026-01-02 03:04" in text
    assert len(litellm.calls) == before


def test_it_costs_few_statements_however_much_there_is(
    key: ApiKey, ann: User, browser: Browser, django_assert_max_num_queries: Any
) -> None:
    ApiKeySecret.objects.update(sync_status="failed", sync_error="no")
    ApiKey.objects.update(max_budget=1, spend=1)
    client = browser(ann)
    client.get("/admin/")
    with django_assert_max_num_queries(22) as few:
        client.get("/admin/")
    for n in range(20):
        person = make_person(f"p{n}")
        create_subscription(person, model="gpt-4o")
        issued = create_api_key(person, name=f"k{n}", models=["gpt-4o"], max_budget=Decimal(1)).key
        ApiKey.objects.filter(pk=issued.pk).update(spend=1)
    with django_assert_max_num_queries(22) as many:
        client.get("/admin/")
    assert len(few) == len(many)


# --- The catalogue ---------------------------------------------------------------------------------------------------


def test_a_refused_disappearance_is_said_with_the_way_to_decide(ann: User, ro: User, browser: Browser) -> None:
    names = [f"m{n}" for n in range(7)]
    report = {"code": "mass_disappearance", "gone": 7, "available": 9, "refused": names}
    run = SyncRun.objects.create(kind="models", status="failed", report=report, error="7 of 9 are missing.")
    text = shown(browser, ann)[1]
    assert "7 models are missing in LiteLLM's answer. Nothing was hidden." in unescape(text)
    assert "It has never succeeded." in text
    assert "m0, m1, m2, m3, m4, …" in text
    decide = f"/admin/litellm_sync/syncrun/{run.pk}/confirm/"
    assert decide in text
    # Nor does it vanish while it is tried again.
    SyncRun.objects.create(kind="models", status="running")
    assert decide in shown(browser, ann)[1]
    # Whoever only reads sees it, and no button.
    text = shown(browser, ro)[1]
    assert "m0, m1, m2, m3, m4, …" in text
    assert decide not in text


def test_what_does_not_fit_together_is_said_with_the_first_rows(
    key: ApiKey, ann: User, models: list[Model], browser: Browser
) -> None:
    found = {
        "unpriced": {"number": 2, "examples": [["gpt-4o", "gpt-4o"]]},
        "gone": {"number": 0, "examples": []},
        "idle_keys": {"number": 1, "examples": [[str(key.pk), "notebook"]]},
    }
    SyncRun.objects.create(kind="models", status="done", finished_at=timezone.now(), report={"integrity": found})
    text = shown(browser, ann)[1]
    assert "Models without a price" in text
    assert f"/admin/apikeys/apikey/{key.pk}/change/" in text
    assert "Models that are gone and that people" not in text
    listed = browser(ann).get("/admin/subscriptions/model/?problem=unpriced").content.decode()
    assert "gpt-4o" in listed
    assert browser(ann).get("/admin/subscriptions/model/?problem=gone").status_code == 200
