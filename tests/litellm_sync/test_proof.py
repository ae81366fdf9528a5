"""Proving that what must not work does not: reading back, the spend log, and the alarm where it does."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
import structlog
from django.utils import timezone

from accounts.models import User
from accounts.people import deactivate_user, reactivate_user
from apikeys.endings import block_api_key, revoke_api_key, unblock_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from apikeys.services import IssuedKey, create_api_key, update_api_key
from apikeys.stopped import Evidence, Proof, evidence, stopped_at
from litellm_sync import alerts, catalogue, proof, state, upstream
from litellm_sync.client import LiteLLM
from litellm_sync.client.transport import NEEDS_ENTERPRISE
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from litellm_sync.steps import secrets_to_push
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus

pytestmark = pytest.mark.django_db

KIND = "apikeys.apikeysecret"
LATER = proof.LATE + timedelta(seconds=1)


def chat(litellm: Emulator, secret: str) -> int:
    """The status of a call with a key."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {secret}"}
    return requests.post(f"{litellm.url}/chat/completions", json=body, headers=headers, timeout=10).status_code


def row() -> ApiKeySecret:
    """The one secret, as it stands now."""
    return ApiKeySecret.objects.select_related("key__user").get()


def pushed() -> ApiKeySecret:
    """After a push."""
    push(KIND, str(row().pk), limit=5)
    return row()


def backdate() -> None:
    """As if LiteLLM had been told so long ago."""
    secret = row()
    moments = {"stopped_at": secret.stopped_at, "proof_due_at": secret.proof_due_at}
    ApiKeySecret.objects.update(**{name: at - LATER for name, at in moments.items() if at is not None})


