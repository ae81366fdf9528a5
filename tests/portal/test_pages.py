"""Every page: who gets it, that it is well formed, that it asks the database a constant number of questions."""

from collections import Counter
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from accounts.session_store import SessionStore
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from tests.portal.conftest import PAGES, Browser, pages_of

VOID = {"meta", "link", "input", "br", "hr", "img", "line", "rect", "path", "circle"}
LABELLED_OTHERWISE = {"hidden", "submit"}


class Outline(HTMLParser):
    """What assistive technology would find on a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.labels: set[str] = set()
        self.controls: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count, and note what breaks the rules."""
        found = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        if "id" in found:
            self.ids[found["id"]] += 1
        if tag == "label" and "for" in found:
            self.labels.add(found["for"])
        if tag in {"input", "select", "textarea"} and found.get("type") not in LABELLED_OTHERWISE:
            self.controls.append(found.get("id", ""))
        if tag == "style" or (tag == "script" and "src" not in found):
            self.inline.append(tag)
        self.inline += [name for name in found if name == "style" or name.startswith("on")]


def body(response: Any) -> str:
    """The text of a page."""
    return str(response.content.decode())


def check_outline(response: Any) -> None:
    """One heading of the first rank, one main, labels everywhere, nothing inline, no id twice."""
    outline = Outline(body(response))
    assert outline.tags["h1"] == 1
    assert outline.tags["main"] == 1
    assert outline.tags["title"] >= 1
    assert outline.inline == []
    assert [name for name, number in outline.ids.items() if number > 1] == []
    assert [control for control in outline.controls if control not in outline.labels] == []


@pytest.mark.parametrize("person", ["ada", "eve", "ann", "ro"])
def test_every_role_gets_every_empty_page(person: str, request: pytest.FixtureRequest, browser: Browser) -> None:
    client = browser(request.getfixturevalue(person))
    for name in PAGES:
        response = client.get(reverse(name))
        expected = 403 if person == "ro" and name.endswith("-create") else 200
        assert response.status_code == expected, name
        check_outline(response)


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("person", ["ada", "ann"])
def test_owner_and_admin_get_every_filled_page(
    person: str, request: pytest.FixtureRequest, browser: Browser, key: ApiKey, subscribed: list[Subscription]
) -> None:
    client = browser(request.getfixturevalue(person))
    for url in pages_of(key, subscribed[0]):
        response = client.get(url)
        assert response.status_code == 200, url
        check_outline(response)


def test_strangers_find_nothing(browser: Browser, eve: User, key: ApiKey, subscribed: list[Subscription]) -> None:
    client = browser(eve)
    own = {"key_id": key.pk}
    assert client.get(reverse("api-key", kwargs=own)).status_code == 404
    assert client.get(reverse("api-key-revoke", kwargs=own)).status_code == 404
    gone = client.post(reverse("api-key-revoke", kwargs=own))
    assert gone.status_code == 404
    assert "There is nothing here that you can see." in body(gone)
    cancel = reverse("subscription-cancel", kwargs={"subscription_id": subscribed[0].pk})
    assert client.get(cancel).status_code == 404
    assert client.post(cancel).status_code == 404
    assert Subscription.objects.count() == len(subscribed)
    for name in ("api-keys", "subscriptions"):
        page = body(client.get(reverse(name), {"of": "everybody"}))
        assert "notebook" not in page
        assert "gpt-4o" not in page
    key.refresh_from_db()
    assert key.status == "active"


def test_administrators_see_their_own_first_and_everybodys_on_request(browser: Browser, ann: User, key: ApiKey) -> None:
    client = browser(ann)
    assert "notebook" not in body(client.get(reverse("api-keys")))
    assert "notebook" in body(client.get(reverse("api-keys"), {"of": "everybody"}))


