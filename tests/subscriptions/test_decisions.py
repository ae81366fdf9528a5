"""The verbs of approval: one decision a request, which sticks; asking again; restricting a model."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import AuditEvent, User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied
from subscriptions.models import Model, Subscription, SubscriptionStatus
from subscriptions.services import (
    Decision,
    approve_subscription,
    cancel_subscription,
    create_subscription,
    decide_subscriptions,
    deny_subscription,
    request_review,
    set_model_restricted,
)
from tests.cast import make_person
from tests.races import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def pending(ada: User, models: list[Model]) -> Subscription:
    """Ada asked for a restricted model."""
    Model.objects.filter(pk="gpt-4o").update(restricted=True)
    return create_subscription(ada, model="gpt-4o", justification="A study")


@pytest.fixture
def denied(ann: User, pending: Subscription) -> Subscription:
    """Ann said no."""
    return deny_subscription(ann, subscription_id=pending.pk, reason="Too dear")


def told(verb: Callable[[], Any]) -> str:
    """``done``, or the code of what the verb raised."""
    try:
        verb()
    except DomainError as error:
        return error.code
    return "done"


def newest() -> AuditEvent:
    """The last entry of the audit log."""
    found = AuditEvent.objects.first()
    assert found is not None
    return found


def test_approving_lets_the_person_use_the_model(ada: User, ann: User, pending: Subscription) -> None:
    made = approve_subscription(ann, subscription_id=str(pending.pk), reason=" Fine\x00 ")
    assert (made.pk, made.status, made.reason, made.justification) == (pending.pk, "active", "Fine", "A study")
    assert create_api_key(ada, name="k", models=["gpt-4o"]).key.model_ids == ["gpt-4o"]
    event = AuditEvent.objects.get(action="subscription.approved")
    assert (event.actor_id, event.target_id, event.target_name) == (ann.pk, str(pending.pk), "ada to gpt-4o")
    assert event.details == {"model": "gpt-4o", "old": "pending", "new": "active", "reason": "Fine"}


def test_denying_keeps_the_reason_for_the_person(ada: User, ann: User, pending: Subscription) -> None:
    assert deny_subscription(ann, subscription_id=pending.pk, reason="Too dear").status == "denied"
    row = Subscription.objects.visible_to(ada).get()
    assert (row.status, row.reason) == ("denied", "Too dear")
    event = AuditEvent.objects.get(action="subscription.denied")
    assert event.details == {"model": "gpt-4o", "old": "pending", "new": "denied", "reason": "Too dear"}


@pytest.mark.parametrize("reason", ["", "  \n", "\x00\u202e"])
def test_a_denial_needs_a_reason_that_can_be_read(ann: User, pending: Subscription, reason: str) -> None:
    for verb in (
        lambda: deny_subscription(ann, subscription_id=pending.pk, reason=reason),
        lambda: decide_subscriptions(ann, ids=[pending.pk], action="deny", reason=reason),
    ):
        with pytest.raises(Invalid) as caught:
            verb()
        assert (caught.value.code, caught.value.details) == ("reason_required", {"field": "reason"})
    assert Subscription.objects.get().status == "pending"


@pytest.mark.parametrize("status", [s for s in SubscriptionStatus if s != SubscriptionStatus.PENDING])
def test_only_what_waits_can_be_decided(ann: User, pending: Subscription, status: SubscriptionStatus) -> None:
    Subscription.objects.update(status=status, reason="before")
    for verb in (approve_subscription, deny_subscription):
        with pytest.raises(Conflict) as caught:
            verb(ann, subscription_id=pending.pk, reason="now")
        assert (caught.value.code, caught.value.details) == ("already_decided", {"status": status.value})
        assert str(status.label) in str(caught.value.message)
    row = Subscription.objects.get()
    assert (row.status, row.reason) == (status, "before")
    assert not AuditEvent.objects.filter(action__in=["subscription.approved", "subscription.denied"]).exists()


@pytest.mark.usefixtures("real_transactions")
def test_trap_38_of_administrators_deciding_at_once_one_wins_and_the_others_are_told(ada: User, ann: User) -> None:
    Model.objects.create(id="gpt-4o", provider="openai", mode="chat", restricted=True)
    pending = create_subscription(ada, model="gpt-4o")

    def decide(turn: int) -> str:
        if turn % 2:
            return told(lambda: approve_subscription(ann, subscription_id=pending.pk))
        return told(lambda: deny_subscription(ann, subscription_id=pending.pk, reason=f"no {turn}"))

    answers = at_once(6, decide)
    assert sorted(answers) == [*["already_decided"] * 5, "done"]
    winner = answers.index("done")
    row = Subscription.objects.get()
    assert (row.status, row.reason) == (("active", "") if winner % 2 else ("denied", f"no {winner}"))
    decisions = AuditEvent.objects.filter(action__in=["subscription.approved", "subscription.denied"])
    assert decisions.get().details["new"] == row.status


@pytest.mark.usefixtures("real_transactions")
def test_trap_38_taking_back_and_approving_at_once_end_in_one_of_both(ada: User, ann: User) -> None:
    Model.objects.create(id="gpt-4o", provider="openai", mode="chat", restricted=True)
    pending = create_subscription(ada, model="gpt-4o")
    verbs = [
        lambda: cancel_subscription(ada, subscription_id=pending.pk),
        lambda: approve_subscription(ann, subscription_id=pending.pk),
    ]
    cancelled, approved = at_once(2, lambda turn: told(verbs[turn]))
    assert cancelled == "done"  # what is approved may be given back
    assert approved in {"done", "not_found"}
    assert not Subscription.objects.exists()


def test_trap_08_a_denial_sticks_while_it_is_reviewed_too(ada: User, ann: User, denied: Subscription) -> None:
    assert told(lambda: cancel_subscription(ada, subscription_id=denied.pk)) == "not_cancellable"
    assert told(lambda: create_subscription(ada, model="gpt-4o")) == "already_subscribed"
    request_review(ada, subscription_id=denied.pk, message="Cheaper now")
    # Else one could take the reviewed request back and subscribe again, at once if the model is open by then.
    set_model_restricted(ann, model_id="gpt-4o", restricted=False)
    assert told(lambda: cancel_subscription(ada, subscription_id=denied.pk)) == "not_cancellable"
    assert told(lambda: create_subscription(ada, model="gpt-4o")) == "already_subscribed"
    row = Subscription.objects.get()
    assert (row.status, row.reason, row.justification) == ("pending", "Too dear", "Cheaper now")
    approve_subscription(ann, subscription_id=denied.pk)
    assert told(lambda: cancel_subscription(ada, subscription_id=denied.pk)) == "done"


def test_trap_02_owners_decide_nothing(ada: User, eve: User, ro: User, pending: Subscription) -> None:
    for actor in (ada, eve, ro):
        for verb in (
            lambda who: approve_subscription(who, subscription_id=pending.pk),
            lambda who: approve_subscription(who, subscription_id=uuid4()),
            lambda who: deny_subscription(who, subscription_id=pending.pk, reason="r"),
            lambda who: decide_subscriptions(who, ids=[pending.pk], action="approve", reason=""),
            lambda who: set_model_restricted(who, model_id="gpt-4o", restricted=False),
        ):
            with pytest.raises(PermissionDenied):
                verb(actor)
    assert Subscription.objects.get().status == "pending"
    assert Model.objects.get(pk="gpt-4o").restricted
    assert newest().action == "subscription.created"


def test_asking_again_puts_the_denied_one_before_the_administrators(ada: User, denied: Subscription) -> None:
    made = request_review(ada, subscription_id=str(denied.pk), message="It is for the\nstudy")
    assert (made.status, made.justification, made.reason) == ("pending", "It is for the\nstudy", "Too dear")
    event = newest()
    assert (event.action, event.actor_id) == ("subscription.review_requested", ada.pk)
    assert event.details == {"model": "gpt-4o", "old": "denied", "new": "pending", "message": "It is for the\nstudy"}
    assert told(lambda: request_review(ada, subscription_id=denied.pk, message="And again")) == "not_denied"


def test_asking_again_is_for_the_person_alone_and_says_something(
    ada: User, eve: User, ann: User, ro: User, denied: Subscription
) -> None:
    def ask(actor: User, message: str = "please") -> str:
        return told(lambda: request_review(actor, subscription_id=denied.pk, message=message))

    assert (ask(eve), ask(ro), ask(ann)) == ("not_found", "permission_denied", "permission_denied")
    assert ask(ada, " \n ") == "message_required"
    assert told(lambda: request_review(ada, subscription_id=uuid4(), message="m")) == "not_found"
    assert Subscription.objects.get().status == "denied"
    assert newest().action == "subscription.denied"


@pytest.mark.parametrize("status", [s for s in SubscriptionStatus if s != SubscriptionStatus.DENIED])
def test_only_a_denied_one_is_asked_for_again(ada: User, pending: Subscription, status: SubscriptionStatus) -> None:
    Subscription.objects.update(status=status)
    with pytest.raises(Conflict) as caught:
        request_review(ada, subscription_id=pending.pk, message="m")
    assert (caught.value.code, caught.value.details) == ("not_denied", {"status": status.value})


def test_trap_07_an_approval_restores_the_model_on_keys_that_had_it(ada: User, ann: User, models: list[Model]) -> None:
    subscription = create_subscription(ada, model="gpt-4o")
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    Subscription.objects.update(status=SubscriptionStatus.PENDING)
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)
    approve_subscription(ann, subscription_id=subscription.pk)
    secret = ApiKeySecret.objects.get(key=key)
    assert ProcrastinateJob.objects.filter(args__object_id=str(secret.pk), args__kind="apikeys.apikeysecret").exists()
    assert secret.sync_status == SyncStatus.PENDING
    assert ApiKey.objects.get().links.effective().count() == 1


def test_many_are_decided_row_by_row(ada: User, eve: User, ann: User, pending: Subscription) -> None:
    eves = create_subscription(eve, model="gpt-4o")
    open_one = create_subscription(eve, model="gpt-4o-mini")
    nobodys = uuid4()
    found = decide_subscriptions(
        ann, ids=[pending.pk, open_one.pk, nobodys, eves.pk, pending.pk], action="deny", reason="No"
    )
    assert [(one.id, one.ok, one.code) for one in found] == [
        (str(pending.pk), True, "ok"),
        (str(open_one.pk), False, "already_decided"),
        (str(nobodys), False, "not_found"),
        (str(eves.pk), True, "ok"),
    ]
    assert [bool(one.message) for one in found] == [False, True, True, False]
    assert Subscription.objects.filter(status="denied", reason="No").count() == 2
    assert Subscription.objects.get(pk=open_one.pk).status == "active"
    assert AuditEvent.objects.filter(action="subscription.denied").count() == 2
    other = make_person("oda")
    third = create_subscription(other, model="gpt-4o")
    assert decide_subscriptions(ann, ids=[str(third.pk)], action="approve", reason="") == [
        Decision(str(third.pk), ok=True)
    ]
    assert decide_subscriptions(ann, ids=[], action="approve", reason="") == []
    with pytest.raises(Invalid) as caught:
        decide_subscriptions(ann, ids=[third.pk], action="delete", reason="")
    assert caught.value.code == "unknown_action"


def test_restricting_concerns_new_subscriptions_only(ada: User, eve: User, ann: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    assert set_model_restricted(ann, model_id="gpt-4o", restricted=True).restricted
    assert Subscription.objects.get().status == "active"
    assert create_subscription(eve, model="gpt-4o").status == "pending"
    event = AuditEvent.objects.get(action="model.changed")
    changed = {"old": {"restricted": False}, "new": {"restricted": True}}
    assert (event.target_id, event.details) == ("gpt-4o", changed)
    set_model_restricted(ann, model_id="gpt-4o", restricted=True)
    assert AuditEvent.objects.filter(action="model.changed").count() == 1
    assert not set_model_restricted(ann, model_id="gpt-4o", restricted=False).restricted
    assert Subscription.objects.get(user=eve).status == "pending"
    with pytest.raises(NotFound):
        set_model_restricted(ann, model_id="unheard-of", restricted=True)
