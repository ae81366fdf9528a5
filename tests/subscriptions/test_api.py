"""The catalogue and the subscriptions over the API."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.services import create_api_key
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from subscriptions.services import create_subscription
from tests.answers import is_moment, page_of, problem_of, wrong_fields

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
MODELS, SUBSCRIPTIONS = "/api/v1/models", "/api/v1/subscriptions"
SUBSCRIPTION_FIELDS = {
    *("id", "user", "model", "status", "quota_requests", "quota_tokens", "used_requests", "used_tokens"),
    *("resets_at", "expires_at", "reason", "created_at"),
}


@pytest.fixture
def priced(db: None) -> Model:
    """A model about which LiteLLM knows everything."""
    made: Model = Model.objects.create(
        id="azure/gpt-4o:2024@eu",
        provider="azure",
        mode="chat",
        description="Large",
        capabilities=["vision"],
        context_length=128_000,
        max_output_tokens=4096,
        input_cost_per_token=Decimal("0.0000025"),
        output_cost_per_token=Decimal("0.00001"),
    )
    return made


def test_a_model_is_shown_whole(api: Api, ada: User, priced: Model) -> None:
    assert api(ada).get(f"{MODELS}/{priced.pk}").json() == {
        "id": "azure/gpt-4o:2024@eu",
        "name": "azure/gpt-4o:2024@eu",
        "provider": "azure",
        "description": "Large",
        "mode": "chat",
        "capabilities": ["vision"],
        "context_length": 128_000,
        "max_output_tokens": 4096,
        "input_cost_per_million": "2.5",
        "output_cost_per_million": "10",
        "availability": "available",
        "restricted": False,
        "subscription": None,
    }


@pytest.mark.parametrize("written", ["azure/gpt-4o:2024@eu", "azure%2Fgpt-4o:2024@eu", "azure%2fgpt-4o%3A2024%40eu"])
def test_ids_with_slashes_come_raw_or_escaped(api: Api, ada: User, priced: Model, written: str) -> None:
    assert api(ada).get(f"{MODELS}/{written}").json()["id"] == priced.pk


@pytest.mark.parametrize("model", ["a/b/c", "é ü", "a?b#c", "models", "x/revoke", "%2F"])
def test_any_name_that_litellm_may_have_can_be_asked_for(api: Api, ada: User, model: str) -> None:
    Model.objects.create(id=model, provider="p", mode="chat")
    assert api(ada).get(f"{MODELS}/{quote(model, safe='')}").json()["id"] == model
    assert api(ada).post(SUBSCRIPTIONS, {"model": model}).json()["model"] == model


def test_the_catalogue_shows_what_is_there_and_what_one_has(
    api: Api, ada: User, eve: User, models: list[Model], subscribed: list[Subscription]
) -> None:
    Model.objects.filter(pk="gpt-4o").update(availability=Availability.UNAVAILABLE)
    Subscription.objects.filter(model="gpt-4o-mini").update(status=SubscriptionStatus.DENIED)

    def listed(who: User) -> dict[str, tuple[str, str | None]]:
        rows = page_of(api(who).get(MODELS))
        return {row["id"]: (row["availability"], row["subscription"]) for row in rows}

    assert listed(ada) == {
        "claude-sonnet": ("available", "active"),
        "gpt-4o": ("unavailable", "active"),
        "gpt-4o-mini": ("available", "denied"),
    }
    assert listed(eve) == {"claude-sonnet": ("available", None), "gpt-4o-mini": ("available", None)}
    problem_of(api(eve).get(f"{MODELS}/gpt-4o"), 404, "not_found")


def test_models_are_searched_filtered_and_ordered(api: Api, ada: User, models: list[Model], priced: Model) -> None:
    Model.objects.filter(pk="gpt-4o").update(restricted=True, mode="embedding")

    def found(query: str) -> list[str]:
        return [row["id"] for row in page_of(api(ada).get(f"{MODELS}?{query}"))]

    everything = ["azure/gpt-4o:2024@eu", "claude-sonnet", "gpt-4o", "gpt-4o-mini"]
    assert found("") == found("ordering=id") == everything
    assert found("ordering=-id") == everything[::-1]
    assert found("ordering=provider,-id") == ["azure/gpt-4o:2024@eu", "gpt-4o-mini", "gpt-4o", "claude-sonnet"]
    assert found("search=LARGE") == found("provider=azure") == ["azure/gpt-4o:2024@eu"]
    assert found("search=mini") == ["gpt-4o-mini"]
    assert found("restricted=true") == found("restricted=True") == found("mode=embedding") == ["gpt-4o"]
    assert found("restricted=false") == ["azure/gpt-4o:2024@eu", "claude-sonnet", "gpt-4o-mini"]
    assert found("availability=unavailable") == []


def test_subscribing_answers_with_the_subscription(api: Api, ada: User, models: list[Model]) -> None:
    response = api(ada).post(SUBSCRIPTIONS, {"model": "gpt-4o", "justification": "why", "status": "expired", "user": 1})
    assert response.status_code == 201
    made = response.json()
    row = Subscription.objects.get()
    assert is_moment(made.pop("created_at"))
    assert made == {
        "id": str(row.pk),
        "user": str(ada.pk),
        "model": "gpt-4o",
        "status": "active",
        "quota_requests": None,
        "quota_tokens": None,
        "used_requests": 0,
        "used_tokens": 0,
        "resets_at": None,
        "expires_at": None,
        "reason": "",
    }
    assert set(api(ada).get(f"{SUBSCRIPTIONS}/{row.pk}").json()) == SUBSCRIPTION_FIELDS
    problem_of(api(ada).post(SUBSCRIPTIONS, {"model": "gpt-4o"}), 409, "already_subscribed")
    Model.objects.filter(pk="gpt-4o-mini").update(restricted=True)
    assert api(ada).post(SUBSCRIPTIONS, {"model": "gpt-4o-mini"}).json()["status"] == "pending"


def test_trap_02_owners_change_neither_status_nor_quotas_nor_expiry(
    api: Api, ada: User, subscribed: list[Subscription]
) -> None:
    wish = {"status": "active", "quota_requests": 10**9, "quota_tokens": 10**9, "expires_at": None}
    Subscription.objects.update(status=SubscriptionStatus.SUSPENDED, quota_requests=1)
    for method in ("patch", "put", "post"):
        response = getattr(api(ada), method)(f"{SUBSCRIPTIONS}/{subscribed[0].pk}", wish)
        problem_of(response, 405, "method_not_allowed")
    row = Subscription.objects.get(pk=subscribed[0].pk)
    assert (row.status, row.quota_requests) == ("suspended", 1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "required"),
        ({"model": ""}, "blank"),
        ({"model": None}, "null"),
        ({"model": ["gpt-4o"]}, "invalid"),
        ({"model": "x" * 256}, "max_length"),
        ({"model": "unheard-of"}, "unknown_model"),
    ],
)
def test_wrong_models_are_422(api: Api, ada: User, models: list[Model], body: dict[str, Any], code: str) -> None:
    (entry,) = problem_of(api(ada).post(SUBSCRIPTIONS, body), 422)["errors"]
    assert (entry["field"], entry["code"]) == ("model", code)
    assert wrong_fields(api(ada).post(SUBSCRIPTIONS, {"model": "gpt-4o", "justification": "x" * 1001})) == [
        "justification"
    ]


def test_cancelling_is_204_and_names_the_keys_that_hold_it(api: Api, ada: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    refused = api(ada).delete(f"{SUBSCRIPTIONS}/{subscribed[0].pk}")
    assert problem_of(refused, 409, "active_keys_exist")["details"] == {"api_keys": [{"id": str(key.pk), "name": "k"}]}
    gone = api(ada).delete(f"{SUBSCRIPTIONS}/{subscribed[1].pk}")
    assert (gone.status_code, gone.content) == (204, b"")
    problem_of(api(ada).get(f"{SUBSCRIPTIONS}/{subscribed[1].pk}"), 404, "not_found")
    problem_of(api(ada).delete(f"{SUBSCRIPTIONS}/{subscribed[1].pk}"), 404, "not_found")


def test_everybody_lists_ones_own_and_administrators_all(
    api: Api, ada: User, eve: User, ann: User, subscribed: list[Subscription]
) -> None:
    eves = create_subscription(eve, model="gpt-4o")
    hers = {str(subscription.pk) for subscription in subscribed}

    def listed(who: User, query: str = "") -> set[str]:
        return {row["id"] for row in page_of(api(who).get(SUBSCRIPTIONS + query))}

    assert listed(ada) == hers
    assert listed(eve) == {str(eves.pk)}
    assert listed(ann) == {str(eves.pk), *hers}
    assert listed(ann, f"?user={eve.pk}") == {str(eves.pk)}
    assert listed(ann, "?model=gpt-4o-mini") == {str(subscribed[1].pk)}
    assert listed(ann, "?search=eve") == {str(eves.pk)}
    assert listed(ada, f"?user={eve.pk}") == listed(ada, "?search=eve") == set()
    Subscription.objects.filter(pk=eves.pk).update(status="denied")
    assert listed(ann, "?status=denied") == {str(eves.pk)}
    problem_of(api(ada).get(f"{SUBSCRIPTIONS}/{eves.pk}"), 404, "not_found")
    problem_of(api(ada).delete(f"{SUBSCRIPTIONS}/{eves.pk}"), 404, "not_found")


@pytest.mark.parametrize("path", [MODELS, SUBSCRIPTIONS])
def test_lists_ask_a_constant_number_of_questions(api: Api, ada: User, models: list[Model], path: str) -> None:
    counts = []
    for number in (1, 3):
        Subscription.objects.all().delete()
        Model.objects.all().delete()
        for name in range(number):
            Model.objects.create(id=f"m{name}", provider="p", mode="chat")
            create_subscription(ada, model=f"m{name}")
        with CaptureQueriesContext(connection) as queries:
            assert len(page_of(api(ada).get(path))) == number
        counts.append(len(queries))
    assert counts[0] == counts[1]
