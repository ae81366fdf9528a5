"""What a replaced secret spent, where something else ends or is lost meanwhile: the period, the key, the secret."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from apikeys.endings import reset_spend
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.rotation import end_old_secret, rotate_api_key
from apikeys.services import IssuedKey, create_api_key, update_api_key
from litellm_sync import activity
from litellm_sync.client import LiteLLM
from litellm_sync.emulator import durations, limits
from litellm_sync.emulator.server import Emulator
from litemaas.foundation.crypto import secret_digest
from subscriptions.models import Model
from subscriptions.services import create_subscription
from tests.litellm_sync.test_rotation import away, charge, later, row, settle, there, work_once, works

pytestmark = pytest.mark.django_db(transaction=True)
SETTLED = 91


@pytest.fixture(params=["litellm", "old_litellm"])
def upstream(request: pytest.FixtureRequest) -> Emulator:
    """Each of both versions; spend settles for as long as the product does by itself."""
    found: Emulator = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def issued(ada: User, models: list[Model], upstream: Emulator) -> IssuedKey:
    """A key with a budget for each day."""
    create_subscription(ada, model="gpt-4o")
    return create_api_key(ada, name="k", models=["gpt-4o"], max_budget=Decimal(10), budget_duration="1d")


class ResetJob:
    """LiteLLM's job that begins budgets again: here it runs when a test says so, not with each look."""

    def __init__(self) -> None:
        self.runs = False

    def wrap(self, renew: Any) -> Any:
        """In the place of the emulator's function."""

        def renew_when_it_runs(*args: Any) -> None:
            if self.runs:
                renew(*args)

        return renew_when_it_runs


@pytest.fixture
def reset_job(monkeypatch: pytest.MonkeyPatch) -> ResetJob:
    """It sleeps until a test lets it run."""
    job = ResetJob()
    monkeypatch.setattr(limits, "renew_budget", job.wrap(limits.renew_budget))
    return job


def ends(secret: str, at: datetime) -> None:
    """Its grace ended at that moment, by the clock."""
    ApiKeySecret.objects.filter(digest=secret_digest(secret)).update(valid_until=at, due_at=at)


def set_there(upstream: Emulator, secret: str, **moments: datetime) -> None:
    """LiteLLM has these moments for a key."""
    stamps = {name: durations.stamp(at) for name, at in moments.items()}
    upstream.state.keys.update(secret_digest(secret), stamps)


def spend_there(secret: str) -> Decimal | None:
    """What LiteLLM counts for a key; None where it has none."""
    found = there(secret)
    return None if found is None else found.spend.quantize(Decimal("0.01"))


def shown() -> Decimal:
    """What the key shows after the figures were fetched."""
    activity.pull_key_spend(LiteLLM(5))
    return ApiKey.objects.get().spend.quantize(Decimal("0.01"))


# --- What somebody changes in LiteLLM --------------------------------------------------------------------------------


def test_marks_that_somebody_took_away_in_litellm_are_written_again_and_nothing_counts_twice(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    """Without them nobody could tell what the new secret has of the old one's spend: the rotation would never end."""
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    charge(upstream, issued.secret, "2")
    charge(upstream, rotated.secret, "1")
    assert shown() == Decimal(7)
    upstream.state.keys.update(secret_digest(rotated.secret), {"metadata": {"team": "theirs"}})
    assert shown() == Decimal(7)
    end_old_secret(ada, key_id=issued.key.pk)
    work_once()
    later(SETTLED)
    settle()
    assert row(issued.secret).carried_at is not None
    assert (spend_there(issued.secret), spend_there(rotated.secret), shown()) == (None, Decimal(7), Decimal(7))
    assert upstream.state.keys.rows[secret_digest(rotated.secret)]["metadata"]["team"] == "theirs"
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)


