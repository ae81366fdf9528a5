"""Making LiteLLM agree: leases, generations, back-off, and what is sent for keys, people and teams."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
import structlog
from django.utils import timezone

from accounts.models import User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from apikeys.services import create_api_key
from apikeys.stopped import Proof
from litellm_sync import ensure, failures, health, integration, keys, state
from litellm_sync.client import LiteLLM
from litellm_sync.client.bodies import NewUser
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import Upstream
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from litemaas.foundation.crypto import secret_digest
from litemaas.foundation.errors import UpstreamRejected
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from teams.models import DEFAULT_TEAM_ID, Membership, Team

KIND = "apikeys.apikeysecret"


def secret_of(key: ApiKey) -> ApiKeySecret:
    """The one secret of a key, as it stands now."""
    return ApiKeySecret.objects.select_related("key").get(key=key)


def pushed(key: ApiKey) -> ApiKeySecret:
    """The secret after a push."""
    push(KIND, str(secret_of(key).pk), limit=5)
    return secret_of(key)


@pytest.fixture
def key(ada: User, subscribed: list[Subscription]) -> ApiKey:
    """A key of ada's that LiteLLM has not heard of."""
    return create_api_key(ada, name="notebook", models=["gpt-4o", "gpt-4o-mini"], max_budget=Decimal(5)).key


# --- The row's life --------------------------------------------------------------------------------------------------


def test_a_row_is_claimed_once_until_its_lease_ends(key: ApiKey) -> None:
    row = secret_of(key)
    assert state.claim(KIND, str(row.pk)) is not None
    assert state.claim(KIND, str(row.pk)) is None
    ApiKeySecret.objects.update(push_lease_until=timezone.now() - timedelta(seconds=1))
    assert state.claim(KIND, str(row.pk)) is not None


def test_who_has_lost_the_claim_writes_nothing(key: ApiKey) -> None:
    slow = state.claim(KIND, str(secret_of(key).pk))
    ApiKeySecret.objects.update(push_lease_until=timezone.now() - timedelta(seconds=1))
    quick = state.claim(KIND, str(secret_of(key).pk))
    state.refuse(slow, "too late")
    state.postpone(slow, "too late")
    assert (secret_of(key).sync_status, secret_of(key).push_lease_until) == (SyncStatus.PENDING, quick.push_lease_until)
    assert state.settle(quick) is True


def test_a_bug_of_ours_keeps_no_claim(key: ApiKey, litellm: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litellm_sync.key_bodies.per_model", lambda *_arguments: 1 / 0)
    row = pushed(key)
    assert (row.sync_status, row.sync_error, row.push_lease_until) == (SyncStatus.PENDING, "internal_error", None)


def test_rows_are_locked_in_one_order_before_they_are_changed(key: ApiKey, django_assert_num_queries: Any) -> None:
    """Two who ask for the same rows in different orders would wait for each other for ever."""
    secret = secret_of(key)
    with django_assert_num_queries(2) as asked:
        state.request_pushes(ApiKeySecret, [secret.pk])
    first, second = (query["sql"] for query in asked.captured_queries[-2:])
    assert first.startswith('SELECT "apikeys_apikeysecret"."id"')
    assert first.endswith("ORDER BY 1 ASC FOR NO KEY UPDATE")
    assert second.startswith("UPDATE")


def test_a_secret_that_no_key_opens_is_refused(key: ApiKey, litellm: Emulator, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["YW5vdGhlci1rZXktdGhhdC1vcGVucy1ub3RoaW5nISE="]
    row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.FAILED, "secret_unreadable")


def alarms_of(logs: Any) -> list[str]:
    """How each alarm about a key that works says that it was seen."""
    return [entry["how"] for entry in logs if entry["event"] == "key_still_works"]


def test_a_blocked_secret_that_no_key_opens_and_litellm_never_had_is_no_alarm(
    key: ApiKey, litellm: Emulator, settings: Any
) -> None:
    ApiKey.objects.update(status=KeyStatus.BLOCKED)
    settings.ENCRYPTION_KEYS = ["YW5vdGhlci1rZXktdGhhdC1vcGVucy1ub3RoaW5nISE="]
    with structlog.testing.capture_logs() as logs:
        row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.FAILED, "secret_unreadable")
    assert (alarms_of(logs), row.proof) == ([], Proof.NEVER_THERE)


