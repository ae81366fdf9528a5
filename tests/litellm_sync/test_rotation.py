"""Rotation arrives in LiteLLM: two secrets, one spend, whatever dies in between."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
from django.db import connection
from django.utils import timezone

from accounts.models import User
from apikeys.endings import block_api_key, reset_spend, revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.rotation import end_old_secret, rotate_api_key, waits_for_spend
from apikeys.services import IssuedKey, create_api_key, update_api_key
from litellm_sync import activity, keys
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.client.transport import Transport
from litellm_sync.emulator.server import Emulator
from litellm_sync.key_bodies import new_key
from litellm_sync.push import push
from litellm_sync.spend import SHOWN, beginning, save_noted
from litellm_sync.state import SyncStatus
from litemaas.foundation import rate_limits
from litemaas.foundation.crypto import secret_digest
from litemaas.foundation.errors import Conflict
from subscriptions.models import Model
from subscriptions.services import create_subscription

pytestmark = pytest.mark.django_db(transaction=True)
KIND = "apikeys.apikeysecret"


@pytest.fixture(params=["litellm", "old_litellm"])
def upstream(request: pytest.FixtureRequest, settings: Any) -> Emulator:
    """Each of both versions; what was spent is written down at once."""
    settings.LITELLM_SPEND_SETTLES_SECONDS = 0
    found: Emulator = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def issued(ada: User, models: list[Model], upstream: Emulator) -> IssuedKey:
    """A key with limits that LiteLLM has."""
    for model in models:
        create_subscription(ada, model=model.id)
    made = create_api_key(
        ada, name="k", models=["gpt-4o"], max_budget=Decimal(10), budget_duration="30d", tpm_limit=100_000,
        model_limits={"gpt-4o": {"rpm_limit": 50}},
    )  # fmt: skip
    assert made.key.sync_status == "synced"
    return made


def charge(upstream: Emulator, secret: str, spend: str) -> None:
    """Somebody used the secret."""
    row = {"date": "2026-11-25", "token": secret_digest(secret), "model": "gpt-4o", "spend": spend, "charge": True}
    requests.post(f"{upstream.url}/emulator/activity", json={"rows": [row]}, timeout=10).raise_for_status()


def there(secret: str) -> KeyInfo | None:
    """What LiteLLM has of it."""
    return LiteLLM(5).get_key_info(secret_digest(secret))


def works(upstream: Emulator, secret: str) -> bool:
    """Whether LiteLLM lets it call a model."""
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    answer = requests.post(f"{upstream.url}/v1/chat/completions", json=body, headers=headers, timeout=10)
    return answer.status_code == 200


def settle() -> None:
    """What the workers do until nothing waits: leases run out, waits are over, moments come."""
    for _round in range(12):
        keys.follow_the_clock(timezone.now())
        waiting = ApiKeySecret.objects.filter(sync_status=SyncStatus.PENDING)
        ids = list(waiting.order_by("created_at").values_list("pk", flat=True))
        if not ids:
            return
        waiting.update(push_lease_until=None)
        # What was sent and not answered can arrive no more.
        waiting.filter(attempted_at__isnull=False).update(attempted_at=timezone.now() - 2 * keys.OFFER_MAY_ARRIVE)
        for pk in ids:
            push(KIND, str(pk), limit=5)
    pytest.fail(f"still waiting: {list(waiting.values_list('sync_error', flat=True))}")


def row(secret: str) -> ApiKeySecret:
    """Our row of it."""
    return ApiKeySecret.objects.select_related("key").get(digest=secret_digest(secret))


def test_trap_21_a_rotated_key_stays_what_it_was(ada: User, issued: IssuedKey, upstream: Emulator) -> None:
    before = there(issued.secret)
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    old, new = there(issued.secret), there(rotated.secret)
    assert before is not None
    assert old is not None
    assert new is not None
    assert (old.spend, new.spend) == (Decimal(4), Decimal(4))
    same = ("user_id", "team_id", "models", "max_budget", "budget_duration", "budget_reset_at", "tpm_limit")
    assert [getattr(new, name) for name in same] == [getattr(before, name) for name in same]
    assert new.metadata["model_rpm_limit"] == {"gpt-4o": 50}
    assert (new.expires, old.blocked, new.blocked) == (None, False, False)
    assert old.expires is not None
    assert abs(old.expires - timezone.now() - timedelta(seconds=3600)) < timedelta(seconds=60)
    assert works(upstream, issued.secret)
    assert works(upstream, rotated.secret)
    key = ApiKey.objects.get()
    assert (key.pk, key.name) == (issued.key.pk, "k")
    assert row(rotated.secret).sync_status == "synced"


def test_what_both_spend_counts_once(ada: User, issued: IssuedKey, upstream: Emulator) -> None:
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    charge(upstream, issued.secret, "1")
    charge(upstream, rotated.secret, "2")
    activity.pull_key_spend(LiteLLM(5))
    assert ApiKey.objects.get().spend == 7
    end_old_secret(ada, key_id=issued.key.pk)
    assert not works(upstream, issued.secret)
    settle()
    new = there(rotated.secret)
    assert new is not None
    assert (there(issued.secret), new.spend, ApiKey.objects.get().spend) == (None, Decimal(7), Decimal(7))
    assert row(issued.secret).carried_at is not None
    charge(upstream, rotated.secret, "0.5")
    activity.pull_key_spend(LiteLLM(5))
    assert ApiKey.objects.get().spend == Decimal("7.5")


def test_spend_comes_page_by_page_also_of_secrets_that_stand_on_different_ones(
    ada: User, issued: IssuedKey, upstream: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm_sync.client.lists.PAGE", 1)
    other = create_api_key(ada, name="other", models=["gpt-4o"])
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    for secret, spend in ((issued.secret, "1"), (rotated.secret, "2"), (other.secret, "0.5")):
        charge(upstream, secret, spend)
    looks: list[Decimal] = []
    used_up = LiteLLM(0.0)  # each page has a limit of its own
    changed = activity.pull_key_spend(used_up, lambda: looks.append(ApiKey.objects.get(pk=issued.key.pk).spend))
    assert (changed, looks) == (2, [Decimal(4)] * 3), "no page alone says what both spent"
    assert dict(ApiKey.objects.values_list("name", "spend")) == {"k": Decimal(7), "other": Decimal("0.5")}
    assert activity.pull_key_spend(used_up) == 0


def test_a_use_that_a_gateway_told_of_stays_where_litellm_knows_only_older_ones(
    issued: IssuedKey, upstream: Emulator
) -> None:
    assert works(upstream, issued.secret)
    late = timezone.now() + timedelta(minutes=1)
    ApiKeySecret.objects.update(last_used_at=late)
    activity.pull_key_spend(LiteLLM(5))
    assert (ApiKeySecret.objects.get().last_used_at, ApiKey.objects.get().last_used_at) == (late, late)
    # Somebody told of a use between the look at the row and its writing.
    stale = ApiKey.objects.get()
    ApiKey.objects.update(last_used_at=late + timedelta(minutes=1))
    save_noted([stale], SHOWN)
    assert ApiKey.objects.get().last_used_at == late + timedelta(minutes=1)


def test_the_noise_of_floats_is_no_spend(ada: User, issued: IssuedKey, upstream: Emulator) -> None:
    """0.1 + 0.2 is more than 0.3 to LiteLLM; rounded, that would look as if its budget had begun again."""
    for spend in ("0.1", "0.2"):
        charge(upstream, issued.secret, spend)
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    for _ in range(2):
        activity.pull_key_spend(LiteLLM(5))
        assert ApiKey.objects.get().spend == Decimal("0.3")
    charge(upstream, issued.secret, "0.1")
    end_old_secret(ada, key_id=issued.key.pk)
    settle()
    assert there(issued.secret) is None
    new = there(rotated.secret)
    assert new is not None
    assert new.spend.quantize(Decimal("0.0001")) == Decimal("0.4")
    assert ApiKey.objects.get().spend == Decimal("0.4")


# --- Whatever dies ---------------------------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone; nothing that the code itself catches."""


