"""Two faces, one verb: a page and the API carry the same thing out by the same function, in the same words."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

import accounts.services
import apikeys.endings
import apikeys.rotation
import apikeys.services
import subscriptions.services
from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litemaas.foundation.crypto import secret_digest
from litemaas.foundation.once import new_ticket
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription

pytestmark = pytest.mark.django_db

Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], Calls]:
    """Listen to a verb, which goes on working."""

    def listen(module: Any, name: str) -> Calls:
        heard: Calls = []
        verb = getattr(module, name)

        def heard_verb(*args: Any, **kwargs: Any) -> Any:
            heard.append((args, kwargs))
            return verb(*args, **kwargs)

        monkeypatch.setattr(module, name, heard_verb)
        return heard

    return listen


@pytest.fixture
def faces(ada: User) -> tuple[Client, APIClient]:
    """Ada in a browser, and a program of hers."""
    page, api = Client(), APIClient()
    page.force_login(ada)
    api.force_authenticate(ada)
    return page, api


def test_create_a_key(
    faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, subscribed: list[Subscription]
) -> None:
    page, api = faces
    heard = spy(apikeys.services, "create_api_key")
    wish = {"name": "k", "description": "d", "models": ["gpt-4o"], "max_budget": "5", "rpm_limit": 7}
    limits = {"max_budget": "5", "rpm_limit": "7", "budget_duration": "7d"}
    empty = {"tpm_limit": "", "max_parallel_requests": "", "expires_at": "", "expires_on": ""}
    assert page.post("/api-keys/create", wish | limits | empty | {"ticket": new_ticket(ada.pk)}).status_code == 200
    assert api.post("/api/v1/api-keys", wish | {"budget_duration": "7d"}).status_code == 201
    (from_page, page_wish), (from_api, api_wish) = heard
    assert from_page == from_api == (ada,)
    assert page_wish.pop("team") is None
    assert page_wish == api_wish
    one, other = ApiKey.objects.values("max_budget", "rpm_limit", "budget_duration", "description", "team", "name")
    assert one == other


def test_change_a_key(
    faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, subscribed: list[Subscription]
) -> None:
    page, api = faces
    keys = [create_api_key(ada, name="k", models=["gpt-4o"], rpm_limit=5).key for _ in range(2)]
    heard = spy(apikeys.services, "update_api_key")
    as_it_was = {"initial-name": "k", "initial-models": ["gpt-4o"], "initial-rpm_limit": "5"}
    typed = {"name": "other", "models": ["gpt-4o", "gpt-4o-mini"], "rpm_limit": "", "max_budget": "2.5"}
    assert page.post(f"/api-keys/{keys[0].pk}/edit", as_it_was | typed).status_code == 302
    wish = {"name": "other", "models": ["gpt-4o", "gpt-4o-mini"], "rpm_limit": None, "max_budget": "2.5"}
    assert api.patch(f"/api/v1/api-keys/{keys[1].pk}", wish).status_code == 200
    changes = wish | {"max_budget": Decimal("2.5")}
    assert heard == [((ada,), {"key_id": key.pk, **changes}) for key in keys]


def test_block_and_unblock_a_key(
    faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, ann: User, subscribed: list[Subscription]
) -> None:
    page, api = faces
    page.force_login(ann)
    api.force_authenticate(ann)
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    for verb, status in (("block", "blocked"), ("unblock", "active")):
        heard = spy(apikeys.endings, f"{verb}_api_key")
        page.post(f"/api-keys/{key.pk}/{verb}", {"reason": "why"})
        api.post(f"/api/v1/api-keys/{key.pk}/{verb}", {"reason": "why"})
        assert heard == [((ann,), {"key_id": key.pk, "reason": "why"})] * 2
        assert ApiKey.objects.get().status == status


def test_revoke_a_key(
    faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, subscribed: list[Subscription]
) -> None:
    page, api = faces
    keys = [create_api_key(ada, name=name, models=["gpt-4o"]).key for name in ("one", "other")]
    heard = spy(apikeys.endings, "revoke_api_key")
    page.post(f"/api-keys/{keys[0].pk}/revoke")
    api.post(f"/api/v1/api-keys/{keys[1].pk}/revoke")
    assert heard == [((ada,), {"key_id": key.pk}) for key in keys]
    assert set(ApiKey.objects.values_list("status", flat=True)) == {"revoked"}


def test_rotate_a_key(
    faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, subscribed: list[Subscription]
) -> None:
    page, api = faces
    keys = [create_api_key(ada, name=name, models=["gpt-4o"]).key for name in ("one", "other")]
    ApiKeySecret.objects.update(pending_secret=None)
    heard = spy(apikeys.rotation, "rotate_api_key")
    shown = page.post(f"/api-keys/{keys[0].pk}/rotate", {"grace_seconds": "3600", "ticket": new_ticket(ada.pk)})
    made = api.post(f"/api/v1/api-keys/{keys[1].pk}/rotate", {"grace_seconds": 3600})
    assert heard == [((ada,), {"key_id": key.pk, "grace_seconds": 3600, "replace_newest": False}) for key in keys]
    for answer, secret in ((shown, shown.context["secret"]), (made, made.json()["secret"])):
        assert answer["Cache-Control"] == "no-store"
        assert ApiKeySecret.objects.filter(digest=secret_digest(secret)).exists()
    assert (shown.status_code, made.status_code, made.json()["id"]) == (200, 201, str(keys[1].pk))


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize("verb", ["end_old_secret", "reset_spend"])
def test_end_an_old_secret_and_reset_spend(
    verb: str, faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, ann: User
) -> None:
    page, api = faces
    page.force_login(ann)
    api.force_authenticate(ann)
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    heard = spy(apikeys.rotation if verb == "end_old_secret" else apikeys.endings, verb)
    address = verb.replace("_", "-")
    assert page.post(f"/api-keys/{key.pk}/{address}").status_code == 302
    assert api.post(f"/api/v1/api-keys/{key.pk}/{address}").json()["id"] == str(key.pk)
    assert page.post(f"/admin/apikeys/apikey/{key.pk}/reset-spend/").status_code == 302
    once_more = verb == "reset_spend"
    given = {"key_id": key.pk} if once_more else {"key_id": key.pk, "force": False}
    assert heard == [((ann,), given)] * (2 + once_more)


def test_delete_a_key(
    faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, ann: User, subscribed: list[Subscription]
) -> None:
    page, api = faces
    keys = [create_api_key(ada, name=name, models=["gpt-4o"]).key for name in ("one", "other", "third")]
    assert page.post(f"/api-keys/{keys[0].pk}/delete").status_code == 422
    assert api.delete(f"/api/v1/api-keys/{keys[1].pk}").json()["code"] == "key_not_revoked"
    for key in keys:
        apikeys.endings.revoke_api_key(ada, key_id=key.pk)
    heard = spy(apikeys.endings, "delete_api_key")
    assert page.post(f"/api-keys/{keys[0].pk}/delete", follow=True).status_code == 200
    assert [api.delete(f"/api/v1/api-keys/{keys[1].pk}").status_code for _ in range(2)] == [204, 204]
    page.force_login(ann)
    assert page.post(f"/admin/apikeys/apikey/{keys[2].pk}/delete/", follow=True).status_code == 200
    assert [key_id for _actor, key_id in heard] == [{"key_id": keys[n].pk} for n in (0, 1, 1, 2)]
    assert api.get("/api/v1/api-keys").json()["count"] == 0


def test_subscribe(faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, models: list[Model]) -> None:
    page, api = faces
    heard = spy(subscriptions.services, "create_subscription")
    page.post("/subscriptions/create", {"model": "gpt-4o", "justification": "why"})
    api.post("/api/v1/subscriptions", {"model": "gpt-4o-mini", "justification": "why"})
    assert heard == [((ada,), {"model": model, "justification": "why"}) for model in ("gpt-4o", "gpt-4o-mini")]


def test_cancel_a_subscription(
    faces: tuple[Client, APIClient], spy: Callable[..., Calls], ada: User, models: list[Model]
) -> None:
    page, api = faces
    made = [create_subscription(ada, model=model) for model in ("gpt-4o", "gpt-4o-mini")]
    heard = spy(subscriptions.services, "cancel_subscription")
    page.post(f"/subscriptions/{made[0].pk}/cancel")
    api.delete(f"/api/v1/subscriptions/{made[1].pk}")
    assert heard == [((ada,), {"subscription_id": subscription.pk}) for subscription in made]
    assert Subscription.objects.count() == 0


def test_sign_in_with_a_password(spy: Callable[..., Calls], ada: User, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = True
    heard = spy(accounts.services, "sign_in_with_password")
    body = {"username": "ada", "password": "ada"}
    assert Client().post("/sign-in", body).status_code == 302
    assert APIClient().post("/api/v1/auth/token", body).status_code == 200
    assert heard == [((), body | {"address": "127.0.0.1"})] * 2


def test_both_faces_refuse_in_the_same_words(
    faces: tuple[Client, APIClient], ada: User, subscribed: list[Subscription]
) -> None:
    page, api = faces
    key = create_api_key(ada, name="nightly", models=["gpt-4o"]).key
    subscription = subscribed[0]
    told = api.delete(f"/api/v1/subscriptions/{subscription.pk}")
    shown = page.post(f"/subscriptions/{subscription.pk}/cancel")
    assert told.status_code == 409
    assert told.json()["details"] == {"api_keys": [{"id": str(key.pk), "name": "nightly"}]}
    assert told.json()["detail"] in shown.content.decode()