def test_a_blocked_secret_that_no_key_opens_is_watched_while_an_offer_of_it_may_arrive(
    key: ApiKey, litellm: Emulator, settings: Any
) -> None:
    litellm.faults.add("late", seconds=600, paths=["/key/generate"], count=1)
    assert pushed(key).sync_status == SyncStatus.PENDING
    ApiKey.objects.update(status=KeyStatus.BLOCKED)
    state.request_push(secret_of(key), immediately=False)
    opened, settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS, ["YW5vdGhlci1rZXktdGhhdC1vcGVucy1ub3RoaW5nISE="]
    with structlog.testing.capture_logs() as logs:
        row = pushed(key)
    assert (row.sync_status, row.sync_error, alarms_of(logs)) == (SyncStatus.PENDING, "offer_may_arrive", [])
    assert litellm.faults.arrive() == 1
    row = pushed(key)  # it is there now, and blocked without its secret
    found = LiteLLM(5).get_key_info(row.digest)
    assert found is not None
    assert found.blocked is True
    settings.ENCRYPTION_KEYS = opened


def refused(*_arguments: Any) -> None:
    """LiteLLM says no."""
    raise UpstreamRejected(http_status=400)


def test_a_deletion_that_litellm_refuses_after_the_block_is_no_alarm(
    key: ApiKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(key)
    revoke_api_key(ann, key_id=key.pk)
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(LiteLLM, "delete_key", refused)
        row = pushed(key)
    assert alarms_of(logs) == []
    assert [entry["how"] for entry in logs if entry["event"] == "key_left_in_litellm"] == ["refused"]
    assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "left_in_litellm")
    [failure] = failures.shown(failures.failures(KIND))
    assert failure.must_not_work is False
    assert pushed(key).sync_status == SyncStatus.SYNCED  # it is tried on


@pytest.mark.parametrize("weather", ["fair", "foul"])
def test_what_litellm_refuses_to_stop_or_cannot_be_asked_about_is_an_alarm(
    key: ApiKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch, weather: str
) -> None:
    pushed(key)
    revoke_api_key(ann, key_id=key.pk)
    for verb in ("block_key", "delete_key"):
        monkeypatch.setattr(LiteLLM, verb, refused)
    if weather == "foul":
        litellm.faults.add("500", paths=["/key/info"])
    with structlog.testing.capture_logs() as logs:
        row = pushed(key)
    assert alarms_of(logs) == [{"fair": "taken", "foul": "unknown"}[weather]]
    assert row.sync_status == SyncStatus.PENDING
    [failure] = failures.shown(failures.failures(KIND))
    assert failure.must_not_work is True