class Death:
    """Ends the process at the n-th step: before a call to LiteLLM, after it, or before a write of ours."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.kind = ""

    def step(self, kind: str) -> None:
        """One step; the process may not live through it."""
        self.left -= 1
        if self.left == 0:
            self.kind = kind
            raise Died(kind)

    def write(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        """A statement."""
        if sql.startswith(("UPDATE", "INSERT")):
            self.step(sql[:60])
        return execute(sql, *rest)


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Callable[[Death | None], None]:
    """Lets a Death look at every call to LiteLLM from now on."""
    call = Transport.call
    looking: list[Death | None] = [None]

    def watched(self: Transport, operation: str, *args: Any, **kwargs: Any) -> Any:
        death = looking[0]
        if death:
            death.step(f"before {operation}")
        answer = call(self, operation, *args, **kwargs)
        if death:
            death.step(f"after {operation}")
        return answer

    monkeypatch.setattr(Transport, "call", watched)

    def look(death: Death | None) -> None:
        looking[0] = death

    return look


def dying(death: Death, look: Callable[[Death | None], None], act: Callable[[], Any]) -> None:
    """Carry out ``act`` and all that follows from it, unless death comes first; then the next process takes over."""
    look(death)
    try:
        with connection.execute_wrapper(death.write):
            act()
            settle()
    except Died:
        pass
    finally:
        look(None)
    settle()


def away(settings: Any, act: Callable[[], Any]) -> Any:
    """A verb is committed, and no try follows at once."""
    url, settings.LITELLM_API_URL = settings.LITELLM_API_URL, ""
    done = act()
    settings.LITELLM_API_URL = url
    return done


def lived(step: int, ada: User, upstream: Emulator, settings: Any, look: Callable[[Death | None], None]) -> str:
    """A rotation from its beginning to its end, which dies once; returns where, "" if it was over before."""
    issued = create_api_key(ada, name=f"k{step}", models=["gpt-4o"], max_budget=Decimal(100))
    charge(upstream, issued.secret, "5")
    rotated = away(settings, lambda: rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600))
    death = Death(step)
    dying(death, look, lambda: None)
    assert [works(upstream, secret) for secret in (issued.secret, rotated.secret)] == [True, True], death.kind
    charge(upstream, issued.secret, "1")
    charge(upstream, rotated.secret, "2")
    old, new = there(issued.secret), there(rotated.secret)
    away(settings, lambda: end_old_secret(ada, key_id=issued.key.pk))
    if not death.kind:
        dying(death, look, lambda: None)
    settle()
    final = there(rotated.secret)
    assert final is not None
    assert old is not None
    assert new is not None
    assert final.spend == new.spend + old.spend - 5, death.kind
    assert ApiKey.objects.get(pk=issued.key.pk).spend == final.spend, death.kind
    assert there(issued.secret) is None, death.kind
    assert not works(upstream, issued.secret), death.kind
    assert row(issued.secret).carried_at is not None, death.kind
    return death.kind


def test_trap_20_21_rotation_is_finished_wherever_it_died(
    ada: User, issued: IssuedKey, upstream: Emulator, settings: Any, mortal: Callable[[Death | None], None]
) -> None:
    """Everything from the moment after the verb's commit to the carried-over spend, ended at each of its steps."""
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"key_rotations": rate_limits.Limit(None)}
    KeyPolicy.objects.create(keys_per_user=500, creations_per_hour=500)
    died = []
    for step in range(1, 200):
        kind = lived(step, ada, upstream, settings, mortal)
        if not kind:
            break
        died.append(kind)
    calls = ("create_key", "update_key", "block_key", "delete_key")
    assert {f"{when} {call}" for when in ("before", "after") for call in calls} <= set(died)
    assert any(kind.startswith("UPDATE") for kind in died)


