"""The only place that starts Chromium, keeps people signed in, and opens a page in a state."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect, sync_playwright

from tests.e2e.pages import State, Weather
from tests.e2e.stage import Stage

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
HOW_TO_INSTALL: Final = "no chromium on this machine; on Debian and Ubuntu: apt install chromium"
PATIENCE_MS: Final = 30_000
WIDE, NARROW = 1280, 360
Theme = Literal["light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOUR_RULES: Final = ["color-contrast", "link-in-text-block"]
# axe leaves this rule out unless one asks for it.
SIZES: Final = {"target-size": {"enabled": True}}
HOW_MUCH_TOO_WIDE: Final = """() => {
  const boxes = [document.documentElement, ...document.querySelectorAll(".table-box")];
  return Math.max(...boxes.map(box => box.scrollWidth - box.clientWidth));
}"""
# Whether an amount goes over the edge of its place, or over something that stands beside it; a picture may.
CUT_OFF: Final = """() => {
  const places = [...document.querySelectorAll(".figure, .figure > :not(svg), .parts td, .parts th")];
  return places.filter(place => place.clientWidth && place.scrollWidth > place.clientWidth + 1)
    .map(place => place.innerText.trim().slice(0, 60));
}"""
ASK_AXE: Final = "options => axe.run(document, options).then(results => results.violations)"


class Rules(Enum):
    """What axe is asked: everything, or only what another theme or another width can change."""

    ALL = {"runOnly": {"type": "tag", "values": TAGS}, "rules": SIZES}
    COLOURS = {"runOnly": {"type": "rule", "values": COLOUR_RULES}}
    # How things are arranged and how large they are; the colours take most of the time, and no width changes them.
    STRUCTURE = {
        "runOnly": {"type": "tag", "values": TAGS},
        "rules": {name: {"enabled": False} for name in COLOUR_RULES} | SIZES,
    }


def chromium_path() -> str | None:
    """Where Chromium is; None when it is nowhere."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def started() -> Iterator[Browser]:
    """A browser that ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        yield browser
        browser.close()


def sign_in(page: Page, url: str, name: str) -> None:
    """Sign somebody in whose password is the name, in whatever language the page is."""
    page.goto(f"{url}/sign-in")
    page.locator("[name=username]").fill(name)
    page.locator("[name=password]").fill(name)
    page.locator("[name=password]").press("Enter")
    page.wait_for_url(f"{url}/")


def open_context(browser: Browser, *, width: int = WIDE, **options: Any) -> BrowserContext:
    """A fresh profile that waits patiently on a busy machine and sees no motion."""
    size = {"width": width, "height": 800}
    settings: dict[str, Any] = {"viewport": size, "reduced_motion": "reduce", "locale": "en-GB"} | options
    context = browser.new_context(**settings)
    context.set_default_timeout(PATIENCE_MS)
    return context


class Visitor:
    """Opens pages for anybody; each person signs in once."""

    def __init__(self, stage: Stage, browser: Browser, **options: Any) -> None:
        self.stage, self.complaints = stage, list[str]()
        self._browser, self._options = browser, options
        self._contexts: dict[str, BrowserContext] = {}
        self._status = 0

    def open(self, state: State, *, in_english: bool = True) -> Page:
        """The page in its state, wide and light; what the browser complained about is in ``complaints``.

        Fails when the status is another, or the text that proves the state is missing.
        """
        page = self.context(state.who).new_page()
        self.complaints = []
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", self._note)
        page.goto(self.stage.url + self.stage.path(state.opened))
        if state.act:
            state.act(page)
        if in_english:
            # Closed menus hold many words too; what is shown is what counts.
            expect(page.locator("body")).to_contain_text(state.shows, use_inner_text=True)
        settle(page)
        assert self._status == state.status, f"{state.name}: {self._status}"
        return page

    def context(self, who: str) -> BrowserContext:
        """The profile of somebody; of nobody with an empty name."""
        if who not in self._contexts:
            self._contexts[who] = context = open_context(self._browser, **self._options)
            if who:
                page = context.new_page()
                sign_in(page, self.stage.url, who)
                page.close()
        return self._contexts[who]

    def close(self) -> None:
        """Forget everybody."""
        for context in self._contexts.values():
            context.close()

    def _listen(self, message: ConsoleMessage) -> None:
        # The browser reports the status of an error page, which is wanted there and checked by itself.
        if message.type in {"error", "warning"} and "the server responded with a status of" not in message.text:
            self.complaints.append(message.text)

    def _note(self, response: Response) -> None:
        if response.request.is_navigation_request() and response.status // 100 != 3:
            self._status = response.status


@contextmanager
def weather(stage: Stage, kind: Weather) -> Iterator[None]:
    """The weather that a state needs."""
    if kind is Weather.LITELLM_AWAY:
        with stage.litellm_away():
            yield
    elif kind is Weather.DATABASE_AWAY:
        with stage.database_away():
            yield
    elif kind is Weather.FAULT_OF_OURS:
        with stage.table_lost("usage_dailyusage"):
            yield
    else:
        yield


def settle(page: Page) -> None:
    """Wait until everything has arrived: what the page needs, and what htmx asked for."""
    page.wait_for_load_state("load")
    expect(page.locator(".htmx-request")).to_have_count(0)


def look(page: Page, width: int, theme: Theme) -> None:
    """Look at an open page in another width and theme, both of which it follows by itself."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=theme)


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window, or a list of the portal than its box."""
    return int(page.evaluate(HOW_MUCH_TOO_WIDE))


def cut_off(page: Page) -> list[str]:
    """The figures that are wider than the place that they have."""
    return [str(text) for text in page.evaluate(CUT_OFF)]


def axe_findings(page: Page, rules: Rules = Rules.ALL) -> list[str]:
    """What axe finds: rule, number of places, the first of them."""
    # Half a megabyte of script, once a page.
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate(ASK_AXE, {**rules.value, "resultTypes": ["violations"]})
    return [
        f"{violation['id']} ({len(violation['nodes'])}): {violation['nodes'][0]['html'][:300]} "
        f"{violation['nodes'][0].get('failureSummary', '')[:300]}"
        for violation in found
    ]