def test_a_blocked_key_that_litellm_refuses_to_make_is_no_alarm(
    key: ApiKey, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ApiKey.objects.update(status=KeyStatus.BLOCKED)
    monkeypatch.setattr(LiteLLM, "create_key", refused)
    with structlog.testing.capture_logs() as logs:
        row = pushed(key)
    assert (row.sync_status, alarms_of(logs)) == (SyncStatus.FAILED, [])


def test_an_outcome_is_written_only_where_the_wish_has_not_moved(key: ApiKey) -> None:
    row = state.claim(KIND, str(secret_of(key).pk))
    state.request_push(secret_of(key), immediately=False)
    assert state.settle(row) is False
    now = secret_of(key)
    assert (now.sync_status, now.push_lease_until, now.synced_at) == (SyncStatus.PENDING, None, None)
    again = state.claim(KIND, str(row.pk))
    assert state.settle(again) is True
    assert secret_of(key).sync_status == SyncStatus.SYNCED
    assert state.claim(KIND, str(row.pk)) is None


def test_the_wait_doubles_up_to_an_hour_and_a_new_wish_starts_anew(key: ApiKey) -> None:
    waits = []
    for _ in range(14):
        before = timezone.now()
        state.postpone(state.claim(KIND, str(secret_of(key).pk)), "timeout")
        next_at = secret_of(key).sync_next_at
        assert next_at is not None
        waits.append(round((next_at - before).total_seconds()))
    assert waits == [2, 5, 10, 20, 40, *[60] * 9]
    assert secret_of(key).sync_error == "timeout"
    state.request_push(secret_of(key), immediately=False)
    fresh = secret_of(key)
    assert (fresh.sync_attempts, fresh.sync_error) == (0, "")


def test_a_row_waits_since_the_first_wish_that_litellm_has_not_followed(key: ApiKey) -> None:
    first = secret_of(key).sync_requested_at
    assert first is not None
    state.postpone(state.claim(KIND, str(secret_of(key).pk)), "timeout")
    state.request_push(secret_of(key), immediately=False)
    assert secret_of(key).sync_requested_at == first
    assert state.settle(state.claim(KIND, str(secret_of(key).pk)))
    state.request_push(secret_of(key), immediately=False)
    again = secret_of(key).sync_requested_at
    assert again is not None
    assert again > first
    state.refuse(state.claim(KIND, str(secret_of(key).pk)), "http_400")
    state.request_pushes(ApiKeySecret, [secret_of(key).pk])
    latest = secret_of(key).sync_requested_at
    assert latest is not None
    assert latest > again


def test_a_refused_row_stops_until_somebody_asks_again(key: ApiKey) -> None:
    state.refuse(state.claim(KIND, str(secret_of(key).pk)), "needs_rotation")
    row = secret_of(key)
    assert (row.sync_status, row.sync_error, row.sync_next_at) == (SyncStatus.FAILED, "needs_rotation", None)
    assert key.__class__.objects.for_display().get(pk=key.pk).sync_status == SyncStatus.FAILED
    assert state.claim(KIND, str(row.pk)) is None
    state.request_push(row, immediately=False)
    assert state.claim(KIND, str(row.pk)) is not None


def test_due_rows_are_queued_once_for_the_length_of_a_lease(key: ApiKey, work: Callable[[], int]) -> None:
    work()
    ApiKeySecret.objects.update(sync_status=SyncStatus.PENDING, sync_next_at=timezone.now())
    due = state.defer_due()
    assert due >= 1
    assert state.defer_due() == 0
    ApiKeySecret.objects.update(sync_next_at=timezone.now() + timedelta(hours=1))
    assert state.wake_all() >= 1
    assert state.defer_due() >= 1


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_trap_45_47_a_key_is_made_for_models_only_and_read_back(key: ApiKey, litellm: Emulator) -> None:
    row = pushed(key)
    assert (row.sync_status, row.pending_secret) == (SyncStatus.SYNCED, None)
    assert row.pushed_at is not None
    asked = [path for _method, path in litellm.calls if path.startswith("/key/")]
    assert asked == ["/key/info", "/key/generate", "/key/info"]
    found = LiteLLM(5).get_key_info(row.digest)
    assert found is not None
    assert (found.user_id, found.team_id) == (str(key.user_id), str(DEFAULT_TEAM_ID))
    assert (found.models, found.max_budget, found.blocked) == (("gpt-4o", "gpt-4o-mini"), Decimal(5), False)
    assert found.metadata == {"managed_by": "litemaas"}


def test_trap_47_a_value_that_litellm_has_already_gets_our_settings(key: ApiKey, litellm: Emulator) -> None:
    """Whoever restored our database from before the push: LiteLLM answers 200 and keeps what it had."""
    secret = secret_of(key).pending_secret
    headers = {"Authorization": f"Bearer {litellm.master_key}"}
    requests.post(f"{litellm.url}/key/generate", json={"key": secret, "models": []}, headers=headers, timeout=10)
    row = pushed(key)
    found = LiteLLM(5).get_key_info(row.digest)
    assert found is not None
    assert (row.sync_status, found.user_id, found.models) == ("synced", str(key.user_id), ("gpt-4o", "gpt-4o-mini"))


def test_a_second_push_changes_nothing(key: ApiKey, litellm: Emulator) -> None:
    pushed(key)
    state.request_push(secret_of(key), immediately=False)
    before = len(litellm.calls)
    pushed(key)
    assert litellm.calls[before:] == [("GET", "/key/info")]


def test_trap_01_a_key_without_models_is_blocked_never_sent_an_empty_list(key: ApiKey, litellm: Emulator) -> None:
    pushed(key)
    Subscription.objects.filter(user=key.user).update(status=SubscriptionStatus.SUSPENDED)
    state.request_push(secret_of(key), immediately=False)
    row = pushed(key)
    found = LiteLLM(5).get_key_info(row.digest)
    assert found is not None
    assert found.blocked is True
    assert found.models == ("gpt-4o", "gpt-4o-mini")
    Subscription.objects.filter(user=key.user, model="gpt-4o").update(status=SubscriptionStatus.ACTIVE)
    state.request_push(row, immediately=False)
    found = LiteLLM(5).get_key_info(pushed(key).digest)
    assert found is not None
    assert (found.blocked, found.models) == (False, ("gpt-4o",))


def test_trap_01_a_key_that_has_lost_its_models_before_the_first_push(key: ApiKey, litellm: Emulator) -> None:
    Model.objects.update(availability=Availability.UNAVAILABLE)
    found = LiteLLM(5).get_key_info(pushed(key).digest)
    assert found is not None
    assert found.blocked is True
    assert found.models == (f"none-{key.pk}",)


def test_limits_expiry_and_per_model_limits_reach_litellm_and_are_cleared(
    ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    expires = timezone.now() + timedelta(days=3)
    key = create_api_key(
        ada,
        name="limited",
        models=["gpt-4o"],
        budget_duration="7d",
        tpm_limit=1000,
        rpm_limit=10,
        max_parallel_requests=2,
        model_limits={"gpt-4o": {"rpm_limit": 5}},
        expires_at=expires,
    ).key
    row = pushed(key)
    found = LiteLLM(5).get_key_info(row.digest)
    assert found is not None
    assert (found.budget_duration, found.tpm_limit, found.rpm_limit, found.max_parallel_requests) == ("7d", 1000, 10, 2)
    assert found.metadata == {"managed_by": "litemaas", "model_rpm_limit": {"gpt-4o": 5}}
    assert found.expires is not None
    assert abs(found.expires - expires) < timedelta(seconds=5)
    assert ApiKey.objects.get(pk=key.pk).budget_resets_at == found.budget_reset_at

    ApiKey.objects.filter(pk=key.pk).update(tpm_limit=None, rpm_limit=None, expires_at=None, model_limits={})
    state.request_push(row, immediately=False)
    pushed(key)
    found = LiteLLM(5).get_key_info(row.digest)
    assert found is not None
    assert (found.tpm_limit, found.rpm_limit, found.expires) == (None, None, None)
    # Trap 24: metadata is replaced as a whole, so what we did not mean to change is kept.
    assert found.metadata == {"managed_by": "litemaas"}


def test_a_revoked_key_is_deleted_and_its_secret_forgotten(key: ApiKey, litellm: Emulator) -> None:
    row = pushed(key)
    revoke_api_key(key.user, key_id=key.pk)
    row = pushed(key)
    assert row.sync_status == SyncStatus.SYNCED
    assert LiteLLM(5).get_key_info(row.digest) is None


def test_a_key_revoked_before_litellm_heard_of_it_is_never_made(key: ApiKey, litellm: Emulator) -> None:
    revoke_api_key(key.user, key_id=key.pk)
    row = pushed(key)
    assert (row.sync_status, row.pending_secret) == (SyncStatus.SYNCED, None)
    assert ("POST", "/key/generate") not in litellm.calls


def test_trap_20_a_lost_answer_to_an_offer_keeps_a_revoked_key_under_watch(key: ApiKey, litellm: Emulator) -> None:
    litellm.faults.add("down", paths=["/key/generate"], count=1)
    row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "unreachable")
    revoke_api_key(key.user, key_id=key.pk)
    row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "offer_may_arrive")
    ApiKeySecret.objects.update(attempted_at=timezone.now() - timedelta(minutes=2))
    assert pushed(key).sync_status == SyncStatus.SYNCED


