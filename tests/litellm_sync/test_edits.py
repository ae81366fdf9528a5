"""Edits of a key arrive in LiteLLM: what it has after each of them, in both versions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from apikeys.endings import block_api_key, revoke_api_key, unblock_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key, update_api_key
from litellm_sync import state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.emulator.server import Emulator
from litellm_sync.key_bodies import EXPIRY_TOLERANCE
from litellm_sync.push import push
from litemaas.foundation.crypto import secret_digest
from subscriptions.models import Model
from subscriptions.services import create_subscription

pytestmark = pytest.mark.django_db(transaction=True)
KIND = "apikeys.apikeysecret"
LATER = datetime(2099, 12, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["litellm", "old_litellm"])
def upstream(request: pytest.FixtureRequest) -> Emulator:
    """Each of both versions."""
    found: Emulator = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def key(ada: User, models: list[Model], upstream: Emulator) -> ApiKey:
    """A key with every limit that LiteLLM has too."""
    for model in models:
        create_subscription(ada, model=model.id)
    made = create_api_key(
        ada, name="k", models=["gpt-4o", "gpt-4o-mini"], max_budget=Decimal(10), budget_duration="30d",
        tpm_limit=1000, rpm_limit=10, max_parallel_requests=3, model_limits={"gpt-4o": {"rpm_limit": 5}},
        expires_at=LATER,
    ).key  # fmt: skip
    assert made.sync_status == "synced"
    return made


def there(key: ApiKey) -> KeyInfo:
    """What LiteLLM has."""
    found = LiteLLM(5).get_key_info(ApiKeySecret.objects.get(key=key).digest)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"max_budget": Decimal("12.5")}, {"max_budget": Decimal("12.5")}),
        ({"max_budget": Decimal(0)}, {"max_budget": Decimal(0)}),
        ({"max_budget": None}, {"max_budget": None}),
        ({"tpm_limit": 5, "rpm_limit": 6}, {"tpm_limit": 5, "rpm_limit": 6}),
        ({"tpm_limit": None, "rpm_limit": None}, {"tpm_limit": None, "rpm_limit": None}),
        ({"max_parallel_requests": None}, {"max_parallel_requests": None}),
        ({"budget_duration": "1mo"}, {"budget_duration": "1mo"}),
        ({"models": ["claude-sonnet", "gpt-4o"]}, {"models": ("claude-sonnet", "gpt-4o")}),
        ({"models": ["claude-sonnet"]}, {"models": ("claude-sonnet",)}),
        ({"expires_at": None}, {"expires": None}),
    ],
    ids=str,
)
def test_trap_23_an_edit_arrives_and_nothing_else_moves(
    changes: dict[str, Any], wanted: dict[str, Any], ada: User, key: ApiKey
) -> None:
    before = vars(there(key))
    changed = update_api_key(ada, key_id=key.pk, **changes)
    assert (changed.sync_status, changed.current_status) == ("synced", "active")
    after = vars(there(key)) | {"models": tuple(sorted(there(key).models))}
    assert {name: after[name] for name in wanted} == wanted
    follow = {"budget_reset_at", "metadata"}  # LiteLLM's own reckoning, and the limits of models that are gone
    assert {name for name in after if after[name] != before[name]} - follow == set(wanted)


def test_a_moved_expiry_arrives(ada: User, key: ApiKey) -> None:
    wish = timezone.now() + timedelta(days=40)
    assert update_api_key(ada, key_id=key.pk, expires_at=wish).sync_status == "synced"
    found = there(key).expires
    assert found is not None
    assert abs(found - wish) <= EXPIRY_TOLERANCE


def test_trap_24_limits_per_model_come_and_go_and_the_rest_of_the_metadata_stays(ada: User, key: ApiKey) -> None:
    assert there(key).metadata["model_rpm_limit"] == {"gpt-4o": 5}
    managed = there(key).metadata["managed_by"]
    update_api_key(ada, key_id=key.pk, model_limits={"gpt-4o": {"tpm_limit": 7}, "gpt-4o-mini": {"rpm_limit": 2}})
    assert there(key).metadata["model_rpm_limit"] == {"gpt-4o-mini": 2}
    assert there(key).metadata["model_tpm_limit"] == {"gpt-4o": 7}
    update_api_key(ada, key_id=key.pk, models=["gpt-4o"])
    assert not there(key).metadata.get("model_rpm_limit")
    update_api_key(ada, key_id=key.pk, model_limits=None)
    assert not there(key).metadata.get("model_tpm_limit")
    assert there(key).metadata["managed_by"] == managed


def test_trap_23_a_period_that_cannot_be_cleared_does_not_keep_us_busy(
    ada: User, key: ApiKey, upstream: Emulator
) -> None:
    is_old = upstream.state.version.is_old
    changed = update_api_key(ada, key_id=key.pk, budget_duration=None)
    assert (changed.sync_status, changed.budget_duration) == ("synced", "")
    assert there(key).budget_duration == ("30d" if is_old else None)
    calls = len(upstream.calls)
    state.defer_due()
    push(KIND, str(ApiKeySecret.objects.get().pk), limit=5)
    assert len(upstream.calls) == calls  # it is settled: nobody tries again by himself


def test_an_expired_key_that_comes_back_works_again(ada: User, key: ApiKey) -> None:
    past = timezone.now() - timedelta(minutes=1)
    ApiKey.objects.update(expires_at=past)
    LiteLLM(5).update_key(ApiKeySecret.objects.get().digest, {"duration": "1s"})
    back = update_api_key(ada, key_id=key.pk, expires_at=LATER)
    assert (back.current_status, back.sync_status) == ("active", "synced")
    assert there(key).expires is not None
    assert abs(there(key).expires - LATER) <= EXPIRY_TOLERANCE  # type: ignore[operator]  # looked at in the line above


def test_an_expired_key_that_was_pushed_can_still_come_back(ann: User, ada: User, key: ApiKey) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(minutes=1))  # LiteLLM has not heard of this expiry
    block_api_key(ann, key_id=key.pk)
    unblock_api_key(ann, key_id=key.pk)
    assert there(key).blocked
    back = update_api_key(ada, key_id=key.pk, expires_at=LATER)
    assert (back.current_status, back.sync_status) == ("active", "synced")
    assert not there(key).blocked
    revoke_api_key(ada, key_id=key.pk)
    assert LiteLLM(5).get_key_info(ApiKeySecret.objects.get().digest) is None


def test_a_key_that_expired_before_litellm_heard_of_it_stays_away_and_can_still_begin(
    ada: User, key: ApiKey, upstream: Emulator
) -> None:
    upstream.faults.add("down")
    late = create_api_key(ada, name="late", models=["gpt-4o"]).key
    ApiKeySecret.objects.filter(key=late).update(attempted_at=None)
    ApiKey.objects.filter(pk=late.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    upstream.faults.clear()
    secret = ApiKeySecret.objects.get(key=late)
    push(KIND, str(secret.pk), limit=5)
    secret.refresh_from_db()
    assert (secret.sync_status, secret_digest(secret.pending_secret or "")) == ("synced", secret.digest)
    assert LiteLLM(5).get_key_info(secret.digest) is None
    back = update_api_key(ada, key_id=late.pk, expires_at=LATER)
    assert (back.current_status, back.sync_status) == ("active", "synced")
    assert not there(late).blocked
    assert ApiKeySecret.objects.get(key=late).pending_secret is None


def test_the_secret_of_a_key_that_never_began_is_dropped_with_the_key(
    ada: User, key: ApiKey, upstream: Emulator
) -> None:
    upstream.faults.add("down")
    late = create_api_key(ada, name="late", models=["gpt-4o"]).key
    ApiKeySecret.objects.filter(key=late).update(attempted_at=None)
    ApiKey.objects.filter(pk=late.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    upstream.faults.clear()
    revoke_api_key(ada, key_id=late.pk)
    secret = ApiKeySecret.objects.get(key=late)
    assert (secret.sync_status, secret.pending_secret) == ("synced", None)


def test_blocking_and_unblocking_arrive(ann: User, key: ApiKey) -> None:
    block_api_key(ann, key_id=key.pk)
    assert there(key).blocked
    unblock_api_key(ann, key_id=key.pk)
    assert not there(key).blocked


def test_a_change_of_a_blocked_key_arrives_and_it_stays_blocked(ann: User, ada: User, key: ApiKey) -> None:
    block_api_key(ann, key_id=key.pk)
    update_api_key(ada, key_id=key.pk, rpm_limit=77, models=["claude-sonnet"])
    found = there(key)
    assert (found.blocked, found.rpm_limit, found.models) == (True, 77, ("claude-sonnet",))


def test_saving_what_is_there_asks_litellm_nothing(ada: User, key: ApiKey, upstream: Emulator) -> None:
    calls = len(upstream.calls)
    update_api_key(ada, key_id=key.pk, rpm_limit=10, models=["gpt-4o-mini", "gpt-4o"], expires_at=LATER, name="other")
    assert len(upstream.calls) == calls


def test_trap_20_an_edit_that_litellm_misses_arrives_later(ada: User, key: ApiKey, upstream: Emulator) -> None:
    upstream.faults.add("down")
    changed = update_api_key(ada, key_id=key.pk, rpm_limit=99)
    assert (changed.rpm_limit, changed.sync_status) == (99, "pending")
    upstream.faults.clear()
    push(KIND, str(ApiKeySecret.objects.get().pk), limit=5)
    assert there(key).rpm_limit == 99
    revoke_api_key(ada, key_id=key.pk)
    assert LiteLLM(5).get_key_info(ApiKeySecret.objects.get().digest) is None
