"""What people come for, from the first click to the last: with scripts, without them, and on a phone."""

import csv
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import NARROW, open_context, sideways, sign_in
from tests.e2e.conftest import wait_for
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

WAYS: Final[dict[str, dict[str, Any]]] = {
    "scripts": {},
    "no-scripts": {"java_script_enabled": False},
    "phone": {"width": NARROW, "has_touch": True},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """How somebody browses."""
    return str(request.param)


@pytest.fixture
def actor(request: pytest.FixtureRequest) -> str:
    """Somebody whom no other test knows: every flow in every way has a person of its own."""
    names: dict[str, str] = request.config.stash.setdefault(ACTORS, {})
    return names.setdefault(request.node.nodeid, f"actor{len(names) + 1}")


ACTORS = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def page(stage: Stage, chromium: Browser, way: str) -> Iterator[Page]:
    """A fresh profile with nobody signed in."""
    context = open_context(chromium, **WAYS[way])
    yield context.new_page()
    context.close()


@pytest.fixture
def scripted(stage: Stage, chromium: Browser) -> Iterator[Page]:
    """The same for what only scripts do."""
    context = open_context(chromium)
    yield context.new_page()
    context.close()


def go(page: Page, stage: Stage, name: str) -> None:
    """Use the navigation, which folds away on a phone."""
    fold = page.locator(".nav-fold > summary")
    if fold.is_visible():
        fold.click()
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name).locator("visible=true").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def copied(page: Page, way: str, name: str) -> str:
    """An example as a person takes it along: by its Copy button where scripts run, else by hand."""
    if way == "scripts":
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.locator(".code:visible").get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        return str(page.evaluate("navigator.clipboard.readText()"))
    return page.locator(f"#code-{name}").inner_text()


def run(command: str) -> dict[str, Any]:
    """Run a copied curl call exactly as it stands there; the decoded answer."""
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True, timeout=60)  # noqa: S607 -- what people do
    return dict(json.loads(done.stdout))


def subscribe(page: Page, stage: Stage, model: str) -> None:
    """Through the catalogue."""
    page.goto(f"{stage.url}/models?q={model}")
    page.get_by_role("button", name=re.compile(f"^Subscribe.*{model}")).click()
    expect(page.get_by_text(f"You can use “{model}” now.")).to_be_visible()


def create_key(page: Page, stage: Stage, name: str, model: str) -> str:
    """Through the form; returns the secret that is shown once."""
    page.goto(f"{stage.url}/api-keys/create")
    page.get_by_label("Name").fill(name)
    page.get_by_label(model, exact=True).check()
    page.get_by_role("button", name="Create the key").click()
    return page.locator("#secret").inner_text()


# --- Signing in and out ----------------------------------------------------------------------------------------------


