"""Keys over the API: shapes, filters, what goes nowhere, what is shown once."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.services import create_api_key
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from litemaas.foundation import crypto
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.models import DEFAULT_TEAM_ID
from tests.answers import is_moment, is_money, page_of, problem_of, wrong_fields

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
KEYS, POLICY = "/api/v1/api-keys", "/api/v1/api-keys/policy"
FIELDS = {
    *("id", "name", "description", "masked", "models", "user", "team", "status", "sync_status", "max_budget"),
    *("budget_duration", "budget_resets_at", "soft_budget", "spend", "tpm_limit", "rpm_limit", "token"),
    *("max_parallel_requests", "model_limits", "expires_at", "last_used_at", "old_secret_valid_until", "created_at"),
    "stopped_at",
    "stopped_proof",
}
POLICY_FIELDS = {
    *("default_max_budget", "default_budget_duration", "default_tpm_limit", "default_rpm_limit"),
    *("default_max_parallel_requests", "default_expires_days", "maximum_max_budget", "maximum_tpm_limit"),
    *("maximum_rpm_limit", "maximum_max_parallel_requests", "maximum_expires_days", "minimum_budget_duration"),
    *("default_grace_seconds", "maximum_grace_seconds", "keys_per_user", "creations_per_hour", "updated_at"),
}


def test_a_new_key_is_flat_with_its_secret(api: Api, ada: User, subscribed: list[Subscription]) -> None:
    expires = (timezone.now() + timedelta(days=9)).isoformat()
    wish = {"name": "k", "models": ["gpt-4o"], "max_budget": "12.5", "budget_duration": "1mo", "expires_at": expires}
    more = {"model_limits": {"gpt-4o": {"rpm_limit": 5}}, "tpm_limit": 1000, "team": None, "soft_budget": 3}
    response = api(ada).post(KEYS, wish | more)
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    made = response.json()
    assert set(made) == {*FIELDS, "secret"}
    secret = made.pop("secret")
    assert secret.startswith("sk-")
    key = ApiKey.objects.get()
    assert is_moment(made.pop("created_at"))
    assert is_moment(made.pop("expires_at"))
    assert made == {
        "id": str(key.pk),
        "name": "k",
        "description": "",
        "masked": f"sk-…{secret[-4:]}",
        "models": ["gpt-4o"],
        "user": str(ada.pk),
        "team": str(DEFAULT_TEAM_ID),
        "status": "active",
        "sync_status": "pending",
        "max_budget": "12.5000000000",
        "budget_duration": "1mo",
        "budget_resets_at": None,
        "soft_budget": "3.0000000000",
        "spend": "0.0000000000",
        "tpm_limit": 1000,
        "rpm_limit": None,
        "max_parallel_requests": None,
        "old_secret_valid_until": None,
        "model_limits": {"gpt-4o": {"rpm_limit": 5}},
        "last_used_at": None,
        "stopped_at": None,
        "stopped_proof": None,
        "token": None,
    }
    shown = api(ada).get(f"{KEYS}/{key.pk}").json()
    assert set(shown) == FIELDS
    assert secret not in str(shown)
    assert is_money(shown["spend"])


@pytest.mark.django_db(transaction=True)
def test_trap_03_unknown_fields_go_nowhere_not_to_litellm_either(
    api: Api, ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    odd = "a-word-that-nobody-else-uses"
    poison = {
        "metadata": {"temp_budget_increase": 1000, "logging": [odd], "model_rpm_limit": {"gpt-4o": 10**6}, "note": odd},
        "permissions": {"allow_pii_controls": True, odd: True},
        "tags": [odd],
        "key": f"sk-{odd}",
        "key_type": "management",
        "spend": -5,
        "status": "active",
        "user": "a0000000-0000-4000-8000-000000000001",
        "user_id": odd,
        "team_id": odd,
        "blocked": False,
        "allowed_routes": ["*"],
        "aliases": {"gpt-4o": odd},
        "guardrails": [odd],
        "duration": "1s",
        "model_max_budget": {"gpt-4o": odd},
    }
    response = api(ada).post(KEYS, poison | {"name": "k", "models": ["gpt-4o"]})
    assert response.status_code == 201
    made = response.json()
    assert set(made) == {*FIELDS, "secret"}
    assert odd not in response.content.decode()
    (stored,) = litellm.state.keys.rows.values()
    assert stored["token"] == crypto.secret_digest(made["secret"])
    assert stored["metadata"] == {"managed_by": "litemaas"}
    assert (stored["user_id"], stored["team_id"]) == (str(ada.pk), str(DEFAULT_TEAM_ID))
    assert (stored["allowed_routes"], stored["spend"], stored["expires"]) == (["llm_api_routes"], 0.0, None)
    assert (stored["permissions"], stored["aliases"]) == ({}, {})
    assert odd not in str(stored)
    with connection.cursor() as cursor:
        for table in ("apikeys_apikey", "apikeys_apikeysecret", "accounts_auditevent"):
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s", [f"%{odd}%"])  # noqa: S608 -- ours
            assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_trap_22_periods_reach_litellm_as_they_were_stored(
    api: Api, ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    for period in ("1d", "7d", "30d", "1mo"):
        body = {"name": period, "models": ["gpt-4o"], "max_budget": 1, "budget_duration": period}
        made = api(ada).post(KEYS, body).json()
        row = litellm.state.keys.rows[crypto.secret_digest(made["secret"])]
        assert (made["budget_duration"], row["budget_duration"]) == (period, period)
        assert is_moment(made["budget_resets_at"])
    for word in ("daily", "weekly", "monthly"):
        body = {"name": word, "models": ["gpt-4o"], "max_budget": 1, "budget_duration": word}
        assert wrong_fields(api(ada).post(KEYS, body)) == ["budget_duration"]


@pytest.mark.django_db(transaction=True)
def test_trap_23_limits_that_are_cleared_are_cleared_in_litellm(
    api: Api, ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    body = {"name": "k", "models": ["gpt-4o"], "max_budget": 5, "tpm_limit": 9, "rpm_limit": 8}
    made = api(ada).post(KEYS, body).json()
    row = litellm.state.keys.rows[crypto.secret_digest(made["secret"])]
    assert (row["max_budget"], row["tpm_limit"], row["rpm_limit"]) == (5.0, 9, 8)
    ApiKey.objects.update(max_budget=None, tpm_limit=None, rpm_limit=None)
    ApiKeySecret.objects.update(sync_status="pending")
    push("apikeys.apikeysecret", str(ApiKeySecret.objects.get().pk), limit=5)
    row = litellm.state.keys.rows[crypto.secret_digest(made["secret"])]
    assert (row["max_budget"], row["tpm_limit"], row["rpm_limit"]) == (None, None, None)
    assert api(ada).get(f"{KEYS}/{made['id']}").json()["tpm_limit"] is None


def test_trap_01_an_empty_list_of_models_is_422(api: Api, ada: User, subscribed: list[Subscription]) -> None:
    wrong: list[Any] = [[], None, "", {}, "gpt-4o", [""], [None], [[]]]
    for models in wrong:
        fields = wrong_fields(api(ada).post(KEYS, {"name": "k", "models": models}))
        assert {field.partition(".")[0] for field in fields} == {"models"}
    assert wrong_fields(api(ada).post(KEYS, {"name": "k"})) == ["models"]
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"name": ""}, "blank"),
        ({"name": " \u200b"}, "blank"),
        ({"name": "a\u202eb"}, "control_character"),
        ({"name": "x" * 101}, "max_length"),
        ({"description": "x" * 501}, "max_length"),
        ({"team": "x"}, "invalid"),
        ({"team": "6a3d1e7e-1111-4111-8111-000000000000"}, "unknown_team"),
        ({"models": ["unheard-of"]}, "model_not_subscribed"),
        ({"max_budget": "lots"}, "invalid"),
        ({"max_budget": -1}, "out_of_range"),
        ({"max_budget": "0.00000000001"}, "max_decimal_places"),
        ({"max_budget": 10**15}, "max_whole_digits"),
        ({"budget_duration": "monthly"}, "invalid_duration"),
        ({"budget_duration": "1h"}, "exceeds_policy"),
        ({"rpm_limit": 0}, "out_of_range"),
        ({"tpm_limit": 2_147_483_647}, "out_of_range"),
        ({"max_parallel_requests": "many"}, "invalid"),
        ({"model_limits": []}, "not_a_dict"),
        ({"model_limits": {"gpt-4o": 5}}, "not_a_dict"),
        ({"model_limits": {"claude-sonnet": {"rpm_limit": 1}}}, "invalid"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expiry_in_the_past"),
        ({"expires_at": "tomorrow"}, "invalid"),
    ],
)
def test_every_wrong_value_names_its_field(
    api: Api, ada: User, subscribed: list[Subscription], wish: dict[str, Any], code: str
) -> None:
    response = api(ada).post(KEYS, {"name": "k", "models": ["gpt-4o"]} | wish)
    found = {(entry["field"].partition(".")[0], entry["code"]) for entry in problem_of(response, 422)["errors"]}
    assert found == {(next(iter(wish)), code)}
    assert ApiKey.objects.count() == 0


def test_too_many_keys_are_409_and_too_many_an_hour_429(api: Api, ada: User, subscribed: list[Subscription]) -> None:
    KeyPolicy.objects.create(keys_per_user=1, creations_per_hour=2)
    body = {"name": "k", "models": ["gpt-4o"]}
    assert api(ada).post(KEYS, body).status_code == 201
    assert problem_of(api(ada).post(KEYS, body), 409, "too_many_keys")["details"] == {"limit": 1}
    revoke_api_key(ada, key_id=ApiKey.objects.get().pk)
    assert api(ada).post(KEYS, body).status_code == 201
    refused = api(ada).post(KEYS, body)
    problem_of(refused, 429, "rate_limited")
    assert refused["Retry-After"] == "3600"


def test_revoking_answers_with_the_resource(api: Api, ada: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    for _ in range(2):
        response = api(ada).post(f"{KEYS}/{key.pk}/revoke")
        assert response.status_code == 200
        assert (set(response.json()), response.json()["status"]) == (FIELDS, "revoked")


def test_only_administrators_see_litellms_hash(
    api: Api, ada: User, ann: User, ro: User, subscribed: list[Subscription]
) -> None:
    issued = create_api_key(ada, name="k", models=["gpt-4o"])
    digest = crypto.secret_digest(issued.secret)
    tokens = [api(who).get(f"{KEYS}/{issued.key.pk}").json()["token"] for who in (ada, ro, ann)]
    assert tokens == [None, digest, digest]
    assert digest not in api(ada).get(KEYS).content.decode()


def test_everybody_lists_ones_own_and_administrators_all(
    api: Api, ada: User, eve: User, ann: User, subscribed: list[Subscription]
) -> None:
    create_subscription(eve, model="gpt-4o")
    hers, eves = (create_api_key(who, name=who.username, models=["gpt-4o"]).key for who in (ada, eve))
    deleted = create_api_key(ada, name="deleted", models=["gpt-4o"]).key
    ApiKey.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    assert [row["id"] for row in page_of(api(ada).get(KEYS))] == [str(hers.pk)]
    assert [row["id"] for row in page_of(api(eve).get(KEYS))] == [str(eves.pk)]
    assert [row["id"] for row in page_of(api(ann).get(KEYS))] == [str(eves.pk), str(hers.pk)]
    for query in (f"?user={eve.pk}", "?search=eve"):
        assert page_of(api(ada).get(KEYS + query)) == []
    problem_of(api(ada).get(f"{KEYS}/{eves.pk}"), 404, "not_found")
    problem_of(api(ada).post(f"{KEYS}/{eves.pk}/revoke"), 404, "not_found")
    problem_of(api(ann).get(f"{KEYS}/{deleted.pk}"), 404, "not_found")


def test_filters_search_and_order(api: Api, ann: User, ada: User, subscribed: list[Subscription]) -> None:
    wishes: dict[str, dict[str, Any]] = {
        "alpha": {"models": ["gpt-4o"]},
        "beta": {"models": ["gpt-4o-mini"], "description": "nightly batch"},
        "gamma": {"models": ["gpt-4o", "gpt-4o-mini"], "expires_at": timezone.now() + timedelta(days=1)},
    }
    keys = {name: create_api_key(ada, name=name, **wish).key for name, wish in wishes.items()}
    revoke_api_key(ada, key_id=keys["alpha"].pk)
    ApiKey.objects.filter(name="gamma").update(expires_at=timezone.now() - timedelta(days=1), spend=Decimal(3))

    def names(query: str) -> list[str]:
        return [row["name"] for row in page_of(api(ann).get(f"{KEYS}?{query}"))]

    assert names("ordering=name") == ["alpha", "beta", "gamma"]
    assert names("ordering=-name") == ["gamma", "beta", "alpha"]
    ApiKey.objects.filter(name="beta").update(last_used_at=timezone.now())
    assert names("ordering=-last_used_at,name") == ["beta", "alpha", "gamma"]
    assert names("ordering=last_used_at,-name") == ["beta", "gamma", "alpha"]
    assert names("ordering=-spend,name") == ["gamma", "alpha", "beta"]
    assert names("status=revoked") == ["alpha"]
    assert names("status=expired") == ["gamma"]
    assert names("status=active") == ["beta"]
    assert names("status=blocked") == []
    assert names("model=gpt-4o-mini&ordering=name") == ["beta", "gamma"]
    assert names("search=NIGHT") == ["beta"]
    assert names("search=ada&ordering=name") == ["alpha", "beta", "gamma"]
    assert names(f"user={ann.pk}") == []
    assert names(f"team={DEFAULT_TEAM_ID}&search=alph") == ["alpha"]


def test_a_list_asks_a_constant_number_of_questions(api: Api, ada: User, subscribed: list[Subscription]) -> None:
    counts = []
    for number in (1, 3):
        while ApiKey.objects.count() < number:
            create_api_key(ada, name="k", models=["gpt-4o", "gpt-4o-mini"])
        with CaptureQueriesContext(connection) as queries:
            assert len(page_of(api(ada).get(KEYS))) == number
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Policy ----------------------------------------------------------------------------------------------------------


def test_the_policy_is_shown_to_everybody_and_changed_by_administrators(api: Api, ada: User, ann: User) -> None:
    shown = api(ada).get(POLICY).json()
    assert set(shown) == POLICY_FIELDS
    assert (shown["keys_per_user"], shown["creations_per_hour"], shown["maximum_max_budget"]) == (50, 60, None)
    changed = api(ann).put(POLICY, {"maximum_max_budget": "20", "default_max_budget": 5, "nonsense": 1})
    assert changed.status_code == 200
    assert set(changed.json()) == POLICY_FIELDS
    assert (changed.json()["maximum_max_budget"], changed.json()["default_max_budget"]) == (
        "20.0000000000",
        "5.0000000000",
    )
    assert api(ada).get(POLICY).json() == changed.json()
    assert api(ann).put(POLICY, {"maximum_max_budget": None}).json()["maximum_max_budget"] is None


def test_trap_05_maxima_hold_over_the_api(api: Api, ada: User, ann: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    api(ann).put(POLICY, {"maximum_max_budget": 10, "maximum_rpm_limit": 100})
    body = {"name": "k", "models": ["gpt-4o"]}
    assert api(ada).post(KEYS, body).json()["max_budget"] == "10.0000000000"
    for wish in (
        {"max_budget": None},
        {"max_budget": "10.0000000001"},
        {"rpm_limit": None},
        {"rpm_limit": 101},
        {"model_limits": {"gpt-4o": {"rpm_limit": 101}}},
    ):
        (entry,) = problem_of(api(ada).post(KEYS, body | wish), 422, "exceeds_policy")["errors"]
        assert entry["field"] == next(iter(wish))


def test_policy_values_that_make_no_sense_are_422(api: Api, ann: User) -> None:
    for wish in (
        {"keys_per_user": -1},
        {"keys_per_user": 2**31},
        {"maximum_expires_days": 2_000_000_000},
        {"minimum_budget_duration": ""},
        {"minimum_budget_duration": None},
        {"maximum_rpm_limit": "many"},
        {"default_rpm_limit": 5, "maximum_rpm_limit": 4},
    ):
        assert wrong_fields(api(ann).put(POLICY, wish)) == [next(iter(wish))]
    assert KeyPolicy.objects.count() == 0