# --- More of its life ------------------------------------------------------------------------------------------------


def test_a_grace_ends_by_the_clock_alone(ada: User, issued: IssuedKey, upstream: Emulator) -> None:
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    old = row(issued.secret)
    assert old.due_at == old.valid_until
    assert keys.follow_the_clock(timezone.now()) == 0
    past = timezone.now() - timedelta(seconds=1)
    ApiKeySecret.objects.filter(pk=old.pk).update(valid_until=past, due_at=past)
    settle()
    assert there(issued.secret) is None
    assert works(upstream, rotated.secret)
    assert row(issued.secret).due_at is None


def test_an_expired_key_is_blocked_by_the_clock_alone_and_comes_back(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    update_api_key(ada, key_id=issued.key.pk, expires_at=timezone.now() + timedelta(days=1))
    secret = row(issued.secret)
    assert secret.due_at == secret.key.expires_at
    past = timezone.now() - timedelta(seconds=1)
    ApiKey.objects.update(expires_at=past)
    ApiKeySecret.objects.update(due_at=past)
    settle()
    found = there(issued.secret)
    assert found is not None
    assert found.blocked
    update_api_key(ada, key_id=issued.key.pk, expires_at=timezone.now() + timedelta(days=1))
    settle()
    assert works(upstream, issued.secret)


def test_due_secrets_are_asked_for_in_bounded_numbers(ada: User, issued: IssuedKey, models: list[Model]) -> None:
    for _ in range(2):
        create_api_key(ada, name="more", models=["gpt-4o"])
    ApiKeySecret.objects.update(due_at=timezone.now())
    assert [keys.follow_the_clock(timezone.now(), limit=2) for _ in range(3)] == [2, 1, 0]


def test_a_lost_secret_is_mended_by_rotating(ada: User, issued: IssuedKey, upstream: Emulator) -> None:
    charge(upstream, issued.secret, "4")
    activity.pull_key_spend(LiteLLM(5))
    LiteLLM(5).delete_key(secret_digest(issued.secret))
    update_api_key(ada, key_id=issued.key.pk, rpm_limit=9)
    assert row(issued.secret).sync_error == "needs_rotation"
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    new = there(rotated.secret)
    assert new is not None
    assert (new.spend, new.rpm_limit, ApiKey.objects.get().spend) == (Decimal(4), 9, Decimal(4))
    assert rotated.key.secrets.get(digest=secret_digest(issued.secret)).has_ended(timezone.now())
    assert ApiKey.objects.for_display().get().sync_status == "synced"


def later(seconds: int) -> None:
    """That much time has passed since secrets were blocked."""
    for secret in ApiKeySecret.objects.filter(blocked_at__isnull=False):
        at = timezone.now() - timedelta(seconds=seconds)
        ApiKeySecret.objects.filter(pk=secret.pk).update(blocked_at=at)
        ApiKeySecret.objects.filter(pk=secret.pk, carried_at=None).update(due_at=timezone.now())


def work_once() -> None:
    """Each secret that waits is pushed once, the oldest first."""
    keys.follow_the_clock(timezone.now())
    waiting = ApiKeySecret.objects.filter(sync_status=SyncStatus.PENDING)
    waiting.update(push_lease_until=None)
    for pk in list(waiting.order_by("created_at").values_list("pk", flat=True)):
        push(KIND, str(pk), limit=5)


def test_what_a_secret_that_got_lost_spent_counts_too(
    ada: User, issued: IssuedKey, upstream: Emulator, settings: Any
) -> None:
    """The third begins when the second is complete, with what both spent; until then the first works."""
    charge(upstream, issued.secret, "1")
    second = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    settings.LITELLM_SPEND_SETTLES_SECONDS = 30
    charge(upstream, issued.secret, "1")
    third = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600, replace_newest=True)
    work_once()
    assert there(third.secret) is None
    assert row(third.secret).sync_error == "spend_not_settled"
    assert [works(upstream, secret) for secret in (issued.secret, second.secret)] == [True, False]
    charge(upstream, second.secret, "2")  # spent before the block, written down late
    later(30)
    settle()
    new = there(third.secret)
    assert new is not None
    assert new.spend.quantize(Decimal("0.01")) == 4  # a call that only tries costs a little
    assert there(second.secret) is None
    charge(upstream, issued.secret, "1")
    charge(upstream, third.secret, "1")
    activity.pull_key_spend(LiteLLM(5))
    assert ApiKey.objects.get().spend.quantize(Decimal("0.01")) == 6
    end_old_secret(ada, key_id=issued.key.pk)
    work_once()
    later(30)
    settle()
    new = there(third.secret)
    assert new is not None
    assert (there(issued.secret), new.spend.quantize(Decimal("0.01"))) == (None, Decimal(6))
    assert ApiKey.objects.get().spend == new.spend