def test_trap_20_a_lost_offer_counts_also_after_a_later_one_was_answered(key: ApiKey, litellm: Emulator) -> None:
    litellm.faults.add("down", paths=["/key/generate"], count=1)
    pushed(key)
    assert pushed(key).sync_status == SyncStatus.SYNCED
    revoke_api_key(key.user, key_id=key.pk)
    row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "offer_may_arrive")
    # The first offer arrives at last, and makes the key again.
    headers = {"Authorization": f"Bearer {litellm.master_key}"}
    late: dict[str, Any] = {"key": "sk-late-" + "x" * 20, "models": ["gpt-4o"]}
    requests.post(f"{litellm.url}/key/generate", json=late, headers=headers, timeout=10)
    ApiKeySecret.objects.update(digest=secret_digest(late["key"]))
    assert pushed(key).sync_status == SyncStatus.PENDING
    assert LiteLLM(5).get_key_info(secret_of(key).digest) is None


def test_trap_20_the_connection_is_cut_after_the_work(key: ApiKey, litellm: Emulator) -> None:
    litellm.faults.add("cut", paths=["/key/generate"], count=1)
    assert pushed(key).sync_status == SyncStatus.PENDING
    row = pushed(key)
    assert (row.sync_status, row.pending_secret) == (SyncStatus.SYNCED, None)
    assert [path for _method, path in litellm.calls].count("/key/generate") == 1


