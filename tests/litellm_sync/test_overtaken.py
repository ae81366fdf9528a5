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
from litellm_sync import late, state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.emulator.server import Emulator
from litellm_sync.keys import OFFER_MAY_ARRIVE, follow_the_clock
from litellm_sync.models import LateCall
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import UpstreamRejected
from subscriptions.models import Model, Subscription, SubscriptionStatus
from subscriptions.services import create_subscription
from teams.models import Membership, Team
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


@pytest.mark.parametrize("ending", ["expired", "revoked", "replaced"])
def test_trap_20_an_offer_that_arrives_after_the_end_of_its_secret_does_not_stay(
    ada: User, ann: User, subscribed: list[Subscription], litellm: Emulator, ending: str
) -> None:
    litellm.faults.add("late", seconds=600, paths=["/key/generate"], count=1)
    made = create_api_key(ada, name="k", models=["gpt-4o"])
    assert pushed(made.key).sync_error == "unreachable"
    past = timezone.now() - timedelta(seconds=1)
    if ending == "expired":
        ApiKey.objects.update(expires_at=past)
    elif ending == "replaced":
        ApiKeySecret.objects.update(valid_until=past)
    else:
        revoke_api_key(ann, key_id=made.key.pk)
    state.request_push(made.key.secrets.get(), immediately=False)
    row = pushed(made.key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "offer_may_arrive")
    assert litellm.faults.arrive() == 1
    assert there(made.key).blocked is False
    pushed(made.key)
    found = LiteLLM(5).get_key_info(row.digest)
    assert found is None or found.blocked


# --- Changes of people, teams and memberships that arrive late -------------------------------------------------------


def push_all() -> None:
    """Whatever waits, once: teams, people, memberships, keys."""
    for table in (Team, User, Membership, ApiKeySecret):
        rows: Any = table._base_manager.filter(sync_status=SyncStatus.PENDING)
        for pk in list(rows.values_list("pk", flat=True)):
            push(state.kind_of(table), str(pk), limit=5)


def when_nothing_can_arrive() -> int:
    """How many calls are looked after once their time is over."""
    return late.follow(timezone.now() + late.MAY_ARRIVE + timedelta(seconds=1))


def limit_person(ada: User, _red: Team, figure: int) -> None:
    """Another wish for a person."""
    User.objects.filter(pk=ada.pk).update(tpm_limit=figure)
    state.request_push(ada, immediately=False)


def limit_team(_ada: User, red: Team, figure: int) -> None:
    """Another wish for a team."""
    Team.objects.filter(pk=red.pk).update(tpm_limit=figure)
    state.request_push(red, immediately=False)


LIMITS: dict[str, tuple[str, Callable[[User, Team, int], None], Callable[[User, Team], Any]]] = {
    "person": ("/user/update", limit_person, lambda ada, _red: LiteLLM(5).get_user_info(str(ada.pk))),
    "team": ("/team/update", limit_team, lambda _ada, red: LiteLLM(5).get_team_info(str(red.pk))),
}


@pytest.mark.parametrize("what", sorted(LIMITS))
def test_trap_20_an_older_limit_that_arrives_late_does_not_stay(
    ada: User, red: Team, litellm: Emulator, what: str
) -> None:
    path, limit, look = LIMITS[what]
    push_all()
    litellm.faults.add("late", seconds=600, paths=[path], count=1)
    for figure in (7000, 8000):
        limit(ada, red, figure)
        push_all()
    row: Any = {"person": ada, "team": red}[what]
    row.refresh_from_db()
    assert (row.sync_status, look(ada, red).tpm_limit) == (SyncStatus.SYNCED, 8000)
    assert litellm.faults.arrive() == 1
    assert look(ada, red).tpm_limit == 7000
    assert late.follow(timezone.now()) == 0  # more may arrive
    assert when_nothing_can_arrive() == 1
    push_all()
    assert (look(ada, red).tpm_limit, LateCall.objects.count()) == (8000, 0)


def test_trap_20_a_joining_that_arrives_after_the_leaving_does_not_stay(
    ada: User, red: Team, litellm: Emulator
) -> None:
    set_provider_teams(User.objects.get(pk=ada.pk), [])
    push_all()
    litellm.faults.add("late", seconds=600, paths=["/team/member_add"], count=1)
    for groups in (["red"], []):
        set_provider_teams(User.objects.get(pk=ada.pk), groups)
        push_all()
    assert members(red) == frozenset()
    assert litellm.faults.arrive() == 1
    assert members(red) == {str(ada.pk)}
    assert when_nothing_can_arrive() == 1
    push_all()
    assert members(red) == frozenset()


def test_trap_20_a_leaving_that_arrives_after_the_return_takes_nobody_out_and_no_key_away(
    ada: User, red: Team, subscribed: list[Subscription], litellm: Emulator
) -> None:
    push_all()
    litellm.faults.add("late", seconds=600, paths=["/team/member_delete"], count=1)
    for groups in ([], ["red"]):
        set_provider_teams(User.objects.get(pk=ada.pk), groups)
        push_all()
    key = create_api_key(ada, name="k", models=["gpt-4o"], team=red.pk).key
    row = pushed(key)
    assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "removal_may_arrive")
    assert pushed(create_api_key(ada, name="other", models=["gpt-4o"]).key).sync_status == SyncStatus.SYNCED
    assert litellm.faults.arrive() == 1
    assert members(red) == frozenset()
    assert when_nothing_can_arrive() == 1
    push_all()
    assert members(red) == {str(ada.pk)}
    assert ApiKeySecret.objects.get(key=key).sync_status == SyncStatus.SYNCED
    assert there(key).blocked is False


def test_a_process_that_dies_of_a_change_leaves_its_note(
    ada: User, red: Team, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_all()
    limit_person(ada, red, 7000)

    def die(*_arguments: Any) -> None:
        raise SystemExit

    die.__name__ = "update_user"
    with monkeypatch.context() as patch:
        patch.setattr(LiteLLM, "update_user", die)
        with pytest.raises(SystemExit):
            push("accounts.user", str(ada.pk), limit=5)
    assert LateCall.objects.get().object_id == str(ada.pk)
    assert when_nothing_can_arrive() == 1
    assert set(Membership.objects.filter(user=ada).values_list("sync_status", flat=True)) == {SyncStatus.PENDING}


def test_answered_changes_of_people_and_teams_need_no_watch(
    ada: User, red: Team, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_all()
    limit_person(ada, red, 7000)
    limit_team(ada, red, 7000)
    push_all()
    assert LateCall.objects.count() == 0

    def refuse(*_arguments: Any) -> None:
        raise UpstreamRejected(http_status=400)

    refuse.__name__ = "update_user"
    limit_person(ada, red, 8000)
    with monkeypatch.context() as patch:
        patch.setattr(LiteLLM, "update_user", refuse)
        push_all()
    ada.refresh_from_db()
    assert (ada.sync_status, LateCall.objects.count()) == (SyncStatus.FAILED, 0)


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
