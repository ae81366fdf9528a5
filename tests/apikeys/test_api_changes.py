"""Changing and blocking keys over the API: what scripts rely on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, KeyPolicy
from apikeys.services import create_api_key
from subscriptions.models import Subscription
from tests.answers import problem_of, wrong_fields
from tests.apikeys.test_api import FIELDS

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]


@pytest.fixture
def url(ada: User, subscribed: list[Subscription]) -> str:
    """The address of a key of Ada's."""
    key = create_api_key(ada, name="k", models=["gpt-4o", "gpt-4o-mini"], rpm_limit=10, description="d").key
    return f"/api/v1/api-keys/{key.pk}"


def test_patch_answers_with_the_resource_and_changes_only_what_is_sent(api: Api, ada: User, url: str) -> None:
    before = api(ada).get(url).json()
    response = api(ada).patch(url, {"rpm_limit": 20, "max_budget": "2.5", "models": ["gpt-4o"]})
    assert response.status_code == 200
    changed = response.json()
    assert set(changed) == FIELDS
    assert {name: value for name, value in changed.items() if value != before[name]} == {
        "rpm_limit": 20,
        "max_budget": "2.5000000000",
        "models": ["gpt-4o"],
    }
    assert api(ada).get(url).json() == changed


def test_trap_44_sending_back_what_was_read_changes_nothing(api: Api, ada: User, url: str) -> None:
    expires = (timezone.now() + timedelta(days=9)).isoformat()
    wish = {
        "expires_at": expires,
        "model_limits": {"gpt-4o": {"rpm_limit": 3}},
        "max_budget": 1,
        "budget_duration": "7d",
    }
    read = api(ada).patch(url, wish).json()
    KeyPolicy.objects.create(maximum_rpm_limit=1, maximum_max_budget=0, maximum_expires_days=1)
    events, row = AuditEvent.objects.count(), ApiKey.objects.values().get()
    response = api(ada).patch(url, read)
    assert (response.status_code, response.json()) == (200, read)
    assert api(ada).patch(url, {}).json() == read
    assert (AuditEvent.objects.count(), ApiKey.objects.values().get()) == (events, row)


def test_null_clears_within_the_policy(api: Api, ada: User, url: str) -> None:
    api(ada).patch(
        url, {"tpm_limit": 5, "soft_budget": 1, "budget_duration": "7d", "expires_at": "2099-01-01T00:00:00Z"}
    )
    gone = dict.fromkeys(("tpm_limit", "rpm_limit", "soft_budget", "budget_duration", "expires_at", "description"))
    changed = api(ada).patch(url, gone).json()
    assert {name: changed[name] for name in gone} == gone | {"budget_duration": "", "description": ""}
    KeyPolicy.objects.create(maximum_rpm_limit=50)
    assert api(ada).patch(url, {"rpm_limit": 40}).status_code == 200
    (entry,) = problem_of(api(ada).patch(url, {"rpm_limit": None}), 422, "exceeds_policy")["errors"]
    assert entry["field"] == "rpm_limit"


def test_trap_03_unknown_fields_and_the_team_go_nowhere(api: Api, ada: User, url: str) -> None:
    before = api(ada).get(url).json()
    sent = {"metadata": {"model_rpm_limit": 1}, "tags": ["x"], "team": str(uuid4()), "user": str(uuid4()), "spend": "0"}
    sent |= {"status": "revoked", "id": str(uuid4()), "token": "t", "permissions": {}, "key": "sk-1"}
    response = api(ada).patch(url, sent)
    assert (response.status_code, response.json()) == (200, before)


@pytest.mark.parametrize(
    "wish",
    [
        {"models": []},
        {"models": None},
        {"models": ["unheard-of"]},
        {"models": "gpt-4o"},
        {"name": None},
        {"name": ""},
        {"name": "x" * 101},
        {"description": "x" * 501},
        {"max_budget": "-1"},
        {"rpm_limit": 0},
        {"rpm_limit": "many"},
        {"model_limits": {"claude-sonnet": {"rpm_limit": 1}}},
        {"model_limits": {"gpt-4o": {"budget": 1}}},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "soon"},
        {"budget_duration": "monthly"},
    ],
    ids=str,
)
def test_trap_01_05_every_wrong_value_names_its_field_and_changes_nothing(
    wish: dict[str, Any], api: Api, ada: User, url: str
) -> None:
    before = api(ada).get(url).json()
    assert set(wrong_fields(api(ada).patch(url, wish | {"tpm_limit": 77}))) == set(wish)
    assert api(ada).get(url).json() == before


def test_strangers_and_readers_change_nothing(api: Api, ada: User, eve: User, ro: User, url: str) -> None:
    problem_of(api().patch(url, {"name": "x"}), 401)
    problem_of(api(eve).patch(url, {"name": "x"}), 404)
    problem_of(api(ro).patch(url, {"name": "x"}), 403)
    problem_of(api(ada).patch(f"/api/v1/api-keys/{uuid4()}", {"name": "x"}), 404)
    assert api(ada).get(url).json()["name"] == "k"


def test_administrators_change_anybodys(api: Api, ann: User, url: str) -> None:
    assert api(ann).patch(url, {"name": "x"}).json()["name"] == "x"


def test_dead_keys_are_409(api: Api, ada: User, url: str) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    problem_of(api(ada).patch(url, {"name": "x"}), 409, "key_expired")
    assert api(ada).patch(url, {"expires_at": None, "name": "x"}).json()["status"] == "active"
    revoke_api_key(ada, key_id=ApiKey.objects.get().pk)
    problem_of(api(ada).patch(url, {"expires_at": None}), 409, "key_revoked")


def test_blocking_and_unblocking_answer_with_the_resource(api: Api, ann: User, ada: User, url: str) -> None:
    for body in ({"reason": "odd calls", "nonsense": 1}, None):
        blocked = api(ann).post(f"{url}/block", body)
        assert (blocked.status_code, blocked.json()["status"]) == (200, "blocked")
        assert set(blocked.json()) == FIELDS
    assert api(ada).get(url).json()["status"] == "blocked"
    assert api(ann).post(f"{url}/unblock").json()["status"] == "active"
    assert api(ann).post(f"{url}/unblock").json()["status"] == "active"
    assert AuditEvent.objects.get(action="apikey.blocked").details == {
        "old": "active",
        "new": "blocked",
        "reason": "odd calls",
    }
    assert wrong_fields(api(ann).post(f"{url}/block", {"reason": "x" * 501})) == ["reason"]
    problem_of(api(ann).post(f"/api/v1/api-keys/{uuid4()}/block"), 404)
    revoke_api_key(ada, key_id=ApiKey.objects.get().pk)
    problem_of(api(ann).post(f"{url}/block"), 409, "key_revoked")
    problem_of(api(ann).post(f"{url}/unblock"), 409, "key_revoked")


def test_only_administrators_block(api: Api, ada: User, ro: User, eve: User, url: str) -> None:
    for actor in (ada, ro, eve):
        for verb in ("block", "unblock"):
            problem_of(api(actor).post(f"{url}/{verb}"), 403)
    assert ApiKey.objects.get().status == "active"