def test_sign_in_wrong_password_and_sign_out(page: Page, stage: Stage, actor: str) -> None:
    page.goto(f"{stage.url}/usage?days=90")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("User name").fill(actor)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.get_by_label("User name")).to_have_value(actor)
    page.get_by_label("Password").fill(actor)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{stage.url}/usage?days=90")
    page.locator("summary", has_text="Account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto(f"{stage.url}/usage")
    expect(page).to_have_url(re.compile("/sign-in"))


# --- The main job ----------------------------------------------------------------------------------------------------


def test_newcomer_to_first_working_call(page: Page, stage: Stage, actor: str, way: str) -> None:
    sign_in(page, stage.url, actor)
    page.get_by_role("link", name="See the models").click()
    page.get_by_role("searchbox", name="Search").fill("gpt-4o-mini")
    page.get_by_role("searchbox", name="Search").press("Enter")
    expect(page).to_have_url(re.compile("q=gpt-4o-mini"))
    page.get_by_role("button", name=re.compile("^Subscribe.*gpt-4o-mini")).click()
    expect(page.get_by_text("You can use “gpt-4o-mini” now.")).to_be_visible()
    go(page, stage, "Home")
    page.get_by_role("link", name="Create a key").click()
    page.get_by_label("Name").fill("My first key")
    page.get_by_label("gpt-4o-mini", exact=True).check()
    page.get_by_role("button", name="Create the key").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("is ready")
    secret = page.locator("#secret").inner_text()
    call = copied(page, way, "curl")
    assert secret in call
    answer = run(call)
    assert "gpt-4o-mini" in answer["choices"][0]["message"]["content"]
    assert sideways(page) <= 0
    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()

    def counted() -> bool:
        page.goto(stage.url)
        return page.get_by_text("Pick a model").count() == 0

    wait_for(counted, what="the first call on the home page")


def test_python_and_javascript_examples_hold_what_it_takes(page: Page, stage: Stage, actor: str, way: str) -> None:
    sign_in(page, stage.url, actor)
    subscribe(page, stage, "gpt-4o-mini")
    secret = create_key(page, stage, "All examples", "gpt-4o-mini")
    for name, label in (("curl", "curl"), ("python", "Python"), ("javascript", "JavaScript")):
        if way != "no-scripts":
            page.get_by_role("tab", name=label).click()
        example = page.locator(f"#code-{name}")
        expect(example).to_be_visible()
        for wanted in (secret, f"{stage.emulator.url}/v1", "gpt-4o-mini"):
            expect(example).to_contain_text(wanted)
    compile(page.locator("#code-python").inner_text(), "example", "exec")


# --- Subscriptions ---------------------------------------------------------------------------------------------------


def test_request_access_and_take_it_back(page: Page, stage: Stage, actor: str) -> None:
    sign_in(page, stage.url, actor)
    page.goto(f"{stage.url}/models?q=claude-opus")
    page.get_by_role("link", name=re.compile("^Request access")).click()
    page.get_by_label("What do you need it for?").fill("For an evaluation.")
    page.get_by_role("button", name="Request access").click()
    expect(page.get_by_text("Pending approval").first).to_be_visible()
    go(page, stage, "Subscriptions")
    page.get_by_role("link", name=re.compile("^Details")).click()
    page.get_by_role("link", name="Take the request back").click()
    page.get_by_role("button", name="Take the request back").click()
    expect(page.get_by_text("No subscriptions yet")).to_be_visible()


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_create_key_mend_the_mistake_and_revoke_it(page: Page, stage: Stage, actor: str) -> None:
    sign_in(page, stage.url, actor)
    subscribe(page, stage, "gpt-4o-mini")
    page.goto(f"{stage.url}/api-keys/create")
    page.get_by_label("gpt-4o-mini", exact=True).check()
    page.get_by_role("button", name="Create the key").click()
    expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("gpt-4o-mini", exact=True)).to_be_checked()
    page.get_by_label("Name").fill("Revoked soon")
    page.get_by_role("button", name="Create the key").click()
    secret = page.locator("#secret").inner_text()
    assert stage.product.chat(secret, "gpt-4o-mini").status_code == requests.codes.ok
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Revoked soon")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("“Revoked soon” is revoked")).to_be_visible()
    wait_for(lambda: stage.product.chat(secret, "gpt-4o-mini").status_code != requests.codes.ok, what="the refusal")


def test_create_key_with_limits_of_one_model(page: Page, stage: Stage, actor: str, way: str) -> None:
    sign_in(page, stage.url, actor)
    for model in ("gpt-4o-mini", "gpt-4.1-mini"):
        subscribe(page, stage, model)
    page.goto(f"{stage.url}/api-keys/create")
    page.get_by_label("Name").fill("Bounded")
    page.locator("summary", has_text="Limits per model").click()
    of_mini, of_other = (page.get_by_label(f"{m}: requests per minute") for m in ("gpt-4o-mini", "gpt-4.1-mini"))
    if way == "no-scripts":
        expect(of_other).to_be_visible()
        expect(of_mini).to_be_visible()
    else:
        expect(page.get_by_text("Choose a model above")).to_be_visible()
        page.get_by_label("gpt-4.1-mini", exact=True).check()
        of_other.fill("3")
        page.get_by_label("gpt-4.1-mini", exact=True).uncheck()
        expect(of_other).to_be_hidden()
    page.get_by_label("gpt-4o-mini", exact=True).check()
    of_mini.fill("0")
    page.get_by_role("button", name="Create the key").click()
    expect(of_mini).to_have_attribute("aria-invalid", "true")
    expect(of_mini).to_have_value("0")
    of_mini.fill("7")
    page.get_by_label("gpt-4o-mini: tokens per minute").fill("5000")
    page.get_by_role("button", name="Create the key").click()
    assert stage.product.chat(page.locator("#secret").inner_text(), "gpt-4o-mini").status_code == requests.codes.ok
    key = stage.product.sign_in(actor)("GET", "/api-keys")["results"][0]
    assert key["model_limits"] == {"gpt-4o-mini": {"rpm_limit": 7, "tpm_limit": 5000}}


