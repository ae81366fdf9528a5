"""Pushes that are overtaken by a newer wish, or whose calls arrive after it: what the random machine has found."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import User
from apikeys.endings import block_api_key, revoke_api_key, unblock_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.emulator.server import Emulator
from litellm_sync.keys import OFFER_MAY_ARRIVE, follow_the_clock
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from subscriptions.models import Model, Subscription, SubscriptionStatus
from subscriptions.services import create_subscription
from teams.models import Team
from teams.services import set_provider_teams
from tests.cast import MODELS, make_person
from tests.races import at_once

KIND = "apikeys.apikeysecret"


@pytest.fixture
def red(ada: User) -> Team:
    """A team that ada is in by her provider's groups."""
    team: Team = Team.objects.create(name="red")
    set_provider_teams(ada, ["red"])
    return team


def pushed(key: ApiKey) -> ApiKeySecret:
    """The one secret of a key after a push."""
    push(KIND, str(key.secrets.get().pk), limit=5)
    return ApiKeySecret.objects.get(key=key)


def there(key: ApiKey) -> KeyInfo:
    """The key as LiteLLM has it."""
    found = LiteLLM(5).get_key_info(key.secrets.get().digest)
    assert found is not None
    return found


def members(team: Team) -> frozenset[str]:
    """Whom LiteLLM lists."""
    found = LiteLLM(5).get_team_info(str(team.pk))
    assert found is not None
    return found.members


# --- Jobs that are lost ----------------------------------------------------------------------------------------------


def test_trap_07_a_model_is_taken_off_the_keys_though_every_job_is_lost(
    ada: User, subscribed: list[Subscription], litellm: Emulator, work: Callable[[], int]
) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o", "gpt-4o-mini"]).key
    work()
    assert there(key).models == ("gpt-4o", "gpt-4o-mini")
    subscription = next(one for one in subscribed if one.model_id == "gpt-4o")
    Subscription.objects.filter(pk=subscription.pk).update(status=SubscriptionStatus.SUSPENDED)
    state.request_push(subscription, immediately=False)
    jobs = ProcrastinateJob.objects.all()
    jobs._raw_delete(jobs.db)
    ApiKeySecret.objects.update(sync_next_at=timezone.now())  # half a minute later
    assert state.defer_due() == 1
    work()
    assert there(key).models == ("gpt-4o-mini",)


# --- Changes that arrive late ----------------------------------------------------------------------------------------


@pytest.fixture
def key(ada: User, subscribed: list[Subscription], litellm: Emulator) -> ApiKey:
    """A key of ada's that LiteLLM has."""
    key = create_api_key(ada, name="k", models=["gpt-4o", "gpt-4o-mini"]).key
    assert pushed(key).sync_status == SyncStatus.SYNCED
    return key


def test_trap_20_an_unblocking_that_arrives_late_does_not_open_a_blocked_key(
    ann: User, key: ApiKey, litellm: Emulator
) -> None:
    block_api_key(ann, key_id=key.pk)
    pushed(key)
    litellm.faults.add("late", seconds=600, paths=["/key/unblock"], count=1)
    unblock_api_key(ann, key_id=key.pk)
    assert pushed(key).sync_error == "unreachable"
    block_api_key(ann, key_id=key.pk)
    row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "offer_may_arrive")
    assert litellm.faults.arrive() == 1
    assert there(key).blocked is False
    pushed(key)
    assert there(key).blocked is True
    ApiKeySecret.objects.update(attempted_at=timezone.now() - timedelta(minutes=2))
    assert pushed(key).sync_status == SyncStatus.SYNCED


def test_trap_20_models_that_arrive_late_do_not_stay(key: ApiKey, litellm: Emulator) -> None:
    Subscription.objects.filter(model="gpt-4o").update(status=SubscriptionStatus.SUSPENDED)
    state.request_push(key.secrets.get(), immediately=False)
    pushed(key)
    assert there(key).models == ("gpt-4o-mini",)
    litellm.faults.add("late", seconds=600, paths=["/key/update"], count=1)
    for status, outcome in ((SubscriptionStatus.ACTIVE, "pending"), (SubscriptionStatus.SUSPENDED, "synced")):
        Subscription.objects.filter(model="gpt-4o").update(status=status)
        state.request_push(key.secrets.get(), immediately=False)
        row = pushed(key)
        assert row.sync_status == outcome
    assert litellm.faults.arrive() == 1
    assert there(key).models == ("gpt-4o", "gpt-4o-mini")
    # The key works as it should, so its owner sees it synced; it is looked at again when nothing can arrive any more.
    assert row.attempted_at is not None
    assert row.due_at == row.attempted_at + OFFER_MAY_ARRIVE
    assert follow_the_clock(row.due_at) == 1
    pushed(key)
    assert there(key).models == ("gpt-4o-mini",)


