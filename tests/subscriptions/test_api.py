"""The catalogue and the subscriptions over the API."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from apikeys.services import create_api_key
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from subscriptions.services import create_subscription
from tests.answers import is_moment, page_of, problem_of, wrong_fields

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
MODELS, SUBSCRIPTIONS = "/api/v1/models", "/api/v1/subscriptions"
SUBSCRIPTION_FIELDS = {
    *("id", "user", "model", "status", "quota_requests", "quota_tokens", "used_requests", "used_tokens"),
    *("resets_at", "expires_at", "reason", "justification", "created_at"),
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
    assert found("provider=azure&provider=anthropic") == ["azure/gpt-4o:2024@eu"]
    assert found("provider=azure&provider=openai") == everything
    assert found("provider=%20") == found("capability=unheard-of") == []


def test_models_are_filtered_by_what_they_can_do_cost_and_whose_they_are(
    api: Api, ada: User, eve: User, models: list[Model], priced: Model
) -> None:
    both = ["function_calling", "vision"]
    Model.objects.filter(pk="gpt-4o").update(capabilities=both, input_cost_per_token=0, output_cost_per_token=0)
    create_subscription(ada, model="gpt-4o")

    def found(query: str, who: User = ada) -> list[str]:
        return [row["id"] for row in page_of(api(who).get(f"{MODELS}?{query}"))]

    assert found("capability=vision") == [priced.pk, "gpt-4o"]
    assert found("capability=vision&capability=function_calling") == ["gpt-4o"]
    assert found("max_input_cost=2.5") == found("max_input_cost=1000000") == [priced.pk, "gpt-4o"]
    assert found("max_input_cost=2.4999999999") == found("max_input_cost=0") == ["gpt-4o"]
    assert found("mine=true") == ["gpt-4o"]
    assert found("mine=false") == [priced.pk, "claude-sonnet", "gpt-4o-mini"]
    assert found("mine=true", eve) == []
    assert found("mine=true&capability=vision&max_input_cost=1&provider=openai&mode=chat&search=gpt") == ["gpt-4o"]


@pytest.mark.parametrize(
    "query",
    [
        *("availability=gone", "restricted=maybe", "restricted=2", "mine=perhaps", "ordering=secret"),
        *("max_input_cost=-1", "max_input_cost=cheap", "max_input_cost=NaN", "max_input_cost=inf"),
        *("max_input_cost=1e400", "max_input_cost=1000001", "max_input_cost=0.00000000001"),
        *("capability=%00", "provider=%00", "mode=%00"),
    ],
)
def test_filters_that_mean_nothing_are_422(api: Api, ada: User, models: list[Model], query: str) -> None:
    assert set(wrong_fields(api(ada).get(f"{MODELS}?{query}"))) == {query.partition("=")[0]}


@pytest.mark.usefixtures("subscribed")
def test_administrators_say_which_models_need_approval(api: Api, ada: User, ann: User, ro: User, priced: Model) -> None:
    path = f"{MODELS}/{priced.pk}"
    changed = api(ann).patch(path, {"restricted": True, "provider": "me", "input_cost_per_token": 0})
    assert (changed.status_code, changed.json()["restricted"], changed.json()["provider"]) == (200, True, "azure")
    assert api(ada).get(path).json()["restricted"] is True
    assert api(ann).patch(path, {}).json()["restricted"] is True
    assert AuditEvent.objects.filter(action="model.changed").count() == 1
    assert api(ann).patch(f"{MODELS}/gpt-4o", {"restricted": True}).json()["subscription"] is None
    assert api(ada).get(f"{MODELS}/gpt-4o").json()["subscription"] == "active"
    assert wrong_fields(api(ann).patch(path, {"restricted": "maybe"})) == ["restricted"]
    problem_of(api(ann).patch(f"{MODELS}/unheard-of", {"restricted": True}), 404, "not_found")
    problem_of(api(ann).patch(f"{MODELS}/unheard-of", {}), 404, "not_found")
    for who in (ada, ro):
        problem_of(api(who).patch(path, {"restricted": False}), 403, "permission_denied")


@pytest.fixture
def pending(ada: User, models: list[Model]) -> Subscription:
    """Ada asked for a restricted model."""
    Model.objects.filter(pk="gpt-4o").update(restricted=True)
    return create_subscription(ada, model="gpt-4o", justification="A study")


def test_a_request_is_decided_reviewed_and_decided_again(api: Api, ada: User, ann: User, pending: Subscription) -> None:
    path = f"{SUBSCRIPTIONS}/{pending.pk}"
    assert wrong_fields(api(ann).post(f"{path}/deny", {})) == ["reason"]
    assert wrong_fields(api(ann).post(f"{path}/deny", {"reason": " "})) == ["reason"]
    refused = api(ann).post(f"{path}/deny", {"reason": "Too dear"})
    assert (refused.status_code, refused.json()["status"], refused.json()["reason"]) == (200, "denied", "Too dear")
    assert set(refused.json()) == SUBSCRIPTION_FIELDS
    conflict = problem_of(api(ann).post(f"{path}/approve", {}), 409, "already_decided")
    assert conflict["details"] == {"status": "denied"}
    assert wrong_fields(api(ada).post(f"{path}/request-review", {"message": ""})) == ["message"]
    assert wrong_fields(api(ada).post(f"{path}/request-review", {"message": "\u200b"})) == ["message"]
    assert api(ada).post(f"{path}/request-review", {"message": "Cheaper now"}).json()["status"] == "pending"
    problem_of(api(ada).post(f"{path}/request-review", {"message": "And?"}), 409, "not_denied")
    assert api(ann).post(f"{path}/approve").json()["status"] == "active"
    assert api(ada).get(path).json()["justification"] == "Cheaper now"


def test_history_tells_the_owner_what_happened_and_no_address(
    api: Api, ada: User, ann: User, eve: User, pending: Subscription
) -> None:
    path = f"{SUBSCRIPTIONS}/{pending.pk}"
    other = create_subscription(ada, model="gpt-4o-mini")
    api(ann).post(f"{path}/deny", {"reason": "Too dear"})
    api(ada).post(f"{path}/request-review", {"message": "Cheaper now"})
    rows = page_of(api(ada).get(f"{path}/history"))
    assert rows == page_of(api(ann).get(f"{path}/history"))
    assert [(row["action"], row["actor_name"]) for row in rows] == [
        ("subscription.review_requested", "ada"),
        ("subscription.denied", "ann"),
        ("subscription.created", "ada"),
    ]
    assert set(rows[0]) == {"id", "at", "actor", "actor_name", "action", "details"}
    assert rows[1]["details"] == {"model": "gpt-4o", "old": "pending", "new": "denied", "reason": "Too dear"}
    assert [row["action"] for row in page_of(api(ada).get(f"{SUBSCRIPTIONS}/{other.pk}/history"))] == [
        "subscription.created"
    ]
    assert api(ada).get(f"{path}/history?page_size=1").json()["count"] == 3
    problem_of(api(eve).get(f"{path}/history"), 404, "not_found")


def test_deciding_many_answers_row_by_row(api: Api, ada: User, eve: User, ann: User, pending: Subscription) -> None:
    eves = create_subscription(eve, model="gpt-4o")
    done = create_subscription(eve, model="gpt-4o-mini")
    body = {"action": "approve", "ids": [str(eves.pk), str(done.pk), str(ada.pk), str(pending.pk)]}
    response = api(ann).post(f"{SUBSCRIPTIONS}/bulk", body)
    assert response.status_code == 200
    rows = response.json()["results"]
    assert [(row["id"], row["ok"], row["code"]) for row in rows] == [
        (str(eves.pk), True, "ok"),
        (str(done.pk), False, "already_decided"),
        (str(ada.pk), False, "not_found"),
        (str(pending.pk), True, "ok"),
    ]
    assert Subscription.objects.filter(status="active").count() == 3
    post = api(ann).post
    assert wrong_fields(post(f"{SUBSCRIPTIONS}/bulk", {**body, "action": "suspend"})) == ["action"]
    assert wrong_fields(post(f"{SUBSCRIPTIONS}/bulk", {**body, "action": "deny"})) == ["reason"]
    assert wrong_fields(post(f"{SUBSCRIPTIONS}/bulk", {**body, "ids": []})) == ["ids"]
    assert wrong_fields(post(f"{SUBSCRIPTIONS}/bulk", {**body, "ids": [str(uuid4()) for _ in range(101)]})) == ["ids"]
    problem_of(api(ada).post(f"{SUBSCRIPTIONS}/bulk", body), 403, "permission_denied")


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
        "justification": "why",
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
