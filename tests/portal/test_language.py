"""In which language and time zone pages speak: the order of what decides, the switch, numbers, dates."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import AuditEvent, User
from accounts.services import update_profile
from apikeys.models import ApiKey
from litellm_sync.models import Upstream
from litemaas.foundation import preferences
from litemaas.portal.templatetags import portal
from subscriptions.models import Subscription
from tests.portal.conftest import Browser, pages_of
from usage.models import UsageDay

GERMAN = {"accept-language": "fr;q=0.9, de-AT;q=0.8, en;q=0.5"}
ENGLISH = {"accept-language": "en"}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """What a page activates stays with the thread until the next request; a test is none."""
    with translation.override("en"), timezone.override(UTC):
        yield


def language_of(response: Any) -> str:
    """What the page says about itself."""
    found = re.search(r'<html lang="([^"]+)"', response.content.decode())
    assert found
    assert response["Content-Language"] == found[1]
    return found[1]


# --- Who decides -----------------------------------------------------------------------------------------------------


def test_the_saved_language_goes_before_the_cookie_and_the_cookie_before_the_browser(
    browser: Browser, ada: User
) -> None:
    client = browser(ada)
    assert language_of(client.get("/", headers=ENGLISH)) == "en"
    assert language_of(client.get("/", headers=GERMAN)) == "de"
    assert language_of(client.get("/", headers={"accept-language": "fr"})) == "en"
    client.cookies["language"] = "en"
    assert language_of(client.get("/", headers=GERMAN)) == "en"
    update_profile(ada, language="de")
    assert language_of(client.get("/", headers=ENGLISH)) == "de"
    client.cookies["language"] = "tlh"
    update_profile(ada, language="")
    assert language_of(client.get("/", headers=GERMAN)) == "de"


def test_one_persons_language_does_not_stay_for_the_next(browser: Browser, ada: User, eve: User) -> None:
    update_profile(ada, language="de", time_zone="Asia/Tokyo")
    assert "Asia/Tokyo" in browser(ada).get("/usage").content.decode()
    response = browser(eve).get("/profile", headers=ENGLISH)
    assert language_of(response) == "en"
    assert "Times are UTC." in response.content.decode()


def test_a_saved_language_that_is_no_more_falls_back(browser: Browser, ada: User) -> None:
    User.objects.update(language="tlh", time_zone="Mars/Olympus")
    response = browser(ada).get("/profile", headers=GERMAN)
    assert response.status_code == 200
    assert language_of(response) == "de"


# --- The switch ------------------------------------------------------------------------------------------------------


def switch_on(client: Client, path: str) -> dict[str, str]:
    """Where the switch of a page sends, and what it carries; as a browser without scripts sees it."""
    page = client.get(path, headers=ENGLISH).content.decode()
    form = re.search(r'<form [^>]*action="([^"]+)" data-back-here.*?</form>', page, re.DOTALL)
    assert form
    assert re.findall(r'name="language" value="(\w+)"', form[0]) == ["en", "de"]
    following = re.search(r'name="next" value="([^"]+)"', form[0])
    assert following
    assert "csrfmiddlewaretoken" in form[0]
    return {"action": form[1], "next": following[1]}


def test_the_switch_saves_ones_language_and_comes_back(browser: Browser, ada: User) -> None:
    client = browser(ada)
    found = switch_on(client, "/models?q=gpt")
    assert found == {"action": reverse("profile-language"), "next": "/models?q=gpt"}
    response = client.post(found["action"], {"language": "de", "next": found["next"]})
    assert response["Location"] == "/models?q=gpt"
    ada.refresh_from_db()
    assert ada.language == "de"
    assert AuditEvent.objects.filter(action="profile.changed", actor_id=ada.pk).count() == 1
    assert language_of(client.get("/models", headers=ENGLISH)) == "de"
    # Pages that know nobody follow, errors too.
    assert language_of(client.get("/nothing-here", headers=ENGLISH)) == "de"


def test_the_sign_in_page_has_the_switch_and_keeps_it_in_a_cookie(browser: Browser, db: None) -> None:
    client = browser(None)
    found = switch_on(client, "/sign-in?next=/usage")
    assert found == {"action": reverse("language"), "next": "/sign-in?next=/usage"}
    response = client.post(found["action"], {"language": "de", "next": found["next"]})
    assert response["Location"] == "/sign-in?next=/usage"
    assert response.cookies["language"]["samesite"] == "Lax"
    assert language_of(client.get("/sign-in", headers=ENGLISH)) == "de"


def test_a_reader_who_may_change_nothing_still_reads_in_the_language_of_the_switch(browser: Browser, ro: User) -> None:
    client = browser(ro)
    found = switch_on(client, "/usage")
    assert found["action"] == reverse("language")
    User.objects.filter(pk=ro.pk).update(language="en")  # saved while it was another role
    client.post(found["action"], {"language": "de", "next": "/usage"})
    assert language_of(client.get("/usage", headers=ENGLISH)) == "de"
    assert client.post(reverse("profile-language"), {"language": "de"}).status_code == 403


@pytest.mark.parametrize("name", ["language", "profile-language"])
def test_the_switch_takes_no_nonsense_and_leads_nowhere_else(name: str, browser: Browser, ada: User) -> None:
    client = browser(ada)
    response = client.post(reverse(name), {"language": "tlh", "next": "https://evil.example/"})
    assert response["Location"] == "/"
    assert "language" not in response.cookies
    assert client.get(reverse(name)).status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(ada)
    assert careful.post(reverse(name), {"language": "de"}).status_code == 403


def test_signing_in_brings_ones_language_to_the_pages_that_know_nobody(
    browser: Browser, ada: User, settings: Any
) -> None:
    settings.PASSWORD_SIGN_IN = True
    update_profile(ada, language="de")
    client = browser(None)
    client.post(reverse("sign-in"), {"username": "ada", "password": "ada"}, headers=ENGLISH)
    client.post(reverse("sign-out"))
    assert language_of(client.get("/sign-in", headers=ENGLISH)) == "de"


# --- Numbers and dates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filtered", "value", "shown"),
    [
        (portal.number, 1234567, "1.234.567"),
        (portal.number, Decimal("1234.56"), "1.234,56"),
        (portal.money, Decimal("1234.567"), "1.234,57"),
        (portal.money, Decimal("0.001"), "0,01"),
        (portal.compact, 1_234_567, "1,23 M"),
        (portal.per_million, Decimal("2.5"), "2,50"),
        (portal.per_million, Decimal("1234.0625"), "1.234,0625"),
    ],
)
def test_numbers_are_written_as_the_language_writes_them(filtered: Any, value: Any, shown: str) -> None:
    with translation.override("de"):
        assert shown in re.sub(r"<[^>]+>", "", str(filtered(value)))


def test_values_for_programs_stay_as_they_are() -> None:
    with translation.override("de"):
        assert 'value="1234.567"' in str(portal.money(Decimal("1234.567")))
        assert portal.iso(datetime(2026, 3, 1, tzinfo=UTC).date()) == "2026-03-01"


@pytest.mark.usefixtures("used")
def test_drawings_are_the_same_in_every_language(
    browser: Browser, ada: User, key: ApiKey, subscribed: list[Subscription]
) -> None:
    """SVG reads a comma as the next number: a drawing must never be written in the reader's language."""
    client = browser(ada)
    drawn = 0
    for url in pages_of(key, subscribed[0]):
        page = client.get(url, headers={"accept-language": "de"}).content.decode()
        for attribute in re.findall(r'\s(?:x|y|x1|x2|y1|y2|cx|cy|r|width|height)="([^"]*)"', page):
            assert re.fullmatch(r"-?(\d+(\.\d+)?|\.\d+)%?", attribute), (url, attribute)
            drawn += 1
    assert drawn > 100


