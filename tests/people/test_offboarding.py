"""Off-boarding ends everything by which somebody could go on, all of it or nothing."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts import services, tokens
from accounts.models import AuditEvent, PersonalToken, RefreshFamily, Role, User
from accounts.people import reactivate_user
from accounts.personal_tokens import create_personal_token
from accounts.sessions import count_sign_ins
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import integration
from litellm_sync.client import LiteLLM
from litellm_sync.emulator.server import Emulator
from litemaas.foundation.errors import Conflict, NotAuthenticated, NotFound, PermissionDenied
from litemaas.people import offboarding
from litemaas.people.offboarding import offboard_user, plan_offboarding
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription, deny_subscription, request_review
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from teams.services import set_provider_teams
from tests.cast import make_person
from tests.races import at_once, wait_for_a_lock

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(ada: User, ann: User, subscribed: list[Subscription]) -> User:
    """Ada has of everything: keys in each state, subscriptions, teams, roles, sign-ins."""
    for name in ("works", "blocked", "expired", "revoked"):
        create_api_key(ada, name=name, models=["gpt-4o"])
    ApiKey.objects.filter(name="blocked").update(status="blocked")
    ApiKey.objects.filter(name="expired").update(expires_at=timezone.now())
    revoke_api_key(ada, key_id=ApiKey.objects.get(name="revoked").pk)
    for name in ("asked", "denied"):
        Model.objects.create(id=name, provider="openai", mode="chat", restricted=True)
        create_subscription(ada, model=name)
    deny_subscription(ann, subscription_id=Subscription.objects.get(model="denied").pk, reason="no")
    for name in ("Research", "By hand"):
        Team.objects.create(name=name)
    set_provider_teams(ada, ["Research"])
    Membership.objects.create(team=Team.objects.get(name="By hand"), user=ada)
    roles = ["admin", "adminReadonly"]
    User.objects.filter(pk=ada.pk).update(roles=roles, hand_roles=["admin"], provider_roles=["adminReadonly"])
    Client().force_login(ada)
    tokens.generate_token_pair(ada)
    create_personal_token(ada, name="Nightly report", scope="read")
    return User.objects.get(pk=ada.pk)


def test_everything_ends_and_the_answer_says_what(world: User, ann: User) -> None:
    planned = plan_offboarding(ann, user_id=world.pk)
    found = offboard_user(ann, user_id=world.pk, reason="left the company")
    assert planned.done == found.done
    assert found.done == offboarding.Steps(
        deactivate=True,
        sign_ins=2,
        tokens=1,
        token_names=["Nightly report"],
        keys=3,
        key_names=["works", "blocked", "expired"],
        subscriptions=["asked", "claude-sonnet", "gpt-4o", "gpt-4o-mini"],
        teams=["Research", "By hand"],
        roles=["admin", "adminReadonly"],
    )
    now = User.objects.get(pk=world.pk)
    assert (now.is_active, now.roles, now.hand_roles, now.provider_roles) == (False, ["user"], [], [])
    assert set(ApiKey.objects.values_list("status", flat=True)) == {"revoked"}
    assert not ApiKey.objects.filter(revoked_at=None).exists()
    assert set(ApiKeySecret.objects.exclude(key__name="revoked").values_list("sync_status", flat=True)) == {"pending"}
    assert list(Subscription.objects.values_list("model", "status")) == [("denied", "denied")]
    assert [one.team_id for one in now.memberships.all()] == [DEFAULT_TEAM_ID]
    assert count_sign_ins(now) == 0
    assert PersonalToken.objects.get().revoked_at is not None


def test_trap_43_each_thing_has_its_entry_in_the_audit_log(world: User, ann: User) -> None:
    offboard_user(ann, user_id=world.pk, reason="left")
    mine = AuditEvent.objects.filter(actor_id=ann.pk)
    assert sorted(mine.filter(action="apikey.revoked").values_list("target_name", flat=True)) == [
        "blocked",
        "expired",
        "works",
    ]
    assert mine.filter(action="subscription.cancelled").count() == 4
    assert mine.filter(action="membership.removed").count() == 2
    assert mine.get(action="user.deactivated").details["reason"] == "left"
    assert mine.get(action="user.roles_changed").details["old"] == ["admin", "adminReadonly"]
    whole = mine.get(action="user.offboarded").details
    assert (whole["keys"], whole["teams"], whole["reason"]) == (3, ["Research", "By hand"], "left")


def test_again_does_only_what_has_come_up_since(world: User, ann: User, models: list[Model]) -> None:
    offboard_user(ann, user_id=world.pk)
    assert offboard_user(ann, user_id=world.pk).done.is_nothing
    assert AuditEvent.objects.filter(action="user.offboarded").count() == 1
    Subscription.objects.create(user=world, model=models[0])
    assert offboard_user(ann, user_id=world.pk).done.subscriptions == ["gpt-4o"]
    assert AuditEvent.objects.filter(action="user.offboarded").count() == 2


def test_nothing_happens_when_a_part_fails(world: User, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("litemaas.people.offboarding.identities.take_all_roles", fail)
    with pytest.raises(RuntimeError):
        offboard_user(ann, user_id=world.pk)
    now = User.objects.get(pk=world.pk)
    assert now.is_active
    assert ApiKey.objects.exclude(status="revoked").count() == 3
    assert Subscription.objects.count() == 5


def test_who_comes_back_is_a_user_without_keys(world: User, ann: User) -> None:
    offboard_user(ann, user_id=world.pk)
    assert offboarding.last_offboarding(world) is not None
    reactivate_user(ann, user_id=world.pk)
    now = User.objects.get(pk=world.pk)
    assert (now.is_active, now.roles) == (True, ["user"])
    assert set(ApiKey.objects.values_list("status", flat=True)) == {"revoked"}
    assert offboarding.last_offboarding(world) is None


@pytest.mark.parametrize("verb", [plan_offboarding, offboard_user])
def test_trap_09_only_admins_off_board_and_nobody_oneself_or_the_last(
    request: pytest.FixtureRequest, ada: User, ann: User, verb: Callable[..., Any]
) -> None:
    for name in ("ada", "eve", "ro"):
        with pytest.raises(PermissionDenied):
            verb(request.getfixturevalue(name), user_id=ada.pk)
    with pytest.raises(NotFound):
        verb(ann, user_id="00000000-0000-4000-8000-000000000000")
    bob = make_person("bob", Role.ADMIN)
    with pytest.raises(Conflict) as refused:
        verb(ann, user_id=ann.pk)
    assert refused.value.code == "own_account"
    User.objects.filter(pk=bob.pk).update(roles=["user"])
    with pytest.raises(Conflict) as refused:
        verb(bob, user_id=ann.pk)
    assert refused.value.code == "last_admin"


def test_two_thousand_keys_end_in_as_many_statements_as_three(
    world: User, ann: User, django_assert_max_num_queries: Any
) -> None:
    team = Team.objects.get(pk=DEFAULT_TEAM_ID)
    keys = ApiKey.objects.bulk_create(ApiKey(user=world, team=team, name=f"k{n}") for n in range(2000))
    ApiKeySecret.objects.bulk_create(
        ApiKeySecret(key=key, digest=f"{n:064}", last4="0000", sync_status="synced") for n, key in enumerate(keys)
    )
    with django_assert_max_num_queries(70):
        found = offboard_user(ann, user_id=world.pk)
    assert (found.done.keys, found.waiting.keys, len(found.done.key_names)) == (2003, 2004, offboarding.NAMED)
    assert not ApiKey.objects.exclude(status="revoked").exists()
    assert AuditEvent.objects.filter(action="apikey.revoked", actor_id=ann.pk).count() == 2003


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("real_transactions")
def test_litellm_follows_and_says_when_it_has(
    ada: User, ann: User, models: list[Model], litellm: Emulator, work: Callable[[], int]
) -> None:
    create_subscription(ada, model="gpt-4o")
    issued = create_api_key(ada, name="k", models=["gpt-4o"])
    work()
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {issued.secret}"}

    def call() -> int:
        return requests.post(f"{litellm.url}/chat/completions", json=body, headers=headers, timeout=10).status_code

    assert call() == 200
    litellm.faults.add("down")
    assert not offboard_user(ann, user_id=ada.pk).waiting.is_nothing
    litellm.faults.clear()
    ApiKeySecret.objects.update(sync_next_at=timezone.now())
    integration.tick(timezone.now())
    work()
    assert call() == 401
    assert LiteLLM(5).get_user_info(str(ada.pk)) is not None
    assert offboard_user(ann, user_id=ada.pk).waiting.is_nothing


# --- What was asked before and is carried out after ------------------------------------------------------------------


def test_what_was_asked_before_makes_nothing_after_it(ada: User, ann: User, models: list[Model]) -> None:
    """A request that is under way has read its person before."""
    Model.objects.filter(pk="gpt-4o").update(restricted=True)
    asked = create_subscription(ada, model="gpt-4o")
    deny_subscription(ann, subscription_id=asked.pk, reason="no")
    before = User.objects.get(pk=ada.pk)
    offboard_user(ann, user_id=ada.pk)
    for late in (
        lambda: create_personal_token(before, name="late", scope="write"),
        lambda: create_subscription(before, model="gpt-4o-mini"),
        lambda: request_review(before, subscription_id=asked.pk, message="please"),
        lambda: tokens.generate_token_pair(before),
    ):
        with pytest.raises(NotAuthenticated):
            late()
    assert PersonalToken.objects.count() == 0
    assert RefreshFamily.objects.count() == 0
    assert list(Subscription.objects.filter(user=ada).values_list("status", flat=True)) == ["denied"]


def test_a_browser_that_was_signing_in_meanwhile_is_not_in(
    ada: User, ann: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PASSWORD_SIGN_IN = True
    look = services.sign_in_with_password

    def slowly(**typed: str) -> User:
        found = look(**typed)
        offboard_user(ann, user_id=ada.pk)
        return found

    client = Client()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(services, "sign_in_with_password", slowly)
        client.post("/sign-in", {"username": "ada", "password": "ada"})
    reactivate_user(ann, user_id=ada.pk)
    assert count_sign_ins(ada) == 0
    assert client.get("/usage").status_code == 302
    assert client.post("/sign-in", {"username": "ada", "password": "ada"}).status_code == 302
    assert client.get("/usage").status_code == 200


@pytest.mark.usefixtures("real_transactions")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["token", "pair", "session"])
def test_what_is_made_at_the_same_moment_is_ended_or_refused(kind: str, ada: User, ann: User) -> None:
    """The maker holds the person's row while the deactivation begins: it waits, and sees what was made."""
    holds, go_on = threading.Event(), threading.Event()

    def make() -> None:
        with transaction.atomic():
            if kind == "token":
                create_personal_token(ada, name="late", scope="write")
            elif kind == "pair":
                tokens.generate_token_pair(ada)
            else:
                Client().force_login(ada)
            holds.set()
            assert go_on.wait(70)

    def end() -> None:
        assert holds.wait(70)
        offboard_user(ann, user_id=ada.pk)

    def release() -> None:
        assert holds.wait(70)
        wait_for_a_lock()
        go_on.set()

    at_once(3, lambda turn: (make, end, release)[turn]())
    assert PersonalToken.objects.alive(timezone.now()).count() == 0
    assert count_sign_ins(ada) == 0
