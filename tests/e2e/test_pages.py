"""The pages in a real browser: nothing is blocked, nothing scrolls sideways, the main job works without scripts."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.conftest import Product, wait_for

pytestmark = pytest.mark.e2e

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PAGES = ("/", "/models", "/models/gpt-4o", "/subscriptions", "/api-keys", "/api-keys/create", "/usage", "/nothing-here")
Theme = Literal["light", "dark"]


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without it these tests have nothing to say."""
    if CHROMIUM is None and "CI" in os.environ:
        pytest.fail("no chromium on this machine, and CI must have looked at the pages")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def sign_in(context: BrowserContext, product: Product, name: str) -> Page:
    """A page of somebody who has just signed in."""
    page = context.new_page()
    page.goto(f"{product.url}/sign-in")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(name)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{product.url}/")
    return page


def open_context(chromium: Browser, **options: Any) -> BrowserContext:
    """A fresh browser profile that waits patiently on a busy machine."""
    context = chromium.new_context(**options)
    context.set_default_timeout(60_000)
    return context


def catalogue_is_there(product: Product) -> None:
    """The worker has fetched the models."""
    alice = product.sign_in("alice")
    wait_for(lambda: alice("GET", "/models")["count"], what="the catalogue")


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360)])
def test_every_page_is_quiet_and_fits(product: Product, chromium: Browser, theme: Theme, width: int) -> None:
    catalogue_is_there(product)
    alice = product.sign_in("alice")
    alice("POST", "/subscriptions", 201, json={"model": "gpt-4o"})
    key = alice("POST", "/api-keys", 201, json={"name": "a rather long name of a key " * 3, "models": ["gpt-4o"]})
    context = open_context(chromium, viewport={"width": width, "height": 800}, color_scheme=theme)
    page = sign_in(context, product, "alice")
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in (*PAGES, f"/api-keys/{key['id']}", f"/api-keys/{key['id']}/revoke"):
        page.goto(product.url + path)
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, path
        expect(page.locator("h1")).to_have_count(1)
    # The browser itself reports the one page that does not exist; a blocked style or script would be reported too.
    assert [text for text in complaints if "404" not in text] == []
    context.close()


def test_main_job_without_scripts(product: Product, chromium: Browser) -> None:
    catalogue_is_there(product)
    context = open_context(chromium, java_script_enabled=False)
    page = sign_in(context, product, "alice")
    page.goto(f"{product.url}/models?q=gpt-4o-mini")
    page.get_by_role("button", name=re.compile("^Subscribe.*gpt-4o-mini")).click()
    expect(page.get_by_text("You can use “gpt-4o-mini” now.")).to_be_visible()
    page.goto(f"{product.url}/api-keys/create")
    page.get_by_label("Name").fill("without scripts")
    page.get_by_label("gpt-4o-mini").check()
    page.get_by_role("button", name="Create the key").click()
    secret = page.locator("#secret").inner_text()
    assert product.chat(secret, "gpt-4o-mini").status_code == requests.codes.ok
    # Every example is readable without tabs, and holds what it takes.
    for name in ("curl", "python", "javascript"):
        expect(page.locator(f"#code-{name}")).to_contain_text(secret)
    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("“without scripts” is revoked")).to_be_visible()
    assert product.chat(secret, "gpt-4o-mini").status_code != requests.codes.ok
    context.close()


def test_scripts_make_it_quicker(product: Product, chromium: Browser) -> None:
    catalogue_is_there(product)
    context = open_context(chromium)
    page = sign_in(context, product, "alice")
    page.goto(f"{product.url}/models")
    page.get_by_role("searchbox", name="Search").fill("claude")
    expect(page.locator(".model-card")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"q=claude"))
    page.get_by_text("Theme", exact=True).locator("..").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{product.url}/models/gpt-4o")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("tab", name="Python").click()
    expect(page.locator("#code-python")).to_be_visible()
    expect(page.locator("#code-curl")).to_be_hidden()
    # The session ends elsewhere; the next search must lead to the sign-in page rather than to an empty list.
    page.goto(f"{product.url}/models")
    context.clear_cookies(name="sessionid")
    page.get_by_role("searchbox", name="Search").fill("gpt")
    page.wait_for_url(re.compile(r"/sign-in\?next="))
    context.close()
