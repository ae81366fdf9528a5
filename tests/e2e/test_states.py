"""Every page in every state: axe finds nothing, nothing is wider than the window, the browser has no complaint."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import NARROW, THEMES, WIDE, Visitor, axe_findings, look, sideways, weather
from tests.e2e.pages import State, Weather, in_weather
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def visitor(stage: Stage, chromium: Browser) -> Iterator[Visitor]:
    """Whoever is needed, signed in once."""
    visiting = Visitor(stage, chromium)
    yield visiting
    visiting.close()


def findings(visitor: Visitor, state: State) -> list[str]:
    """Everything that is wrong with a page in a state, in both widths and themes."""
    page = visitor.open(state)
    found = [f"the browser says: {text}" for text in visitor.complaints]
    if (headings := page.locator("h1:visible").count()) != 1:
        found.append(f"{headings} first headings")
    for theme in THEMES:
        for width in (WIDE, NARROW):
            look(page, width, theme)
            if (pixels := sideways(page)) > 0:
                found.append(f"{pixels} px too wide at {width}")
            found += [f"{theme} {width}: {text}" for text in axe_findings(page, colours_only=theme != "light")]
    page.close()
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