@pytest.mark.parametrize("way", ["again", "end-and-again", "lost", "at-once"])
def test_trap_06_however_often_a_key_is_rotated_two_budgets_are_spent_at_most(
    way: str, ada: User, issued: IssuedKey, upstream: Emulator, settings: Any
) -> None:
    """Somebody spends all that any secret may, and rotates in each way that is allowed."""
    settings.LITELLM_SPEND_SETTLES_SECONDS = 30
    wish: dict[str, Any] = {"grace_seconds": 0 if way == "at-once" else 3600, "replace_newest": way == "lost"}
    secrets, total, refusals = [issued.secret], 0, set()
    for _ in range(4):
        try:
            secrets.append(rotate_api_key(ada, key_id=issued.key.pk, **wish).secret)
        except Conflict as refused:
            refusals.add(refused.code)
        total += spend_all(upstream, secrets)
        if way == "end-and-again":
            end_old_secret(ada, key_id=issued.key.pk)
        for _round in range(2):
            work_once()
            total += spend_all(upstream, secrets)
            later(180)
        settle()
        total += spend_all(upstream, secrets)
    made = {"again": 2, "end-and-again": 5, "lost": 5, "at-once": 5}[way]
    assert (len(secrets), refusals) == (made, {"rotation_running"} if way == "again" else set())
    assert total <= 20
    assert not any(works(upstream, secret) for secret in secrets)
    activity.pull_key_spend(LiteLLM(5))
    assert ApiKey.objects.get().spend >= min(total, 10), "nothing is lost of it"


