"""Signing in through providers in a real browser: an OpenID provider of another maker, and an OpenShift look-alike."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from litellm_sync.emulator.server import Emulator
from tests.cast import MASTER_KEY
from tests.e2e.browser import NARROW, WIDE, Rules, axe_findings, look, open_context, sideways
from tests.e2e.conftest import Product, running_product
from tests.identity_providers import CLIENT, SECRET, OpenShiftServer, running
from tests.openid_package import running_package

pytestmark = pytest.mark.e2e

LEA = {
    "sub": "s-1",
    "preferred_username": "lea",
    "email": "lea@company.test",
    "email_verified": True,
    "name": "Lea Lang",
}


@pytest.fixture
def portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    """The product in front of two providers; the cluster's Kim may only read everything."""
    cluster = OpenShiftServer(users={"u-1": {"name": "kim", "groups": ["auditors"]}}, visitor="u-1")
    with running_package(LEA) as issuer, running(cluster), Emulator(master_key=MASTER_KEY, state=None) as emulator:
        variables = {
            "PROVIDERS": "company,cluster",
            "COMPANY_ISSUER": issuer,
            "COMPANY_CLIENT_ID": CLIENT,
            "COMPANY_CLIENT_SECRET": SECRET,
            "CLUSTER_TYPE": "openshift",
            "CLUSTER_LABEL": "OpenShift",
            "CLUSTER_ISSUER": cluster.url,
            "CLUSTER_CLIENT_ID": CLIENT,
            "CLUSTER_CLIENT_SECRET": SECRET,
            "CLUSTER_ROLES": "auditors=adminReadonly",
        }
        for name, value in variables.items():
            monkeypatch.setenv(f"SIGN_IN_{name}", value)
        with running_product(emulator.url, MASTER_KEY, tmp_path) as product:
            yield product


def listening(context: BrowserContext, complaints: list[str]) -> Page:
    """A page whose blocked scripts, styles, forms and redirects are noted."""
    page = context.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


def assert_accessible_and_fits(page: Page) -> None:
    """What test_states asks of every other page."""
    look(page, NARROW, "light")
    assert sideways(page) <= 0
    assert axe_findings(page, Rules.STRUCTURE) == []
    look(page, WIDE, "light")
    assert axe_findings(page) == []
    look(page, WIDE, "dark")
    assert axe_findings(page, Rules.COLOURS) == []


@pytest.mark.parametrize("scripts", [True, False])
def test_there_and_back_and_out_again(portal: Product, chromium: Browser, *, scripts: bool) -> None:
    complaints: list[str] = []
    context = open_context(chromium, java_script_enabled=scripts)
    page = listening(context, complaints)
    page.goto(f"{portal.url}/usage?days=7")
    page.get_by_role("link", name="Sign in with Company").click()
    page.get_by_role("button", name="s-1").click()
    page.wait_for_url(f"{portal.url}/usage?days=7")
    # The person exists, with a team, and LiteLLM hears of both.
    page.goto(f"{portal.url}/profile")
    expect(page.locator("main").get_by_text("lea@company.test").first).to_be_visible()
    # Out: here first, then there, over a link, which a policy for forms does not stop.
    page.locator("summary", has_text="Lea Lang").first.click()
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url(f"{portal.url}/signed-out")
    if scripts:
        assert_accessible_and_fits(page)
    page.get_by_role("link", name="Sign out of Company too").click()
    page.wait_for_url(re.compile("end_session|end-session|logout"))
    page.goto(f"{portal.url}/usage")
    expect(page).to_have_url(re.compile("/sign-in"))
    assert [text for text in complaints if "Content Security Policy" in text or "Refused" in text] == []
    context.close()


def test_denial_ends_on_a_page_with_a_way_out(portal: Product, chromium: Browser) -> None:
    context = open_context(chromium)
    page = context.new_page()
    page.goto(f"{portal.url}/sign-in")
    assert_accessible_and_fits(page)
    page.get_by_role("link", name="Sign in with Company").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", name="You were not signed in")).to_be_visible()
    assert_accessible_and_fits(page)
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_role("button", name="s-1").click()
    page.wait_for_url(f"{portal.url}/")
    context.close()


def test_user_of_the_cluster_comes_in_with_the_role_of_the_group(portal: Product, chromium: Browser) -> None:
    context = open_context(chromium)
    page = context.new_page()
    page.goto(f"{portal.url}/sign-in?next=/models")
    page.get_by_role("link", name="Sign in with OpenShift").click()
    page.wait_for_url(f"{portal.url}/models")
    page.goto(f"{portal.url}/profile")
    expect(page.locator("main").get_by_text("Administrator, read only").first).to_be_visible()
    context.close()
