"""A person comes, goes, is limited, changes teams: what LiteLLM does with the person's keys then."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
from django.utils import timezone

from accounts import people
from accounts.identities import update_from_claims
from accounts.models import User
from apikeys.endings import block_api_key, revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyModel
from apikeys.services import IssuedKey, create_api_key, update_api_key
from litellm_sync import integration, measures, state
from litellm_sync.client import LiteLLM
from litellm_sync.client.bodies import NewUser
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import UpstreamRejected
from subscriptions.models import Model
from subscriptions.services import create_subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from teams.services import set_provider_teams
from tests.accounts.test_oidc_people import LEA

pytestmark = pytest.mark.django_db(transaction=True)

Work = Callable[[], int]


@pytest.fixture(params=["litellm", "old_litellm"])
def upstream(request: pytest.FixtureRequest, real_transactions: None) -> Emulator:
    """Each of both versions."""
    found: Emulator = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def key(upstream: Emulator, ada: User, models: list[Model]) -> IssuedKey:
    """A key of ada's that works."""
    for model in models:
        create_subscription(ada, model=model.id)
    return create_api_key(ada, name="notebook", models=["gpt-4o"], model_limits={"gpt-4o": {"rpm_limit": 50}})


def call(upstream: Emulator, issued: IssuedKey) -> int:
    """What a program with the key gets from LiteLLM."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {issued.secret}"}
    return requests.post(f"{upstream.url}/chat/completions", json=body, headers=headers, timeout=10).status_code


def make_stranger(user_id: str, email: str) -> None:
    """Somebody of this address whom others made in LiteLLM."""
    who: NewUser = {"user_id": user_id, "user_alias": user_id, "user_role": "internal_user", "teams": []}
    LiteLLM(5).create_user({**who, "user_email": email})


def all_synced() -> bool:
    return not any(row["pending"] or row["failed"] for row in measures.queue().values())


# --- Address ---------------------------------------------------------------------------------------------------------


def email_there(user: User) -> str | None:
    """The address that LiteLLM has."""
    found = LiteLLM(5).get_user_info(str(user.pk))
    assert found is not None
    return found.email


def provider_says(user: User, email: str) -> None:
    """A provider tells a new address at a sign-in."""
    update_from_claims(user, replace(LEA, email=email, email_verified=True))


def test_a_changed_address_follows(ada: User, upstream: Emulator, work: Work) -> None:
    work()
    assert email_there(ada) == "ada@test.example"
    provider_says(ada, "countess@test.example")
    work()
    assert (email_there(ada), all_synced()) == ("countess@test.example", True)
    before = len(upstream.calls)
    state.request_push(ada, immediately=False)
    work()
    assert {path for method, path in upstream.calls[before:] if method == "POST"} == set()


def test_an_address_that_somebody_else_has_there_is_not_taken(ada: User, upstream: Emulator, work: Work) -> None:
    work()
    make_stranger("else", "Countess@test.example")
    make_stranger("other", "not-countess2@test.example")
    provider_says(ada, "countess@test.example")
    work()
    assert (email_there(ada), all_synced()) == ("ada@test.example", True)
    provider_says(ada, "countess2@test.example")  # only a part of an address that there is
    work()
    assert (email_there(ada), all_synced()) == ("countess2@test.example", True)


def test_who_was_made_without_an_address_gets_it_when_it_is_free(ada: User, upstream: Emulator, work: Work) -> None:
    make_stranger("else", ada.email)
    work()
    assert (email_there(ada), all_synced()) == (None, True)
    LiteLLM(5).update_user("else", {"user_email": "else@test.example"})
    state.request_push(ada, immediately=False)
    work()
    assert (email_there(ada), all_synced()) == (ada.email, True)


def test_an_address_that_only_looks_taken_is_given(upstream: Emulator, ada: User, work: Work) -> None:
    """LiteLLM's refusal of a new person takes a line below for any sign; an address of its own is nobody else's."""
    make_stranger("else", "ada-l@test.example")
    User.objects.filter(pk=ada.pk).update(email="ada_l@test.example")
    work()
    assert (email_there(ada), all_synced()) == ("ada_l@test.example", True)


def test_an_address_is_looked_for_on_every_page(upstream: Emulator) -> None:
    litellm = LiteLLM(60)
    for number in range(102):  # they come by their ids, so the one that is looked for is last
        make_stranger(f"u{number:03}", f"{101 - number or ''}a@test.example")
    assert litellm.get_user_ids_with_email("A@test.example") == {"u101"}
    assert litellm.get_user_ids_with_email("nobody@test.example") == set()


# --- Deactivation ----------------------------------------------------------------------------------------------------


def test_trap_13_keys_of_a_deactivated_person_are_refused_and_work_again_afterwards(
    ada: User, ann: User, key: IssuedKey, upstream: Emulator, work: Work
) -> None:
    by_hand = create_api_key(ada, name="by hand", models=["gpt-4o"])
    ended = create_api_key(ada, name="ended", models=["gpt-4o"])
    block_api_key(ann, key_id=by_hand.key.pk)
    revoke_api_key(ada, key_id=ended.key.pk)
    assert [call(upstream, one) for one in (key, by_hand, ended)] == [200, 401, 401]
    people.deactivate_user(ann, user_id=ada.pk)
    work()
    assert [call(upstream, one) for one in (key, by_hand, ended)] == [401, 401, 401]
    assert all_synced()
    found = LiteLLM(5).get_key_info(ApiKeySecret.objects.get(key=key.key).digest)
    assert found is not None
    assert (found.blocked, found.models) == (True, ("gpt-4o",))
    people.reactivate_user(ann, user_id=ada.pk)
    work()
    assert [call(upstream, one) for one in (key, by_hand, ended)] == [200, 401, 401]
    assert all_synced()


def deactivate(ada: User, ann: User, _key: IssuedKey) -> None:
    people.deactivate_user(ann, user_id=ada.pk)


def block(_ada: User, ann: User, key: IssuedKey) -> None:
    block_api_key(ann, key_id=key.key.pk)


def revoke(ada: User, _ann: User, key: IssuedKey) -> None:
    revoke_api_key(ada, key_id=key.key.pk)


def expire(_ada: User, _ann: User, key: IssuedKey) -> None:
    ApiKey.objects.filter(pk=key.key.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    state.request_pushes(ApiKeySecret, ApiKeySecret.objects.values_list("pk", flat=True))
    push("apikeys.apikeysecret", str(ApiKeySecret.objects.get().pk), limit=5)


@pytest.mark.parametrize("end", [deactivate, block, revoke, expire])
def test_trap_13_a_refusal_lets_no_key_go_on_that_must_not(  # noqa: PLR0917 -- the cast
    end: Callable[..., None],
    ada: User,
    ann: User,
    key: IssuedKey,
    upstream: Emulator,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_arguments: Any) -> None:
        raise UpstreamRejected(http_status=400, reason="http_400")

    work()
    with monkeypatch.context() as refusing:
        refusing.setattr(LiteLLM, "block_key", refuse)
        refusing.setattr(LiteLLM, "delete_key", refuse)
        end(ada, ann, key)
        work()
        row = ApiKeySecret.objects.get()
        assert (row.sync_status, row.sync_error) == (SyncStatus.PENDING, "http_400")
        assert row.sync_next_at is not None
        assert row.sync_next_at - timezone.now() > state.LONGEST_BACK_OFF / 2
        assert call(upstream, key) == 200
    ApiKeySecret.objects.update(sync_next_at=timezone.now())
    integration.tick(timezone.now())
    work()
    assert call(upstream, key) == 401
    assert all_synced()


def test_a_refusal_of_what_gives_more_is_the_end_of_it(
    ada: User, key: IssuedKey, upstream: Emulator, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any) -> None:
        raise UpstreamRejected(http_status=400, reason="http_400")

    monkeypatch.setattr(LiteLLM, "update_key", refuse)
    update_api_key(ada, key_id=key.key.pk, models=["gpt-4o", "gpt-4o-mini"])
    assert ApiKeySecret.objects.get().sync_status == SyncStatus.FAILED


def test_trap_13_the_person_is_never_deleted_in_litellm(
    ada: User, ann: User, key: IssuedKey, upstream: Emulator, work: Work
) -> None:
    people.deactivate_user(ann, user_id=ada.pk)
    work()
    assert LiteLLM(5).get_user_info(str(ada.pk)) is not None
    assert not any(path.startswith("/user/delete") for _method, path in upstream.calls)


def test_trap_20_a_key_that_litellm_never_got_arrives_blocked(
    ada: User, ann: User, key: IssuedKey, upstream: Emulator, work: Work
) -> None:
    upstream.faults.add("down")
    late = create_api_key(ada, name="late", models=["gpt-4o"])
    people.deactivate_user(ann, user_id=ada.pk)
    upstream.faults.clear()
    work()
    assert call(upstream, late) == 401
    assert LiteLLM(5).get_key_info(ApiKeySecret.objects.get(key=late.key).digest) is not None
    people.reactivate_user(ann, user_id=ada.pk)
    work()
    assert call(upstream, late) == 200


def test_trap_20_a_deactivation_while_litellm_is_away_is_carried_out_later(
    ada: User, ann: User, key: IssuedKey, upstream: Emulator, work: Work
) -> None:
    upstream.faults.add("down")
    people.deactivate_user(ann, user_id=ada.pk)
    work()
    assert ApiKeySecret.objects.get().sync_status == SyncStatus.PENDING
    upstream.faults.clear()
    assert call(upstream, key) == 200, "LiteLLM has not heard of it"
    ApiKeySecret.objects.update(sync_next_at=timezone.now() - timedelta(seconds=1))
    integration.tick(timezone.now())
    work()
    assert call(upstream, key) == 401


def test_what_is_not_among_the_first_jobs_is_queued_by_the_periodic_task(
    ada: User, ann: User, key: IssuedKey, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm_sync.state.FIRST_JOBS", 5)
    work()
    for n in range(11):
        create_api_key(ada, name=f"key {n}", models=["gpt-4o"])
    work()
    people.deactivate_user(ann, user_id=ada.pk)
    assert work() == 5
    blocked = [found.blocked for found in LiteLLM(5).get_key_page(1).rows]
    assert sorted(blocked) == [False] * 7 + [True] * 5
    integration.tick(timezone.now())
    assert work() >= 7
    assert all(found.blocked for found in LiteLLM(5).get_key_page(1).rows)
    assert all_synced()


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_trap_23_limits_arrive_and_are_really_cleared(ada: User, ann: User, key: IssuedKey, upstream: Emulator) -> None:
    def there() -> Any:
        return LiteLLM(5).get_user_info(str(ada.pk))

    wish: dict[str, Any] = {"max_budget": Decimal(7), "budget_duration": "30d", "tpm_limit": 100, "rpm_limit": 10}
    assert people.set_limits(ann, user_id=ada.pk, **wish).sync_status == SyncStatus.SYNCED
    found = there()
    assert {name: getattr(found, name) for name in wish} == wish
    people.set_limits(ann, user_id=ada.pk, **dict.fromkeys(wish))
    found = there()
    assert (found.max_budget, found.tpm_limit, found.rpm_limit) == (None, None, None)


def test_a_used_up_budget_of_a_person_stops_the_keys_and_a_higher_one_lets_them_go_on(
    ada: User, ann: User, key: IssuedKey, upstream: Emulator
) -> None:
    people.set_limits(ann, user_id=ada.pk, rpm_limit=1)
    assert [call(upstream, key), call(upstream, key)] == [200, 429]
    people.set_limits(ann, user_id=ada.pk, rpm_limit=None)
    assert call(upstream, key) == 200


# --- Teams -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def team(upstream: Emulator, ada: User, models: list[Model], work: Work) -> Team:
    """A team that a group gives ada."""
    made: Team = Team.objects.create(name="Research")
    state.request_push(made, immediately=False)
    set_provider_teams(ada, ["Research"])
    for model in models:
        create_subscription(ada, model=model.id)
    work()
    return made


def teams_there(user: User) -> set[str]:
    found = LiteLLM(5).get_user_info(str(user.pk))
    assert found is not None
    return set(found.teams)


def test_who_leaves_a_group_leaves_the_team_in_litellm_too(ada: User, team: Team, work: Work) -> None:
    assert teams_there(ada) == {str(DEFAULT_TEAM_ID), str(team.pk)}
    set_provider_teams(ada, [])
    work()
    assert teams_there(ada) == {str(DEFAULT_TEAM_ID)}
    assert all_synced()
    set_provider_teams(ada, ["Research"])
    work()
    assert teams_there(ada) == {str(DEFAULT_TEAM_ID), str(team.pk)}


def test_trap_04_keys_of_a_team_that_was_left_stop_until_the_owner_is_back(
    ada: User, team: Team, upstream: Emulator, work: Work
) -> None:
    charged = create_api_key(ada, name="for the team", models=["gpt-4o"], team=team.pk)
    own = create_api_key(ada, name="own", models=["gpt-4o"], team=DEFAULT_TEAM_ID)
    assert [call(upstream, one) for one in (charged, own)] == [200, 200]
    set_provider_teams(ada, [])
    link = KeyModel.objects.with_subscription().get(key=charged.key)
    assert link.hindrance == "not_in_team"
    assert KeyModel.objects.with_subscription().get(key=own.key).hindrance == ""
    work()
    assert [call(upstream, one) for one in (charged, own)] == [401, 200]
    set_provider_teams(ada, ["Research"])
    work()
    assert [call(upstream, one) for one in (charged, own)] == [200, 200]
    assert all_synced()


def test_teams_that_are_not_ours_are_left_alone(ada: User, team: Team, work: Work) -> None:
    litellm = LiteLLM(5)
    for name in ("not-an-id", "11111111-2222-4333-8444-555555555555"):
        litellm.create_team({"team_id": name, "team_alias": name, "models": []})
        litellm.add_team_member(name, str(ada.pk))
    set_provider_teams(ada, [])
    work()
    assert teams_there(ada) == {str(DEFAULT_TEAM_ID), "not-an-id", "11111111-2222-4333-8444-555555555555"}


def test_who_comes_back_while_being_taken_out_is_listed_again(
    ada: User, team: Team, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = LiteLLM.remove_team_member

    def come_back(self: LiteLLM, team_id: str, user_id: str) -> None:
        remove(self, team_id, user_id)
        Membership.objects.create(team=team, user=ada, sync_status="synced")

    monkeypatch.setattr(LiteLLM, "remove_team_member", come_back)
    set_provider_teams(ada, [])
    work()
    assert Membership.objects.get(team=team).sync_status == SyncStatus.PENDING
    monkeypatch.undo()
    integration.tick(timezone.now())
    work()
    assert str(team.pk) in teams_there(ada)
    assert ApiKey.objects.count() == 0
