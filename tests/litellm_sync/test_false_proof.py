"""What works is never taken for proved: answers that are lost, pushes that run across an end, backups."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
import structlog
from django.utils import timezone

from accounts.models import User
from apikeys.endings import block_api_key, revoke_api_key, unblock_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.rotation import rotate_api_key
from apikeys.services import IssuedKey, create_api_key
from apikeys.stopped import Proof
from litellm_sync import alerts, keys, proof, spend, state, upstream
from litellm_sync.client import LiteLLM
from litellm_sync.client.bodies import NewKey
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import Alert
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from subscriptions.models import Subscription
from tests.litellm_sync.test_proof import KIND, LATER, chat, look, pushed, row
from tests.litellm_sync.test_reconcile import age, compare

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription], litellm: Emulator) -> IssuedKey:
    """A key of ada's that works."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"], max_budget=Decimal(10))
    assert pushed().proof is None
    return made


def test_a_key_that_could_not_be_read_back_after_its_creation_was_there(
    ada: User, ann: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = LiteLLM.create_key

    def answered_and_then_broken(client: LiteLLM, body: NewKey) -> None:
        create(client, body)
        litellm.faults.add("500", paths=["/key/info", "/key/block", "/key/delete"])

    monkeypatch.setattr(LiteLLM, "create_key", answered_and_then_broken)
    made = create_api_key(ada, name="notebook", models=["gpt-4o"])
    assert (pushed().sync_status, row().pending_secret) == (SyncStatus.PENDING, made.secret)
    assert chat(litellm, made.secret) == 200
    revoke_api_key(ann, key_id=made.key.pk)
    assert pushed().proof is Proof.WAITING
    now = timezone.now() + LATER
    assert proof.note_waiting(now) == 1
    assert proof.prove_due(now) == {"put_off": 1}
    litellm.faults.clear()
    litellm.faults.add("500", paths=["/key/block", "/key/delete"])
    upstream.probe()
    with structlog.testing.capture_logs() as logs:
        assert proof.prove_due(now + LATER) == {"works": 1}
    assert "key_still_works" in {entry["event"] for entry in logs}
    assert (row().proof, list(proof.alarms())) == (Proof.WORKS, [row()])
    litellm.faults.clear()
    upstream.probe()
    assert pushed().sync_status == SyncStatus.SYNCED
    assert (chat(litellm, made.secret), row().pending_secret) == (401, None)
    assert proof.prove_due(now + 3 * LATER) == {"proven": 1}


def test_a_key_that_was_answered_and_could_not_be_read_back_goes_on(
    ada: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = LiteLLM.create_key

    def answered_and_then_broken(client: LiteLLM, body: NewKey) -> None:
        create(client, body)
        litellm.faults.add("500", paths=["/key/info"])

    monkeypatch.setattr(LiteLLM, "create_key", answered_and_then_broken)
    made = create_api_key(ada, name="notebook", models=["gpt-4o"])
    assert pushed().sync_status == SyncStatus.PENDING
    litellm.faults.clear()
    upstream.probe()
    assert (pushed().sync_status, row().pending_secret) == (SyncStatus.SYNCED, None)
    assert chat(litellm, made.secret) == 200


def charge(litellm: Emulator, digest: str, cost: str) -> None:
    """Somebody calls a model with it."""
    call = {"date": f"{timezone.now():%Y-%m-%d}", "token": digest, "model": "gpt-4o", "spend": cost, "charge": True}
    requests.post(f"{litellm.url}/emulator/activity", json={"rows": [call]}, timeout=10).raise_for_status()


def test_trap_15_a_grace_that_ends_during_a_push_is_followed_by_another(
    issued: IssuedKey, ada: User, litellm: Emulator, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the old secret would be left as it is, what it spent would be nobody's, and no other rotation could begin."""
    settings.LITELLM_SPEND_SETTLES_SECONDS = 0
    old = row()
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    new = issued.key.secrets.exclude(pk=old.pk).get()
    push(KIND, str(new.pk), limit=5)
    charge(litellm, old.digest, "4")
    ask = LiteLLM.get_key_info

    def ends_meanwhile(client: LiteLLM, token: str) -> Any:
        ahead = timezone.now() + timedelta(seconds=700)
        monkeypatch.setattr(LiteLLM, "get_key_info", ask)
        monkeypatch.setattr(timezone, "now", lambda: ahead)
        return ask(client, token)

    monkeypatch.setattr(LiteLLM, "get_key_info", ends_meanwhile)
    push(KIND, str(old.pk), limit=5)
    old.refresh_from_db()
    assert (old.sync_status, old.due_at) == (SyncStatus.SYNCED, old.valid_until)
    assert old.has_ended(timezone.now())
    for _turn in range(3):
        keys.follow_the_clock(timezone.now())
        for one in ApiKeySecret.objects.filter(sync_status=SyncStatus.PENDING):
            push(KIND, str(one.pk), limit=5)
    old.refresh_from_db()
    assert (old.sync_status, old.due_at) == (SyncStatus.SYNCED, None)
    assert old.carried_at is not None
    assert LiteLLM(5).get_key_info(old.digest) is None
    found = LiteLLM(5).get_key_info(new.digest)
    assert found is not None
    assert found.spend == 4
    rotate_api_key(ada, key_id=issued.key.pk)


def test_a_settling_that_ends_during_a_push_is_followed_by_another(
    issued: IssuedKey, ada: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = row()
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    ends_at = timezone.now()
    settled = spend.settles_at

    def in_the_last_moment(secret: ApiKeySecret, now: Any) -> Any:
        found = settled(secret, now)
        monkeypatch.setattr(timezone, "now", lambda: ends_at + timedelta(hours=1))
        return found

    monkeypatch.setattr(spend, "settles_at", in_the_last_moment)
    push(KIND, str(old.pk), limit=5)
    old.refresh_from_db()
    assert old.blocked_at is not None
    assert (old.sync_status, old.due_at) == (SyncStatus.SYNCED, old.blocked_at + spend.settling())


def restore(litellm: Emulator, digest: str) -> None:
    """A backup of LiteLLM's brings a deleted key back."""
    gone = litellm.state.deleted_keys.rows[digest]
    kept = {name: value for name, value in gone.items() if name != "deleted_at"}
    litellm.state.keys.put(digest, kept | {"blocked": False})


@pytest.mark.parametrize("lost", [["/key/block", "/key/delete"], ["/key/block", "/key/delete", "/key/info"]])
def test_a_deletion_whose_answer_is_lost_ends_an_old_proof(
    issued: IssuedKey, ann: User, litellm: Emulator, lost: list[str]
) -> None:
    revoke_api_key(ann, key_id=issued.key.pk)
    pushed()
    assert look(LATER) == {"proven": 1}
    before = row()
    restore(litellm, before.digest)
    assert chat(litellm, issued.secret) == 200
    state.request_pushes(ApiKeySecret, [before.pk])
    litellm.faults.add("cut", paths=lost)
    assert pushed().sync_status == SyncStatus.PENDING
    assert (row().stopped_at, row().proven_at) == (None, None)
    litellm.faults.clear()
    upstream.probe()
    again = pushed()
    assert (again.sync_status, again.proof, again.proven_at) == (SyncStatus.SYNCED, Proof.STOPPED, None)
    assert look(2 * LATER) == {"proven": 1}


def test_a_deletion_that_finds_nothing_keeps_the_proof_and_asks_once_more(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    revoke_api_key(ann, key_id=issued.key.pk)
    before_it = len(litellm.calls)
    pushed()
    # Nothing stands before the block of what works.
    assert [path for _method, path in litellm.calls[before_it:]][:2] == ["/key/block", "/key/delete"]
    look(LATER)
    before = row()
    state.request_pushes(ApiKeySecret, [before.pk])
    assert (pushed().sync_status, row().proven_at) == (SyncStatus.SYNCED, before.proven_at)
    assert ApiKey.objects.count() == 1


# --- What a comparison sees ------------------------------------------------------------------------------------------


def test_what_a_comparison_sees_to_work_is_no_longer_proved_and_is_an_alarm_until_it_is(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    block_api_key(ann, key_id=issued.key.pk)
    pushed()
    assert look(LATER) == {"proven": 1}
    litellm.state.keys.update(row().digest, {"blocked": False})
    age()
    compare()
    assert (row().proof, list(proof.alarms())) == (Proof.WORKS, [row()])
    assert watched(timezone.now()) == ["begins"]
    pushed()
    assert chat(litellm, issued.secret) == 401
    assert (row().proof, watched(timezone.now())) == (Proof.WORKS, [])
    assert look(LATER) == {"proven": 1}
    # At once, not with the next comparison.
    assert (row().proof, list(proof.alarms()), watched(timezone.now())) == (Proof.PROVEN, [], ["key_still_works"])


def test_what_works_again_by_right_is_no_alarm_of_a_comparison_any_more(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    block_api_key(ann, key_id=issued.key.pk)
    pushed()
    litellm.state.keys.update(row().digest, {"blocked": False})
    age()
    compare()
    assert watched(timezone.now()) == ["begins"]
    unblock_api_key(ann, key_id=issued.key.pk)
    pushed()
    assert (row().proof, row().worked_at, watched(timezone.now())) == (None, None, ["key_still_works"])


def watched(now: datetime) -> list[str]:
    """What is said of keys that still work."""
    with structlog.testing.capture_logs() as logs:
        alerts.watch(now)
    return [line["alert"] for line in logs if "key_still_works" in (line["event"], line["alert"])]


def test_a_comparison_does_not_make_a_push_in_vain_look_like_a_new_one(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    litellm.faults.add("500", paths=["/key/block", "/key/delete"])
    revoke_api_key(ann, key_id=issued.key.pk)
    pushed()
    long_ago, later = timezone.now() - timedelta(hours=2), timezone.now() + timedelta(hours=1)
    ApiKeySecret.objects.update(sync_requested_at=long_ago, sync_attempts=40, sync_next_at=later)
    before = row()
    upstream.probe()
    alerts.watch(timezone.now())
    assert Alert.objects.filter(name="push_is_in_vain").exists()
    compare()
    after = row()
    assert after.sync_next_at is not None
    assert after.sync_next_at <= timezone.now()  # and yet it is tried at once
    for name in ("sync_attempts", "sync_error", "sync_generation", "sync_requested_at"):
        assert getattr(after, name) == getattr(before, name), name
    with structlog.testing.capture_logs() as logs:
        alerts.watch(timezone.now())
    assert "push_is_in_vain" not in {line["alert"] for line in logs}
