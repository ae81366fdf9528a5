"""Home and usage: what a newcomer, a regular and an administrator see."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from litellm_sync.models import Upstream
from litemaas.portal.templatetags import portal
from subscriptions.models import Model, Subscription
from tests.portal.conftest import Browser
from usage.models import UsageDay


def test_steps_tick_themselves(browser: Browser, ada: User, models: list[Model]) -> None:
    client = browser(ada)
    assert client.get("/").content.decode().count("Done:") == 0
    client.post("/subscriptions/create", {"model": "gpt-4o"})
    assert client.get("/").content.decode().count("Done:") == 1


def test_newcomer_with_a_key_gets_the_call_to_copy(browser: Browser, ada: User, key: ApiKey) -> None:
    page = browser(ada).get("/").content.decode()
    assert page.count("Done:") == 2
    assert "Authorization: Bearer YOUR_KEY" in page
    assert "Requests in 30 days" not in page
    assert "Requests of the last 14 days" not in page


@pytest.mark.usefixtures("used")
def test_regular_sees_the_spend_of_30_days(browser: Browser, ada: User) -> None:
    page = browser(ada).get("/").content.decode()
    assert "Done:" not in page
    assert "$7.50" in page
    assert "42 requests from" in page


def test_keys_that_need_attention_are_named_once(browser: Browser, ada: User, key: ApiKey) -> None:
    page = browser(ada).get("/").content.decode()
    assert "Syncing…" in page
    key.secrets.update(sync_status="synced")
    assert "Keys that need attention" not in browser(ada).get("/").content.decode()
    ApiKey.objects.update(spend=Decimal(9), expires_at=timezone.now() + timedelta(days=2))
    page = browser(ada).get("/").content.decode()
    assert "Over 80 % of budget" in page
    assert "Expires soon" in page
    ApiKey.objects.update(spend=Decimal(10))
    assert "Budget used up" in browser(ada).get("/").content.decode()


def test_what_litellm_refused_comes_first_and_is_not_usable(browser: Browser, ada: User, key: ApiKey) -> None:
    key.secrets.update(sync_status="synced")
    later = create_api_key(ada, name="later", models=["gpt-4o"]).key
    client = browser(ada)
    assert client.get(f"/api-keys/{key.pk}").content.decode().count("Usable now") == 2
    key.secrets.update(sync_status="failed")
    page = client.get(f"/api-keys/{key.pk}").content.decode()
    assert "Usable now" not in page
    assert page.count("Not usable now") == 2
    for address in ("/", "/api-keys?status=attention"):
        shown = client.get(address).content.decode()
        assert shown.index(str(key.pk)) < shown.index(str(later.pk))
    assert "/api-keys?status=attention" in client.get("/").content.decode()


def test_key_without_usage_says_so_in_one_sentence(browser: Browser, ada: User, key: ApiKey) -> None:
    page = browser(ada).get(f"/api-keys/{key.pk}").content.decode()
    assert page.count("Nothing was used in these days.") == 1
    assert "data-plot" not in page


def test_home_says_that_litellm_is_away(browser: Browser, ada: User) -> None:
    Upstream.objects.create(down_since=timezone.now())
    assert "LiteLLM has not answered since" in browser(ada).get("/").content.decode()


@pytest.mark.usefixtures("used")
def test_usage_compares_with_the_days_before(browser: Browser, ada: User) -> None:
    client = browser(ada)
    week = client.get("/usage?days=7").content.decode()
    assert "$1.75" in week
    assert week.count("± 0 %") == 4
    # Ninety days before the last ninety nothing was fetched, so there is nothing to compare with.
    quarter = client.get("/usage?days=90&metric=requests").content.decode()
    assert quarter.count("Not compared: days are missing") == 4
    assert "30 days of this range were never fetched" in quarter


@pytest.mark.usefixtures("used")
def test_rise_from_nothing_is_not_a_percentage(browser: Browser, ada: User, eve: User) -> None:
    today = datetime.now(UTC).date()
    for days in range(60, 181):
        UsageDay.objects.create(date=today - timedelta(days=days), fetched_at=timezone.now())
    page = browser(ada).get("/usage?days=90").content.decode()
    assert page.count(f"<span>{portal.NOTHING}</span> against the 89 days before, without today") == 4
    assert "Not compared: days are missing" not in page
    assert "No usage yet" in browser(eve).get("/usage").content.decode()


@pytest.mark.usefixtures("used")
def test_usage_of_others_is_for_administrators(browser: Browser, eve: User, ann: User) -> None:
    assert "$7.50" not in browser(eve).get("/usage?of=everybody").content.decode()
    assert "$7.50" not in browser(ann).get("/usage").content.decode()
    assert "$7.50" in browser(ann).get("/usage?of=everybody").content.decode()


def test_usage_without_any_fetch_says_so(browser: Browser, ada: User, subscribed: list[Subscription]) -> None:
    page = browser(ada).get("/usage").content.decode()
    assert "Nothing has been fetched from LiteLLM yet." in page
    assert "Nothing has been fetched from LiteLLM yet</h2>" in page
