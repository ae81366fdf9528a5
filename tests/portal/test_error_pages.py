"""The pages of errors: each status with its words and the request id, for people and for htmx, without a database."""

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts.models import User
from accounts.session_store import SessionStore
from litemaas.foundation import errors
from litemaas.portal import views
from tests.portal.conftest import Browser
from tests.portal.test_pages import check_outline


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Make the home page fail with an error, in the middle of its work."""

    def fail(error: Exception) -> None:
        def raise_it(*args: Any) -> None:
            raise error

        monkeypatch.setattr(views, "_steps", raise_it)

    return fail


class BadGateway(errors.UpstreamRejected):
    """As LiteLLM's refusal is raised."""


CASES = [
    (errors.Malformed(), 400, "This could not be read"),
    (errors.NotAuthenticated(), 401, "Sign in first"),
    (errors.PermissionDenied(), 403, "Not allowed"),
    (errors.NotFound(), 404, "Not found"),
    (errors.Conflict("Somebody was faster."), 409, "Something else came first"),
    (errors.TooLarge(), 413, "Too large"),
    (errors.Invalid("This is no number."), 422, "This could not be accepted"),
    (errors.RateLimited("Wait.", retry_after=60), 429, "Too many requests"),
    (RuntimeError("secret detail"), 500, "Something went wrong"),
    (BadGateway(), 502, "LiteLLM refused this"),
    (errors.UpstreamUnavailable(), 503, "Not available at the moment"),
    (OperationalError("secret detail"), 503, "Not available at the moment"),
]
STATUSES = [f"{status} {type(error).__name__}" for error, status, _title in CASES]


@pytest.fixture(params=CASES, ids=STATUSES)
def case(request: pytest.FixtureRequest, failing: Callable[[Exception], None]) -> tuple[int, str]:
    """The home page fails with an error; its status and the title of its page."""
    error, status, title = request.param
    failing(error)
    return status, title


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_error_has_a_page(case: tuple[int, str], theme: str, browser: Browser, ada: User) -> None:
    status, title = case
    client = browser(ada)
    client.cookies["theme"] = theme
    response = client.get("/")
    page = unescape(response.content.decode())
    assert response.status_code == status
    assert f"<h1>{title}</h1>" in page
    assert f"<title>{status} · {title}" in page
    assert f'data-theme="{theme}"' in page
    assert f"<code>{response['X-Request-ID']}</code>" in page
    assert "secret detail" not in page
    assert 'name="language"' in page
    check_outline(response)
    assert response.get("Retry-After") == ("60" if status == 429 else None)


def test_htmx_gets_an_alert_on_top_of_the_page(case: tuple[int, str], browser: Browser, ada: User) -> None:
    response = browser(ada).get("/", headers={"HX-Request": "true"})
    assert response.status_code == case[0]
    page = response.content.decode()
    assert [response[f"HX-{name}"] for name in ("Retarget", "Reswap", "Reselect")] == ["#notices", "innerHTML", "unset"]
    assert 'role="alert"' in page
    assert "<html" not in page
    assert response["X-Request-ID"] in page


def test_a_method_that_a_page_does_not_offer_has_a_page_too(browser: Browser, ada: User) -> None:
    response = browser(ada).get("/theme")
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert "<h1>This address works differently</h1>" in response.content.decode()
    check_outline(response)
    assert browser(ada).put("/usage").status_code == 405


def test_errors_speak_the_readers_language(browser: Browser, ada: User, failing: Callable[..., None]) -> None:
    failing(RuntimeError())
    response = browser(ada).get("/", headers={"accept-language": "de"})
    assert response.status_code == 500
    assert '<html lang="de"' in response.content.decode()


@pytest.mark.parametrize("path", ["/", "/profile", "/sign-in"])
def test_pages_without_a_database_speak_the_language_of_the_cookie(
    path: str, browser: Browser, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError

    client = browser(ada)
    client.cookies["language"] = "de"
    client.cookies["theme"] = "dark"
    monkeypatch.setattr(SessionStore, "load", fail)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path, headers={"accept-language": "en"})
    assert len(captured) == 0
    assert response.status_code == 503
    page = response.content.decode()
    assert '<html lang="de" data-theme="dark">' in page
    assert response["X-Request-ID"] in page
    check_outline(response)


def test_an_error_page_leads_on(browser: Browser, ada: User, failing: Callable[..., None]) -> None:
    failing(errors.UpstreamUnavailable())
    page = browser(ada).get("/?a=b").content.decode()
    assert re.search(r'class="button primary" href="/\?a=b"', page)  # once more
    nobody = Client(raise_request_exception=False).post("/profile", {})
    assert nobody.status_code == 401
    assert 'class="button primary" href="/sign-in"' in nobody.content.decode()


def test_what_was_sent_may_have_been_saved_only_when_we_failed(
    browser: Browser, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("accounts.services.update_profile", fail)
    page = browser(ada).post("/profile", {"full_name": "Ada"}).content.decode()
    assert "may or may not have been saved" in page
    assert "Nothing was changed" not in page
    too_large = browser(ada).post("/profile", {"full_name": "x" * 1_100_000})
    assert too_large.status_code == 413
    assert "Nothing was changed" in too_large.content.decode()
