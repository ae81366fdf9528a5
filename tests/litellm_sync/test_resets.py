"""A reset of spend happens once for each secret, whatever somebody does to its metadata or restores on either side."""

from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps

from accounts.models import User
from apikeys.endings import reset_spend
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.rotation import rotate_api_key
from apikeys.services import IssuedKey, create_api_key
from litellm_sync import mending, spend, state
from litellm_sync.drift import Drift
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from subscriptions.models import Subscription
from tests.litellm_sync.test_reconcile import KIND, compare, post, push_everything

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription], litellm: Emulator, settings: Any) -> IssuedKey:
    """A key of ada's, and everything in step."""
    settings.LITELLM_SPEND_SETTLES_SECONDS = 0
    made = create_api_key(ada, name="notebook", models=["gpt-4o"], max_budget=Decimal(10))
    push_everything()
    return made


@pytest.fixture
def was_reset(issued: IssuedKey, ann: User, litellm: Emulator) -> ApiKeySecret:
    """Its secret after a reset, which LiteLLM has had; since then it has spent 9 USD there."""
    reset_spend(ann, key_id=issued.key.pk)
    return spent(litellm, issued.key, 9)


def spent(litellm: Emulator, key: ApiKey, amount: float) -> ApiKeySecret:
    """What it has spent in LiteLLM by now, after its pushes."""
    push_everything()
    secret = key.secrets.get()
    litellm.state.keys.update(secret.digest, {"spend": amount})
    return secret


def pushed(secret: ApiKeySecret) -> ApiKeySecret:
    """The row after one more push."""
    state.request_pushes(ApiKeySecret, [secret.pk])
    push(KIND, str(secret.pk), limit=5)
    after = ApiKeySecret.objects.select_related("key").get(pk=secret.pk)
    assert after.sync_status == "synced"
    return after


def there(litellm: Emulator, secret: ApiKeySecret) -> dict[str, Any]:
    """LiteLLM's key."""
    found: dict[str, Any] = litellm.state.keys.rows[secret.digest]
    return found


def test_an_edit_of_metadata_in_litellm_resets_nothing(was_reset: ApiKeySecret, litellm: Emulator) -> None:
    mark = there(litellm, was_reset)["metadata"][spend.RESET]
    post(litellm, "/key/update", key=was_reset.digest, metadata={"note": "typed in LiteLLM"})
    row = pushed(was_reset)
    assert (there(litellm, was_reset)["spend"], row.key.spend) == (9, Decimal(9))
    assert there(litellm, was_reset)["metadata"] == {"note": "typed in LiteLLM", spend.RESET: mark}


def test_a_further_reset_is_done_once_also_after_such_an_edit(
    was_reset: ApiKeySecret, ann: User, litellm: Emulator
) -> None:
    post(litellm, "/key/update", key=was_reset.digest, metadata={})
    reset_spend(ann, key_id=was_reset.key_id)
    push_everything()
    assert there(litellm, was_reset)["spend"] == 0
    spent(litellm, was_reset.key, 3)
    post(litellm, "/key/update", key=was_reset.digest, metadata={})
    pushed(was_reset)
    assert there(litellm, was_reset)["spend"] == 3


@pytest.mark.parametrize("mark", ["soon", "2099-01-01T00:00:00+00:00", 7, {"a": 1}])
@pytest.mark.parametrize("has_had_one", [True, False])
def test_a_mark_that_cannot_be_ours_counts_as_none(
    issued: IssuedKey, ann: User, litellm: Emulator, mark: Any, *, has_had_one: bool
) -> None:
    if has_had_one:
        reset_spend(ann, key_id=issued.key.pk)
    secret = spent(litellm, issued.key, 9)
    post(litellm, "/key/update", key=secret.digest, metadata={spend.RESET: mark})
    if not has_had_one:
        reset_spend(ann, key_id=issued.key.pk)
    row = pushed(secret)
    assert there(litellm, secret)["spend"] == (9 if has_had_one else 0)
    assert row.key.spend_reset_at is not None
    assert there(litellm, secret)["metadata"][spend.RESET] == row.key.spend_reset_at.isoformat()


@pytest.mark.parametrize("before", [None, datetime(2026, 1, 1, tzinfo=UTC)])
def test_a_database_of_ours_from_before_the_reset_resets_nothing(
    was_reset: ApiKeySecret, ann: User, litellm: Emulator, before: datetime | None
) -> None:
    ApiKey.objects.update(spend_reset_at=before)
    ApiKeySecret.objects.update(reset_at=before)
    row = pushed(was_reset)
    assert (there(litellm, was_reset)["spend"], row.key.spend) == (9, Decimal(9))
    reset_spend(ann, key_id=row.key_id)
    push_everything()
    assert there(litellm, was_reset)["spend"] == 0


def test_a_database_of_litellm_from_before_the_reset_is_reset_again(
    was_reset: ApiKeySecret, ann: User, litellm: Emulator
) -> None:
    backup = dict(there(litellm, was_reset))
    reset_spend(ann, key_id=was_reset.key_id)
    push_everything()
    assert there(litellm, was_reset)["spend"] == 0
    litellm.state.keys.put(was_reset.digest, backup)
    pushed(was_reset)
    assert there(litellm, was_reset)["spend"] == 0


def test_a_new_secret_begins_with_what_the_old_one_spent_since_its_reset(
    was_reset: ApiKeySecret, ada: User, litellm: Emulator
) -> None:
    post(litellm, "/key/update", key=was_reset.digest, metadata={})
    rotate_api_key(ada, key_id=was_reset.key_id, grace_seconds=3600)
    newer = ApiKeySecret.objects.exclude(pk=was_reset.pk).get()
    push(KIND, str(newer.pk), limit=5)
    assert there(litellm, newer)["spend"] == 9
    newer.refresh_from_db()
    assert newer.reset_at == ApiKey.objects.get().spend_reset_at


def test_an_adopted_key_that_was_ours_keeps_its_spend_and_its_reset(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    mark = "2026-10-01T00:00:00+00:00"
    metadata = {"managed_by": "litemaas", spend.RESET: mark}
    made = post(litellm, "/key/generate", models=["gpt-4o"], max_budget=10, spend=9.5, metadata=metadata)
    compare()
    adopted = mending.adopt_key(ann, drift_id=Drift.objects.get(kind="unknown", what="key").pk, owner="ada")
    row = pushed(adopted.secrets.get())
    assert (row.key.spend, there(litellm, row)["spend"]) == (Decimal("9.5"), 9.5)
    assert row.key.spend_reset_at == row.reset_at == datetime.fromisoformat(mark)
    post(litellm, "/key/update", key=made["token"], metadata={})
    assert there(litellm, pushed(row))["spend"] == 9.5
    reset_spend(ann, key_id=row.key_id)
    push_everything()
    assert there(litellm, row)["spend"] == 0


def test_what_is_in_step_when_the_software_is_renewed_has_had_its_reset(
    was_reset: ApiKeySecret, litellm: Emulator
) -> None:
    ApiKeySecret.objects.update(reset_at=None)
    waiting = ApiKeySecret.objects.create(key=was_reset.key, digest="1" * 64, last4="abcd")
    import_module("apikeys.migrations.0009_reset_of_a_secret").take_over(apps, None)
    asked = ApiKey.objects.get().spend_reset_at
    assert asked is not None
    kept = dict(ApiKeySecret.objects.values_list("pk", "reset_at"))
    assert kept == {was_reset.pk: asked, waiting.pk: None}