# --- Time zones ------------------------------------------------------------------------------------------------------


def test_times_of_pages_are_those_of_ones_zone_and_the_footer_says_which(browser: Browser, ada: User) -> None:
    moment = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    Upstream.objects.create(down_since=moment)
    client = browser(ada)
    page = client.get("/").content.decode()
    assert "since 2026-07-01 22:30 UTC" in page
    assert "Times are UTC." in page
    update_profile(ada, time_zone="Europe/Berlin")
    page = client.get("/").content.decode()
    assert "since 2026-07-02 00:30 CEST" in page
    assert "Times are Europe/Berlin." in page


def test_days_of_usage_remain_utc_and_say_so(browser: Browser, ada: User, used: Decimal) -> None:
    update_profile(ada, time_zone="Pacific/Kiritimati")  # fourteen hours ahead: another day most of the time
    UsageDay.objects.update(fetched_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    page = browser(ada).get("/usage").content.decode()
    assert "(UTC)" in page
    assert datetime.now(UTC).date().isoformat() in page
    assert "12:30 +14" in page


def test_zones_are_the_ones_that_people_know() -> None:
    names = preferences.zone_names()
    assert {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"} <= set(names)
    assert not {"EST", "Etc/GMT+5", "localtime", "Factory", "posixrules"} & set(names)
    assert preferences.zone_called(" america/new york ") == "America/New_York"
    assert preferences.zone_called("Berlin") is None
    assert preferences.zone("Europe/Berlin").utcoffset(datetime(2026, 7, 1)) is not None  # noqa: DTZ001 -- a wall clock
    assert preferences.zone("") is preferences.zone("Mars/Olympus") is preferences.zone("../etc") is UTC
