"""Every answer of every address carries the headers that keep it where it belongs."""

import re
from typing import Any

import pytest
from django.conf import settings as product
from django.test import Client

from accounts.models import User
from tests.guards.access_matrix import MATRIX
from tests.guards.test_access import World, answer, people, undone, world

__all__ = ["people", "world"]

pytestmark = pytest.mark.django_db

EVERYWHERE = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# It says "alive" and nothing else, and is answered before what adds the headers (litemaas.foundation.health).
BARE = "/healthz/live"
# What may stand in the policy of which addresses, and why, is in docs/adr/0014 and litemaas/api.py.
RELAXED = {"/admin/": "'unsafe-eval'", "/api/v1/docs": "'unsafe-inline'"}


def flaws(response: Any, path: str) -> list[str]:
    """What is wrong with the headers of an answer."""
    if path == BARE:
        return [name for name in ("X-Request-ID", "Cache-Control") if not response.get(name)]
    found = [name for name, value in EVERYWHERE.items() if response.get(name) != value]
    policy = response.get("Content-Security-Policy", "")
    if not all(part in policy for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'")):
        found.append("Content-Security-Policy")
    allowed = next((words for start, words in RELAXED.items() if path.startswith(start)), "")
    if set(re.findall(r"'unsafe-[a-z-]+'", policy)) - {allowed} or re.search(r"https?:|\*", policy):
        found.append(f"Content-Security-Policy: {policy}")
    if "camera=()" not in response.get("Permissions-Policy", ""):
        found.append("Permissions-Policy")
    kept = response.get("Cache-Control", "")
    if "no-store" not in kept and path != "/admin/jsi18n/":
        found.append(f"Cache-Control: {kept}")
    if not re.fullmatch(r"[0-9a-f]{32}", response.get("X-Request-ID", "")):
        found.append("X-Request-ID")
    return found


@pytest.mark.parametrize("who", ["anonymous", "ann"])
def test_every_answer_has_its_headers(world: World, who: str) -> None:
    found = {}
    for method, path in MATRIX:
        with undone():
            if wrong := flaws(answer(world, who, method, path), path):
                found[method, path] = wrong
    assert found == {}


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/admin/nowhere", "/sign-in/nobody"])
def test_errors_have_them_too(path: str) -> None:
    assert flaws(Client(raise_request_exception=False).get(path), path) == []


def test_words_of_djangos_scripts_are_kept_by_nobody_else(world: World) -> None:
    kept = answer(world, "ann", "GET", "/admin/jsi18n/").get("Cache-Control", "")
    assert "public" not in kept
    assert "no-store" in kept or "private" in kept


def test_static_files_cannot_be_taken_for_something_else() -> None:
    response: Any = Client().get("/static/css/litemaas.css")
    assert b"".join(response.streaming_content)
    response.close()
    for name in ("X-Content-Type-Options", "Cross-Origin-Resource-Policy", "Referrer-Policy"):
        assert response[name] == EVERYWHERE[name]
    assert response["Content-Type"].startswith("text/css")


def test_https_is_for_ever(world: World) -> None:
    client = Client(raise_request_exception=False)
    assert client.get("/sign-in", secure=True)["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert "Strict-Transport-Security" not in client.get("/sign-in")


def test_cookies_are_for_this_host_alone_and_no_script_reads_the_session(ada: User, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = True
    named = {product.SESSION_COOKIE_NAME, product.CSRF_COOKIE_NAME}
    assert named == {"__Host-sessionid", "__Host-csrftoken"}
    client = Client(enforce_csrf_checks=True, headers={"Referer": "https://testserver/"})
    client.get("/sign-in", secure=True)

    def send(path: str, **data: str) -> int:
        token = client.cookies[product.CSRF_COOKIE_NAME].value
        return client.post(path, {"csrfmiddlewaretoken": token, **data}, secure=True).status_code

    assert send("/sign-in", username="ada", password="ada") == 302
    assert send("/theme", theme="dark") == 302
    assert send("/profile/language", language="de") == 302
    assert client.post("/profile/language", {"language": "en"}, secure=True).status_code == 403
    assert named < set(client.cookies)
    for cookie in client.cookies.values():
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Lax", "/", ""), cookie.key
        assert cookie["secure"], cookie.key
        # Scripts change the theme, and Swagger UI sends the token.
        assert cookie["httponly"] or cookie.key in {product.CSRF_COOKIE_NAME, "theme"}, cookie.key
