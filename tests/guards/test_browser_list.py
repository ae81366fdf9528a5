"""Every page that people can open is in the list that the browser goes through."""

from collections import Counter

from tests.e2e.pages import NOT_PAGES, NOWHERE, STATES
from tests.guards.access_matrix import MATRIX


def pages() -> set[str]:
    """The addresses that answer a GET with a page."""
    asked = {path for method, path in MATRIX if method == "GET" and not path.startswith("/api/")}
    return asked - set(NOT_PAGES)


def test_every_page_has_a_state_in_the_list_and_no_other() -> None:
    assert {state.address for state in STATES} - {NOWHERE} == pages()


def test_what_is_no_page_still_exists() -> None:
    assert {path for path in NOT_PAGES if ("GET", path) not in MATRIX} == set()


def test_every_state_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(state.name for state in STATES).items() if times > 1] == []
