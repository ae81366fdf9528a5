"""The verbs about subscriptions: subscribing once, cancelling what nothing depends on."""

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from subscriptions.services import cancel_subscription, create_subscription
from tests.races import at_once

pytestmark = pytest.mark.django_db


def actions(actor: User) -> list[str]:
    """What somebody did, newest first."""
    return list(AuditEvent.objects.filter(actor_id=actor.pk).values_list("action", flat=True))


def test_an_open_model_is_active_at_once(ada: User, models: list[Model]) -> None:
    made = create_subscription(ada, model="gpt-4o", justification="why")
    assert (made.status, made.justification, made.owner_id) == ("active", "why", ada.pk)
    assert str(made) == "ada to gpt-4o"
    event = AuditEvent.objects.get(action="subscription.created")
    assert (event.actor_id, event.target_id) == (ada.pk, str(made.pk))
    assert event.details == {"model": "gpt-4o", "status": "active"}


def test_a_restricted_model_waits_for_approval(ada: User, models: list[Model]) -> None:
    Model.objects.filter(pk="gpt-4o").update(restricted=True)
    assert create_subscription(ada, model="gpt-4o").status == "pending"
    with pytest.raises(Invalid):
        create_api_key(ada, name="k", models=["gpt-4o"])


def test_unknown_and_unavailable_models_are_refused(ada: User, models: list[Model]) -> None:
    Model.objects.filter(pk="gpt-4o").update(availability=Availability.UNAVAILABLE)
    wrong = {"unheard-of": "unknown_model", "GPT-4O-MINI": "unknown_model", "gpt-4o": "model_unavailable"}
    for model, code in wrong.items():
        with pytest.raises(Invalid) as caught:
            create_subscription(ada, model=model)
        assert (caught.value.code, caught.value.details) == (code, {"field": "model"})
    assert Subscription.objects.count() == 0


def test_the_second_time_is_a_conflict_for_the_same_person_only(ada: User, eve: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    with pytest.raises(Conflict) as caught:
        create_subscription(ada, model="gpt-4o")
    assert caught.value.code == "already_subscribed"
    create_subscription(eve, model="gpt-4o")
    assert Subscription.objects.count() == 2
    assert actions(ada) == ["subscription.created"]


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_subscribing_five_times_at_once_is_subscribing_once(ada: User, models: list[Model]) -> None:
    def subscribe(_turn: int) -> str:
        try:
            return create_subscription(ada, model="gpt-4o").status
        except Conflict as error:
            return error.code

    assert sorted(at_once(5, subscribe)) == ["active", *["already_subscribed"] * 4]
    assert actions(ada) == ["subscription.created"]


def test_a_cancelled_subscription_is_gone(ada: User, subscribed: list[Subscription]) -> None:
    cancel_subscription(ada, subscription_id=str(subscribed[0].pk))
    assert list(Subscription.objects.values_list("model", flat=True).order_by("model")) == [
        "claude-sonnet",
        "gpt-4o-mini",
    ]
    event = AuditEvent.objects.get(action="subscription.cancelled")
    assert (event.details, event.target_name) == ({"model": "gpt-4o", "old": "active"}, "ada to gpt-4o")
    assert create_subscription(ada, model="gpt-4o").status == "active"


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_cancelling_five_times_at_once_is_cancelling_once(ada: User, models: list[Model]) -> None:
    made = create_subscription(ada, model="gpt-4o")

    def cancel(_turn: int) -> str:
        try:
            cancel_subscription(ada, subscription_id=made.pk)
        except NotFound as error:
            return error.code
        return "done"

    assert sorted(at_once(5, cancel)) == ["done", *["not_found"] * 4]
    assert actions(ada) == ["subscription.cancelled", "subscription.created"]


def test_living_keys_hold_a_subscription_and_are_named(ada: User, subscribed: list[Subscription]) -> None:
    one, other = (create_api_key(ada, name=name, models=["gpt-4o"]).key for name in ("one", "other"))
    create_api_key(ada, name="elsewhere", models=["gpt-4o-mini"])
    with pytest.raises(Conflict) as caught:
        cancel_subscription(ada, subscription_id=subscribed[0].pk)
    assert caught.value.code == "active_keys_exist"
    named = {key["id"]: key["name"] for key in caught.value.details["api_keys"]}
    assert named == {str(one.pk): "one", str(other.pk): "other"}
    ApiKey.objects.filter(pk=one.pk).update(status="blocked")
    revoke_api_key(ada, key_id=other.pk)
    with pytest.raises(Conflict) as caught:
        cancel_subscription(ada, subscription_id=subscribed[0].pk)
    assert caught.value.details["api_keys"] == [{"id": str(one.pk), "name": "one"}]
    ApiKey.objects.filter(pk=one.pk).update(expires_at=timezone.now())
    cancel_subscription(ada, subscription_id=subscribed[0].pk)


def test_somebody_elses_keys_hold_nothing_of_mine(ada: User, eve: User, subscribed: list[Subscription]) -> None:
    create_subscription(eve, model="gpt-4o")
    create_api_key(eve, name="eves", models=["gpt-4o"])
    cancel_subscription(ada, subscription_id=subscribed[0].pk)


@pytest.mark.parametrize("status", [SubscriptionStatus.DENIED, SubscriptionStatus.SUSPENDED])
def test_trap_08_cancelling_does_not_wash_a_decision_off(
    status: SubscriptionStatus, ada: User, subscribed: list[Subscription]
) -> None:
    Subscription.objects.filter(pk=subscribed[0].pk).update(status=status, reason="too dear")
    with pytest.raises(Conflict) as caught:
        cancel_subscription(ada, subscription_id=subscribed[0].pk)
    assert (caught.value.code, caught.value.details) == ("not_cancellable", {"status": status.value})
    with pytest.raises(Conflict):
        create_subscription(ada, model="gpt-4o")
    assert Subscription.objects.get(pk=subscribed[0].pk).reason == "too dear"


@pytest.mark.parametrize("status", [SubscriptionStatus.PENDING, SubscriptionStatus.EXPIRED])
def test_what_waits_or_has_ended_can_be_cancelled(
    status: SubscriptionStatus, ada: User, subscribed: list[Subscription]
) -> None:
    Subscription.objects.update(status=status)
    cancel_subscription(ada, subscription_id=subscribed[0].pk)
    assert Subscription.objects.count() == 2


def test_strangers_find_nothing_and_readers_may_not(
    ada: User, eve: User, ro: User, ann: User, subscribed: list[Subscription]
) -> None:
    mine = subscribed[0].pk
    for actor, target, error in ((eve, mine, NotFound), (ada, uuid4(), NotFound), (ro, mine, PermissionDenied)):
        with pytest.raises(error):
            cancel_subscription(actor, subscription_id=target)
    with pytest.raises(PermissionDenied):
        create_subscription(ro, model="gpt-4o")
    assert Subscription.objects.count() == 3
    cancel_subscription(ann, subscription_id=mine)
    assert Subscription.objects.count() == 2


def test_deactivated_people_do_nothing(ada: User, models: list[Model]) -> None:
    ada.is_active = False
    with pytest.raises(DomainError) as caught:
        create_subscription(ada, model="gpt-4o")
    assert caught.value.code == "not_authenticated"


def test_prices_are_for_a_million_tokens(db: None) -> None:
    bare: Any = Model(id="m")
    assert (bare.input_cost_per_million, bare.output_cost_per_million) == (None, None)
