"""The pages that replace a secret, show both while they work, and delete a key."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.rotation import rotate_api_key
from apikeys.services import create_api_key
from litellm_sync.emulator.server import Emulator
from litemaas.foundation.once import new_ticket
from subscriptions.models import Subscription
from tests.portal.conftest import Browser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key(ada: User, litellm: Emulator, subscribed: list[Subscription]) -> ApiKey:
    """A key of ada's that LiteLLM has."""
    return create_api_key(ada, name="notebook", models=["gpt-4o"], max_budget=Decimal(5)).key


def sent(ada: User, grace: int = 3600, ticket: str = "") -> dict[str, Any]:
    """The form, filled in."""
    return {"grace_seconds": str(grace), "ticket": ticket or new_ticket(ada.pk)}


def test_the_new_secret_is_shown_once_with_calls(browser: Browser, ada: User, key: ApiKey) -> None:
    client = browser(ada)
    answer = client.post(f"/api-keys/{key.pk}/rotate", sent(ada))
    page, secret = answer.content.decode(), answer.context["secret"]
    assert answer["Cache-Control"] == "no-store"
    assert page.count(secret) == 4  # the box, curl, Python, JavaScript
    assert "The old secret works until" in page
    assert "LiteLLM does not have the new secret yet" not in page
    shown = client.get(f"/api-keys/{key.pk}").content.decode()
    assert secret not in shown
    assert "Two secrets work." in shown
    assert "Each may use what is left of the budget" in shown
    assert "Not used since the rotation" in shown


