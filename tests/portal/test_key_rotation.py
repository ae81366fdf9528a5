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
from litellm_sync.models import SyncRun
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
    assert "Not known yet whether it was used" in shown
    assert "Never used" not in shown


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


def test_while_a_rotation_is_running_a_lost_secret_is_replaced(browser: Browser, ada: User, key: ApiKey) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    client, address = browser(ada), f"/api-keys/{key.pk}/rotate"
    shown = client.get(address)
    assert "Rotate again only if you have lost the new one, or if one has leaked." in shown.content.decode()
    assert [value for value, _label in shown.context["form"].fields["grace_seconds"].choices] == ["", 0]
    as_before = {"grace_seconds": "", "ticket": new_ticket(ada.pk)}
    refused = client.post(address, as_before)
    assert refused.status_code == 422
    assert "End it, and rotate about a minute and a half later." in refused.content.decode()
    stale = client.post(address, sent(ada))
    assert stale.status_code == 422
    assert "The key or the policy has changed meanwhile." in stale.content.decode()
    assert ApiKeySecret.objects.count() == 2
    until = ApiKeySecret.objects.earliest("created_at").valid_until
    done = client.post(address, as_before | {"replace_newest": "on", "ticket": new_ticket(ada.pk)})
    page = done.content.decode()
    assert "The new secret works in about a minute and a half" in page
    assert "Until then the old one works." in page
    assert ApiKeySecret.objects.earliest("created_at").valid_until == until


def test_that_nothing_works_meanwhile_is_said_where_everything_ends(browser: Browser, ada: User, key: ApiKey) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    client, address = browser(ada), f"/api-keys/{key.pk}/rotate"
    assert "every secret is refused at once" in client.get(address).content.decode()
    page = client.post(address, sent(ada, 0)).content.decode()
    assert "Until then nothing works." in page
    assert "The old secret has ended" in page


@pytest.mark.parametrize(
    ("columns", "words", "choices"),
    [
        ({"pending_secret": "sk-lm-x", "sync_status": "pending"}, "does not have the present secret yet", [0]),
        ({"sync_status": "failed", "sync_error": "needs_rotation"}, "the one before it goes on working", ["", 0]),
    ],
    ids=["waiting", "lost"],
)
def test_what_can_be_done_where_the_newest_is_not_there(  # noqa: PLR0917 -- the cast
    columns: dict[str, str], words: str, choices: list[Any], browser: Browser, ada: User, key: ApiKey
) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    ApiKeySecret.objects.filter(valid_until=None).update(**columns)
    client, address = browser(ada), f"/api-keys/{key.pk}/rotate"
    shown = client.get(address)
    assert words in shown.content.decode()
    assert [value for value, _label in shown.context["form"].fields["grace_seconds"].choices] == choices
    asked = client.get(f"/api-keys/{key.pk}/end-old-secret").content.decode()
    assert "without the old one nothing works" in asked
    assert "goes on working" not in asked
    page = client.get(f"/api-keys/{key.pk}").content.decode()
    assert "Only the old secret works until LiteLLM has the new one." in page
    assert client.post(f"/api-keys/{key.pk}/end-old-secret").status_code == 422
    assert client.post(f"/api-keys/{key.pk}/end-old-secret", {"force": "on"}).status_code == 302


def test_a_key_that_litellm_lost_is_rotated_without_a_choice(browser: Browser, ada: User, key: ApiKey) -> None:
    ApiKeySecret.objects.update(sync_status="failed", sync_error="needs_rotation")
    client, address = browser(ada), f"/api-keys/{key.pk}/rotate"
    shown = client.get(address)
    assert "nothing works until the new one does" in shown.content.decode()
    assert list(shown.context["form"].fields) == []
    assert client.post(address, {"ticket": new_ticket(ada.pk)}).status_code == 200


@pytest.mark.parametrize("fetched", [-40, 0, 40], ids=["before", "too-soon", "after"])
def test_that_a_secret_is_not_used_is_said_only_where_litellm_was_asked(
    fetched: int, browser: Browser, ada: User, key: ApiKey
) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    old = ApiKeySecret.objects.earliest("created_at")
    ApiKeySecret.objects.filter(pk=old.pk).update(last_used_at=old.created_at)
    begun = ApiKeySecret.objects.latest("created_at").created_at + timedelta(seconds=fetched)
    SyncRun.objects.create(kind="usage", status="done", started_at=begun)
    SyncRun.objects.create(kind="usage", status="failed", started_at=begun + timedelta(hours=1))
    shown = browser(ada).get(f"/api-keys/{key.pk}").content.decode()
    assert ("Not used since the rotation" in shown) is (fetched > 30)
    assert ("Never used" in shown) is (fetched > 30)
    assert ("Not known yet" in shown) is (fetched <= 30)


def test_a_refusal_is_said_on_the_form(browser: Browser, ada: User, key: ApiKey) -> None:
    ApiKey.objects.update(expires_at=timezone.now())
    answer = browser(ada).post(f"/api-keys/{key.pk}/rotate", sent(ada))
    assert answer.status_code == 422
    assert "has expired. Move its expiry" in answer.content.decode()


def test_use_of_the_old_secret_is_shown_and_it_is_ended(browser: Browser, ada: User, key: ApiKey) -> None:
    rotate_api_key(ada, key_id=key.pk, grace_seconds=3600)
    old = ApiKeySecret.objects.earliest("created_at")
    client = browser(ada)
    SyncRun.objects.create(kind="usage", status="done", started_at=timezone.now() + timedelta(minutes=1))
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
    assert old.valid_until is not None
    assert f"{old} · {old.valid_until:%Y-%m-%d %H:%M} UTC" in shown


def test_keys_that_expire_soon_are_found(browser: Browser, ada: User, key: ApiKey) -> None:
    soon = create_api_key(ada, name="soon", models=["gpt-4o"], expires_at=timezone.now() + timedelta(days=2)).key
    assert [row.pk for row in browser(ada).get("/api-keys?status=expiring").context["page"]] == [soon.pk]
