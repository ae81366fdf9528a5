"""What all pages share: navigation, banner, sign-in after a session has ended, and how much a page weighs."""

import gzip
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import BrowserSession, User
from apikeys.models import ApiKey
from litellm_sync.models import Upstream
from litemaas.portal import context
from subscriptions.models import Model, Subscription
from tests.portal.conftest import Browser

ENDED = "Your session has ended; sign in to go on."
KILOBYTES = 1000
urlpatterns: list[Any] = []  # filled by the one test that needs more addresses than there are


def body(response: Any) -> str:
    """The text of a page."""
    return str(response.content.decode())


# --- Navigation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("person", "address"), [("ada", None), ("ro", "/admin/"), ("ann", "/admin/")])
def test_administration_is_offered_to_administrators(
    person: str, address: str | None, request: pytest.FixtureRequest
) -> None:
    assert context.administration(request.getfixturevalue(person)) == address


def test_navigation_says_where_one_is_and_folds_without_scripts(browser: Browser, ada: User) -> None:
    page = body(browser(ada).get("/usage"))
    assert len(re.findall(r'href="/usage" aria-current="page"', page)) == 2  # beside the page, and folded on phones
    assert re.search(r'<details class="menu nav-fold">.*?<nav .*?href="/usage"', page, re.DOTALL)
    assert '<a class="skip" href="#main">' in page
    assert '<main id="main"' in page
    assert reverse("profile") in page


# --- LiteLLM is away -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["/", "/models", "/usage", "/profile"])
def test_every_page_says_that_litellm_is_away(url: str, browser: Browser, ada: User) -> None:
    client = browser(ada)
    assert "LiteLLM has not answered" not in body(client.get(url))
    upstream = Upstream.objects.create(down_since=timezone.now())
    assert "LiteLLM has not answered since" in body(client.get(url))
    upstream.down_since = None
    upstream.save()
    assert "LiteLLM has not answered" not in body(client.get(url))


def test_asking_for_it_costs_one_look_up_and_pages_for_nobody_nothing(browser: Browser, ada: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        browser(ada).get("/profile/activity")
    asked = [query["sql"] for query in captured if "litellm_sync_upstream" in query["sql"]]
    assert len(asked) == 1
    assert "WHERE" in asked[0]
    with CaptureQueriesContext(connection) as captured:
        assert browser(None).get("/sign-in").status_code == 200
    assert len(captured) == 0


# --- Sign-in ---------------------------------------------------------------------------------------------------------


def test_a_session_that_ended_here_is_said_once(browser: Browser, ada: User) -> None:
    client = browser(ada)
    assert client.get("/usage").status_code == 200
    BrowserSession.objects.all().delete()
    response = client.get("/usage?days=7")
    assert response["Location"] == "/sign-in?next=%2Fusage%3Fdays%3D7"
    assert ENDED in body(client.get(response["Location"]))
    assert ENDED not in body(client.get(response["Location"]))


def test_a_session_whose_cookie_the_browser_has_dropped_is_said_too(browser: Browser, ada: User, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = True
    client = browser(None)
    client.post("/sign-in", {"username": "ada", "password": "ada"})
    del client.cookies[settings.SESSION_COOKIE_NAME]  # it has the session's own age
    assert ENDED in body(client.get("/usage", follow=True))


def test_who_was_never_here_or_left_is_told_nothing(browser: Browser, ada: User, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = True
    assert ENDED not in body(browser(None).get("/usage", follow=True))
    client = browser(None)
    client.post("/sign-in", {"username": "ada", "password": "ada"})
    client.post("/sign-out")
    assert ENDED not in body(client.get("/usage", follow=True))


def test_sign_in_page_helps_those_without_access(browser: Browser, db: None, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = True
    page = body(browser(None).get("/sign-in"))
    assert "LiteMaaS" in page
    assert "No account yet" in page
    settings.PASSWORD_SIGN_IN = False
    page = body(browser(None).get("/sign-in"))
    assert "No account yet" not in page
    assert "Ask an administrator how to sign in." in page


# --- Home ------------------------------------------------------------------------------------------------------------


def test_requests_that_wait_are_named_and_counted_for_administrators(
    browser: Browser, ada: User, ann: User, models: list[Model]
) -> None:
    assert "Waiting for approval" not in body(browser(ada).get("/"))
    Model.objects.filter(pk="gpt-4o").update(restricted=True)
    browser(ada).post("/subscriptions/create", {"model": "gpt-4o"})
    mine, theirs = body(browser(ada).get("/")), body(browser(ann).get("/"))
    assert "Waiting for approval" in mine
    assert "waits for an administrator" not in mine
    assert "1 request for a model waits for an administrator." in theirs
    assert "Waiting for approval" not in theirs


def test_home_shows_spend_against_budget_with_the_day_it_starts_again(
    browser: Browser, ada: User, key: ApiKey, subscribed: list[Subscription]
) -> None:
    resets = timezone.now() + timedelta(days=2, hours=1)
    ApiKey.objects.update(spend=4, budget_resets_at=resets, last_used_at=timezone.now())
    ApiKey.objects.create(user=ada, team=key.team, name="nothing allowed", max_budget=0)
    page = re.sub(r"<[^>]+>", "", body(browser(ada).get("/")))
    assert "$4.00 of $10.00" in page
    assert f"Starts again {resets:%Y-%m-%d}" in page
    assert "Does not start again by itself." in page


def test_who_may_not_subscribe_is_shown_no_steps(browser: Browser, ro: User) -> None:
    page = body(browser(ro).get("/"))
    assert "Pick a model" not in page
    assert reverse("api-key-create") not in page
    assert "/usage?of=everybody" in page


# --- Weight ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["/", "/models", "/usage", "/profile", "/api-keys/create"])
def test_style_and_scripts_of_a_page_weigh_less_than_60_kb(url: str, browser: Browser, ada: User) -> None:
    page = body(browser(ada).get(url))
    files = re.findall(r'<link rel="stylesheet" href="/static/([^"]+)"', page)
    files += re.findall(r'<script src="/static/([^"]+)"', page)
    assert {name.rpartition("/")[2] for name in files} >= {"litemaas.css", "portal.js"}
    assert any("htmx" in name for name in files)
    weights = {}
    for name in files:
        found = finders.find(name)
        assert isinstance(found, str), name
        with open(found, "rb") as file:  # noqa: PTH123 -- a path of the finders'
            weights[name] = len(gzip.compress(file.read()))
    assert sum(weights.values()) < 60 * KILOBYTES, weights