def test_edit_key_and_no_change_changes_nothing(page: Page, stage: Stage, actor: str) -> None:
    sign_in(page, stage.url, actor)
    subscribe(page, stage, "gpt-4o-mini")
    secret = create_key(page, stage, "Before", "gpt-4o-mini")
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name").fill("After")
    page.get_by_role("button", name="Save the changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("After")
    api = stage.product.sign_in(actor)
    before = api("GET", "/api-keys")["results"]
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Save the changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("After")
    volatile = {"sync_status", "last_used_at", "spend"}
    assert [{k: v for k, v in row.items() if k not in volatile} for row in api("GET", "/api-keys")["results"]] == [
        {k: v for k, v in row.items() if k not in volatile} for row in before
    ]
    assert stage.product.chat(secret, "gpt-4o-mini").status_code == requests.codes.ok


# --- Usage and profile -----------------------------------------------------------------------------------------------


def test_usage_ranges_filters_and_files(page: Page, stage: Stage, way: str) -> None:
    sign_in(page, stage.url, "bob")
    page.goto(f"{stage.url}/usage")
    page.get_by_role("link", name="90 days", exact=True).click()
    expect(page).to_have_url(re.compile("range=90"))
    page.get_by_label("Model", exact=True).select_option("gpt-4o-mini")
    if way == "no-scripts":
        page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("model=gpt-4o-mini"))
    expect(page.get_by_text("Remove this filter")).to_have_count(1)
    files = {}
    for kind in ("CSV", "JSON"):
        with page.expect_download() as arriving:
            page.get_by_role("link", name=kind).click()
        files[kind] = Path(arriving.value.path()).read_text()
    rows = list(csv.DictReader(files["CSV"].splitlines()))
    assert rows
    assert {row["model"] for row in rows} == {"gpt-4o-mini"}
    assert sum(int(row["requests"]) for row in rows) > 0
    assert json.loads(files["JSON"])
    page.go_back()
    expect(page).not_to_have_url(re.compile("model=gpt-4o-mini"))


