"""Changing, blocking and unblocking keys: what is carried out, what is refused, and what the audit log says."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, User
from apikeys.endings import block_api_key, revoke_api_key, unblock_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyPolicy
from apikeys.services import IssuedKey, create_api_key, update_api_key
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied, QuotaExceeded
from subscriptions.models import Model, Subscription, SubscriptionStatus
from subscriptions.services import cancel_subscription, create_subscription
from teams.models import Team
from tests.races import at_once

pytestmark = pytest.mark.django_db
LATER = datetime(2099, 12, 31, 12, tzinfo=UTC)


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription]) -> IssuedKey:
    """Ada's key with every limit, for two of her three models."""
    return create_api_key(
        ada,
        name="nightly",
        models=["gpt-4o", "gpt-4o-mini"],
        description="reports",
        max_budget=Decimal(10),
        budget_duration="30d",
        soft_budget=Decimal(5),
        tpm_limit=1000,
        rpm_limit=10,
        max_parallel_requests=3,
        model_limits={"gpt-4o": {"rpm_limit": 5}, "gpt-4o-mini": {"tpm_limit": 50}},
        expires_at=LATER,
    )


@pytest.fixture
def key(issued: IssuedKey) -> ApiKey:
    """The same without its secret."""
    ApiKeySecret.objects.update(sync_status="synced")
    return issued.key


AS_IT_IS: dict[str, Any] = {
    "name": "nightly",
    "description": "reports",
    "models": ["gpt-4o-mini", "gpt-4o", "gpt-4o"],
    "max_budget": Decimal("10.00"),
    "budget_duration": "30d",
    "soft_budget": Decimal(5),
    "tpm_limit": 1000,
    "rpm_limit": 10,
    "max_parallel_requests": 3,
    "model_limits": {"gpt-4o-mini": {"tpm_limit": 50}, "gpt-4o": {"rpm_limit": 5}},
    "expires_at": LATER,
}


def told() -> list[dict[str, Any]]:
    """What the audit log has about changes."""
    return list(AuditEvent.objects.filter(action="apikey.updated").order_by("at").values_list("details", flat=True))


def refused(actor: User, key: ApiKey, **changes: Any) -> tuple[str, Any]:
    """Code and field of the refusal of a change, which has changed nothing."""
    before = ApiKey.objects.filter(pk=key.pk).values().get(), ApiKey.objects.get(pk=key.pk).model_ids
    with pytest.raises(DomainError) as caught:
        update_api_key(actor, key_id=key.pk, **changes)
    assert (ApiKey.objects.filter(pk=key.pk).values().get(), ApiKey.objects.get(pk=key.pk).model_ids) == before
    assert not told()
    return caught.value.code, caught.value.details.get("field")


# --- What is changed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ({"name": "daily"}, {"name": "nightly"}, {"name": "daily"}),
        ({"description": None}, {"description": "reports"}, {"description": ""}),
        ({"max_budget": Decimal("12.50")}, {"max_budget": "10"}, {"max_budget": "12.5"}),
        ({"max_budget": None}, {"max_budget": "10"}, {"max_budget": None}),
        ({"max_budget": Decimal(0)}, {"max_budget": "10"}, {"max_budget": "0"}),
        ({"budget_duration": "1mo"}, {"budget_duration": "30d"}, {"budget_duration": "1mo"}),
        ({"budget_duration": None}, {"budget_duration": "30d"}, {"budget_duration": ""}),
        ({"soft_budget": None}, {"soft_budget": "5"}, {"soft_budget": None}),
        (
            {"tpm_limit": None, "rpm_limit": 11},
            {"tpm_limit": 1000, "rpm_limit": 10},
            {"tpm_limit": None, "rpm_limit": 11},
        ),
        ({"max_parallel_requests": None}, {"max_parallel_requests": 3}, {"max_parallel_requests": None}),
        ({"expires_at": None}, {"expires_at": LATER.isoformat()}, {"expires_at": None}),
        ({"model_limits": None}, {"model_limits": AS_IT_IS["model_limits"]}, {"model_limits": {}}),
    ],
)
def test_what_is_sent_changes_and_nothing_else(
    changes: dict[str, Any], old: Any, new: Any, ada: User, key: ApiKey
) -> None:
    before: dict[str, Any] = dict(ApiKey.objects.filter(pk=key.pk).values().get())
    update_api_key(ada, key_id=key.pk, **changes)
    after: dict[str, Any] = dict(ApiKey.objects.filter(pk=key.pk).values().get())
    assert {name for name in after if after[name] != before[name]} == set(changes)
    assert told() == [{"old": old, "new": new}]