def look(after: timedelta = timedelta()) -> dict[str, int]:
    """One round, so much later."""
    now = timezone.now() + after
    proof.note_ended(now)
    return proof.prove_due(now)


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription], litellm: Emulator) -> IssuedKey:
    """A key of ada's that works."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"])
    assert pushed().proof is None
    return made


def revoke(ann: User, key: ApiKey) -> None:
    """By an administrator."""
    revoke_api_key(ann, key_id=key.pk)


def block(ann: User, key: ApiKey) -> None:
    """By an administrator."""
    block_api_key(ann, key_id=key.pk)


def rotate_away(ann: User, key: ApiKey) -> None:
    """As the end of a grace does it."""
    ApiKeySecret.objects.update(valid_until=timezone.now() - timedelta(seconds=1))
    state.request_pushes(ApiKeySecret, [key.secrets.get().pk])


ENDINGS = {"block": block, "revoke": revoke, "rotate": rotate_away}


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_what_was_ended_is_stopped_with_its_push_and_proved_when_the_log_has_come(
    issued: IssuedKey, ann: User, litellm: Emulator, ending: str
) -> None:
    assert chat(litellm, issued.secret) == 200
    ENDINGS[ending](ann, issued.key)
    assert row().proof is Proof.WAITING
    told = pushed()
    assert (told.proof, told.proven_at) == (Proof.STOPPED, None)
    assert chat(litellm, issued.secret) == 401
    assert look() == {}  # not due: the log may come late
    litellm.calls.clear()
    assert look(LATER) == {"proven": 1}
    assert [path for _method, path in litellm.calls[-2:]] == ["/key/info", "/spend/logs/v2"]
    proved = row()
    assert proved.proof is Proof.PROVEN
    assert proved.proven_at is not None
    assert (proved.proven_by, evidence([proved])) == (Evidence.LOG, Evidence.LOG)
    assert (proved.worked_at, proved.proof_due_at) == (None, None)
    assert look(LATER) == {}  # for good


def test_an_expired_key_is_proved_without_anybody_pushing_it(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    update_api_key(ann, key_id=issued.key.pk, expires_at=timezone.now() + timedelta(hours=1))
    assert pushed().proof is None
    past = (timezone.now() - timedelta(seconds=2)).isoformat()
    litellm.state.keys.update(row().digest, {"expires": past})
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=2))
    assert row().proof is Proof.WAITING
    assert look() == {"stopped": 1}
    assert row().proof is Proof.STOPPED
    assert look(LATER) == {"proven": 1}


def test_a_secret_that_litellm_never_had_is_proved_at_once(
    ada: User, ann: User, subscribed: list[Subscription]
) -> None:
    key = create_api_key(ada, name="notebook", models=["gpt-4o"]).key
    revoke(ann, key)
    assert row().proof is Proof.NEVER_THERE
    assert look() == {"proven": 1}  # there is no LiteLLM in this test
    assert (row().proven_at is not None, row().proven_by) == (True, Evidence.NEVER_THERE)


def test_a_key_is_proved_as_its_least_proved_secret_is(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    revoke(ann, issued.key)
    pushed()
    assert evidence([row()]) is None
    look(LATER)
    rows = []
    for way in ("", "read_back", "read_back_and_log"):
        rows.append(row())
        rows[-1].proven_by = way
    assert evidence(rows[1:]) is Evidence.READ_BACK
    assert evidence(rows) is Evidence.UNKNOWN


def test_what_works_again_has_no_proof_and_the_next_end_needs_a_new_one(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    block(ann, issued.key)
    pushed()
    backdate()
    look()
    unblock_api_key(ann, key_id=issued.key.pk)
    again = pushed()
    assert [again.stopped_at, again.proven_at, again.worked_at, again.proof_due_at] == [None] * 4
    assert again.proven_by == ""
    block(ann, issued.key)
    assert row().proof is Proof.WAITING
    assert pushed().proof is Proof.STOPPED


def test_a_key_that_litellm_still_takes_is_an_alarm_and_is_told_again(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    kept = dict(litellm.state.keys.rows[row().digest])
    revoke(ann, issued.key)
    pushed()
    litellm.state.keys.put(row().digest, kept)
    assert chat(litellm, issued.secret) == 200
    with structlog.testing.capture_logs() as logs:
        assert look(LATER) == {"works": 1}
    [alarm] = [entry for entry in logs if entry["event"] == "key_still_works"]
    assert (alarm["log_level"], alarm["how"], alarm["key_id"]) == ("error", "taken", str(issued.key.pk))
    assert (row().proof, row().sync_status) == (Proof.WORKS, SyncStatus.PENDING)
    assert list(proof.alarms()) == [row()]
    assert pushed().proof is Proof.WORKS  # until it is proved
    assert chat(litellm, issued.secret) == 401
    # The call of before the second deletion lies before the new stop.
    assert look(2 * LATER) == {"proven": 1}
    assert (row().proof, list(proof.alarms())) == (Proof.PROVEN, [])


def test_a_key_that_may_work_again_is_no_alarm_although_its_push_waits(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    kept = dict(litellm.state.keys.rows[row().digest])
    block(ann, issued.key)
    pushed()
    litellm.state.keys.put(row().digest, kept)
    assert look(LATER) == {"works": 1}
    assert list(proof.alarms()) == [row()]
    litellm.faults.add("down")
    unblock_api_key(ann, key_id=issued.key.pk)
    assert (row().worked_at is not None, list(proof.alarms()), row().proof) == (True, [], None)


def test_a_call_that_got_through_after_the_stop_is_an_alarm(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    """Another worker of LiteLLM may know the key for a while: absent, and yet it worked."""
    assert chat(litellm, issued.secret) == 200
    revoke(ann, issued.key)
    pushed()
    backdate()  # the call lies after the stop now
    with structlog.testing.capture_logs() as logs:
        assert look() == {"works": 1}
    assert [entry["how"] for entry in logs if entry["event"] == "key_still_works"] == ["used"]
    alarmed = row()
    assert alarmed.proof is Proof.WORKS
    assert isinstance(alarmed.worked_at, datetime)
    assert abs(alarmed.worked_at - timezone.now()) < timedelta(minutes=1)
    pushed()
    ApiKeySecret.objects.update(proof_due_at=timezone.now())
    assert look() == {"early": 1}
    assert look(LATER) == {"proven": 1}


def test_failed_calls_after_the_stop_prove_that_it_is_refused(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    revoke(ann, issued.key)
    pushed()
    assert chat(litellm, issued.secret) == 401
    assert look(LATER) == {"proven": 1}


@pytest.mark.parametrize("mode", ["500", "down", "garbage", "429", "cut"])
@pytest.mark.parametrize("path", ["/key/info", "/spend/logs"])
def test_bad_weather_proves_nothing(issued: IssuedKey, ann: User, litellm: Emulator, mode: str, path: str) -> None:
    revoke(ann, issued.key)
    pushed()
    backdate()
    litellm.faults.add(mode, paths=[path])
    assert look() == {"put_off": 1}
    assert row().proof is Proof.STOPPED
    litellm.faults.clear()
    upstream.probe()
    assert look() == {}
    assert look(LATER) == {"proven": 1}


def test_a_litellm_that_is_away_ends_the_round_and_puts_nothing_off(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    revoke(ann, issued.key)
    pushed()
    backdate()
    due_at = row().proof_due_at
    litellm.faults.add("down")
    assert look() == {}
    assert row().proof_due_at == due_at
    litellm.faults.clear()
    upstream.probe()
    assert look() == {"proven": 1}


ANSWERS = {
    "broken": (UpstreamUnavailable(reason="http_500"), "put_off"),
    "bug": (KeyError("data"), "put_off"),
    "licence": (UpstreamRejected(http_status=500, reason=NEEDS_ENTERPRISE), "proven"),
    "no such route": (UpstreamUnavailable(reason="not_litellm", http_status=404), "proven"),
    "no such method": (UpstreamUnavailable(reason="not_litellm", http_status=405), "put_off"),
    "not let through": (UpstreamUnavailable(reason="garbage", http_status=404), "proven"),
    "not understood": (UpstreamRejected(http_status=400), "put_off"),
    "route closed": (UpstreamUnavailable(reason="unauthorized", http_status=403), "proven"),
}


def test_a_log_that_litellm_does_not_have_leaves_the_reading_back(
    issued: IssuedKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = LiteLLM._get

    def of_another_release(client: LiteLLM, operation: str, path: str, **params: Any) -> Any:
        return get(client, operation, path.replace("/spend/logs/v2", "/spend/logs/v9"), **params)

    monkeypatch.setattr(LiteLLM, "_get", of_another_release)
    revoke(ann, issued.key)
    pushed()
    before = len(litellm.calls)
    assert look(LATER) == {"proven": 1}
    assert "/spend/logs/v9" in [path for _method, path in litellm.calls[before:]]
    assert (row().proof, row().proven_by) == (Proof.PROVEN, Evidence.READ_BACK)


@pytest.mark.parametrize("answer", sorted(ANSWERS))
def test_only_a_log_that_is_closed_leaves_the_reading_back(
    issued: IssuedKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    error, outcome = ANSWERS[answer]

    def refused(*_arguments: Any) -> None:
        raise error

    monkeypatch.setattr("litellm_sync.client.LiteLLM.get_last_success", refused)
    revoke(ann, issued.key)
    pushed()
    backdate()
    assert look() == {outcome: 1}
    assert (row().proven_at is not None) is (outcome == "proven")
    assert row().proven_by == (Evidence.READ_BACK if outcome == "proven" else "")


def test_one_look_that_fails_does_not_keep_the_others_from_being_proved(
    issued: IssuedKey, ada: User, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = create_api_key(ada, name="other", models=["gpt-4o"]).key
    for key in (issued.key, other):
        revoke(ann, key)
        push(KIND, str(key.secrets.get().pk), limit=5)
    first = issued.key.secrets.get()
    ApiKeySecret.objects.filter(pk=first.pk).update(proof_due_at=timezone.now() - timedelta(days=1))
    ask = LiteLLM.get_last_success

    def unreadable(client: LiteLLM, token: str, since: datetime) -> datetime | None:
        if token == first.digest:
            raise UpstreamUnavailable(reason="timeout")
        return ask(client, token, since)

    monkeypatch.setattr(LiteLLM, "get_last_success", unreadable)
    assert look(LATER) == {"put_off": 1, "proven": 1}
    first.refresh_from_db()
    assert first.proof_due_at is not None
    assert first.proof_due_at > timezone.now()
    # It is looked at again and again, and told of as long as it is not proved.
    later = timezone.now() + 2 * proof.OVERDUE
    assert list(proof.overdue(later)) == [first]
    with structlog.testing.capture_logs() as logs:
        alerts.watch(later)
    assert [entry["late"] for entry in logs if entry["event"] == "proofs_overdue"] == [1]
    assert proof.prove_due(later) == {"put_off": 1}
    assert list(proof.overdue(later)) == [first]
    monkeypatch.undo()
    assert proof.prove_due(later + LATER) == {"proven": 1}
    assert list(proof.overdue(later)) == []


def test_a_round_ends_after_some_looks_that_fail(
    ada: User, ann: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        key = create_api_key(ada, name=f"k{number}", models=["gpt-4o"]).key
        push(KIND, str(key.secrets.get().pk), limit=5)
        revoke(ann, key)
        push(KIND, str(key.secrets.get().pk), limit=5)
    monkeypatch.setattr(proof, "FAILING_AT_ONCE", 2)
    litellm.faults.add("500", paths=["/spend/logs"])
    assert [look(LATER), look(LATER), look(LATER)] == [{"put_off": 2}, {"put_off": 1}, {}]


def test_what_was_seen_is_not_written_over_a_newer_wish(
    issued: IssuedKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    block(ann, issued.key)
    pushed()
    backdate()
    ask = proof._last_success

    def unblocked_meanwhile(secret: ApiKeySecret) -> Any:
        unblock_api_key(ann, key_id=issued.key.pk)
        pushed()
        return ask(secret)

    monkeypatch.setattr(proof, "_last_success", unblocked_meanwhile)
    look()
    assert (row().proven_at, row().proof) == (None, None)
    assert chat(litellm, issued.secret) == 200


def test_a_push_that_waits_is_waited_for(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    litellm.faults.add("500", paths=["/key/delete"])
    revoke(ann, issued.key)
    assert pushed().proof is Proof.WAITING
    assert look() == {"pending": 1}
    assert look() == {}


# --- Keys whose owner or models are gone -----------------------------------------------------------------------------


def lose_owner(ada: User, ann: User) -> None:
    """By an administrator."""
    deactivate_user(ann, user_id=ada.pk)


def find_owner(ada: User, ann: User) -> None:
    """By an administrator."""
    reactivate_user(ann, user_id=ada.pk)


def decide(ada: User, status: SubscriptionStatus) -> None:
    """By an administrator."""
    Subscription.objects.filter(user=ada).update(status=status)
    for subscription in Subscription.objects.filter(user=ada):
        state.request_push(subscription, immediately=False)


def hide(ada: User, listed: Availability) -> None:
    """By a sync of the catalogue."""
    Model.objects.update(availability=listed)
    catalogue._push_keys_of(["gpt-4o"])


BARRED: dict[str, tuple[Callable[[User, User], None], Callable[[User, User], None]]] = {
    "models": (
        lambda ada, _ann: hide(ada, Availability.UNAVAILABLE),
        lambda ada, _ann: hide(ada, Availability.AVAILABLE),
    ),
    "owner": (lose_owner, find_owner),
    "subscriptions": (
        lambda ada, _ann: decide(ada, SubscriptionStatus.SUSPENDED),
        lambda ada, _ann: decide(ada, SubscriptionStatus.ACTIVE),
    ),
}


@pytest.mark.parametrize("why", sorted(BARRED))
def test_what_is_barred_by_its_models_or_owner_is_proved_until_it_is_let_in_again(
    issued: IssuedKey, ada: User, ann: User, litellm: Emulator, why: str
) -> None:
    bar, admit = BARRED[why]
    bar(ada, ann)
    assert row().proof is Proof.WAITING
    assert pushed().proof is Proof.STOPPED
    assert chat(litellm, issued.secret) == 401
    assert look(LATER) == {"proven": 1}
    assert (row().proof, row().proven_by, stopped_at([row()])) == (Proof.PROVEN, Evidence.LOG, row().proven_at)
    admit(ada, ann)
    assert (row().proof, stopped_at([row()])) == (None, None)
    again = pushed()
    assert [again.stopped_at, again.proven_at, again.worked_at, again.proof_due_at] == [None] * 4
    assert chat(litellm, issued.secret) == 200


@pytest.mark.parametrize("why", sorted(BARRED))
def test_what_is_barred_and_works_is_an_alarm_and_is_told_again(
    issued: IssuedKey, ada: User, ann: User, litellm: Emulator, why: str
) -> None:
    BARRED[why][0](ada, ann)
    litellm.faults.add("500", paths=["/key/block"])
    assert pushed().sync_status == SyncStatus.PENDING
    wait_long()
    assert proof.note_waiting(timezone.now()) == 1
    with structlog.testing.capture_logs() as logs:
        assert proof.prove_due(timezone.now()) == {"works": 1}
    assert [entry["how"] for entry in logs if entry["event"] == "key_still_works"] == ["taken"]
    assert row().proof is Proof.WORKS
    litellm.faults.clear()
    upstream.probe()
    ApiKeySecret.objects.update(attempted_at=timezone.now() - LATER)  # the block that failed can arrive no more
    assert pushed().sync_status == SyncStatus.SYNCED
    assert chat(litellm, issued.secret) == 401
    assert look(2 * LATER) == {"proven": 1}


def test_a_key_that_lost_its_models_before_this_was_proved_is_looked_at(
    issued: IssuedKey, ada: User, litellm: Emulator
) -> None:
    decide(ada, SubscriptionStatus.SUSPENDED)
    pushed()
    ApiKeySecret.objects.update(**proof.NOTHING)  # as a row of before
    assert proof.note_ended(timezone.now()) == 1
    assert look() == {"stopped": 1}
    assert look(LATER) == {"proven": 1}


# --- A push that waits for long --------------------------------------------------------------------------------------


def wait_long() -> None:
    """As if the push had been asked for so long ago."""
    ApiKeySecret.objects.update(sync_requested_at=timezone.now() - LATER, proof_due_at=None)


@pytest.mark.parametrize("path", ["/key/block", "/key/delete"])
def test_a_block_or_a_deletion_that_fails_leaves_a_dead_key(
    issued: IssuedKey, ann: User, litellm: Emulator, path: str
) -> None:
    litellm.faults.add("500", paths=[path])
    revoke(ann, issued.key)
    told = pushed()
    assert chat(litellm, issued.secret) == 401
    assert told.sync_status == (SyncStatus.SYNCED if path == "/key/block" else SyncStatus.PENDING)


def test_a_key_that_works_while_its_push_waits_is_an_alarm(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    litellm.faults.add("500", paths=["/key/block", "/key/delete"])
    revoke(ann, issued.key)
    assert pushed().sync_status == SyncStatus.PENDING
    wait_long()
    generation = row().sync_generation
    assert proof.note_waiting(timezone.now()) == 1
    with structlog.testing.capture_logs() as logs:
        assert proof.prove_due(timezone.now()) == {"works": 1}
    assert [entry["how"] for entry in logs if entry["event"] == "key_still_works"] == ["taken"]
    assert (row().proof, list(proof.alarms())) == (Proof.WORKS, [row()])
    assert (row().sync_generation, row().sync_error) == (generation, "http_500")
    litellm.faults.clear()
    upstream.probe()
    assert pushed().sync_status == SyncStatus.SYNCED
    assert look(LATER) == {"proven": 1}
    assert list(proof.alarms()) == []


def test_what_litellm_cannot_delete_is_proved_to_be_blocked_however_often_it_is_tried(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    litellm.faults.add("500", paths=["/key/delete"])
    revoke(ann, issued.key)
    pushed()
    wait_long()
    assert look() == {"stopped": 1}
    assert (pushed().sync_attempts, list(proof.alarms())) == (2, [])
    assert look(LATER) == {"proven": 1}
    proven_at = row().proven_at
    assert (pushed().proven_at, row().proof) == (proven_at, Proof.WAITING)
    litellm.faults.clear()
    upstream.probe()
    told = pushed()
    assert (told.sync_status, told.proof) == (SyncStatus.SYNCED, Proof.STOPPED)


# --- Pushed again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_a_push_that_changes_nothing_keeps_the_proof(
    issued: IssuedKey, ann: User, litellm: Emulator, ending: str
) -> None:
    ENDINGS[ending](ann, issued.key)
    pushed()
    if ending == "rotate":  # its spend has settled, and nobody follows it
        ApiKeySecret.objects.update(blocked_at=timezone.now() - timedelta(hours=1))
        state.request_pushes(ApiKeySecret, [row().pk])
        pushed()
    assert look(LATER) == {"proven": 1}
    before = row()
    state.request_pushes(ApiKeySecret, [before.pk])
    again = pushed()
    assert again.sync_status == SyncStatus.SYNCED
    assert (again.stopped_at, again.proven_at) == (before.stopped_at, before.proven_at)
    assert (again.proof, again.proof_due_at) == (Proof.PROVEN, None)


@pytest.mark.parametrize("changed", ["block", "expire"])
def test_a_push_that_finds_it_working_begins_the_proof_anew(
    issued: IssuedKey, ann: User, litellm: Emulator, changed: str
) -> None:
    if changed == "block":
        block(ann, issued.key)
    else:
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=2))
        state.request_pushes(ApiKeySecret, [row().pk])
    pushed()
    assert look(LATER) == {"proven": 1}
    ApiKeySecret.objects.update(worked_at=timezone.now())  # of an alarm that is over
    before = row()
    litellm.state.keys.update(before.digest, {"blocked": False})
    state.request_pushes(ApiKeySecret, [before.pk])
    again = pushed()
    assert again.stopped_at is not None
    assert before.stopped_at is not None
    assert again.stopped_at > before.stopped_at
    assert (again.proof, again.proven_at, list(proof.alarms())) == (Proof.STOPPED, None, [])


def test_what_has_expired_and_is_settled_is_no_work_for_a_run_of_all_keys(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    assert list(secrets_to_push()) == [row()]
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=2))
    assert list(secrets_to_push()) == []
    state.request_pushes(ApiKeySecret, [row().pk])
    assert list(secrets_to_push()) == [row()]


def test_a_log_that_is_written_seldom_is_waited_for(
    issued: IssuedKey, ann: User, litellm: Emulator, settings: Any
) -> None:
    settings.LITELLM_SPEND_SETTLES_SECONDS = 600
    revoke(ann, issued.key)
    pushed()
    assert look(LATER) == {}
    ApiKeySecret.objects.update(proof_due_at=timezone.now())
    assert look(timedelta(seconds=590)) == {"early": 1}
    assert look(timedelta(seconds=605)) == {"proven": 1}


def test_a_round_is_bounded_and_takes_the_longest_due_first(
    ada: User, ann: User, subscribed: list[Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [create_api_key(ada, name=f"k{number}", models=["gpt-4o"]).key for number in range(5)]
    for key in keys:
        revoke(ann, key)
    monkeypatch.setattr(proof, "AT_ONCE", 3)
    assert [look(), look(), look()] == [{"proven": 3}, {"proven": 2}, {}]


def test_what_the_list_of_ended_says_is_what_a_row_says(ada: User, ann: User, subscribed: list[Subscription]) -> None:
    now = timezone.now()
    ends: dict[str, Callable[[ApiKey], Any]] = {
        "blocked": lambda key: ApiKey.objects.filter(pk=key.pk).update(status=KeyStatus.BLOCKED),
        "deleted": lambda key: ApiKey.objects.filter(pk=key.pk).update(deleted_at=now),
        "expired": lambda key: ApiKey.objects.filter(pk=key.pk).update(expires_at=now - timedelta(seconds=1)),
        "living": lambda _key: None,
        "revoked": lambda key: ApiKey.objects.filter(pk=key.pk).update(status=KeyStatus.REVOKED),
        "rotated": lambda key: key.secrets.update(valid_until=now - timedelta(seconds=1)),
        "to end": lambda key: key.secrets.update(valid_until=now + timedelta(hours=1)),
    }
    for name, end in ends.items():
        end(create_api_key(ada, name=name, models=["gpt-4o"]).key)
    rows = ApiKeySecret.objects.select_related("key__user")
    assert {secret.key.name for secret in rows if secret.must_not_work_at(now)} == ends.keys() - {"living", "to end"}
    assert set(rows.filter(proof.ended(now))) == {secret for secret in rows if secret.must_not_work_at(now)}
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert all(secret.must_not_work_at(now) for secret in rows.all())
    assert rows.filter(proof.ended(now)).count() == len(ends)
    User.objects.filter(pk=ada.pk).update(is_active=True)
    assert list(proof.idle()) == []
    Subscription.objects.update(status=SubscriptionStatus.SUSPENDED)
    assert all(secret.must_not_work_at(now) for secret in rows.all())
    assert proof.idle().count() == len(ends)


def test_a_model_that_goes_is_taken_from_living_keys_alone(issued: IssuedKey, ada: User, ann: User) -> None:
    living = create_api_key(ada, name="living", models=["gpt-4o"]).key
    revoke(ann, issued.key)
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)
    catalogue._push_keys_of(["gpt-4o"])
    assert list(ApiKeySecret.objects.filter(sync_status=SyncStatus.PENDING)) == [living.secrets.get()]