def test_an_answered_change_needs_no_watch(ann: User, key: ApiKey, litellm: Emulator) -> None:
    block_api_key(ann, key_id=key.pk)
    row = pushed(key)
    assert (row.sync_status, row.attempted_at) == (SyncStatus.SYNCED, None)


# --- Teams that are left ---------------------------------------------------------------------------------------------


def test_who_has_left_a_team_is_taken_off_its_list_when_the_last_key_is_gone(
    ada: User, red: Team, subscribed: list[Subscription], litellm: Emulator, work: Callable[[], int]
) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"], team=red.pk).key
    work()
    set_provider_teams(User.objects.get(pk=ada.pk), [])
    work()
    assert members(red) == {str(ada.pk)}  # LiteLLM would delete the key, which works again after a return
    revoke_api_key(ada, key_id=key.pk)
    work()
    state.defer_due()
    work()
    assert members(red) == frozenset()


def test_a_member_who_leaves_while_being_listed_does_not_stay_listed(
    ada: User, red: Team, litellm: Emulator, work: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    push("accounts.user", str(ada.pk), limit=5)
    LiteLLM(5).remove_team_member(str(red.pk), str(ada.pk))
    add_member = LiteLLM.add_team_member

    def leave_first(client: LiteLLM, team_id: str, user_id: str) -> None:
        """What happens between the look and the call."""
        set_provider_teams(User.objects.get(pk=ada.pk), [])
        push("accounts.user", user_id, limit=5)
        add_member(client, team_id, user_id)

    monkeypatch.setattr(LiteLLM, "add_team_member", leave_first)
    push("teams.membership", str(red.memberships.get().pk), limit=5)
    assert members(red) == {str(ada.pk)}
    state.defer_due()
    work()
    assert members(red) == frozenset()


# --- Twice, and at once ----------------------------------------------------------------------------------------------


def test_a_second_push_of_people_teams_and_memberships_only_looks(
    ada: User, red: Team, litellm: Emulator, work: Callable[[], int]
) -> None:
    work()
    for row in (ada, red, red.memberships.get()):
        state.request_push(row, immediately=False)
        before = len(litellm.calls)
        push(state.kind_of(row), str(row.pk), limit=5)
        asked = litellm.calls[before:]
        assert {method for method, _path in asked} == {"GET"}, asked
        row.refresh_from_db()
        assert row.sync_status == SyncStatus.SYNCED


def test_of_five_pushes_at_once_one_talks_to_litellm(real_transactions: None, litellm: Emulator, settings: Any) -> None:
    ada = make_person("ada")
    for name in MODELS[:1]:
        Model.objects.create(id=name, provider="openai", mode="chat")
        create_subscription(ada, model=name)
    address, settings.LITELLM_API_URL = settings.LITELLM_API_URL, ""  # no immediate try
    secret = create_api_key(ada, name="k", models=["gpt-4o"]).key.secrets.get()
    settings.LITELLM_API_URL = address
    at_once(5, lambda _turn: push(KIND, str(secret.pk), limit=10))
    assert litellm.calls.count(("POST", "/key/generate")) == 1
    secret.refresh_from_db()
    assert (secret.sync_status, secret.push_lease_until) == (SyncStatus.SYNCED, None)


def test_a_killed_push_is_repeated_when_its_lease_is_over(
    key: ApiKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object, **_facts: object) -> None:
        """The worker is gone before it could write what came of it."""
        raise SystemExit

    block_api_key(ann, key_id=key.pk)
    with monkeypatch.context() as patch:
        patch.setattr(state, "settle", die)
        with pytest.raises(SystemExit):
            pushed(key)
    assert there(key).blocked is True
    row = pushed(key)  # nobody may touch it yet
    assert (row.sync_status, row.push_lease_until is None) == (SyncStatus.PENDING, False)
    ApiKeySecret.objects.update(push_lease_until=timezone.now() - timedelta(seconds=1))
    row = pushed(key)
    assert (row.sync_status, row.push_lease_until) == (SyncStatus.SYNCED, None)