def test_a_key_that_litellm_lost_needs_rotation(key: ApiKey, litellm: Emulator) -> None:
    row = pushed(key)
    LiteLLM(5).delete_key(row.digest)
    state.request_push(row, immediately=False)
    row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.FAILED, "needs_rotation")


def test_an_expired_or_deactivated_owner_stops_the_key(key: ApiKey, litellm: Emulator) -> None:
    row = pushed(key)
    User.objects.filter(pk=key.user_id).update(is_active=False)
    state.request_push(row, immediately=False)
    found = LiteLLM(5).get_key_info(pushed(key).digest)
    assert found is not None
    assert found.blocked is True
    ApiKey.objects.filter(pk=key.pk).update(status=KeyStatus.ACTIVE, expires_at=timezone.now() - timedelta(minutes=1))
    state.request_push(row, immediately=False)
    found = LiteLLM(5).get_key_info(pushed(key).digest)
    assert found is not None  # its owner may move the expiry
    assert found.blocked is True


def test_a_team_narrows_the_models_of_its_keys(key: ApiKey, litellm: Emulator) -> None:
    Team.objects.update(allowed_models=["gpt-4o-mini"])
    found = LiteLLM(5).get_key_info(pushed(key).digest)
    assert found is not None
    assert found.models == ("gpt-4o-mini",)


def test_a_subscription_fans_out_to_the_keys_that_use_its_model(
    key: ApiKey, litellm: Emulator, work: Callable[[], int], subscribed: list[Subscription]
) -> None:
    pushed(key)
    state.request_push(next(s for s in subscribed if s.model_id == "claude-sonnet"), immediately=False)
    work()
    assert secret_of(key).sync_status == SyncStatus.SYNCED
    state.request_push(next(s for s in subscribed if s.model_id == "gpt-4o"), immediately=False)
    assert secret_of(key).sync_status == SyncStatus.PENDING


def test_a_job_of_before_about_a_subscription_does_nothing(subscribed: list[Subscription]) -> None:
    push("subscriptions.subscription", str(subscribed[0].pk), limit=5)
    assert not ApiKeySecret.objects.exists()


def test_a_row_that_is_gone_is_nobodys_business(litellm: Emulator, db: None) -> None:
    push(KIND, "4711", limit=5)
    assert litellm.calls == []


# --- People and teams ------------------------------------------------------------------------------------------------


def test_a_person_is_made_in_the_default_team_which_comes_first(
    ada: User, litellm: Emulator, work: Callable[[], int]
) -> None:
    work()
    found = LiteLLM(5).get_user_info(str(ada.pk))
    assert found is not None
    assert (found.teams, found.role, found.email) == ((str(DEFAULT_TEAM_ID),), "internal_user", ada.email)
    team = LiteLLM(5).get_team_info(str(DEFAULT_TEAM_ID))
    assert team is not None
    assert (team.alias, team.models, team.members) == ("Default Team", (), frozenset({str(ada.pk)}))
    assert (team.max_budget, team.budget_duration, team.tpm_limit, team.rpm_limit) == (
        Decimal(10000),
        "1mo",
        50000,
        1000,
    )
    assert User.objects.get(pk=ada.pk).sync_status == SyncStatus.SYNCED
    assert Membership.objects.get(user=ada).listed is True
    # Trap 13: administrators of the portal are ordinary people in LiteLLM.
    assert found.role != "proxy_admin"


def test_without_its_secret_no_key_is_made_up(key: ApiKey, litellm: Emulator) -> None:
    """LiteLLM makes a key of its own where it is given null: nobody would have it, and it would work."""
    ApiKeySecret.objects.update(pending_secret=None)
    with pytest.raises(UpstreamRejected):
        keys._create(secret_of(key), ["gpt-4o"], LiteLLM(5))
    assert litellm.calls == []


def test_a_taken_email_makes_the_person_without_it(ada: User, litellm: Emulator, work: Callable[[], int]) -> None:
    who: NewUser = {"user_id": "somebody-else", "user_alias": "else", "user_role": "internal_user", "teams": []}
    LiteLLM(5).create_user({**who, "user_email": ada.email})
    work()
    found = LiteLLM(5).get_user_info(str(ada.pk))
    assert found is not None
    assert found.email is None


