"""What is done about differences: pushed again, adopted, blocked; each by those who may, once, and on record."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests

from accounts.models import AuditEvent, User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.policy import update_policy
from apikeys.services import IssuedKey, create_api_key
from litellm_sync import ensure, mending, sides, upstream
from litellm_sync.client import LiteLLM
from litellm_sync.drift import Drift
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import (
    Conflict,
    Invalid,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    UpstreamUnavailable,
)
from subscriptions.models import Subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from tests.litellm_sync.test_reconcile import KIND, age, chat, compare, found, post, push_everything

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription], litellm: Emulator) -> IssuedKey:
    """A key of ada's, and everything in step."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"], max_budget=Decimal(5))
    push_everything()
    return made


@pytest.fixture
def foreign(issued: IssuedKey, litellm: Emulator) -> dict[str, Any]:
    """A key that somebody made in LiteLLM, which may do whatever it likes there."""
    limits = {"max_budget": 20.0, "rpm_limit": 30, "budget_duration": "7d", "spend": 2.5}
    made: dict[str, Any] = post(litellm, "/key/generate", models=["gpt-4o"], key_alias="Nightly\tjob", **limits)
    compare()
    return made


def unknown() -> Drift:
    """The finding about it."""
    return Drift.objects.get(kind="unknown", what="key")


# --- Pushing again ---------------------------------------------------------------------------------------------------