def test_a_form_that_was_sent_twice_rotates_once(browser: Browser, ada: User, key: ApiKey) -> None:
    client, ticket = browser(ada), new_ticket(ada.pk)
    answers = [client.post(f"/api-keys/{key.pk}/rotate", sent(ada, ticket=ticket)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 422]
    assert ApiKeySecret.objects.count() == 2


@pytest.mark.parametrize(
    ("limits", "is_said"),
    [({}, False), ({"rpm_limit": 5}, True), ({"tpm_limit": 5}, True), ({"max_parallel_requests": 5}, True),
     ({"model_limits": {"gpt-4o": {"rpm_limit": 5}}}, True)],
)  # fmt: skip
def test_that_both_secrets_have_the_limits_is_said(
    browser: Browser, ada: User, key: ApiKey, limits: dict[str, Any], *, is_said: bool
) -> None:
    ApiKey.objects.update(**limits)
    page = browser(ada).get(f"/api-keys/{key.pk}/rotate").content.decode()
    assert ("may use twice as much" in page) is is_said


def test_what_the_policy_offers(browser: Browser, ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(default_grace_seconds=600, maximum_grace_seconds=7200)
    form = browser(ada).get(f"/api-keys/{key.pk}/rotate").context["form"]
    assert [value for value, _label in form.fields["grace_seconds"].choices] == [0, 600, 3600, 7200]
    assert form["grace_seconds"].value() == 600
    assert browser(ada).post(f"/api-keys/{key.pk}/rotate", sent(ada, 604_800)).status_code == 422


def test_what_another_rotation_would_do_is_said_before(browser: Browser, ada: User, key: ApiKey) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    client, address = browser(ada), f"/api-keys/{key.pk}/rotate"
    assert "The present secret was never used: it ends now." in client.get(address).content.decode()
    ApiKeySecret.objects.update(last_used_at=timezone.now())
    assert "End it first" in client.get(address).content.decode()
    refused = client.post(address, sent(ada))
    assert refused.status_code == 422
    assert "End it, and rotate about half a minute later." in refused.content.decode()


LOST = {"sync_status": "failed", "sync_error": "needs_rotation"}


@pytest.mark.parametrize(
    ("newest", "old", "words", "is_rotated"),
    [
        ({**LOST, "last_used_at": timezone.now()}, {}, "has lost or refused the present secret: it ends now. The", True),
        (LOST, {"carried_at": timezone.now()}, "it ends now, whatever you choose", True),
        ({"last_used_at": timezone.now()}, {"valid_until": timezone.now()}, "has just ended. In about half a", False),
        ({"last_used_at": timezone.now()}, {}, "End it first", False),
        ({}, {}, "was never used: it ends now", True),
        ({"pending_secret": "sk-new"}, {}, "has not got the present secret yet", False),
        ({}, {"valid_until": timezone.now(), "carried_at": timezone.now()}, "", True),
    ],
    ids=["lost", "lost-alone", "just-ended", "running", "unused", "not-arrived", "once-more"],
)
def test_the_page_says_what_the_verb_does(
    browser: Browser,
    ada: User,
    key: ApiKey,
    newest: dict[str, Any],
    old: dict[str, Any],
    words: str,
    *,
    is_rotated: bool,
) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    first, second = ApiKeySecret.objects.order_by("created_at")
    ApiKeySecret.objects.filter(pk=second.pk).update(**{"pending_secret": None, "sync_status": "synced", **newest})
    old = {"valid_until": timezone.now()} | old if "carried_at" in old else old
    ApiKeySecret.objects.filter(pk=first.pk).update(**old)
    client, address = browser(ada), f"/api-keys/{key.pk}/rotate"
    page = client.get(address).content.decode()
    said = [hint for hint in HINTS if hint in page]
    assert said == ([hint for hint in HINTS if hint in words] if words else [])
    assert words in page
    assert client.post(address, sent(ada)).status_code == (200 if is_rotated else 422)


HINTS = ("End it first", "has just ended", "was never used: it ends now", "whatever you choose", "has not got the present")


def test_a_refusal_is_said_on_the_form(browser: Browser, ada: User, key: ApiKey) -> None:
    ApiKey.objects.update(expires_at=timezone.now())
    answer = browser(ada).post(f"/api-keys/{key.pk}/rotate", sent(ada))
    assert answer.status_code == 422
    assert "has expired. Move its expiry" in answer.content.decode()


def test_use_of_the_old_secret_is_shown_and_it_is_ended(browser: Browser, ada: User, key: ApiKey) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    old = ApiKeySecret.objects.earliest("created_at")
    client = browser(ada)
    # LiteLLM notes a use late: this may have been before the rotation.
    ApiKeySecret.objects.filter(pk=old.pk).update(last_used_at=timezone.now() + timedelta(seconds=21))
    assert "Not used since the rotation" in client.get(f"/api-keys/{key.pk}").content.decode()
    ApiKeySecret.objects.filter(pk=old.pk).update(last_used_at=timezone.now() + timedelta(seconds=31))
    assert "Still used since the rotation" in client.get(f"/api-keys/{key.pk}").content.decode()
    asked = client.get(f"/api-keys/{key.pk}/end-old-secret").content.decode()
    assert str(old) in asked
    client.post(f"/api-keys/{key.pk}/end-old-secret")
    shown = client.get(f"/api-keys/{key.pk}").content.decode()
    assert "Two secrets work." not in shown
    assert "Ended" in shown
    assert "No old secret works any more." in client.get(f"/api-keys/{key.pk}/end-old-secret").content.decode()


def test_an_administrator_is_not_offered_somebody_elses_secret(browser: Browser, ann: User, key: ApiKey) -> None:
    client = browser(ann)
    assert f"/api-keys/{key.pk}/rotate" not in client.get(f"/api-keys/{key.pk}").content.decode()
    assert client.get(f"/api-keys/{key.pk}/rotate").status_code == 403
    assert f"/api-keys/{key.pk}/reset-spend" in client.get(f"/api-keys/{key.pk}").content.decode()


def test_history_says_what_happened(browser: Browser, ada: User, key: ApiKey) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    old, new = ApiKeySecret.objects.order_by("created_at")
    shown = browser(ada).get(f"/api-keys/{key.pk}").content.decode()
    assert "API key rotated" in shown
    assert f"<del>{old}</del>" in shown
    assert f"<ins>{new}</ins>" in shown


def test_keys_that_expire_soon_are_found(browser: Browser, ada: User, key: ApiKey) -> None:
    soon = create_api_key(ada, name="soon", models=["gpt-4o"], expires_at=timezone.now() + timedelta(days=2)).key
    assert [row.pk for row in browser(ada).get("/api-keys?status=expiring").context["page"]] == [soon.pk]