def test_beyond_the_listed_members_people_belong_here_only(
    ada: User, eve: User, litellm: Emulator, work: Callable[[], int], settings: object
) -> None:
    settings.LITELLM_DEFAULT_TEAM_LISTED_MEMBERS = 1  # type: ignore[attr-defined]  # pytest-django's wrapper
    work()
    team = LiteLLM(5).get_team_info(str(DEFAULT_TEAM_ID))
    assert team is not None
    assert team.members == frozenset({str(ada.pk)})
    assert [m.listed for m in Membership.objects.order_by("pk")] == [True, False]
    assert LiteLLM(5).get_user_info(str(eve.pk)) is not None


def limited(user: User) -> None:
    """Give somebody limits, and take them away again."""
    User.objects.filter(pk=user.pk).update(max_budget=7, budget_duration="30d", tpm_limit=100, rpm_limit=10)
    found = ensure.make_user_equal(User.objects.get(pk=user.pk), LiteLLM(5))
    assert (found.max_budget, found.budget_duration, found.tpm_limit, found.rpm_limit) == (Decimal(7), "30d", 100, 10)
    User.objects.filter(pk=user.pk).update(max_budget=None, budget_duration="", tpm_limit=None, rpm_limit=None)
    found = ensure.make_user_equal(User.objects.get(pk=user.pk), LiteLLM(5))
    assert (found.max_budget, found.tpm_limit, found.rpm_limit) == (None, None, None)


def test_trap_23_limits_of_people_are_really_cleared(ada: User, litellm: Emulator) -> None:
    limited(ada)


def test_trap_23_limits_are_cleared_where_nulls_are_ignored(ada: User, old_litellm: Emulator) -> None:
    limited(ada)


def test_a_changed_team_is_made_equal(ada: User, litellm: Emulator, work: Callable[[], int]) -> None:
    work()
    Team.objects.update(name="Everybody", max_budget=None, tpm_limit=7, allowed_models=["gpt-4o"])
    found = ensure.make_team_equal(Team.objects.get(pk=DEFAULT_TEAM_ID), LiteLLM(5))
    assert (found.alias, found.max_budget, found.tpm_limit, found.models) == ("Everybody", None, 7, ("gpt-4o",))


# --- The outage clock ------------------------------------------------------------------------------------------------


def test_an_outage_is_noticed_once_and_its_end_wakes_everything(
    key: ApiKey, litellm: Emulator, work: Callable[[], int]
) -> None:
    work()
    ApiKeySecret.objects.update(
        sync_status=SyncStatus.PENDING, sync_next_at=timezone.now() + timedelta(hours=1), sync_attempts=12
    )
    litellm.faults.add("500")
    integration.tick(timezone.now())
    assert Upstream.objects.get().down_since is not None
    assert health.litellm_state() == "unreachable"
    integration.tick(timezone.now())
    assert secret_of(key).sync_attempts == 12

    litellm.faults.clear()
    integration.tick(timezone.now())
    assert Upstream.objects.get().down_since is None
    work()
    assert secret_of(key).sync_status == SyncStatus.SYNCED


def test_in_fair_weather_one_unhappy_row_keeps_its_own_back_off(
    key: ApiKey, litellm: Emulator, work: Callable[[], int]
) -> None:
    work()
    later = timezone.now() + timedelta(hours=1)
    ApiKeySecret.objects.update(sync_status=SyncStatus.PENDING, sync_next_at=later)
    integration.tick(timezone.now())
    assert secret_of(key).sync_next_at == later
    assert health.litellm_state() == "ok"


@pytest.mark.parametrize("duration", ["30d", "7d"])
def test_trap_49_the_next_reset_is_what_litellm_says(
    duration: str, ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    """It rounds to the calendar: what we would reckon is another day."""
    key = create_api_key(ada, name="k", models=["gpt-4o"], budget_duration=duration).key
    found = LiteLLM(5).get_key_info(pushed(key).digest)
    assert found is not None
    shown = ApiKey.objects.get(pk=key.pk).budget_resets_at
    assert shown == found.budget_reset_at
    assert shown is not None
    assert (shown.day == 1) if duration == "30d" else (shown.weekday() == 0)