def test_a_difference_is_pushed_again_and_on_record(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    digest = issued.key.secrets.get().digest
    post(litellm, "/key/update", key=digest, max_budget=50)
    compare()
    drift = mending.mend_drift(ann, drift_id=Drift.objects.get().pk)
    assert drift.asked_at is not None
    push(KIND, drift.row_id, limit=5)
    assert litellm.state.keys.rows[digest]["max_budget"] == 5
    event = AuditEvent.objects.get(action="drift.mended")
    assert event.details == {"what": "key", "kind": "different", "object": digest}
    age()
    compare()
    assert found() == []


def test_everything_of_a_kind_is_pushed_again_at_once(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    litellm.state.reset()
    compare()
    with pytest.raises(Invalid) as caught:
        mending.mend_drifts(ann, kind="unknown")
    assert caught.value.code == "unknown_kind"
    assert mending.mend_drifts(ann, kind="different") == 0
    assert mending.mend_drifts(ann, kind="missing", what="team") == 1
    assert mending.mend_drifts(ann, kind="missing") == 3
    assert AuditEvent.objects.filter(action="drift.mended").count() == 2
    newest = AuditEvent.objects.filter(action="drift.mended").first()
    assert newest is not None
    assert newest.details == {"kind": "missing", "rows": {"user": 1, "team": 1, "key": 1}}
    assert not User.objects.filter(sync_status=SyncStatus.SYNCED, pk=issued.key.user_id).exists()


def test_a_person_of_ours_who_is_a_stranger_in_a_team_is_taken_out(
    issued: IssuedKey, ada: User, ann: User, litellm: Emulator
) -> None:
    team = Team.objects.create(name="Research")
    push_everything()
    post(litellm, "/team/member_add", team_id=str(team.pk), member={"role": "user", "user_id": str(ada.pk)})
    compare()
    drift = Drift.objects.get()
    assert (drift.what, drift.kind, mending.can_be_mended(drift)) == ("membership", "unknown", True)
    mending.mend_drift(ann, drift_id=drift.pk)
    push("accounts.user", str(ada.pk), limit=5)
    age()
    compare()
    assert found() == []


def test_nothing_is_pushed_for_what_is_not_ours(foreign: dict[str, Any], ann: User, litellm: Emulator) -> None:
    with pytest.raises(Conflict) as caught:
        mending.mend_drift(ann, drift_id=unknown().pk)
    assert caught.value.code == "nothing_to_push"
    stranger = {"role": "user", "user_id": "somebody"}
    post(litellm, "/team/member_add", team_id=str(DEFAULT_TEAM_ID), member=stranger)
    compare()
    drift = Drift.objects.get(what="membership")
    assert mending.can_be_mended(drift) is False


@pytest.mark.parametrize("verb", ["adopt_key", "block_key", "mend_drift", "unblock_key"])
def test_only_administrators_do_it_and_what_is_gone_is_not_found(
    ada: User, ro: User, ann: User, litellm: Emulator, verb: str
) -> None:
    act, typed = getattr(mending, verb), {"owner": "ada"} if verb == "adopt_key" else {}
    for actor in (ada, ro):
        with pytest.raises(PermissionDenied):
            act(actor, drift_id=uuid4(), **typed)
    with pytest.raises(NotFound):
        act(ann, drift_id=uuid4(), **typed)
    assert litellm.calls == []


# --- Adopting --------------------------------------------------------------------------------------------------------


def test_an_adopted_key_is_a_key_like_any_other_and_goes_on_working(
    foreign: dict[str, Any], ada: User, ann: User, litellm: Emulator
) -> None:
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner=" Ada ")
    secret = key.secrets.get()
    assert (key.user, key.name, key.model_ids) == (ada, "Nightly job", ["gpt-4o"])
    assert key.masked == f"sk-…{foreign['key'][-4:]}"
    assert (key.max_budget, key.rpm_limit, key.budget_duration) == (Decimal(20), 30, "7d")
    assert key.spend == Decimal("2.5")
    assert (secret.digest, secret.pending_secret, secret.was_never_there) == (foreign["token"], None, False)
    assert not Drift.objects.exists()
    push(KIND, str(secret.pk), limit=5)
    there = litellm.state.keys.rows[foreign["token"]]
    facts = ("key_alias", "user_id", "team_id", "allowed_routes", "spend", "blocked")
    assert [there[name] for name in facts] == [
        secret.alias,
        str(ada.pk),
        str(DEFAULT_TEAM_ID),
        ["llm_api_routes"],  # it cannot make further keys any more
        2.5,
        None,
    ]
    assert chat(litellm, foreign["key"]) == 200
    event = AuditEvent.objects.get(action="apikey.adopted")
    assert (event.actor_name, event.target_id, event.details["token"]) == ("ann", str(key.pk), foreign["token"])
    assert foreign["key"] not in str(event.details)
    age()
    compare()
    assert found() == []


def test_trap_45_an_adopted_key_makes_no_further_keys(foreign: dict[str, Any], ann: User, litellm: Emulator) -> None:
    headers = {"Authorization": f"Bearer {foreign['key']}"}
    assert requests.post(f"{litellm.url}/key/generate", json={}, headers=headers, timeout=10).ok
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    push(KIND, str(key.secrets.get().pk), limit=5)
    assert requests.post(f"{litellm.url}/key/generate", json={}, headers=headers, timeout=10).status_code == 403


def test_trap_05_the_policy_bounds_what_is_adopted(foreign: dict[str, Any], ann: User) -> None:
    update_policy(ann, maximum_max_budget=Decimal(8), maximum_tpm_limit=1000, maximum_expires_days=30)
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    assert (key.max_budget, key.tpm_limit, key.rpm_limit) == (Decimal(8), 1000, 30)
    assert key.expires_at is not None


def test_trap_03_adopting_keeps_limits_of_models_and_takes_away_what_loosens(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    metadata = {
        "model_rpm_limit": {"gpt-4o": 5, "gone-model": 7},
        "model_tpm_limit": {"gpt-4o": 9000},
        "temp_budget_increase": 1000,
        "temp_budget_expiry": "2099-01-01",
        "team": "blue",
    }
    made = post(litellm, "/key/generate", models=["gpt-4o", "gone-model"], max_budget=2, metadata=metadata)
    compare()
    update_policy(ann, maximum_tpm_limit=800)
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    assert key.model_limits == {"gpt-4o": {"rpm_limit": 5, "tpm_limit": 800}}
    push(KIND, str(key.secrets.get().pk), limit=5)
    assert litellm.state.keys.rows[made["token"]]["metadata"] == {
        "model_rpm_limit": {"gpt-4o": 5},
        "model_tpm_limit": {"gpt-4o": 800},
        "team": "blue",
    }


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"rpm_limit": 0}, "rpm_limit"),
        ({"tpm_limit": -1}, "tpm_limit"),
        ({"max_parallel_requests": 0}, "max_parallel_requests"),
        ({"metadata": {"model_rpm_limit": {"gpt-4o": 0}}}, "model_limits"),
        ({"metadata": {"model_tpm_limit": {"gpt-4o": "many"}}}, "model_limits"),
        ({"max_budget": 1e11}, "max_budget"),
        ({"max_budget": 5, "budget_duration": "30s"}, "budget_duration"),
    ],
)
def test_a_key_with_limits_that_no_key_can_have_here_is_not_adopted(
    issued: IssuedKey, ann: User, litellm: Emulator, limits: dict[str, Any], name: str
) -> None:
    made = post(litellm, "/key/generate", models=["gpt-4o"])
    litellm.state.keys.put(made["token"], litellm.state.keys.rows[made["token"]] | limits)
    compare()
    with pytest.raises(Conflict) as caught:
        mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    assert (caught.value.code, caught.value.details["limit"]) == ("key_unfit", name)
    assert ApiKey.objects.count() == 1