def test_language_and_profile_are_kept(page: Page, stage: Stage, actor: str) -> None:
    sign_in(page, stage.url, actor)
    page.locator("summary", has_text="Language").click()
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.goto(f"{stage.url}/profile")
    page.locator("[name=full_name]").fill("Somebody Else")
    page.locator("select[name=language]").select_option("en")
    page.locator("[name=time_zone]").fill("Europe/Berlin")
    page.locator("#main form button[type=submit]").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.goto(stage.url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, Somebody Else")
    expect(page.locator("footer")).to_contain_text("Europe/Berlin")


# --- Administration --------------------------------------------------------------------------------------------------


def test_admin_approves_and_denies(page: Page, stage: Stage, actor: str) -> None:
    asking = stage.product.sign_in(actor)
    wished = {
        verb: asking("POST", "/subscriptions", 201, json={"model": model})
        for verb, model in (("approve", "claude-opus"), ("deny", "o4-mini"))
    }
    sign_in(page, stage.url, "admin")
    for verb, subscription in wished.items():
        page.goto(f"{stage.url}/admin/subscriptions/subscription/{subscription['id']}/change/")
        page.get_by_role("link", name=re.compile(verb, re.IGNORECASE)).click()
        if verb == "deny":
            page.locator("[name=reason]").fill("Please use gpt-4o.")
        page.locator("form.stack button[type=submit]").click()
        expect(page.get_by_text(re.compile("Approved:|Denied:")).first).to_be_visible()
    states = {verb: asking("GET", f"/subscriptions/{row['id']}") for verb, row in wished.items()}
    assert (states["approve"]["status"], states["deny"]["status"]) == ("active", "denied")
    assert states["deny"]["reason"] == "Please use gpt-4o."


def test_admin_blocks_and_unblocks_a_key(page: Page, stage: Stage, actor: str) -> None:
    owner = stage.product.sign_in(actor)
    owner("POST", "/subscriptions", 201, json={"model": "gpt-4o-mini"})
    made = owner("POST", "/api-keys", 201, json={"name": "Watched", "models": ["gpt-4o-mini"]})
    sign_in(page, stage.url, "admin")
    for verb, works in (("block", False), ("unblock", True)):
        page.goto(f"{stage.url}/api-keys/{made['id']}/{verb}")
        page.locator("#main form button[type=submit]").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Watched")
        wait_for(
            lambda works=works: stage.product.chat(made["secret"], "gpt-4o-mini").ok is works,  # type: ignore[misc]
            what=f"LiteLLM to follow {verb}",
        )


def test_admin_starts_a_sync_and_watches_it(page: Page, stage: Stage) -> None:
    sign_in(page, stage.url, "admin")
    page.goto(f"{stage.url}/admin/litellm_sync/syncrun/start/")
    page.get_by_label("Models", exact=True).check()
    page.locator("form.stack button[type=submit]").click()
    expect(page.get_by_text("The synchronisation has been queued.")).to_be_visible()

    def is_done() -> bool:
        page.reload()
        return page.get_by_text("Done", exact=True).count() > 0

    wait_for(is_done, what="the end of the run")


def test_read_only_admin_sees_no_buttons_and_is_refused(page: Page, stage: Stage) -> None:
    sign_in(page, stage.url, "ro")
    page.goto(f"{stage.url}/admin/apikeys/apikey/{stage.keys['carla']}/change/")
    expect(page.get_by_role("link", name="Revoke")).to_have_count(0)
    answer = page.goto(f"{stage.url}/admin/apikeys/apikey/{stage.keys['carla']}/revoke/")
    assert answer is not None
    assert answer.status == requests.codes.forbidden


# --- Lists -----------------------------------------------------------------------------------------------------------


def test_paging_goes_to_the_end_and_back(page: Page, stage: Stage) -> None:
    sign_in(page, stage.url, "admin")
    page.goto(f"{stage.url}/models")
    first = page.locator(".model-card h2").first.inner_text()
    seen = page.locator(".model-card").count()
    while page.get_by_role("link", name="Next").count():
        page.get_by_role("link", name="Next").click()
        expect(page).to_have_url(re.compile("page="))
        seen += page.locator(".model-card").count()
    assert seen == stage.product.sign_in("admin")("GET", "/models")["count"]
    page.go_back()
    expect(page.locator(".model-card h2").first).to_have_text(first)


def test_filters_live_in_the_address(page: Page, stage: Stage, way: str) -> None:
    sign_in(page, stage.url, "alice")
    page.goto(f"{stage.url}/models")
    page.get_by_role("searchbox", name="Search").fill("code")
    page.get_by_role("searchbox", name="Search").press("Enter")
    expect(page).to_have_url(re.compile("q=code"))
    found = page.locator(".model-card")
    expect(found.first).to_contain_text("code")
    number = found.count()
    page.reload()
    expect(found).to_have_count(number)
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("code")
    page.go_back()
    # What was typed there may be filled in again by the browser; the address is what counts.
    expect(page).not_to_have_url(re.compile("q=code"))


# --- Theme -----------------------------------------------------------------------------------------------------------


def test_theme_is_kept(page: Page, stage: Stage, actor: str) -> None:
    sign_in(page, stage.url, actor)
    page.locator("summary", has_text="Theme").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{stage.url}/models")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


# --- What only scripts do --------------------------------------------------------------------------------------------


def test_filtering_as_one_types_shows_what_went_wrong(scripted: Page, stage: Stage) -> None:
    page = scripted
    sign_in(page, stage.url, "alice")
    page.goto(f"{stage.url}/models")
    page.get_by_role("searchbox", name="Search").press_sequentially("claude")
    expect(page.locator(".model-card")).to_have_count(3)
    expect(page).to_have_url(re.compile("q=claude"))
    with stage.database_away():
        page.get_by_role("searchbox", name="Search").press_sequentially("-sonnet")
        # The pool waits five seconds for a connection before it says so.
        expect(page.locator("#notices")).to_contain_text("The database cannot be reached", timeout=30_000)
        expect(page.locator(".model-card")).to_have_count(3)
    page.get_by_role("searchbox", name="Search").press_sequentially("x")
    expect(page.get_by_text("No model fits")).to_be_visible()


def test_a_fault_of_ours_while_filtering_is_said(scripted: Page, stage: Stage) -> None:
    page = scripted
    sign_in(page, stage.url, "alice")
    page.goto(f"{stage.url}/models")
    with stage.table_lost("subscriptions_model"):
        page.get_by_role("searchbox", name="Search").press_sequentially("claude")
        expect(page.locator("#notices")).to_contain_text("Something went wrong")


def test_a_session_that_ended_while_filtering_leads_to_sign_in(scripted: Page, stage: Stage) -> None:
    page = scripted
    sign_in(page, stage.url, "alice")
    page.goto(f"{stage.url}/models")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("searchbox", name="Search").press_sequentially("gpt")
    page.wait_for_url(re.compile(r"/sign-in\?next="))


def test_a_form_sent_twice_makes_one_key(scripted: Page, stage: Stage, actor: str) -> None:
    page = scripted
    sign_in(page, stage.url, actor)
    subscribe(page, stage, "gpt-4o-mini")
    page.goto(f"{stage.url}/api-keys/create")
    page.get_by_label("Name").fill("Only once")
    page.get_by_label("gpt-4o-mini", exact=True).check()
    page.get_by_role("button", name="Create the key").dblclick()
    expect(page.locator("#secret")).to_be_visible()
    keys = stage.product.sign_in(actor)("GET", "/api-keys")
    assert [key["name"] for key in keys["results"]] == ["Only once"]
