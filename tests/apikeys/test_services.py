"""The verbs about keys: who may have which, how many, and what ends them."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import AuditEvent, User
from apikeys.adoption import FoundKey, adopt_api_key
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyPolicy, KeyStatus
from apikeys.services import create_api_key, update_api_key
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from litemaas.foundation import crypto
from litemaas.foundation.errors import DomainError, Invalid, NotFound, PermissionDenied, QuotaExceeded, RateLimited
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from subscriptions.services import cancel_subscription, create_subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from tests.races import at_once, wait_for_a_lock

pytestmark = pytest.mark.django_db


def refusal(verb: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, Any]:
    """Code and field of the refusal that a verb must end with."""
    with pytest.raises(DomainError) as caught:
        verb(*args, **kwargs)
    return caught.value.code, caught.value.details.get("field")


def pushed(key: ApiKey) -> None:
    """Make LiteLLM agree with every secret of a key."""
    for secret in key.secrets.all():
        push("apikeys.apikeysecret", str(secret.pk), limit=5)


# --- Creating --------------------------------------------------------------------------------------------------------


def test_a_key_is_what_was_wished_for(ada: User, subscribed: list[Subscription]) -> None:
    issued = create_api_key(ada, name="k", models=["gpt-4o-mini", "gpt-4o", "gpt-4o"], description="d", rpm_limit=3)
    key = ApiKey.objects.get()
    assert issued.key == key
    assert (key.user, key.team_id, key.name, key.description) == (ada, DEFAULT_TEAM_ID, "k", "d")
    assert (key.model_ids, key.rpm_limit, key.tpm_limit) == (["gpt-4o", "gpt-4o-mini"], 3, None)
    assert (key.status, key.sync_status, key.owner_id, str(key)) == ("active", "pending", ada.pk, "k")
    assert crypto.is_well_formed_secret(issued.secret)
    assert issued.secret not in repr(issued)
    secret = ApiKeySecret.objects.get()
    assert (secret.digest, secret.last4) == (crypto.secret_digest(issued.secret), issued.secret[-4:])
    assert key.masked == str(secret) == f"sk-…{issued.secret[-4:]}"
    event = AuditEvent.objects.get(action="apikey.created")
    assert (event.actor_id, event.target_id, event.target_name) == (ada.pk, str(key.pk), "k")
    assert event.details == {
        "models": ["gpt-4o-mini", "gpt-4o"],
        "team": str(DEFAULT_TEAM_ID),
        "limits": {"rpm_limit": "3"},
    }


def test_trap_01_a_key_for_no_model_is_refused_before_anything_happens(
    ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    assert refusal(create_api_key, ada, name="k", models=[]) == ("models_empty", "models")
    assert ApiKey.objects.count() == 0
    assert litellm.calls == []


def test_trap_01_a_key_that_loses_its_last_model_is_blocked_and_never_open_to_all(
    ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    issued = create_api_key(ada, name="k", models=["gpt-4o"])
    pushed(issued.key)
    token = crypto.secret_digest(issued.secret)
    assert litellm.state.keys.rows[token]["models"] == ["gpt-4o"]
    Subscription.objects.update(status=SubscriptionStatus.SUSPENDED)
    ApiKeySecret.objects.update(sync_status="pending")
    pushed(issued.key)
    left = litellm.state.keys.rows[token]
    assert left["blocked"] is True
    assert left["models"] != []


def test_trap_01_a_key_whose_models_were_lost_before_its_first_push_is_not_open_to_all(
    ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    issued = create_api_key(ada, name="k", models=["gpt-4o"])
    Model.objects.update(availability=Availability.UNAVAILABLE)
    pushed(issued.key)
    row = litellm.state.keys.rows[crypto.secret_digest(issued.secret)]
    assert row["blocked"] is True
    assert set(row["models"]) & {model.pk for model in Model.objects.all()} == set()
    assert row["models"] != []


@pytest.mark.parametrize(
    ("lose", "field"),
    [
        (lambda: Subscription.objects.filter(model="gpt-4o").delete(), "models"),
        (lambda: Subscription.objects.update(status=SubscriptionStatus.PENDING), "models"),
        (lambda: Subscription.objects.update(status=SubscriptionStatus.DENIED), "models"),
        (lambda: Subscription.objects.update(status=SubscriptionStatus.EXPIRED), "models"),
        (lambda: Model.objects.update(availability=Availability.UNAVAILABLE), "models"),
        (lambda: Team.objects.update(allowed_models=["gpt-4o-mini"]), "models"),
    ],
)
def test_every_model_must_be_subscribed_available_and_allowed(
    lose: Callable[[], Any], field: str, ada: User, subscribed: list[Subscription]
) -> None:
    lose()
    assert refusal(create_api_key, ada, name="k", models=["gpt-4o"]) == ("model_not_subscribed", field)
    assert ApiKey.objects.count() == 0


def test_somebody_elses_subscription_is_no_help(ada: User, eve: User, subscribed: list[Subscription]) -> None:
    with pytest.raises(Invalid) as caught:
        create_api_key(eve, name="k", models=["gpt-4o", "unheard-of"])
    assert caught.value.details["models"] == ["gpt-4o", "unheard-of"]


def test_trap_04_a_key_is_charged_only_to_a_team_of_its_owner(
    ada: User, eve: User, subscribed: list[Subscription]
) -> None:
    hers, foreign = Team.objects.create(name="hers"), Team.objects.create(name="foreign")
    Membership.objects.create(team=hers, user=ada)
    Membership.objects.create(team=foreign, user=eve)
    for team in (foreign.pk, str(foreign.pk), uuid4()):
        assert refusal(create_api_key, ada, name="k", models=["gpt-4o"], team=team) == ("unknown_team", "team")
    assert create_api_key(ada, name="k", models=["gpt-4o"], team=hers.pk).key.team == hers
    assert create_api_key(ada, name="k", models=["gpt-4o"]).key.team_id == DEFAULT_TEAM_ID


def test_a_team_that_allows_some_models_gets_keys_for_those(ada: User, subscribed: list[Subscription]) -> None:
    Team.objects.update(allowed_models=["gpt-4o-mini"])
    key = create_api_key(ada, name="k", models=["gpt-4o-mini"]).key
    assert key.model_ids == ["gpt-4o-mini"]
    assert list(KeyModel.objects.effective().values_list("model_id", flat=True)) == ["gpt-4o-mini"]


def test_the_number_of_living_keys_is_bounded(ada: User, eve: User, subscribed: list[Subscription]) -> None:
    KeyPolicy.objects.create(keys_per_user=2)
    create_subscription(eve, model="gpt-4o")
    keys = [create_api_key(ada, name="k", models=["gpt-4o"]).key for _ in range(2)]
    with pytest.raises(QuotaExceeded) as caught:
        create_api_key(ada, name="k", models=["gpt-4o"])
    assert (caught.value.code, caught.value.details) == ("too_many_keys", {"limit": 2})
    create_api_key(eve, name="k", models=["gpt-4o"])  # each has one's own
    revoke_api_key(ada, key_id=keys[0].pk)
    create_api_key(ada, name="k", models=["gpt-4o"])
    ApiKey.objects.filter(pk=keys[1].pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    create_api_key(ada, name="k", models=["gpt-4o"])
    ApiKey.objects.filter(user=ada).update(status=KeyStatus.BLOCKED, expires_at=None)
    assert refusal(create_api_key, ada, name="k", models=["gpt-4o"])[0] == "too_many_keys"


def test_creations_an_hour_are_bounded_also_by_keys_that_are_gone(ada: User, subscribed: list[Subscription]) -> None:
    KeyPolicy.objects.create(creations_per_hour=2)
    for _ in range(2):
        key = create_api_key(ada, name="k", models=["gpt-4o"]).key
        revoke_api_key(ada, key_id=key.pk)
    ApiKey.objects.filter(pk=key.pk).update(deleted_at=timezone.now())
    with pytest.raises(RateLimited) as caught:
        create_api_key(ada, name="k", models=["gpt-4o"])
    assert caught.value.details == {"retry_after": 3600}
    ApiKey.objects.update(created_at=timezone.now() - timedelta(minutes=61))
    create_api_key(ada, name="k", models=["gpt-4o"])


def test_as_shipped_fifty_keys_and_sixty_creations(db: None) -> None:
    policy = KeyPolicy()
    assert (policy.keys_per_user, policy.creations_per_hour) == (50, 60)


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_twenty_creations_at_once_against_a_limit_of_ten_make_ten(ada: User, models: list[Model]) -> None:
    KeyPolicy.objects.create(keys_per_user=10)
    create_subscription(ada, model="gpt-4o")

    def make(turn: int) -> str:
        try:
            create_api_key(ada, name=f"k{turn}", models=["gpt-4o"])
        except QuotaExceeded as error:
            return error.code
        return "made"

    outcomes = at_once(20, make)
    assert (outcomes.count("made"), outcomes.count("too_many_keys")) == (10, 10)
    assert ApiKey.objects.count() == ApiKeySecret.objects.count() == KeyModel.objects.count() == 10


def test_keys_that_were_adopted_are_none_that_somebody_made(
    ada: User, ann: User, subscribed: list[Subscription]
) -> None:
    KeyPolicy.objects.create(creations_per_hour=2)
    for number in range(2):
        found = FoundKey(
            digest=crypto.secret_digest(f"sk-foreign-{number}"), alias=f"old {number}", last4="abcd", team_id=None,
            models=("gpt-4o",), spend=Decimal(0), max_budget=None, budget_duration="", tpm_limit=None, rpm_limit=None,
            max_parallel_requests=None, expires_at=None, blocked=False,
        )  # fmt: skip
        adopt_api_key(ann, owner=ada, found=found)
    for name in ("one", "two"):
        create_api_key(ada, name=name, models=["gpt-4o"])
    assert refusal(create_api_key, ada, name="three", models=["gpt-4o"])[0] == "rate_limited"


@pytest.mark.usefixtures("real_transactions")
@pytest.mark.parametrize("verb", ["create", "update"])
def test_the_policy_of_after_the_wait_holds(ada: User, models: list[Model], verb: str) -> None:
    create_subscription(ada, model="gpt-4o")
    key = create_api_key(ada, name="k", models=["gpt-4o"], rpm_limit=1).key
    held = threading.Barrier(2, timeout=60)

    def act(turn: int) -> str:
        if turn:
            held.wait()
            if verb == "create":
                return refusal(create_api_key, ada, name="other", models=["gpt-4o"], rpm_limit=10)[0]
            return refusal(update_api_key, ada, key_id=key.pk, rpm_limit=10)[0]
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=ada.pk)
            held.wait()
            wait_for_a_lock()
            KeyPolicy.objects.create(maximum_rpm_limit=5)
        return "changed"

    assert at_once(2, act) == ["changed", "exceeds_policy"]


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_creations_an_hour_hold_at_once_too(ada: User, models: list[Model]) -> None:
    KeyPolicy.objects.create(creations_per_hour=4)
    create_subscription(ada, model="gpt-4o")

    def make(turn: int) -> bool:
        try:
            create_api_key(ada, name=f"k{turn}", models=["gpt-4o"])
        except RateLimited:
            return False
        return True

    assert sum(at_once(10, make)) == ApiKey.objects.count() == 4


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_five_revocations_at_once_are_one(ada: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    statuses = at_once(5, lambda _turn: revoke_api_key(ada, key_id=key.pk).status)
    assert statuses == ["revoked"] * 5
    assert AuditEvent.objects.filter(action="apikey.revoked").count() == 1


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_a_key_and_the_end_of_its_subscription_at_once_do_not_both_happen(
    ada: User, models: list[Model]
) -> None:
    for turn in range(5):
        subscription = create_subscription(ada, model="gpt-4o")

        def act(who: int, subscription: Subscription = subscription, turn: int = turn) -> str:
            try:
                if who:
                    cancel_subscription(ada, subscription_id=subscription.pk)
                else:
                    create_api_key(ada, name=f"k{turn}", models=["gpt-4o"])
            except DomainError as error:
                return error.code
            return "done"

        made, cancelled = at_once(2, act)
        assert (made, cancelled) in {("done", "active_keys_exist"), ("model_not_subscribed", "done")}
        for key in ApiKey.objects.exclude(status="revoked"):
            revoke_api_key(ada, key_id=key.pk)
        if made == "done":
            cancel_subscription(ada, subscription_id=subscription.pk)


def test_trap_09_who_may_only_read_makes_and_ends_no_keys(
    ro: User, ada: User, models: list[Model], subscribed: list[Subscription]
) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    with pytest.raises(PermissionDenied):
        create_api_key(ro, name="k", models=["gpt-4o"])
    with pytest.raises(PermissionDenied):
        revoke_api_key(ro, key_id=key.pk)
    assert ApiKey.objects.get().status == "active"


# --- Revoking --------------------------------------------------------------------------------------------------------


def test_revoking_is_for_ever_and_again_changes_nothing(ada: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    first = revoke_api_key(ada, key_id=key.pk)
    assert (first.status, first.current_status) == ("revoked", "revoked")
    assert first.revoked_at is not None
    again = revoke_api_key(ada, key_id=str(key.pk))
    assert again.revoked_at == first.revoked_at
    assert AuditEvent.objects.filter(action="apikey.revoked").count() == 1


def test_strangers_and_the_deleted_are_not_found(ada: User, eve: User, ann: User, subscribed: list[Any]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    for actor, key_id in ((eve, key.pk), (ada, uuid4())):
        with pytest.raises(NotFound):
            revoke_api_key(actor, key_id=key_id)
    ApiKey.objects.update(deleted_at=timezone.now())
    for actor in (ada, ann):
        with pytest.raises(NotFound):
            revoke_api_key(actor, key_id=key.pk)


def test_an_administrator_ends_anybodys_key(ada: User, ann: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    assert revoke_api_key(ann, key_id=key.pk).status == "revoked"
    assert AuditEvent.objects.get(action="apikey.revoked").actor_id == ann.pk


# --- Rows ------------------------------------------------------------------------------------------------------------


def test_status_follows_the_clock_and_revoked_stays_revoked(ada: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"], expires_at=timezone.now() + timedelta(days=1)).key
    now, late = timezone.now(), timezone.now() + timedelta(days=2)
    assert (key.status_at(now), key.status_at(late)) == (KeyStatus.ACTIVE, KeyStatus.EXPIRED)
    key.status = KeyStatus.REVOKED
    assert key.status_at(late) == KeyStatus.REVOKED
    rows = {"active": 0, "blocked": 0, "revoked": 0, "expired": 0}
    ApiKey.objects.update(expires_at=now)
    assert rows | {s: ApiKey.objects.with_status(s).count() for s in rows} == {**rows, "expired": 1}
    ApiKey.objects.update(status=KeyStatus.REVOKED)
    assert {s: ApiKey.objects.with_status(s).count() for s in rows} == {**rows, "revoked": 1}
    ApiKey.objects.update(status=KeyStatus.BLOCKED, expires_at=None)
    assert {s: ApiKey.objects.with_status(s).count() for s in rows} == {**rows, "blocked": 1}


def test_a_key_shows_the_worst_state_of_its_secrets(ada: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    second = ApiKeySecret.objects.create(key=key, digest="d" * 64, last4="wxyz", sync_status="synced")
    seen = []
    for first in ("synced", "pending", "failed"):
        ApiKeySecret.objects.exclude(pk=second.pk).update(sync_status=first)
        seen.append(ApiKey.objects.get().sync_status)
    assert seen == ["synced", "pending", "failed"]
    assert ApiKey.objects.get().masked == "sk-…wxyz"
    ApiKeySecret.objects.all().delete()
    bare = ApiKey.objects.get()
    assert (bare.sync_status, bare.masked, bare.newest_secret) == ("synced", "", None)
