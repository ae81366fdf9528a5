"""Rotation, deletion and the new filters through the API."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litemaas.foundation.crypto import secret_digest
from subscriptions.models import Subscription

Api = Callable[[User | None], APIClient]


@pytest.fixture
def key(ada: User, subscribed: list[Subscription]) -> ApiKey:
    """A key of ada's that LiteLLM has."""
    made = create_api_key(ada, name="k", models=["gpt-4o"]).key
    ApiKeySecret.objects.update(pending_secret=None, sync_status="synced")
    return made


def test_rotating_answers_flat_with_the_secret(api: Api, ada: User, key: ApiKey) -> None:
    before = api(ada).get(f"/api/v1/api-keys/{key.pk}").json()
    assert before["old_secret_valid_until"] is None
    answer = api(ada).post(f"/api/v1/api-keys/{key.pk}/rotate", {"grace_seconds": 600}, format="json")
    made = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert ApiKeySecret.objects.filter(digest=secret_digest(made.pop("secret"))).exists()
    assert made.pop("waits_for_spend") is False
    differs = {name for name, value in made.items() if before[name] != value}
    assert differs == {"masked", "old_secret_valid_until", "sync_status"}
    assert "secret" not in api(ada).get(f"/api/v1/api-keys/{key.pk}").json()


def test_rotating_without_a_body_is_the_policys_default(api: Api, ada: User, key: ApiKey) -> None:
    assert api(ada).post(f"/api/v1/api-keys/{key.pk}/rotate").status_code == 201
    old = ApiKeySecret.objects.earliest("created_at")
    assert old.valid_until is not None
    assert old.valid_until > timezone.now() + timedelta(hours=23)


def test_a_running_rotation_is_answered_by_what_the_caller_says(api: Api, ada: User, key: ApiKey) -> None:
    address = f"/api/v1/api-keys/{key.pk}/rotate"

    def rotate(**wish: object) -> tuple[int, object, object]:
        ApiKeySecret.objects.update(pending_secret=None, sync_status="synced")
        answer = api(ada).post(address, wish, format="json")
        found = answer.json()
        return answer.status_code, found.get("code", found.get("waits_for_spend")), found.get("old_secret_valid_until")

    until = rotate(grace_seconds=600)[2]
    assert until is not None
    assert rotate(grace_seconds=600) == (409, "rotation_running", None)
    assert rotate(replace_newest=True) == (201, True, until)
    assert rotate(grace_seconds=0) == (201, True, None)


def test_the_old_secret_is_ended_before_its_time_only_by_force(api: Api, ada: User, key: ApiKey) -> None:
    api(ada).post(f"/api/v1/api-keys/{key.pk}/rotate", {"grace_seconds": 600}, format="json")
    address = f"/api/v1/api-keys/{key.pk}/end-old-secret"
    refused = api(ada).post(address)
    assert (refused.status_code, refused.json()["code"]) == (409, "secret_not_arrived")
    ended = api(ada).post(address, {"force": True}, format="json")
    assert (ended.status_code, ended.json()["old_secret_valid_until"]) == (200, None)


@pytest.mark.parametrize("seconds", [-1, 604_801, "soon", 1.5])
def test_a_wrong_grace_is_a_wrong_value(seconds: object, api: Api, ada: User, key: ApiKey) -> None:
    answer = api(ada).post(f"/api/v1/api-keys/{key.pk}/rotate", {"grace_seconds": seconds}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "grace_seconds")


def test_keys_are_found_by_sync_state_and_expiry(api: Api, ada: User, key: ApiKey) -> None:
    soon = create_api_key(ada, name="soon", models=["gpt-4o"], expires_at=timezone.now() + timedelta(days=2)).key
    for query, found in (
        ("sync_status=synced", [key]),
        ("sync_status=pending", [soon]),
        ("sync_status=failed", []),
        ("expires_soon=true", [soon]),
        ("expires_soon=false", [key]),
    ):
        rows = api(ada).get(f"/api/v1/api-keys?{query}").json()["results"]
        assert [row["id"] for row in rows] == [str(one.pk) for one in found], query
    assert api(ada).get("/api/v1/api-keys?sync_status=odd").status_code == 422