def test_trap_05_a_budget_that_begins_again_sooner_than_the_policy_allows_does_so_later(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    post(litellm, "/key/generate", models=["gpt-4o"], max_budget=1 / 3, budget_duration="1h")
    compare()
    update_policy(ann, minimum_budget_duration="1d")
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    assert (str(key.max_budget), key.budget_duration) == ("0.3333333333", "1d")


@pytest.mark.parametrize("verb", ["adopt_key", "block_key"])
def test_whoever_is_deactivated_while_litellm_is_asked_does_nothing_more(
    foreign: dict[str, Any], ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    look = LiteLLM.get_key_info

    def slow(self: LiteLLM, token: str) -> Any:
        User.objects.filter(pk=ann.pk).update(is_active=False)
        return look(self, token)

    monkeypatch.setattr(LiteLLM, "get_key_info", slow)
    with pytest.raises(NotAuthenticated):
        getattr(mending, verb)(ann, drift_id=unknown().pk, **({"owner": "ada"} if verb == "adopt_key" else {}))
    assert (ApiKey.objects.count(), chat(litellm, foreign["key"])) == (1, 200)
    assert not AuditEvent.objects.filter(action__in=("apikey.adopted", "drift.blocked")).exists()


def test_a_key_for_every_model_is_adopted_for_what_its_owner_may_use(
    issued: IssuedKey, ann: User, litellm: Emulator
) -> None:
    made = post(litellm, "/key/generate", key_alias="everything")
    compare()
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    assert key.model_ids == ["claude-sonnet", "gpt-4o", "gpt-4o-mini"]
    push(KIND, str(key.secrets.get().pk), limit=5)
    assert litellm.state.keys.rows[made["token"]]["models"] == key.model_ids


def test_a_key_that_would_stop_working_by_it_is_not_adopted(foreign: dict[str, Any], ann: User, eve: User) -> None:
    with pytest.raises(Invalid) as caught:
        mending.adopt_key(ann, drift_id=unknown().pk, owner="eve")
    assert (caught.value.code, caught.value.details["models"]) == ("model_not_subscribed", ["gpt-4o"])
    assert ApiKey.objects.filter(user=eve).count() == 0
    assert not AuditEvent.objects.filter(action="apikey.adopted").exists()


def test_a_blocked_key_stays_blocked(foreign: dict[str, Any], ann: User, litellm: Emulator) -> None:
    post(litellm, "/key/block", key=foreign["token"])
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    push(KIND, str(key.secrets.get().pk), limit=5)
    assert (key.status, chat(litellm, foreign["key"])) == ("blocked", 401)


def test_a_key_that_is_blocked_in_litellm_while_its_owner_is_looked_for_stays_blocked(
    foreign: dict[str, Any], ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the beginning and the row lie seconds of calls to LiteLLM."""
    ensure_user = ensure.ensure_user_exists_in_litellm

    def slow(person: User, asked: LiteLLM) -> Any:
        post(litellm, "/key/block", key=foreign["token"])
        return ensure_user(person, asked)

    monkeypatch.setattr(ensure, "ensure_user_exists_in_litellm", slow)
    key = mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    push(KIND, str(key.secrets.get().pk), limit=5)
    assert (key.status, chat(litellm, foreign["key"])) == ("blocked", 401)


def test_a_key_that_a_second_administrator_blocks_during_the_last_look_stays_blocked(
    foreign: dict[str, Any], ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, drift = LiteLLM.get_key_info, unknown()

    def overtaken(self: LiteLLM, token: str) -> Any:
        seen = look(self, token)
        monkeypatch.setattr(LiteLLM, "get_key_info", look)
        mending.block_key(ann, drift_id=drift.pk)
        return seen

    monkeypatch.setattr(LiteLLM, "get_key_info", overtaken)
    key = mending.adopt_key(ann, drift_id=drift.pk, owner="ada")
    push(KIND, str(key.secrets.get().pk), limit=5)
    assert (key.status, chat(litellm, foreign["key"])) == ("blocked", 401)


def test_a_block_that_has_not_reached_litellm_yet_counts_for_whoever_adopts(
    foreign: dict[str, Any], ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, drift, adopted = LiteLLM.block_key, unknown(), []

    def late(self: LiteLLM, token: str) -> None:
        adopted.append(mending.adopt_key(ann, drift_id=drift.pk, owner="ada"))
        block(self, token)

    monkeypatch.setattr(LiteLLM, "block_key", late)
    with pytest.raises(NotFound):
        mending.block_key(ann, drift_id=drift.pk)
    push(KIND, str(adopted[0].secrets.get().pk), limit=5)
    assert (adopted[0].status, chat(litellm, foreign["key"])) == ("blocked", 401)


def test_a_key_that_was_adopted_during_the_look_is_not_blocked_behind_its_rows_back(
    foreign: dict[str, Any], ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, drift = LiteLLM.get_key_info, unknown()

    def overtaken(self: LiteLLM, token: str) -> Any:
        monkeypatch.setattr(LiteLLM, "get_key_info", look)
        mending.adopt_key(ann, drift_id=drift.pk, owner="ada")
        return look(self, token)

    monkeypatch.setattr(LiteLLM, "get_key_info", overtaken)
    with pytest.raises(Conflict) as caught:
        mending.block_key(ann, drift_id=drift.pk)
    assert caught.value.code == "key_known"
    assert ("POST", "/key/block") not in litellm.calls
    assert not AuditEvent.objects.filter(action="drift.blocked").exists()
    assert chat(litellm, foreign["key"]) == 200


def test_adopting_keeps_to_the_number_of_keys_and_to_people_who_are_there(
    foreign: dict[str, Any], ann: User, eve: User
) -> None:
    update_policy(ann, keys_per_user=1)
    with pytest.raises(QuotaExceeded):
        mending.adopt_key(ann, drift_id=unknown().pk, owner="ada")
    User.objects.filter(pk=eve.pk).update(is_active=False)
    for owner in ("eve", "nobody"):
        with pytest.raises(Invalid) as caught:
            mending.adopt_key(ann, drift_id=unknown().pk, owner=owner)
        assert caught.value.code == "unknown_owner"


def test_what_was_deleted_or_adopted_meanwhile_is_said(
    foreign: dict[str, Any], ann: User, ada: User, litellm: Emulator
) -> None:
    drift = unknown()
    mending.adopt_key(ann, drift_id=drift.pk, owner="ada")
    for verb, typed in (("adopt_key", {"owner": "ada"}), ("block_key", {}), ("unblock_key", {})):
        drift.save(force_insert=True)  # as another administrator's page still has it
        with pytest.raises(Conflict) as caught:
            getattr(mending, verb)(ann, drift_id=drift.pk, **typed)
        assert (caught.value.code, Drift.objects.count()) == ("key_known", 0)
    drift.save(force_insert=True)
    ApiKeySecret.objects.filter(digest=foreign["token"]).update(digest="0" * 64)
    post(litellm, "/key/delete", keys=[foreign["token"]])
    with pytest.raises(Conflict) as caught:
        mending.adopt_key(ann, drift_id=drift.pk, owner="ada")
    assert caught.value.code == "drift_gone"
    assert not Drift.objects.exists()


# --- Blocking --------------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_blocked_and_unblocked_once(foreign: dict[str, Any], ann: User, litellm: Emulator) -> None:
    for _time in range(2):
        assert mending.block_key(ann, drift_id=unknown().pk).details["blocked"] is True
    assert chat(litellm, foreign["key"]) == 401
    compare()
    assert unknown().details["blocked"] is True
    mending.unblock_key(ann, drift_id=unknown().pk)
    assert chat(litellm, foreign["key"]) == 200
    events = AuditEvent.objects.filter(category="drift").order_by("at").values_list("action", "details__token")
    assert list(events) == [("drift.blocked", foreign["token"]), ("drift.unblocked", foreign["token"])]


def test_a_key_that_is_ours_by_now_is_not_unblocked_by_a_finding_of_before(
    foreign: dict[str, Any], ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody adopts it, blocked as it is, while somebody else's wish to unblock it is on its way."""
    post(litellm, "/key/block", key=foreign["token"])
    drift, adopted, unblock = unknown(), [], LiteLLM.unblock_key

    def overtaken(self: LiteLLM, token: str) -> None:
        adopted.append(mending.adopt_key(ann, drift_id=drift.pk, owner="ada").secrets.get())
        push(KIND, str(adopted[0].pk), limit=5)
        unblock(self, token)

    monkeypatch.setattr(LiteLLM, "unblock_key", overtaken)
    with pytest.raises(NotFound):
        mending.unblock_key(ann, drift_id=drift.pk)
    push(KIND, str(adopted[0].pk), limit=5)
    assert chat(litellm, foreign["key"]) == 401


def test_a_key_that_is_adopted_during_a_comparison_is_not_found_again(
    foreign: dict[str, Any], issued: IssuedKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list and the end of a page lie minutes of single looks."""
    post(litellm, "/key/update", key=issued.key.secrets.get().digest, max_budget=50)
    drift, find = unknown(), sides.Keys.find

    def slow(self: Any, asked: Any, object_id: str) -> Any:
        mending.adopt_key(ann, drift_id=drift.pk, owner="ada")
        return find(self, asked, object_id)

    monkeypatch.setattr(sides.Keys, "find", slow)
    compare()
    assert [kind for _what, kind, _id in found()] == ["different"]


@pytest.mark.parametrize("mode", ["500", "cut", "down", "garbage"])
@pytest.mark.parametrize("path", ["/key/block", "/key/info"])
def test_blocking_in_bad_weather_says_so_and_can_be_repeated(
    foreign: dict[str, Any], ann: User, litellm: Emulator, mode: str, path: str
) -> None:
    litellm.faults.add(mode, paths=[path])
    with pytest.raises(UpstreamUnavailable):
        mending.block_key(ann, drift_id=unknown().pk)
    assert unknown().details["blocked"] is False
    # The wish is on record as soon as LiteLLM may have heard of it.
    assert AuditEvent.objects.filter(action="drift.blocked").exists() is (path == "/key/block")
    litellm.faults.clear()
    upstream.probe()
    mending.block_key(ann, drift_id=unknown().pk)
    assert (unknown().details["blocked"], chat(litellm, foreign["key"])) == (True, 401)


def test_only_unknown_keys_are_blocked_so(issued: IssuedKey, ann: User, litellm: Emulator) -> None:
    post(litellm, "/key/update", key=issued.key.secrets.get().digest, max_budget=50)
    post(litellm, "/user/new", user_id="somebody", auto_create_key=False)
    compare()
    assert Drift.objects.count() == 2
    for drift in Drift.objects.all():
        with pytest.raises(NotFound):
            mending.block_key(ann, drift_id=drift.pk)
    assert Membership.objects.count() == 2