def spend_all(upstream: Emulator, secrets: list[str]) -> int:
    """Spend with every secret as long as LiteLLM lets it; how much that was, USD."""
    total = 0
    for secret in secrets:
        while works(upstream, secret):
            charge(upstream, secret, "5")
            total += 5
    return total


def test_trap_21_a_secret_that_programs_use_is_not_ended_because_nobody_knows_of_it(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    """LiteLLM knows of the use, we hear of it minutes later."""
    second = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    assert works(upstream, second.secret)
    assert row(second.secret).last_used_at is None
    with pytest.raises(Conflict) as refused:
        rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    assert refused.value.code == "rotation_running"
    assert [works(upstream, secret) for secret in (issued.secret, second.secret)] == [True, True]


def test_a_new_secret_that_leaked_is_stopped_at_once_whatever_is_going_on(
    ada: User, issued: IssuedKey, upstream: Emulator, settings: Any
) -> None:
    settings.LITELLM_SPEND_SETTLES_SECONDS = 30
    charge(upstream, issued.secret, "4")
    leaked = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=86_400)
    charge(upstream, leaked.secret, "1")
    third = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    assert waits_for_spend(third.key)
    assert [works(upstream, one.secret) for one in (issued, leaked, third)] == [False, False, False]
    work_once()
    later(180)
    settle()
    assert [works(upstream, one.secret) for one in (issued, leaked, third)] == [False, False, True]
    new = there(third.secret)
    assert new is not None
    assert new.spend.quantize(Decimal("0.1")) == 5
    assert not waits_for_spend(ApiKey.objects.for_display().get())


def test_a_secret_that_was_ended_before_its_offer_arrived_counts_once(
    ada: User, issued: IssuedKey, upstream: Emulator, settings: Any
) -> None:
    """It may be made in LiteLLM late, with the spend that it began with; the next one waits until that is known."""
    charge(upstream, issued.secret, "4")
    second = away(settings, lambda: rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600))
    spent, marks = beginning(row(second.secret), LiteLLM(5))
    offer = new_key(row(second.secret), ["gpt-4o"], spent, marks)
    ApiKeySecret.objects.filter(pk=row(second.secret).pk).update(attempted_at=timezone.now())
    third = away(settings, lambda: rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0))
    work_once()
    assert there(third.secret) is None
    assert row(third.secret).sync_error == "spend_not_settled"
    LiteLLM(5).create_key(offer)
    settle()
    assert [works(upstream, one.secret) for one in (issued, second, third)] == [False, False, True]
    activity.pull_key_spend(LiteLLM(5))
    new = there(third.secret)
    assert new is not None
    assert new.spend.quantize(Decimal("0.1")) == 4
    assert ApiKey.objects.get().spend.quantize(Decimal("0.1")) == 4


