"""Every page in every state: axe finds nothing, nothing is wider than the window, the browser has no complaint."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.browser import (
    NARROW,
    THEMES,
    WIDE,
    Rules,
    Theme,
    Visitor,
    axe_findings,
    cut_off,
    look,
    sideways,
    weather,
)
from tests.e2e.pages import GERMAN, STATES, State, Weather, in_weather
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

# All rules once, then what a width or a theme can change.
LOOKS: Final[tuple[tuple[int, Theme, Rules], ...]] = (
    (WIDE, "light", Rules.ALL),
    (NARROW, "light", Rules.STRUCTURE),
    (WIDE, "dark", Rules.COLOURS),
)
SPOIL: Final = """() => {
  document.body.insertAdjacentHTML("beforeend", `<h1>Another</h1><img src="data:,"><p id="spoilt">Hardly readable</p>
    <button id="tiny-1">1</button><button id="tiny-2">2</button>`);
  for (const tiny of document.querySelectorAll("[id^=tiny]")) {
    Object.assign(tiny.style, { display: "block", padding: 0, minBlockSize: 0, minInlineSize: 0 });
    Object.assign(tiny.style, { blockSize: "9px", inlineSize: "9px" });
  }
  const spoilt = document.getElementById("spoilt");
  Object.assign(spoilt.style, { inlineSize: "3000px", color: "#777", backgroundColor: "#888" });
  document.body.append(Object.assign(document.createElement("script"), { textContent: "window.spoilt = true" }));
  setTimeout(() => { throw new Error("spoilt on purpose"); });
}"""


@pytest.fixture(scope="module")
def visitor(stage: Stage, chromium: Browser) -> Iterator[Visitor]:
    """Whoever is needed, signed in once."""
    visiting = Visitor(stage, chromium)
    yield visiting
    visiting.close()


@pytest.fixture(scope="module")
def german(stage: Stage, chromium: Browser) -> Iterator[Visitor]:
    """The same in browsers that ask for German."""
    visiting = Visitor(stage, chromium, locale="de-DE")
    yield visiting
    visiting.close()


def findings(visitor: Visitor, state: State) -> list[str]:
    """Everything that is wrong with a page in a state: all rules once, what a theme or a width changes in each."""
    page = visitor.open(state)
    found = [f"the browser says: {text}" for text in visitor.complaints]
    if (headings := page.locator("h1:visible").count()) != 1:
        found.append(f"{headings} first headings")
    for width, theme, rules in LOOKS:
        look(page, width, theme)
        if theme == "light" and (pixels := sideways(page)) > 0:
            found.append(f"{pixels} px too wide at {width}")
        found += [f"cut off at {width}: {text}" for text in cut_off(page)]
        found += [f"{theme} at {width}: {text}" for text in axe_findings(page, rules)]
    page.close()
    return found


def too_wide(page: Page) -> list[str]:
    """By how much the page is wider than its window."""
    found = []
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        if (pixels := sideways(page)) > 0:
            found.append(f"{pixels} px too wide at {width}")
        found += [f"cut off at {width}: {text}" for text in cut_off(page)]
    return found


@pytest.mark.parametrize("state", in_weather(Weather.FAIR), ids=lambda state: state.name)
def test_page_is_accessible_quiet_and_fits(visitor: Visitor, state: State) -> None:
    assert findings(visitor, state) == []


@pytest.mark.parametrize("kind", [kind for kind in Weather if kind is not Weather.FAIR], ids=lambda kind: kind.name)
def test_page_in_bad_weather_is_accessible_quiet_and_fits(visitor: Visitor, kind: Weather) -> None:
    states = in_weather(kind)
    for state in states:
        visitor.context(state.who)  # nobody can sign in when it storms
    with weather(visitor.stage, kind):
        found = {state.name: findings(visitor, state) for state in states}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("name", GERMAN)
def test_longer_words_of_another_language_fit(german: Visitor, name: str) -> None:
    page = german.open(next(state for state in STATES if state.name == name), in_english=False)
    assert page.locator("html").get_attribute("lang") == "de"
    assert too_wide(page) == []
    page.close()


def test_faults_would_be_found(visitor: Visitor) -> None:
    sign_in = next(state for state in STATES if state.name == "sign-in")
    found = "\n".join(findings(visitor, replace(sign_in, act=lambda page: page.evaluate(SPOIL))))
    faults = ("2 first headings", f"too wide at {NARROW}", "light at 1280: image-alt", "light at 360: target-size")
    complaints = ("the browser says: spoilt on purpose", "Content Security Policy")
    for fault in (*faults, *complaints):
        assert fault in found
    for theme in THEMES:
        assert f"{theme} at 1280: color-contrast" in found
