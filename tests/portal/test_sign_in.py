"""Signing in and out, as somebody sees it."""

from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AuditEvent, User
from tests.portal.conftest import Browser

WRONG = "This name and password do not belong together."


@pytest.fixture(autouse=True)
def _passwords(settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = True


def test_right_password_leads_to_where_one_wanted_to_go(browser: Browser, ada: User) -> None:
    client = browser(None)
    data = {"username": "ada", "password": "ada", "next": "/usage?days=7"}
    response = client.post(reverse("sign-in"), data)
    assert (response.status_code, response["Location"]) == (302, "/usage?days=7")
    assert client.get("/usage?days=7").status_code == 200


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_sign_in_never_leads_elsewhere(elsewhere: str, browser: Browser, ada: User) -> None:
    data = {"username": "ada", "password": "ada", "next": elsewhere}
    assert browser(None).post(reverse("sign-in"), data)["Location"] == "/"


def test_wrong_password_keeps_the_name_and_says_so(browser: Browser, ada: User) -> None:
    response = browser(None).post(reverse("sign-in"), {"username": "ada", "password": "guess"})
    page = response.content.decode()
    assert response.status_code == 401
    assert WRONG in page
    assert 'value="ada"' in page
    assert "guess" not in page


def test_sixth_try_has_to_wait(browser: Browser, ada: User) -> None:
    client = browser(None)
    for _ in range(5):
        assert client.post(reverse("sign-in"), {"username": "ada", "password": "guess"}).status_code == 401
    response = client.post(reverse("sign-in"), {"username": "ada", "password": "ada"})
    assert response.status_code == 429
    assert 840 < int(response["Retry-After"]) <= 900
    assert "Too many wrong passwords" in response.content.decode()


def test_empty_form_says_what_is_missing(browser: Browser, db: None) -> None:
    response = browser(None).post(reverse("sign-in"), {})
    assert response.status_code == 422
    assert response.content.decode().count("This field is required.") == 2


def test_page_says_that_passwords_are_switched_off(browser: Browser, ada: User, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = False
    page = browser(None).get(reverse("sign-in")).content.decode()
    assert "switched off" in page
    assert 'type="password"' not in page
    data = {"username": "ada", "password": "ada"}
    assert "_auth_user_id" not in browser(None).post(reverse("sign-in"), data).client.session


def test_signed_in_people_are_sent_on(browser: Browser, ada: User) -> None:
    assert browser(ada).get(reverse("sign-in"), {"next": "/usage"})["Location"] == "/usage"


def test_signing_out_ends_the_session_and_is_noted(browser: Browser, ada: User) -> None:
    client = browser(ada)
    assert client.get(reverse("sign-out")).status_code == 405
    assert client.post(reverse("sign-out"))["Location"] == reverse("sign-in")
    assert client.get("/usage").status_code == 302
    assert AuditEvent.objects.filter(action="sign_out.succeeded", actor_id=ada.pk).count() == 1