def test_a_new_secret_that_cannot_be_read_is_replaced(
    ada: User, issued: IssuedKey, upstream: Emulator, settings: Any
) -> None:
    charge(upstream, issued.secret, "4")
    broken = away(settings, lambda: rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE apikeys_apikeysecret SET pending_secret = 'x' WHERE pending_secret IS NOT NULL")
    work_once()
    assert (row(broken.secret).sync_status, row(broken.secret).sync_error) == ("failed", "secret_unreadable")
    mended = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    assert [works(upstream, one) for one in (issued.secret, broken.secret, mended.secret)] == [True, False, True]
    new = there(mended.secret)
    assert new is not None
    assert new.spend.quantize(Decimal(1)) == 4
    assert ApiKeySecret.objects.filter(pending_secret__isnull=False).count() == 0


def test_a_secret_that_cannot_be_read_is_revoked(ada: User, issued: IssuedKey, settings: Any) -> None:
    away(settings, lambda: rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE apikeys_apikeysecret SET pending_secret = 'x' WHERE pending_secret IS NOT NULL")
    revoke_api_key(ada, key_id=issued.key.pk)
    settle()
    assert set(ApiKeySecret.objects.values_list("sync_status", "pending_secret")) == {("synced", None)}


def test_spend_that_arrives_late_is_awaited(ada: User, issued: IssuedKey, upstream: Emulator, settings: Any) -> None:
    settings.LITELLM_SPEND_SETTLES_SECONDS = 60
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    settle()
    old = row(issued.secret)
    assert not works(upstream, issued.secret)
    assert there(issued.secret) is not None
    assert (old.sync_status, old.carried_at) == ("synced", None)
    assert old.due_at is not None
    assert old.due_at > timezone.now() + timedelta(seconds=50)
    charge(upstream, issued.secret, "3")
    settings.LITELLM_SPEND_SETTLES_SECONDS = 0
    ApiKeySecret.objects.filter(pk=old.pk).update(due_at=timezone.now())
    settle()
    new = there(rotated.secret)
    assert new is not None
    assert new.spend == 3
    assert there(issued.secret) is None


def test_a_budget_that_begins_again_during_a_grace_takes_the_past_with_it(
    ada: User, issued: IssuedKey, upstream: Emulator
) -> None:
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    settle()
    for secret in (issued.secret, rotated.secret):
        LiteLLM(5).update_key(secret_digest(secret), {"spend": 0})
    charge(upstream, issued.secret, "1")
    charge(upstream, rotated.secret, "0.5")
    activity.pull_key_spend(LiteLLM(5))
    assert ApiKey.objects.get().spend == Decimal("1.5")
    end_old_secret(ada, key_id=issued.key.pk)
    settle()
    new = there(rotated.secret)
    assert new is not None
    assert (new.spend, ApiKey.objects.get().spend) == (Decimal("1.5"), Decimal("1.5"))


@pytest.mark.parametrize("grace", [0, 3600])
def test_revoking_ends_every_secret(grace: int, ada: User, issued: IssuedKey, upstream: Emulator) -> None:
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=grace)
    revoke_api_key(ada, key_id=issued.key.pk)
    settle()
    assert (there(issued.secret), there(rotated.secret)) == (None, None)


def test_blocking_blocks_both(ada: User, ann: User, issued: IssuedKey, upstream: Emulator) -> None:
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    block_api_key(ann, key_id=issued.key.pk)
    settle()
    assert [works(upstream, secret) for secret in (issued.secret, rotated.secret)] == [False, False]
    assert ApiKeySecret.objects.filter(carried_at=None).count() == 2


# --- Reset of spend --------------------------------------------------------------------------------------------------


def test_spend_is_reset_once(ada: User, ann: User, issued: IssuedKey, upstream: Emulator) -> None:
    charge(upstream, issued.secret, "10")
    assert not works(upstream, issued.secret)
    shown = reset_spend(ann, key_id=issued.key.pk)
    assert shown.spend == 0
    assert shown.sync_status == "synced"
    assert works(upstream, issued.secret)
    charge(upstream, issued.secret, "2")
    update_api_key(ada, key_id=issued.key.pk, rpm_limit=5)
    found = there(issued.secret)
    assert found is not None
    assert found.spend.quantize(Decimal(1)) == 2, "a later push resets nothing"
    assert found.metadata["model_rpm_limit"] == {"gpt-4o": 50}


def test_a_reset_during_a_grace_reaches_both(ada: User, ann: User, issued: IssuedKey, upstream: Emulator) -> None:
    charge(upstream, issued.secret, "4")
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=3600)
    charge(upstream, issued.secret, "1")
    reset_spend(ann, key_id=issued.key.pk)
    settle()
    charge(upstream, issued.secret, "6")
    charge(upstream, rotated.secret, "1")
    end_old_secret(ada, key_id=issued.key.pk)
    settle()
    new = there(rotated.secret)
    assert new is not None
    assert (new.spend, ApiKey.objects.get().spend) == (Decimal(7), Decimal(7))
