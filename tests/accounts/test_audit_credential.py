"""Each entry of the audit log says what its actor came with: a session, a sign-in to the API, a personal token."""

import csv
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts import audit, services
from accounts.models import AuditEvent, BrowserSession, RefreshFamily, User
from accounts.personal_tokens import create_personal_token, revoke_personal_token
from accounts.tokens import generate_token_pair, refresh_token
from litemaas.foundation import logs
from litemaas.foundation.errors import NotAuthenticated
from tests.answers import page_of, problem_of

pytestmark = pytest.mark.django_db

ME, AUDIT = "/api/v1/me", "/api/v1/audit"
Browser = Callable[[User | None], Client]


def rename(client: Client | APIClient, name: str, **headers: Any) -> str:
    """Change one's own name; returns what the entry says the change was made with."""
    answer = client.patch(ME, {"full_name": name}, content_type="application/json", **headers)
    assert answer.status_code == 200, answer.content
    newest = AuditEvent.objects.filter(action="profile.changed").first()
    assert newest
    return newest.credential


def bearer(secret: str) -> dict[str, Any]:
    """What a program sends."""
    return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}


def test_an_entry_says_which_credential_it_was(browser: Browser, ada: User) -> None:
    page, pair = browser(ada), generate_token_pair(ada)
    script = create_personal_token(ada, name="script", scope="write")
    session, family = BrowserSession.objects.get(user=ada), RefreshFamily.objects.get(user=ada)
    assert rename(page, "one") == f"session/{session.pk}"
    assert rename(Client(), "two", **bearer(pair.access)) == f"access_token/{family.pk}"
    assert rename(Client(), "three", **bearer(script.secret)) == f"personal_token/{script.token.pk}"


def test_a_token_counts_also_where_a_cookie_came_along(browser: Browser, ada: User) -> None:
    script = create_personal_token(ada, name="script", scope="write")
    assert rename(browser(ada), "one", **bearer(script.secret)) == f"personal_token/{script.token.pk}"


def test_pages_of_the_portal_say_which_session(browser: Browser, ada: User) -> None:
    page = browser(ada)
    page.post(reverse("sign-out"))
    left = AuditEvent.objects.get(action="sign_out.succeeded")
    assert left.credential.startswith("session/")


def test_what_one_request_came_with_is_not_the_next_one_s(browser: Browser, ada: User) -> None:
    assert rename(browser(ada), "one")
    Client().get("/sign-in")
    assert audit.record(None, audit.Action.MODELS_SYNCED).credential == ""


def test_a_refused_token_is_named_too(ada: User) -> None:
    script = create_personal_token(ada, name="script", scope="write")
    revoke_personal_token(ada, token_id=script.token.pk)
    problem_of(Client().get(ME, **bearer(script.secret)), 401, "token_revoked")
    assert AuditEvent.objects.get(action="token.refused").credential == f"personal_token/{script.token.pk}"


def test_a_refresh_token_that_was_used_twice_names_its_sign_in(ada: User) -> None:
    pair = generate_token_pair(ada)
    refresh_token(pair.refresh)
    with pytest.raises(NotAuthenticated):
        refresh_token(pair.refresh)
    family = RefreshFamily.objects.get(user=ada)
    assert AuditEvent.objects.get(action="token.refused").credential == f"access_token/{family.pk}"


@pytest.fixture
def by_script(ada: User) -> str:
    """Two entries by a token, among others by nothing."""
    script = create_personal_token(ada, name="script", scope="write")
    logs.clear()
    logs.bind_credential("personal_token", script.token.pk)
    services.update_profile(ada, full_name="one")
    services.update_profile(ada, full_name="two")
    logs.clear()
    services.update_profile(ada, full_name="three")
    return f"personal_token/{script.token.pk}"


def test_the_api_shows_and_finds_it(api: Callable[..., APIClient], ann: User, by_script: str) -> None:
    rows = page_of(api(ann).get(f"{AUDIT}?action=profile.changed"))
    assert [row["credential"] for row in rows] == ["", by_script, by_script]
    assert len(page_of(api(ann).get(AUDIT, {"credential": by_script}))) == 2
    assert page_of(api(ann).get(AUDIT, {"credential": "personal_token/x"})) == []


def test_what_others_came_with_is_not_shown(api: Callable[..., APIClient], ada: User, ann: User) -> None:
    for actor, number in ((ann, ann.pk), (ada, ada.pk)):
        logs.clear()
        logs.bind_credential("session", number)
        audit.record(actor, audit.Action.PROFILE_CHANGED, ada)
    logs.clear()
    rows = page_of(api(ada).get(f"{ME}/activity?category=profile"))
    assert [(row["actor_name"], row["credential"]) for row in rows] == [("ada", f"session/{ada.pk}"), ("ann", "")]


def test_the_download_has_it(browser: Browser, ann: User, by_script: str) -> None:
    file: Any = browser(ann).get(reverse("admin:accounts_auditevent_export"), {"credential": by_script})
    rows = list(csv.DictReader(file.getvalue().decode().splitlines()))
    assert [row["credential"] for row in rows] == [by_script] * 2


def test_the_page_of_an_entry_says_it_and_leads_to_the_others(browser: Browser, ann: User, by_script: str) -> None:
    client = browser(ann)
    entry = AuditEvent.objects.filter(credential=by_script)[0]
    shown = client.get(reverse("admin:accounts_auditevent_change", args=[entry.pk])).content.decode()
    assert "Personal access token</a>" in shown
    assert by_script.partition("/")[2] in shown
    address = reverse("admin:accounts_auditevent_changelist", query={"credential": by_script})
    assert f'href="{address}"' in shown
    assert client.get(address).content.decode().count("profile.changed") >= 2
    bare = AuditEvent.objects.filter(action="profile.changed")[0]
    page = client.get(reverse("admin:accounts_auditevent_change", args=[bare.pk]))
    assert page.status_code == 200
    assert "Personal access token</a>" not in page.content.decode()
