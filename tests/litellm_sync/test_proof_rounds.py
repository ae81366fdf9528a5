"""Rounds of looks: they share the work, end in time, and leave the workers to the pushes."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import proof
from litellm_sync.client import LiteLLM
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from subscriptions.models import Subscription
from tests.litellm_sync.test_proof import KIND, LATER
from tests.races import at_once, real_transactions

__all__ = ["real_transactions"]
pytestmark = pytest.mark.django_db


def revoked(ada: User, ann: User, name: str, *, limit: float = 5) -> ApiKeySecret:
    """A key that LiteLLM had, and was told to refuse."""
    key = create_api_key(ada, name=name, models=["gpt-4o"]).key
    secret = key.secrets.get()
    push(KIND, str(secret.pk), limit=5)
    revoke_api_key(ann, key_id=key.pk)
    if limit:
        push(KIND, str(secret.pk), limit=limit)
    secret.refresh_from_db()
    return secret


@pytest.mark.usefixtures("real_transactions")
def test_rounds_at_the_same_time_look_once_at_each(
    ada: User, ann: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    for name in ("one", "two", "three"):
        revoked(ada, ann, name)
    litellm.faults.add("slow", seconds=0.3, paths=["/spend/logs"])
    now, before = timezone.now() + LATER, len(litellm.calls)
    found = at_once(4, lambda _turn: proof.prove_due(now))
    assert sum(counts.get("proven", 0) for counts in found) == 3
    assert sum(path.startswith("/spend/logs") for _method, path in litellm.calls[before:]) == 3
    assert not ApiKeySecret.objects.filter(proven_at=None).exists()


class Clock:
    """Stands in the place of the module ``time``, and goes on when it is told to."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        """In seconds."""
        return self.at


def test_a_round_begins_no_look_after_its_time(
    ada: User, ann: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        revoked(ada, ann, name)
    clock, ask = Clock(), LiteLLM.get_last_success

    def slow(client: LiteLLM, token: str, since: datetime) -> datetime | None:
        clock.at += proof.ROUND_SECONDS * 0.6
        return ask(client, token, since)

    monkeypatch.setattr(proof, "time", clock)
    monkeypatch.setattr(LiteLLM, "get_last_success", slow)
    now = timezone.now() + LATER
    assert proof.prove_due(now) == {"proven": 2}
    assert proof.prove_due(now) == {"proven": 1}


def test_what_only_waits_for_its_push_keeps_nobody_from_being_looked_at(
    ada: User, ann: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = revoked(ada, ann, "told")
    waiting = [revoked(ada, ann, name, limit=0) for name in ("one", "two")]
    monkeypatch.setattr(proof, "AT_ONCE", 1)
    now = timezone.now() + timedelta(seconds=1)
    ApiKeySecret.objects.update(proof_due_at=now - timedelta(hours=1))
    ApiKeySecret.objects.filter(pk=told.pk).update(proof_due_at=now, stopped_at=now - LATER)
    assert proof.prove_due(now) == {"pending": 2, "proven": 1}
    # They are looked at when their push has had its time.
    for secret in waiting:
        secret.refresh_from_db()
        assert secret.sync_requested_at is not None
        assert secret.proof_due_at == secret.sync_requested_at + proof.LATE


def test_a_look_that_dies_is_made_again(
    ada: User, ann: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = revoked(ada, ann, "one")
    now = timezone.now() + LATER

    def die(*_arguments: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(proof, "prove", die)
        with pytest.raises(KeyboardInterrupt):
            proof.prove_due(now)
    assert proof.prove_due(now) == {}
    assert proof.prove_due(now + proof.TAKEN) == {"proven": 1}
    secret.refresh_from_db()
    assert secret.proven_at == now + proof.TAKEN