def test_expiries_are_kept_and_compared_to_the_second(ada: User, key: ApiKey) -> None:
    finer = LATER.replace(microsecond=123456)
    ApiKey.objects.update(expires_at=finer)
    for same in (LATER, finer, LATER.replace(microsecond=9)):
        assert update_api_key(ada, key_id=key.pk, expires_at=same).expires_at == finer
    assert told() == []
    moved = update_api_key(ada, key_id=key.pk, expires_at=finer + timedelta(days=1))
    assert moved.expires_at == LATER + timedelta(days=1)
    made = create_api_key(ada, name="other", models=["gpt-4o"], expires_at=finer).key
    assert made.expires_at == LATER


def test_models_are_taken_off_and_put_on_with_their_limits(ada: User, key: ApiKey) -> None:
    links = dict(KeyModel.objects.values_list("model", "pk"))
    changed = update_api_key(ada, key_id=str(key.pk), models=["claude-sonnet", "gpt-4o"])
    assert changed.model_ids == ["claude-sonnet", "gpt-4o"]
    assert changed.model_limits == {"gpt-4o": {"rpm_limit": 5}}
    assert KeyModel.objects.get(model="gpt-4o").pk == links["gpt-4o"]  # what stays is not made anew
    (entry,) = told()
    assert entry["old"] == {"models": ["gpt-4o", "gpt-4o-mini"], "model_limits": AS_IT_IS["model_limits"]}
    assert entry["new"] == {"models": ["claude-sonnet", "gpt-4o"], "model_limits": {"gpt-4o": {"rpm_limit": 5}}}


