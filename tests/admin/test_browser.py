"""The admin portal in a real browser: nothing on the console, nothing from elsewhere, nothing wider than a phone."""

import shutil
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Page, sync_playwright

from accounts.models import Role, User
from subscriptions.models import Model
from subscriptions.services import create_subscription
from tests.admin.conftest import listing, page
from tests.cast import make_person
from tests.races import real_transactions

__all__ = ["real_transactions"]

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


def complaints(shown: Page, base: str) -> list[str]:
    """What the browser objects to from now on, and what it fetches from elsewhere."""
    heard: list[str] = []
    shown.on("console", lambda said: heard.append(said.text) if said.type in {"error", "warning"} else None)
    shown.on("pageerror", lambda error: heard.append(str(error)))
    shown.on("request", lambda asked: heard.append(asked.url) if not asked.url.startswith((base, "data:")) else None)
    shown.on("response", lambda answer: heard.append(answer.url) if answer.status >= 400 else None)
    return heard


def cookie_of(user: User, base: str) -> Any:
    """What signs somebody in to a browser at ``base``."""
    client = Client()
    client.force_login(user)
    return {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": base}


@pytest.fixture
def plain_http(settings: Any) -> None:
    """As INSECURE_COOKIES does: browsers take the usual ones over HTTPS alone."""
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = "sessionid", "csrftoken"
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False


@pytest.mark.parametrize("width", [360, 1280])
def test_many_rows_can_be_changed_without_scripts(
    real_transactions: None, live_server: Any, plain_http: None, width: int
) -> None:
    ann = make_person("ann", Role.ADMIN)
    model = Model.objects.create(id="gpt-4o", provider="openai", mode="chat")
    cookie = cookie_of(ann, live_server.url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": width, "height": 740}, java_script_enabled=False)
        context.add_cookies([cookie])
        shown = context.new_page()
        shown.goto(live_server.url + listing(Model))
        shown.check("input.action-select")
        # Playwright presses only what can be seen and what nothing else covers.
        shown.select_option("select[name=action]", "restrict")
        shown.click("#changelist-actions button")
        shown.click(".verb button[type=submit]")
        shown.wait_for_url("**/admin/subscriptions/model/")
        browser.close()
    model.refresh_from_db()
    assert model.restricted


def test_pages_are_quiet_and_fit_a_phone(real_transactions: None, live_server: Any, plain_http: None) -> None:
    ann = make_person("ann", Role.ADMIN)
    model = Model.objects.create(id="gpt-4o", provider="openai", mode="chat")
    wish = create_subscription(ann, model=model.id)
    addresses = ["/admin/", listing(type(ann)), listing(Model), page(ann), page(wish), page(model, "restrict")]
    cookie = cookie_of(ann, live_server.url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 360, "height": 740})
        context.add_cookies([cookie])
        shown = context.new_page()
        heard = complaints(shown, live_server.url)
        for address in addresses:
            shown.goto(live_server.url + address, wait_until="networkidle")
            assert "Administration" in shown.title(), address
            assert shown.evaluate("document.documentElement.scrollWidth") <= 360, address
        shown.goto(live_server.url + listing(Model), wait_until="networkidle")
        shown.check("input.action-select")
        shown.select_option("select[name=action]", "restrict")
        shown.click("#changelist-actions button")
        shown.click(".verb button[type=submit]")
        shown.wait_for_url("**/admin/subscriptions/model/")
        browser.close()
    assert heard == []
    assert Model.objects.get().restricted