def test_anonymous_people_are_sent_to_sign_in(browser: Browser, db: None) -> None:
    client = browser(None)
    for name in PAGES:
        response = client.get(reverse(name), {"page": 2})
        assert response.status_code == 302
        assert response["Location"] == f"{reverse('sign-in')}?next={quote(reverse(name), safe='')}%3Fpage%3D2"


def statements(client: Client, url: str) -> int:
    """How many statements a page needs; the first visit warms what is kept for good."""
    client.get(url)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


@pytest.mark.parametrize(
    "url",
    ["/models", "/subscriptions", "/api-keys", "/", "/usage", "/api-keys/create", "/profile", "/profile/activity"],
)
def test_number_of_statements_does_not_depend_on_the_rows(url: str, browser: Browser, ada: User, used: object) -> None:
    client = browser(ada)
    few = statements(client, url)
    for number in range(30):
        Model.objects.create(id=f"m{number}", provider=f"p{number}", mode="chat", capabilities=["vision"])
        create_subscription(ada, model=f"m{number}")
        create_api_key(ada, name=f"key {number}", models=[f"m{number}", "gpt-4o"])
    assert statements(client, url) == few


def test_error_page_needs_no_database(browser: Browser, ada: User) -> None:
    client = browser(ada)
    response = client.get("/api-keys/00000000-0000-4000-8000-000000000000")
    page = body(response)
    assert response.status_code == 404
    assert "There is nothing here that you can see." in page
    assert response["X-Request-ID"] in page
    check_outline(response)
    with CaptureQueriesContext(connection) as captured:
        assert browser(None).get("/nothing-here").status_code == 404
    assert len(captured) == 0


def test_page_is_readable_while_the_database_is_away(
    browser: Browser, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError

    client = browser(ada)
    monkeypatch.setattr(SessionStore, "load", fail)
    with CaptureQueriesContext(connection) as captured:
        response = client.get("/api-keys")
    assert response.status_code == 503
    assert "The database cannot be reached at the moment." in body(response)
    assert len(captured) == 0
    check_outline(response)


def test_htmx_gets_an_alert_instead_of_a_page(browser: Browser, ada: User) -> None:
    response = browser(ada).get("/api-keys/00000000-0000-4000-8000-000000000000", headers={"HX-Request": "true"})
    assert response.status_code == 404
    assert "<html" not in body(response)
    assert 'role="alert"' in body(response)


def test_htmx_is_sent_to_sign_in_as_a_whole_page(browser: Browser) -> None:
    response = browser(None).get("/models?q=gpt", headers={"HX-Request": "true"}, follow=True)
    assert response["HX-Redirect"] == "/sign-in?next=%2Fmodels%3Fq%3Dgpt"


@pytest.mark.parametrize("theme", ["dark", "light", "system"])
def test_theme_is_kept_in_a_cookie(theme: str, browser: Browser, db: None) -> None:
    client = browser(None)
    response = client.post(reverse("theme"), {"theme": theme, "next": "/sign-in"})
    assert response["Location"] == "/sign-in"
    assert f'data-theme="{theme}"' in body(client.get("/sign-in"))


def test_theme_takes_no_nonsense_and_leads_nowhere_else(browser: Browser, db: None) -> None:
    client = browser(None)
    response = client.post(reverse("theme"), {"theme": '"><script>', "next": "https://evil.example/"})
    assert response["Location"] == "/"
    client.cookies["theme"] = "nonsense"
    assert 'data-theme="system"' in body(client.get("/sign-in"))


def test_templates_have_nothing_inline_and_trust_nothing() -> None:
    folder = settings.BASE_DIR / "templates"
    for path in folder.rglob("*.html"):
        text = path.read_text()
        assert "|safe" not in text, path
        assert "autoescape off" not in text, path
        assert " style=" not in text, path
        assert "<style" not in text, path
        assert "<script>" not in text, path
        limit = 150 if path.parent == folder or "extends" in text else 40
        assert len(text.splitlines()) <= limit, path