def test_trap_44_saving_what_is_there_changes_nothing(ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(  # everything that the key has would be refused if it were new
        maximum_max_budget=1, maximum_tpm_limit=1, maximum_rpm_limit=1, maximum_max_parallel_requests=1,
        maximum_expires_days=1, minimum_budget_duration="7d",
    )  # fmt: skip
    Subscription.objects.update(status=SubscriptionStatus.SUSPENDED)
    before = ApiKey.objects.values().get(), ApiKeySecret.objects.values().get()
    for sent in (AS_IT_IS, {}):
        update_api_key(ada, key_id=key.pk, **sent)
    assert (ApiKey.objects.values().get(), ApiKeySecret.objects.values().get()) == before
    assert not told()


def test_only_what_litellm_knows_is_pushed(ada: User, key: ApiKey) -> None:
    generation = ApiKeySecret.objects.get().sync_generation
    update_api_key(ada, key_id=key.pk, name="daily", description="other", soft_budget=Decimal(1))
    secret = ApiKeySecret.objects.get()
    assert (secret.sync_status, secret.sync_generation) == ("synced", generation)
    update_api_key(ada, key_id=key.pk, rpm_limit=9)
    secret.refresh_from_db()
    assert (secret.sync_status, secret.sync_generation) == ("pending", generation + 1)


def test_trap_18_no_secret_in_the_audit_log(ada: User, issued: IssuedKey, ann: User) -> None:
    update_api_key(ada, key_id=issued.key.pk, name="daily", rpm_limit=9)
    block_api_key(ann, key_id=issued.key.pk, reason="looked odd")
    written = str(list(AuditEvent.objects.values()))
    assert issued.secret not in written
    assert ApiKeySecret.objects.get().digest not in written


# --- What is refused -------------------------------------------------------------------------------------------------


def test_trap_01_a_key_never_loses_its_last_model_by_a_change(ada: User, key: ApiKey) -> None:
    assert refused(ada, key, models=[]) == ("models_empty", "models")


def test_new_models_need_a_subscription_of_the_owner_old_ones_may_stay(ada: User, ann: User, key: ApiKey) -> None:
    Model.objects.create(id="extra", provider="openai", mode="chat")
    create_subscription(ann, model="extra")
    for actor, words in ((ada, "You have"), (ann, "The owner")):
        with pytest.raises(Invalid, match=words) as caught:
            update_api_key(actor, key_id=key.pk, models=["gpt-4o", "extra"])
        assert (caught.value.code, caught.value.details["models"]) == ("model_not_subscribed", ["extra"])
    Subscription.objects.filter(model="gpt-4o").update(status=SubscriptionStatus.SUSPENDED)
    assert update_api_key(ada, key_id=key.pk, models=["gpt-4o", "claude-sonnet"]).model_ids == [
        "claude-sonnet",
        "gpt-4o",
    ]
    # Once it is off, it is new again.
    update_api_key(ada, key_id=key.pk, models=["claude-sonnet"])
    with pytest.raises(Invalid):
        update_api_key(ada, key_id=key.pk, models=["claude-sonnet", "gpt-4o"])


def test_new_models_must_be_available_and_allowed_to_the_team(ada: User, key: ApiKey) -> None:
    Model.objects.filter(pk="claude-sonnet").update(availability="unavailable")
    assert refused(ada, key, models=["claude-sonnet"]) == ("model_not_subscribed", "models")
    Model.objects.update(availability="available")
    Team.objects.update(allowed_models=["gpt-4o"])
    assert refused(ada, key, models=["gpt-4o", "claude-sonnet"]) == ("model_not_subscribed", "models")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_budget": Decimal(21)}, "exceeds_policy"),
        ({"max_budget": None}, "exceeds_policy"),
        ({"tpm_limit": None}, "exceeds_policy"),
        ({"rpm_limit": 21}, "exceeds_policy"),
        ({"max_parallel_requests": None}, "exceeds_policy"),
        ({"budget_duration": "1d"}, "exceeds_policy"),
        ({"budget_duration": "monthly"}, "invalid_duration"),
        ({"model_limits": {"gpt-4o": {"rpm_limit": 21}}}, "exceeds_policy"),
        ({"model_limits": {"claude-sonnet": {"rpm_limit": 2}}}, "invalid"),
        ({"rpm_limit": 0}, "out_of_range"),
        ({"expires_at": LATER + timedelta(days=1)}, "exceeds_policy"),
        ({"expires_at": None}, "exceeds_policy"),
        ({"expires_at": datetime(2001, 1, 1, tzinfo=UTC)}, "expiry_in_the_past"),
        ({"name": ""}, "blank"),
        ({"name": "a\u202eb"}, "control_character"),
    ],
)
def test_trap_05_maxima_hold_for_what_is_changed(changes: dict[str, Any], code: str, ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(
        maximum_max_budget=20, maximum_tpm_limit=20, maximum_rpm_limit=20, maximum_max_parallel_requests=20,
        maximum_expires_days=30, minimum_budget_duration="7d",
    )  # fmt: skip
    assert refused(ada, key, **changes) == (code, next(iter(changes)))


def test_trap_05_the_policy_binds_administrators_too(ann: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(maximum_rpm_limit=20)
    assert refused(ann, key, rpm_limit=21) == ("exceeds_policy", "rpm_limit")


def test_the_days_of_a_key_count_from_its_creation(ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(maximum_expires_days=30)
    made = timezone.now() - timedelta(days=20)
    ApiKey.objects.update(created_at=made, expires_at=timezone.now() + timedelta(days=1))
    assert refused(ada, key, expires_at=made + timedelta(days=31)) == ("exceeds_policy", "expires_at")
    assert update_api_key(ada, key_id=key.pk, expires_at=made + timedelta(days=29)).expires_at is not None
    # Sooner is always allowed, even where it is too late for a policy that came after the key.
    ApiKey.objects.update(created_at=made - timedelta(days=300), expires_at=None)
    sooner = (timezone.now() + timedelta(days=5)).replace(microsecond=0)
    assert update_api_key(ada, key_id=key.pk, expires_at=sooner).expires_at == sooner


def test_revoked_keys_stay_as_they_are(ada: User, ann: User, key: ApiKey) -> None:
    revoke_api_key(ada, key_id=key.pk)
    assert refused(ada, key, name="daily") == ("key_revoked", None)
    for verb in (block_api_key, unblock_api_key):
        with pytest.raises(Conflict) as caught:
            verb(ann, key_id=key.pk)
        assert caught.value.code == "key_revoked"
    assert ApiKey.objects.get().status == "revoked"


def test_expired_keys_come_back_when_their_expiry_is_moved(ada: User, key: ApiKey) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert refused(ada, key, rpm_limit=5) == ("key_expired", None)
    back = update_api_key(ada, key_id=key.pk, rpm_limit=5, expires_at=LATER)
    assert (back.current_status, back.rpm_limit) == ("active", 5)


def test_trap_50_a_key_that_comes_back_counts(ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(keys_per_user=1)
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    create_api_key(ada, name="other", models=["gpt-4o"])
    with pytest.raises(QuotaExceeded):
        update_api_key(ada, key_id=key.pk, expires_at=LATER)


def test_strangers_and_the_deleted_are_not_found(ada: User, eve: User, ann: User, key: ApiKey) -> None:
    for actor, key_id in ((eve, key.pk), (ada, uuid4())):
        with pytest.raises(NotFound):
            update_api_key(actor, key_id=key_id, name="x")
    for verb in (block_api_key, unblock_api_key):
        with pytest.raises(NotFound):
            verb(ann, key_id=uuid4())
        with pytest.raises(NotFound):
            verb(eve, key_id=key.pk)
    ApiKey.objects.update(deleted_at=timezone.now())
    with pytest.raises(NotFound):
        update_api_key(ann, key_id=key.pk)
    for verb in (block_api_key, unblock_api_key):
        with pytest.raises(NotFound):
            verb(ann, key_id=key.pk)


def test_trap_09_who_may_only_read_changes_and_blocks_nothing(ro: User, ada: User, key: ApiKey) -> None:
    for verb in (update_api_key, block_api_key, unblock_api_key):
        with pytest.raises(PermissionDenied):
            verb(ro, key_id=key.pk)
    for verb in (block_api_key, unblock_api_key):
        with pytest.raises(PermissionDenied):
            verb(ada, key_id=key.pk)
    assert ApiKey.objects.get().status == "active"


def test_an_administrator_changes_anybodys_key(ann: User, key: ApiKey) -> None:
    assert update_api_key(ann, key_id=key.pk, rpm_limit=7, models=["claude-sonnet"]).rpm_limit == 7
    assert AuditEvent.objects.get(action="apikey.updated").actor_id == ann.pk


# --- Blocking --------------------------------------------------------------------------------------------------------


def test_blocking_holds_until_it_is_undone_and_again_changes_nothing(ann: User, ada: User, key: ApiKey) -> None:
    for _ in range(2):
        assert block_api_key(ann, key_id=key.pk, reason=" too\tmany calls ").status == "blocked"
    generation = ApiKeySecret.objects.get().sync_generation
    assert update_api_key(ada, key_id=key.pk, name="daily").status == "blocked"
    for _ in range(2):
        assert unblock_api_key(ann, key_id=key.pk).status == "active"
    entries = AuditEvent.objects.filter(action__in=("apikey.blocked", "apikey.unblocked")).order_by("at")
    assert [(e.action, e.details) for e in entries] == [
        ("apikey.blocked", {"old": "active", "new": "blocked", "reason": "too many calls"}),
        ("apikey.unblocked", {"old": "blocked", "new": "active", "reason": ""}),
    ]
    assert ApiKeySecret.objects.get().sync_generation == generation + 1


# --- Several at once -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("real_transactions")
def test_changes_at_once_are_all_kept_and_told_one_after_the_other(ada: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    key = create_api_key(ada, name="k", models=["gpt-4o"], rpm_limit=1000).key
    at_once(6, lambda turn: update_api_key(ada, key_id=key.pk, rpm_limit=1 + turn))
    entries = told()
    assert [entry["old"]["rpm_limit"] for entry in entries] == [1000, *(e["new"]["rpm_limit"] for e in entries[:-1])]
    assert ApiKey.objects.get().rpm_limit == entries[-1]["new"]["rpm_limit"]


@pytest.mark.usefixtures("real_transactions")
def test_the_same_change_at_once_is_one(ada: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    at_once(5, lambda _turn: update_api_key(ada, key_id=key.pk, rpm_limit=7))
    assert told() == [{"old": {"rpm_limit": None}, "new": {"rpm_limit": 7}}]


@pytest.mark.usefixtures("real_transactions")
def test_trap_38_five_blocks_at_once_are_one_and_a_revocation_wins(ann: User, ada: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    assert at_once(5, lambda _turn: block_api_key(ann, key_id=key.pk).status) == ["blocked"] * 5
    assert AuditEvent.objects.filter(action="apikey.blocked").count() == 1

    def act(turn: int) -> str:
        try:
            return str((revoke_api_key if turn else unblock_api_key)(ann, key_id=key.pk).status)
        except Conflict as error:
            return error.code

    at_once(2, act)
    assert ApiKey.objects.get().status == "revoked"


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_keys_that_come_back_at_once_do_not_pass_the_limit(ada: User, models: list[Model]) -> None:
    KeyPolicy.objects.create(keys_per_user=3)
    create_subscription(ada, model="gpt-4o")
    keys = []
    for _ in range(6):
        keys.append(create_api_key(ada, name="k", models=["gpt-4o"]).key)
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(minutes=1))

    def bring_back(turn: int) -> bool:
        try:
            update_api_key(ada, key_id=keys[turn].pk, expires_at=LATER)
        except QuotaExceeded:
            return False
        return True

    assert sum(at_once(6, bring_back)) == ApiKey.objects.alive().count() == 3


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_putting_a_model_on_and_cancelling_it_at_once_do_not_both_happen(
    ada: User, models: list[Model]
) -> None:
    create_subscription(ada, model="gpt-4o")
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    for _turn in range(5):
        subscription = create_subscription(ada, model="claude-sonnet")

        def act(who: int, subscription: Subscription = subscription) -> str:
            try:
                if who:
                    cancel_subscription(ada, subscription_id=subscription.pk)
                else:
                    update_api_key(ada, key_id=key.pk, models=["gpt-4o", "claude-sonnet"])
            except DomainError as error:
                return error.code
            return "done"

        assert tuple(at_once(2, act)) in {("done", "active_keys_exist"), ("model_not_subscribed", "done")}
        update_api_key(ada, key_id=key.pk, models=["gpt-4o"])
        for left in Subscription.objects.filter(model="claude-sonnet"):
            cancel_subscription(ada, subscription_id=left.pk)
