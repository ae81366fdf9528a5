"""The admin portal in German: unfold has no catalogues of its own, so its texts must be in ours."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import unfold
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext

from accounts.models import User
from apikeys.models import ApiKey
from tests.admin.conftest import page, pages

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
IN_TEMPLATES = re.compile(r"""\{%\s*(?:translate|trans)\s+(["'])(.+?)\1""")
IN_PYTHON = re.compile(r"""\b(?:_|gettext|gettext_lazy)\(\s*(["'])(.+?)\1""")
SPOKEN = {"alt", "aria-label", "data-label", "placeholder", "title", "value"}
# The same word in both languages, or a name.
SAME = {"Name", "System"}
ELSEWHERE = [f"/admin/apikeys/apikey/?{query}" for query in ("q=zzzz", "status=active", "o=1.-2&q=notebook")]


class Words(HTMLParser):
    """Each text of a page that is seen or read aloud."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._silent = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The attributes that are spoken; scripts and styles are not."""
        self._silent = tag in {"script", "style"}
        self.found |= {" ".join((value or "").split()) for name, value in attrs if name in SPOKEN}

    def handle_endtag(self, tag: str) -> None:
        """What follows is a text again."""
        self._silent = False

    def handle_data(self, data: str) -> None:
        """A text."""
        if not self._silent:
            self.found.add(" ".join(data.split()))


def texts_of_unfold() -> set[str]:
    """Everything that unfold would translate."""
    root = Path(unfold.__file__).parent
    found: set[str] = set()
    for pattern, suffix in ((IN_TEMPLATES, "*.html"), (IN_PYTHON, "*.py")):
        for path in root.rglob(suffix):
            found |= {text for _quote, text in pattern.findall(path.read_text())}
    return found


@pytest.fixture
def german(browser: Browser, ann: User) -> Client:
    """An administrator whose browser asks for German."""
    client = browser(ann)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    return client


def test_every_page_is_german_where_unfold_speaks(german: Client, filled: ApiKey) -> None:
    with translation.override("de"):
        english = {text for text in texts_of_unfold() if gettext(text) == text} - SAME
    assert {"Recent searches", "Log in again"} & english  # shown nowhere here, and so left alone
    addresses = [*pages(), page(filled, "revoke"), "/admin/accounts/user/add/", *ELSEWHERE]
    found = {}
    for address in addresses:
        response = german.get(address)
        assert '<html lang="de"' in response.content.decode(), address
        if left := Words(response.content.decode()).found & english:
            found[address] = left
    assert {word for words in found.values() for word in words} == set(), found


def test_no_list_shows_a_text_that_its_field_made_up(german: Client, filled: ApiKey) -> None:
    words = Words(german.get("/admin/apikeys/apikey/").content.decode()).found
    assert "Aktion wählen" in words
    assert "Select across" not in words
