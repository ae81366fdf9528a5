"""The main job by keyboard alone: everything can be reached, one always sees where one is."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.browser import open_context
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

MOST_STOPS = 120
# Whether the focused element shows it: an outline, or a shadow that it has only then.
VISIBLE = """() => {
  const focused = document.activeElement, style = getComputedStyle(focused);
  const ringed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const box = focused.getBoundingClientRect();
  return ringed && box.width > 0 && box.height > 0;
}"""


@pytest.fixture
def page(stage: Stage, chromium: Browser) -> Iterator[Page]:
    """A fresh profile with nobody signed in."""
    context = open_context(chromium)
    yield context.new_page()
    context.close()


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus; every stop on the way must be visible."""
    for _stop in range(MOST_STOPS):
        page.keyboard.press("Tab")
        assert page.evaluate(VISIBLE), page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"Tab never reaches {target}")


def sign_in_by_keys(page: Page, stage: Stage, name: str) -> None:
    page.goto(f"{stage.url}/sign-in")
    page.get_by_label("User name").focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stage.url}/")


def test_main_job_by_keyboard(page: Page, stage: Stage) -> None:
    sign_in_by_keys(page, stage, "kim")
    tab_to(page, page.get_by_role("link", name="See the models"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stage.url}/models")
    tab_to(page, page.get_by_role("searchbox", name="Search"))
    page.keyboard.type("gpt-4o-mini")
    expect(page).to_have_url(re.compile("q=gpt-4o-mini"))
    tab_to(page, page.get_by_role("button", name=re.compile("^Subscribe.*gpt-4o-mini")))
    page.keyboard.press("Enter")
    expect(page.get_by_text("You can use “gpt-4o-mini” now.")).to_be_visible()
    tab_to(page, page.get_by_role("link", name=re.compile("^Create a key")).first)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/api-keys/create"))
    tab_to(page, page.get_by_label("Name"))
    page.keyboard.type("By keyboard")
    model = page.get_by_label("gpt-4o-mini", exact=True)
    if not model.is_checked():
        tab_to(page, model)
        page.keyboard.press("Space")
    tab_to(page, page.get_by_role("button", name="Create the key"))
    page.keyboard.press("Enter")
    secret = page.locator("#secret").inner_text()
    tab_to(page, page.get_by_role("tab", name="curl"))
    page.keyboard.press("ArrowRight")
    expect(page.locator("#code-python")).to_contain_text(secret)
    tab_to(page, page.get_by_role("link", name="I have copied it"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/api-keys/[0-9a-f-]{36}$"))
    tab_to(page, page.get_by_role("link", name="Revoke"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/revoke$"))
    tab_to(page, page.get_by_role("button", name="Revoke the key"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("“By keyboard” is revoked")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/models", "/api-keys", "/usage", "/subscriptions"])
def test_skip_link_comes_first_and_leads_to_the_content(page: Page, stage: Stage, path: str) -> None:
    sign_in_by_keys(page, stage, "alice")
    page.goto(stage.url + path)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


@pytest.mark.parametrize("menu", ["Theme", "Account"])
def test_menus_open_by_key_and_escape_closes_them(page: Page, stage: Stage, menu: str) -> None:
    sign_in_by_keys(page, stage, "alice")
    summary = page.locator("summary:visible", has_text=menu).first
    tab_to(page, summary)
    page.keyboard.press("Enter")
    panel = summary.locator("xpath=..")
    expect(panel).to_have_attribute("open", "")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(panel).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