def test_a_leak_is_stopped_although_somebody_took_the_marks_away(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    charge(upstream, rotated.secret, "1")
    assert shown() == Decimal(5)
    upstream.state.keys.update(secret_digest(rotated.secret), {"metadata": {}})
    third = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    work_once()
    later(SETTLED)
    settle()
    assert (spend_there(third.secret), shown()) == (Decimal(5), Decimal(5))


# --- The end of a period ---------------------------------------------------------------------------------------------


def test_a_period_that_ends_just_after_a_grace_takes_the_past_with_it(
    ada: User, issued: IssuedKey, upstream: Emulator, reset_job: ResetJob
) -> None:
    """LiteLLM begins no expired key's budget again, so the old secret's is never begun again: nobody waits for that."""
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    charge(upstream, issued.secret, "2")
    now = timezone.now()
    ends(issued.secret, now - timedelta(seconds=40))
    set_there(upstream, issued.secret, expires=now - timedelta(seconds=40), budget_reset_at=now - timedelta(seconds=20))
    set_there(upstream, rotated.secret, budget_reset_at=now - timedelta(seconds=20))
    work_once()
    later(SETTLED)
    for _ in ("the old one asks", "the new one looks"):
        work_once()
    # The job has not come yet: the new secret's figure is about to be reset, and nothing is added to it.
    assert row(rotated.secret).sync_error == "budget_begins_again"
    assert (row(issued.secret).carried_at, spend_there(rotated.secret)) == (None, Decimal(4))
    reset_job.runs = True
    assert [spend_there(one) for one in (issued.secret, rotated.secret)] == [6, 0], "the expired one is passed over"
    charge(upstream, rotated.secret, "1")
    assert shown() == 1
    settle()
    assert (spend_there(issued.secret), spend_there(rotated.secret), shown()) == (None, Decimal(1), Decimal(1))
    assert {secret.sync_status for secret in ApiKeySecret.objects.all()} == {"synced"}
    again = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    assert [works(upstream, one) for one in (issued.secret, rotated.secret, again.secret)] == [False, True, True]
    assert spend_there(again.secret) == 1


def test_a_key_that_expires_in_a_grace_keeps_what_both_spent_and_begins_again_when_it_comes_back(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=604800)
    charge(upstream, issued.secret, "2")
    charge(upstream, rotated.secret, "1")
    now = timezone.now()
    ApiKey.objects.update(expires_at=now - timedelta(days=5))
    ends(issued.secret, now - timedelta(days=1))
    ApiKeySecret.objects.update(due_at=now)
    moments = {"expires": now - timedelta(days=5), "budget_reset_at": now - timedelta(days=4, hours=12)}
    for one in (issued.secret, rotated.secret):
        set_there(upstream, one, **moments)
    work_once()
    later(SETTLED)
    settle()
    assert (spend_there(issued.secret), spend_there(rotated.secret), shown()) == (None, Decimal(7), Decimal(7))
    update_api_key(ada, key_id=issued.key.pk, expires_at=now + timedelta(days=30))
    settle()
    assert works(upstream, rotated.secret)
    assert shown() < 1


@pytest.mark.parametrize("expired", [False, True])
def test_a_secret_that_is_made_after_the_end_of_a_period_begins_with_nothing(
    ada: User, issued: IssuedKey, upstream: Emulator, reset_job: ResetJob, *, expired: bool
) -> None:
    """LiteLLM's job comes up to ten minutes after the end of the period; the new secret lives in the next one."""
    charge(upstream, issued.secret, "9")
    now = timezone.now()
    set_there(upstream, issued.secret, budget_reset_at=now - timedelta(seconds=20))
    if expired:
        set_there(upstream, issued.secret, expires=now - timedelta(seconds=30))
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    work_once()
    assert spend_there(rotated.secret) == 0
    charge(upstream, issued.secret, "0.5")  # written down late
    charge(upstream, rotated.secret, "1")
    later(SETTLED)
    reset_job.runs = True
    settle()
    assert (spend_there(issued.secret), spend_there(rotated.secret), shown()) == (None, Decimal(1), Decimal(1))


def test_a_secret_that_litellm_lost_in_an_earlier_period_has_spent_nothing_in_this_one(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    charge(upstream, issued.secret, "9")
    assert shown() == 9
    LiteLLM(5).delete_key(secret_digest(issued.secret))
    update_api_key(ada, key_id=issued.key.pk, rpm_limit=9)
    ApiKey.objects.update(budget_resets_at=timezone.now() - timedelta(hours=9))
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    work_once()
    later(SETTLED)
    settle()
    assert (spend_there(rotated.secret), shown()) == (Decimal(0), Decimal(0))


# --- What comes late, what is lost, what is reset --------------------------------------------------------------------


def test_what_another_worker_of_litellm_let_through_after_the_block_counts(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    """It knows a key for a minute, and writes down up to 21 s later."""
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    work_once()
    later(80)
    settle()
    charge(upstream, issued.secret, "7")
    later(SETTLED)
    settle()
    assert (spend_there(issued.secret), spend_there(rotated.secret), shown()) == (None, Decimal(7), Decimal(7))


def test_what_an_old_secret_spent_counts_though_litellm_lost_it_in_its_grace(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    charge(upstream, issued.secret, "5")
    assert shown() == 9
    LiteLLM(5).delete_key(secret_digest(issued.secret))
    end_old_secret(ada, key_id=issued.key.pk)
    settle()
    assert (row(issued.secret).carried_at, shown()) == (None, Decimal(9))
    later(SETTLED)
    settle()
    assert row(issued.secret).carried_at is not None
    assert (spend_there(rotated.secret), shown()) == (Decimal(9), Decimal(9))
    charge(upstream, rotated.secret, "1")
    assert not works(upstream, rotated.secret), "the budget is spent"


def test_what_a_lost_old_secret_spent_waits_for_a_new_one_that_litellm_does_not_have_yet(
    ada: User, issued: IssuedKey, upstream: Emulator, settings: Any
) -> None:
    charge(upstream, issued.secret, "4")
    assert shown() == 4
    rotated = away(settings, lambda: rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0))
    LiteLLM(5).delete_key(secret_digest(issued.secret))
    ApiKeySecret.objects.filter(digest=secret_digest(rotated.secret)).update(sync_status="failed")
    work_once()
    later(SETTLED)
    work_once()
    assert row(issued.secret).carried_at is None
    ApiKeySecret.objects.filter(digest=secret_digest(rotated.secret)).update(sync_status="pending")
    settle()
    assert row(issued.secret).carried_at is not None
    assert (spend_there(rotated.secret), shown()) == (Decimal(4), Decimal(4))


def test_a_reset_holds_for_a_key_that_litellm_lost(ada: User, ann: User, issued: IssuedKey, upstream: Emulator) -> None:
    charge(upstream, issued.secret, "9")
    assert shown() == 9
    LiteLLM(5).delete_key(secret_digest(issued.secret))
    assert reset_spend(ann, key_id=issued.key.pk).spend == 0
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    work_once()
    later(SETTLED)
    settle()
    assert (spend_there(rotated.secret), shown()) == (Decimal(0), Decimal(0))
    assert works(upstream, rotated.secret)


def test_a_reset_in_a_grace_holds_for_an_old_secret_that_litellm_lost(
    ada: User, ann: User, issued: IssuedKey, upstream: Emulator
) -> None:
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    charge(upstream, issued.secret, "5")
    assert shown() == 9
    LiteLLM(5).delete_key(secret_digest(issued.secret))
    reset_spend(ann, key_id=issued.key.pk)
    charge(upstream, rotated.secret, "1")
    end_old_secret(ada, key_id=issued.key.pk)
    settle()
    later(SETTLED)
    settle()
    assert row(issued.secret).carried_at is not None
    assert (spend_there(rotated.secret), shown()) == (Decimal(1), Decimal(1))
