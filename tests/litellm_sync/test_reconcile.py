"""Comparing both sides: what is found, what is no drift, what is mended, and bad weather in the middle of it."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
from django.db import connection
from django.utils import timezone

from accounts.models import User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from apikeys.services import IssuedKey, create_api_key
from litellm_sync import integration, mending, reconcile, runs, sides, state, upstream
from litellm_sync.drift import Drift, DriftKind, Subject
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import RunStatus, SyncRun
from litellm_sync.push import push
from litellm_sync.runs import Run, RunLost
from litellm_sync.state import SyncStatus
from subscriptions.models import Subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team

pytestmark = pytest.mark.django_db

KIND = "apikeys.apikeysecret"


def post(litellm: Emulator, path: str, **body: Any) -> Any:
    """Something that somebody does in LiteLLM behind our back."""
    headers = {"Authorization": f"Bearer {litellm.master_key}"}
    answer = requests.post(f"{litellm.url}{path}", json=body, headers=headers, timeout=10)
    assert answer.ok, answer.text
    return answer.json()


def chat(litellm: Emulator, secret: str) -> int:
    """The status of a call with a key."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {secret}"}
    return requests.post(f"{litellm.url}/chat/completions", json=body, headers=headers, timeout=10).status_code


def compare() -> SyncRun:
    """A run, carried out as a worker would."""
    run = integration.request_sync(None, what="reconcile")
    integration.perform(str(run.pk))
    run.refresh_from_db()
    return run


def found() -> list[tuple[str, str, str]]:
    """What differs, in short."""
    return sorted((drift.what, drift.kind, drift.object_id) for drift in Drift.objects.all())


def push_everything() -> None:
    """Make LiteLLM equal, and let some time pass: what was pushed since a run began is no drift."""
    for model in state.synced_models():
        for pk in model._base_manager.filter(sync_status=SyncStatus.PENDING).values_list("pk", flat=True):
            push(state.kind_of(model), str(pk), limit=5)
    age()


def age() -> None:
    """Everything was pushed an hour ago."""
    for model in state.synced_models():
        model._base_manager.update(synced_at=timezone.now() - timedelta(hours=1))


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription], litellm: Emulator) -> IssuedKey:
    """A key of ada's, and everything in step."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"], max_budget=Decimal(5), budget_duration="30d")
    push_everything()
    return made


@pytest.fixture
def secret(issued: IssuedKey) -> ApiKeySecret:
    """Its secret's row."""
    return issued.key.secrets.get()


def test_nothing_differs_where_everything_was_pushed(issued: IssuedKey) -> None:
    run = compare()
    assert (run.status, found()) == (RunStatus.DONE, [])
    assert run.report == {
        "alive": 0,
        "missing": 0,
        "different": 0,
        "unknown": 0,
        "compared": 3,  # ada, the default team, the key
        "mended": 0,
        "settled": 0,
    }
    assert (run.done, run.total) == (3, 3)


def test_nothing_differs_in_the_old_version_either(
    ada: User, subscribed: list[Subscription], old_litellm: Emulator
) -> None:
    create_api_key(ada, name="notebook", models=["gpt-4o", "claude-sonnet"], model_limits={"gpt-4o": {"rpm_limit": 5}})
    push_everything()
    run = compare()
    assert (run.report["compared"], found()) == (3, [])


def test_what_litellm_has_lost_is_missing(issued: IssuedKey, ada: User, litellm: Emulator) -> None:
    litellm.state.reset()
    run = compare()
    membership = Membership.objects.get(user=ada)
    assert found() == sorted(
        [
            ("key", "missing", issued.key.secrets.get().digest),
            ("team", "missing", str(DEFAULT_TEAM_ID)),
            ("user", "missing", str(ada.pk)),
        ]
    )
    assert membership.listed  # of a team that is not there nobody can be missing as a member
    assert run.report["missing"] == 3


def test_a_key_that_is_missing_and_whose_secret_is_erased_needs_rotation_and_its_owner_is_told(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator, settings: Any
) -> None:
    settings.RECONCILE_MENDS = []
    post(litellm, "/key/delete", keys=[secret.digest])
    compare()
    assert Drift.objects.get().details["needs_rotation"] == "untold"
    push(KIND, str(secret.pk), limit=5)
    secret.refresh_from_db()
    assert (secret.sync_status, secret.sync_error) == (SyncStatus.FAILED, "needs_rotation")
    generation = secret.sync_generation
    age()
    compare()
    secret.refresh_from_db()
    assert (Drift.objects.get().details["needs_rotation"], secret.sync_generation) == ("told", generation)


def test_a_missing_member_is_found_and_pushed_again(issued: IssuedKey, ada: User, litellm: Emulator) -> None:
    team = Team.objects.create(name="Research")
    row = Membership.objects.create(user=ada, team=team)
    push_everything()
    post(litellm, "/team/member_delete", team_id=str(team.pk), user_id=str(ada.pk))
    compare()
    drift = Drift.objects.get()
    assert (drift.what, drift.kind, drift.row_id) == ("membership", "missing", str(row.pk))
    reconcile.ask(Membership, Subject.MEMBERSHIP, [drift.row_id])
    push("teams.membership", str(row.pk), limit=5)
    age()
    compare()
    assert found() == []


@pytest.mark.parametrize(
    ("path", "changes", "fields"),
    [
        ("/key/update", {"max_budget": 50}, {"max_budget": ["5.0", "50.0"]}),
        ("/key/update", {"models": ["gpt-4o", "claude-sonnet"]}, {"models": [["gpt-4o"], ["gpt-4o", "claude-sonnet"]]}),
        ("/key/update", {"allowed_routes": []}, {"allowed_routes": [["llm_api_routes"], []]}),
        ("/key/update", {"access_group_ids": ["g"]}, {"access_group_ids": [[], ["g"]]}),
        ("/key/update", {"aliases": {"gpt-4o": "gpt-5"}}, {"aliases": [{}, {"gpt-4o": "gpt-5"}]}),
        ("/key/update", {"router_settings": {"timeout": 9}}, {"router_settings": [{}, {"timeout": 9}]}),
        ("/key/block", {}, {"blocked": [False, True]}),
    ],
)
def test_what_somebody_changed_of_a_key_is_different_and_mended_by_the_same_push(  # noqa: PLR0917 -- fixtures
    issued: IssuedKey,
    secret: ApiKeySecret,
    litellm: Emulator,
    settings: Any,
    path: str,
    changes: dict[str, Any],
    fields: dict[str, Any],
) -> None:
    post(litellm, path, key=secret.digest, **changes)
    compare()
    drift = Drift.objects.get()
    assert (drift.kind, drift.details["fields"]) == (DriftKind.DIFFERENT, fields)
    secret.refresh_from_db()
    assert secret.sync_status == SyncStatus.SYNCED  # dry run first
    settings.RECONCILE_MENDS = ["different"]
    assert compare().report["mended"] == 1
    push(KIND, str(secret.pk), limit=5)
    age()
    run = compare()
    assert (found(), run.report["settled"]) == ([], 1)


def test_other_limits_of_people_and_names_of_teams_are_different(
    issued: IssuedKey, ada: User, litellm: Emulator
) -> None:
    post(litellm, "/user/update", user_id=str(ada.pk), max_budget=9, tpm_limit=7)
    post(litellm, "/team/update", team_id=str(DEFAULT_TEAM_ID), team_alias="Everybody", models=["gpt-4o"])
    compare()
    fields = {drift.what: drift.details["fields"] for drift in Drift.objects.all()}
    assert fields == {
        "user": {"max_budget": [None, "9.0"], "tpm_limit": [None, 7]},
        "team": {"models": [[], ["gpt-4o"]], "alias": ["Default Team", "Everybody"]},
    }


@pytest.mark.parametrize("version", ["litellm", "old_litellm"])
def test_a_team_that_is_blocked_in_litellm_is_different_and_works_again_by_its_push(
    ada: User, subscribed: list[Subscription], request: pytest.FixtureRequest, settings: Any, version: str
) -> None:
    emulator: Emulator = request.getfixturevalue(version)
    made = create_api_key(ada, name="notebook", models=["gpt-4o"])
    push_everything()
    post(emulator, "/team/update", team_id=str(DEFAULT_TEAM_ID), blocked=True)
    assert chat(emulator, made.secret) == 401
    settings.RECONCILE_MENDS = ["different"]
    assert compare().report["mended"] == 1
    drift = Drift.objects.get()
    fields = {"blocked": [False, True]}
    assert (drift.what, drift.kind, drift.details["fields"]) == ("team", "different", fields)
    push("teams.team", str(DEFAULT_TEAM_ID), limit=5)
    assert chat(emulator, made.secret) == 200
    age()
    compare()
    assert found() == []


def role_of(litellm: Emulator, user: User) -> str:
    """What somebody is in LiteLLM."""
    role: str = litellm.state.users.rows[str(user.pk)]["user_role"]
    return role


@pytest.mark.parametrize("role", ["proxy_admin", "proxy_admin_viewer", "internal_user_viewer"])
@pytest.mark.parametrize("version", ["litellm", "old_litellm"])
def test_another_role_in_litellm_is_different_and_taken_only_where_that_was_decided(  # noqa: PLR0917 -- fixtures
    ada: User, ann: User, subscribed: list[Subscription], request: pytest.FixtureRequest, version: str, role: str
) -> None:
    emulator: Emulator = request.getfixturevalue(version)
    create_api_key(ada, name="notebook", models=["gpt-4o"])
    push_everything()
    post(emulator, "/user/update", user_id=str(ada.pk), user_role=role)
    assert (compare().report["different"], compare().report["mended"]) == (1, 0)
    drift = Drift.objects.get()
    assert (drift.object_id, drift.details["fields"]) == (str(ada.pk), {"role": ["internal_user", role]})
    User.objects.filter(pk=ada.pk).update(tpm_limit=77)
    state.request_pushes(User, [ada.pk])
    push("accounts.user", str(ada.pk), limit=5)  # of a limit: it must not degrade anybody silently
    assert (role_of(emulator, ada), emulator.state.users.rows[str(ada.pk)]["tpm_limit"]) == (role, 77)
    mending.mend_drift(ann, drift_id=drift.pk)
    push("accounts.user", str(ada.pk), limit=5)
    assert role_of(emulator, ada) == "internal_user"
    post(emulator, "/user/update", user_id=str(ada.pk), user_role=role)  # somebody meant it
    state.request_pushes(User, [ada.pk])
    push("accounts.user", str(ada.pk), limit=5)
    assert role_of(emulator, ada) == role


def test_a_role_is_taken_where_an_administrator_lets_our_side_win(
    issued: IssuedKey, ada: User, ann: User, litellm: Emulator
) -> None:
    post(litellm, "/user/update", user_id=str(ada.pk), user_role="proxy_admin")
    compare()
    integration.retry_push(ann, kind="accounts.user", object_id=ada.pk)
    push("accounts.user", str(ada.pk), limit=5)
    assert role_of(litellm, ada) == "proxy_admin"
    integration.resolve_conflicts(ann, kind="accounts.user", object_id=ada.pk)
    push("accounts.user", str(ada.pk), limit=5)
    assert role_of(litellm, ada) == "internal_user"


def test_roles_are_taken_by_the_settings_where_they_say_so_and_none_is_no_difference(
    issued: IssuedKey, ada: User, eve: User, litellm: Emulator, settings: Any
) -> None:
    state.request_pushes(User, [eve.pk])
    push_everything()
    post(litellm, "/user/update", user_id=str(ada.pk), user_role="proxy_admin")
    litellm.state.users.update(str(eve.pk), {"user_role": None})
    settings.RECONCILE_MENDS = ["different"]
    run = compare()
    assert (found(), run.report["mended"]) == ([("user", "different", str(ada.pk))], 1)
    push("accounts.user", str(ada.pk), limit=5)
    assert role_of(litellm, ada) == "internal_user"
    age()
    compare()
    assert found() == []


def test_what_is_known_of_our_rows_is_found_by_an_index() -> None:
    """A comparison asks for it with each page, and so does mending with each chunk."""
    rows = Drift.objects.filter(what=Subject.KEY, row_id__in=["1", "2"])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "drift_row" in rows.explain()


def test_what_was_made_in_litellm_is_unknown_and_left_alone(
    issued: IssuedKey, ada: User, litellm: Emulator, settings: Any
) -> None:
    settings.RECONCILE_MENDS = ["alive", "missing", "different"]
    foreign = post(litellm, "/key/generate", user_id="somebody", models=["gpt-4o"], key_alias="theirs")
    post(litellm, "/team/new", team_id="their-team", team_alias="Theirs")
    post(litellm, "/user/new", user_id="somebody", auto_create_key=False)
    post(litellm, "/team/member_add", team_id=str(DEFAULT_TEAM_ID), member={"role": "user", "user_id": "somebody"})
    run = compare()
    assert found() == sorted(
        [
            ("key", "unknown", foreign["token"]),
            ("team", "unknown", "their-team"),
            ("user", "unknown", "somebody"),
            ("membership", "unknown", f"{DEFAULT_TEAM_ID}/somebody"),
        ]
    )
    assert (run.report["unknown"], run.report["mended"]) == (4, 0)
    assert chat(litellm, foreign["key"]) == 200
    details = Drift.objects.get(what=Subject.KEY).details
    assert (details["alias"], details["models"], details["may_manage"]) == ("theirs", ["gpt-4o"], True)
    assert foreign["key"] not in str(details)


def test_a_key_of_ours_whose_row_is_lost_is_known_by_its_mark(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator
) -> None:
    ApiKey.objects.all().delete()
    compare()
    drift = Drift.objects.get()
    assert (drift.kind, drift.object_id, drift.details["was_ours"]) == ("unknown", secret.digest, True)


def test_a_revoked_key_that_litellm_has_again_is_alive_and_ended_at_once(
    issued: IssuedKey, secret: ApiKeySecret, ada: User, litellm: Emulator
) -> None:
    """A backup of LiteLLM's database brings back what was deleted."""
    backup = dict(litellm.state.keys.rows[secret.digest])
    revoke_api_key(ada, key_id=issued.key.pk)
    push_everything()
    litellm.state.keys.put(secret.digest, backup)
    assert chat(litellm, issued.secret) == 200
    run = compare()
    assert (found(), run.report["alive"], run.report["mended"]) == ([("key", "alive", secret.digest)], 1, 1)
    push(KIND, str(secret.pk), limit=5)
    assert chat(litellm, issued.secret) == 401


@pytest.mark.parametrize("gone", ["blocked", "owner"])
def test_a_key_that_must_be_blocked_and_works_is_alive(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator, gone: str
) -> None:
    if gone == "blocked":
        ApiKey.objects.update(status=KeyStatus.BLOCKED)
    else:
        User.objects.update(is_active=False)
    compare()
    assert found() == [("key", "alive", secret.digest)]


def test_an_expired_key_is_no_drift_where_litellm_refuses_it_and_alive_where_it_does_not(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator, settings: Any
) -> None:
    settings.RECONCILE_MENDS = []  # a row that is being pushed is no drift
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    compare()
    assert found() == [("key", "alive", secret.digest)]
    post(litellm, "/key/block", key=secret.digest)
    compare()
    assert found() == []


def test_a_replaced_secret_may_stay_as_long_as_litellm_refuses_it_and_a_revoked_one_may_not(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator, settings: Any
) -> None:
    settings.RECONCILE_MENDS = []  # a row that is being pushed is no drift
    ApiKeySecret.objects.update(valid_until=timezone.now() - timedelta(minutes=1))
    compare()
    assert found() == [("key", "alive", secret.digest)]
    post(litellm, "/key/block", key=secret.digest)
    compare()
    assert found() == []
    ApiKey.objects.update(status=KeyStatus.REVOKED)
    compare()
    assert found() == [("key", "different", secret.digest)]


def test_what_is_pending_or_was_pushed_since_is_no_drift(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator
) -> None:
    post(litellm, "/key/update", key=secret.digest, max_budget=50)
    state.request_pushes(ApiKeySecret, [secret.pk])
    compare()
    assert found() == []
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED, synced_at=timezone.now() + timedelta(seconds=5))
    compare()
    assert found() == []


def test_what_changed_between_the_list_and_the_look_is_no_drift(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is old by the time that it is read: a finding counts only when the single object agrees."""
    post(litellm, "/key/update", key=secret.digest, max_budget=50)
    judge = sides.Keys.judge

    def mended_meanwhile(self: Any, pairs: Any) -> Any:
        judged = judge(self, pairs)
        post(litellm, "/key/update", key=secret.digest, max_budget=5)
        return judged

    monkeypatch.setattr(sides.Keys, "judge", mended_meanwhile)
    compare()
    assert found() == []


def test_lists_that_shift_while_they_are_read_make_no_false_finding(
    ada: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are deleted and made while pages of two are read: some are seen twice, others never."""
    monkeypatch.setattr("litellm_sync.client.lists.PAGE", 2)
    for number in range(9):
        create_api_key(ada, name=f"k{number}", models=["gpt-4o"])
    push_everything()
    foreign = [post(litellm, "/key/generate", key=f"sk-{number}")["token"] for number in range(9)]
    page = sides.Keys.page

    def shifting(self: Any, asked: Any, number: int) -> Any:
        answer = page(self, asked, number)
        if foreign and number % 2:
            post(litellm, "/key/delete", keys=[foreign.pop()])
        else:
            post(litellm, "/key/generate", key=f"sk-late-{number}")
        return answer

    monkeypatch.setattr(sides.Keys, "page", shifting)
    compare()
    assert {kind for _what, kind, _id in found()} <= {"unknown"}
    assert not Drift.objects.filter(object_id__in=ApiKeySecret.objects.values("digest")).exists()


def test_what_is_found_again_stays_one_row_and_what_is_gone_is_forgotten(issued: IssuedKey, litellm: Emulator) -> None:
    foreign = post(litellm, "/key/generate", key_alias="theirs")
    first, seen = compare(), Drift.objects.get()
    second, again = compare(), Drift.objects.get()
    assert (seen.pk, seen.first_seen_at, seen.run_id) == (again.pk, again.first_seen_at, first.pk)
    assert again.run_id == second.pk
    post(litellm, "/key/delete", keys=[foreign["token"]])
    assert compare().report["settled"] == 1
    assert found() == []


@pytest.mark.parametrize("mode", ["500", "cut", "down", "garbage", "429"])
@pytest.mark.parametrize("path", ["/key/list", "/user/list", "/v2/team/list"])
def test_a_comparison_that_breaks_off_keeps_what_it_had_and_the_next_one_finds_the_rest(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator, mode: str, path: str
) -> None:
    foreign = post(litellm, "/user/new", user_id="somebody", auto_create_key=False)
    compare()
    post(litellm, "/key/update", key=secret.digest, max_budget=50)
    post(litellm, "/team/update", team_id=str(DEFAULT_TEAM_ID), team_alias="Everybody")
    litellm.faults.add(mode, paths=[path])
    broken = compare()
    # By the list of keys it is asked whether LiteLLM is there: without it the run waits.
    assert broken.status == (RunStatus.QUEUED if path == "/key/list" else RunStatus.FAILED)
    assert ("user", "unknown", foreign["user_id"]) in found()
    litellm.faults.clear()
    SyncRun.objects.filter(pk=broken.pk).delete()  # with whatever it had found
    upstream.probe()  # closes the circuit
    run = compare()
    assert (run.status, len(found())) == (RunStatus.DONE, 3)
    secret.refresh_from_db()
    assert secret.sync_status == SyncStatus.SYNCED


@pytest.mark.parametrize("mode", ["500", "cut", "down", "garbage", "429"])
def test_single_objects_that_litellm_cannot_show_keep_what_was_found_of_them(
    issued: IssuedKey, secret: ApiKeySecret, ada: User, litellm: Emulator, mode: str
) -> None:
    post(litellm, "/key/update", key=secret.digest, max_budget=50)
    compare()
    post(litellm, "/team/update", team_id=str(DEFAULT_TEAM_ID), team_alias="Everybody")
    post(litellm, "/team/member_delete", team_id=str(DEFAULT_TEAM_ID), user_id=str(ada.pk))
    litellm.faults.add(mode, paths=["/key/info", "/team/info"])
    run = compare()
    assert (run.status, run.report["unread"], run.report["settled"]) == (RunStatus.DONE, 2, 0)
    assert found() == [("key", "different", secret.digest)]
    litellm.faults.clear()
    run = compare()
    assert (run.status, "unread" in run.report, len(found())) == (RunStatus.DONE, False, 3)


@pytest.fixture
def sick_and_back(
    ada: User, subscribed: list[Subscription], litellm: Emulator
) -> tuple[ApiKeySecret, ApiKeySecret, str]:
    """A key whose limit somebody changed in LiteLLM, which a comparison has found; and, behind it in LiteLLM's list, a
    revoked one that a backup has brought back, with its secret."""
    made = [create_api_key(ada, name=name, models=["gpt-4o"]) for name in "ab"]
    push_everything()
    first, second = ApiKeySecret.objects.order_by("digest")
    post(litellm, "/key/update", key=first.digest, max_budget=50)
    compare()
    backup = dict(litellm.state.keys.rows[second.digest])
    revoke_api_key(ada, key_id=second.key_id)
    push_everything()
    litellm.state.keys.put(second.digest, backup)
    return first, second, next(one.secret for one in made if one.key.pk == second.key_id)


def test_a_key_that_works_although_it_must_not_is_found_and_ended_behind_one_that_litellm_cannot_show(
    sick_and_back: tuple[ApiKeySecret, ApiKeySecret, str], litellm: Emulator
) -> None:
    first, second, plain = sick_and_back
    assert chat(litellm, plain) == 200
    litellm.faults.add("500", paths=["/key/info"])
    run = compare()
    assert (run.status, run.report["unread"], run.report["mended"]) == (RunStatus.DONE, 2, 1)
    assert found() == sorted([("key", "alive", second.digest), ("key", "different", first.digest)])
    litellm.faults.clear()
    push(KIND, str(second.pk), limit=5)
    assert chat(litellm, plain) == 401


def test_an_entry_of_the_list_that_cannot_be_read_is_there_and_hides_no_other(
    sick_and_back: tuple[ApiKeySecret, ApiKeySecret, str], litellm: Emulator
) -> None:
    first, second, _plain = sick_and_back
    before = Drift.objects.get(object_id=first.digest)
    litellm.state.keys.update(first.digest, {"tpm_limit": "many"})
    run = compare()
    assert (run.status, run.report["unread"], run.report["missing"], run.report["compared"]) == (
        RunStatus.DONE,
        1,
        0,
        4,
    )
    assert found() == sorted([("key", "alive", second.digest), ("key", "different", first.digest)])
    after = Drift.objects.get(object_id=first.digest)
    assert (after.seen_at, after.run_id) == (before.seen_at, run.pk)


def test_an_entry_that_cannot_be_read_is_there_also_at_the_end_of_a_page(
    sick_and_back: tuple[ApiKeySecret, ApiKeySecret, str], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm_sync.client.lists.PAGE", 1)
    first, _second, _plain = sick_and_back
    litellm.state.keys.update(first.digest, {"tpm_limit": "many"})
    asked = len(litellm.calls)
    assert compare().report["unread"] == 1
    looks = [path for _method, path in litellm.calls[asked:] if path.startswith("/key/info")]
    assert len(looks) == 1  # at the one that is alive


def test_an_unknown_key_that_cannot_be_read_stays_known(issued: IssuedKey, litellm: Emulator) -> None:
    foreign = post(litellm, "/key/generate", key_alias="theirs")
    compare()
    litellm.state.keys.update(foreign["token"], {"tpm_limit": "many"})
    assert compare().report["settled"] == 0
    assert found() == [("key", "unknown", foreign["token"])]


def test_looks_that_fail_are_not_tried_without_end(
    ada: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "MOST_FAILED_LOOKS", 2)
    for number in range(5):
        create_api_key(ada, name=f"k{number}", models=["gpt-4o"])
    push_everything()
    for digest in ApiKeySecret.objects.values_list("digest", flat=True):
        post(litellm, "/key/update", key=digest, max_budget=50)
    litellm.faults.add("500", paths=["/key/info"])
    asked = len(litellm.calls)
    run = compare()
    looks = [path for _method, path in litellm.calls[asked:] if path.startswith("/key/info")]
    assert (run.status, run.report["unread"], len(looks)) == (RunStatus.DONE, 5, 2)


@pytest.mark.parametrize("path", ["/user/list", "/v2/team/list"])
def test_a_page_that_litellm_breaks_over_once_is_asked_for_again(
    issued: IssuedKey, litellm: Emulator, path: str
) -> None:
    litellm.faults.add("500", paths=[path], count=reconcile.PAGE_TRIES - 1)
    run = compare()
    assert (run.status, found(), run.report["compared"]) == (RunStatus.DONE, [], 3)


def test_a_comparison_waits_for_a_litellm_that_goes_away_and_goes_on_where_it_was(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator
) -> None:
    post(litellm, "/key/update", key=secret.digest, max_budget=50)
    litellm.faults.add("down", paths=["/key"])
    run = compare()
    assert (run.status, run.cursor["side"]) == (RunStatus.QUEUED, 2)
    litellm.faults.clear()
    assert upstream.probe() is not None
    asked = len(litellm.calls)
    assert runs.take_up_silent(timezone.now()) == [str(run.pk)]
    integration.perform(str(run.pk))
    run.refresh_from_db()
    assert (run.status, run.stalls, run.report["compared"]) == (RunStatus.DONE, 0, 3)
    assert found() == [("key", "different", secret.digest)]
    assert not [path for _method, path in litellm.calls[asked:] if path.startswith("/user/list")]


def test_a_run_that_was_declared_dead_stops_and_forgets_nothing(issued: IssuedKey, litellm: Emulator) -> None:
    post(litellm, "/key/generate", key_alias="theirs")
    compare()
    dead = SyncRun.objects.create(kind="reconcile", status=RunStatus.FAILED)
    with pytest.raises(RunLost):
        reconcile.reconcile(Run(dead))
    assert [drift.name for drift in Drift.objects.all()] == ["theirs"]


def test_a_finding_stays_while_its_row_is_being_pushed(
    issued: IssuedKey, secret: ApiKeySecret, ada: User, litellm: Emulator
) -> None:
    """That LiteLLM was asked to agree does not mean that it does: the key still works."""
    backup = dict(litellm.state.keys.rows[secret.digest])
    revoke_api_key(ada, key_id=issued.key.pk)
    push_everything()
    litellm.state.keys.put(secret.digest, backup)
    compare()
    second = compare()
    assert (found(), second.report["settled"]) == ([("key", "alive", secret.digest)], 0)
    assert Drift.objects.get().run_id == second.pk
    push(KIND, str(secret.pk), limit=5)
    age()
    assert compare().report["settled"] == 1
    assert found() == []


@pytest.mark.parametrize("what", ["membership", "team"])
def test_a_finding_about_a_member_stays_while_the_member_or_the_team_is_being_pushed(
    issued: IssuedKey, ada: User, litellm: Emulator, what: str
) -> None:
    team = Team.objects.create(name="Research")
    row = Membership.objects.create(user=ada, team=team)
    push_everything()
    post(litellm, "/team/member_delete", team_id=str(team.pk), user_id=str(ada.pk))
    compare()
    waiting: dict[str, tuple[Any, Any]] = {"membership": (Membership, row.pk), "team": (Team, team.pk)}
    state.request_pushes(waiting[what][0], [waiting[what][1]])
    compare()
    assert [kind for _what, kind, _id in found()] == ["missing"]
    push_everything()
    compare()
    assert [kind for _what, kind, _id in found()] == ([] if what == "membership" else ["missing"])


def test_a_key_whose_end_has_waited_for_minutes_and_that_works_is_alive(
    issued: IssuedKey, secret: ApiKeySecret, ada: User, litellm: Emulator
) -> None:
    post(litellm, "/key/update", key=secret.digest, max_budget=50)
    litellm.faults.add("500", paths=["/key/delete", "/key/block"])
    revoke_api_key(ada, key_id=issued.key.pk)
    compare()
    assert found() == []  # it was revoked a moment ago
    ApiKeySecret.objects.update(sync_requested_at=timezone.now() - timedelta(minutes=10))
    compare()
    assert found() == [("key", "alive", secret.digest)]
    litellm.faults.clear()
    post(litellm, "/key/block", key=secret.digest)
    compare()
    assert found() == []


def test_a_litellm_that_has_lost_its_keys_makes_none_need_rotation(
    ada: User, subscribed: list[Subscription], litellm: Emulator, settings: Any
) -> None:
    """Its database comes back with a backup: what was told to owners meanwhile would be wrong."""
    settings.RECONCILE_MENDS = ["alive", "missing", "different"]
    for number in range(6):
        create_api_key(ada, name=f"k{number}", models=["gpt-4o"])
    push_everything()
    backup = dict(litellm.state.keys.rows)
    post(litellm, "/key/delete", keys=list(backup))
    run = compare()
    assert (run.report["missing"], run.report["mended"], run.report["held_back"]) == (6, 0, 6)
    assert set(ApiKeySecret.objects.values_list("sync_status", flat=True)) == {SyncStatus.SYNCED}
    for digest, row in list(backup.items())[1:]:
        litellm.state.keys.put(digest, row)
    run = compare()
    assert (run.report["missing"], run.report["mended"], "held_back" in run.report) == (1, 1, False)


def test_a_key_that_needed_rotation_and_is_there_again_is_in_step_again(
    issued: IssuedKey, secret: ApiKeySecret, litellm: Emulator
) -> None:
    backup = dict(litellm.state.keys.rows[secret.digest])
    post(litellm, "/key/delete", keys=[secret.digest])
    compare()
    push(KIND, str(secret.pk), limit=5)
    secret.refresh_from_db()
    assert secret.sync_error == "needs_rotation"
    age()
    litellm.state.keys.put(secret.digest, backup)
    assert compare().report["mended"] == 1
    push(KIND, str(secret.pk), limit=5)
    secret.refresh_from_db()
    assert (secret.sync_status, secret.sync_error, chat(litellm, issued.secret)) == (SyncStatus.SYNCED, "", 200)


def test_ids_in_another_spelling_are_not_ours(
    issued: IssuedKey, ada: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm_sync.client.lists.PAGE", 1)  # so that both spellings stand on pages of their own
    shouted = str(ada.pk).upper()
    assert shouted != str(ada.pk)
    post(litellm, "/user/new", user_id=shouted, auto_create_key=False)
    post(litellm, "/team/member_add", team_id=str(DEFAULT_TEAM_ID), member={"role": "user", "user_id": shouted})
    assert compare().status == RunStatus.DONE
    assert found() == [("membership", "unknown", f"{DEFAULT_TEAM_ID}/{shouted}"), ("user", "unknown", shouted)]


@pytest.mark.parametrize("kind", ["different", "missing"])
def test_a_comparison_says_that_it_moves_after_each_look(
    ada: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for number in range(4):
        create_api_key(ada, name=f"k{number}", models=["gpt-4o"])
    push_everything()
    tokens = list(ApiKeySecret.objects.values_list("digest", flat=True))
    if kind == "different":
        for token in tokens:
            post(litellm, "/key/update", key=token, max_budget=50)
    else:
        post(litellm, "/key/delete", keys=tokens)
    beats: list[int] = []
    monkeypatch.setattr(Run, "beat", lambda _self: beats.append(len(litellm.calls)))
    assert compare().report[kind] == 4
    assert len(set(beats)) == 4


@pytest.mark.parametrize("looks", [0, 3, 5, 8])
def test_a_comparison_whose_worker_died_goes_on_where_it_was(
    ada: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Pages of three keys, and our own rows three at a time, half of which LiteLLM has lost."""
    monkeypatch.setattr("litellm_sync.client.lists.PAGE", 3)
    monkeypatch.setattr(reconcile, "CHUNK", 3)
    for number in range(18):
        create_api_key(ada, name=f"k{number}", models=["gpt-4o"])
    push_everything()
    digests = list(ApiKeySecret.objects.order_by("digest").values_list("digest", flat=True))
    post(litellm, "/key/delete", keys=digests[9:])
    whole, find, seen = compare(), sides.Keys.find, []

    def dying(self: Any, asked: Any, object_id: str) -> Any:
        seen.append(object_id)
        if len(seen) == looks + 1:
            raise SystemExit
        return find(self, asked, object_id)

    monkeypatch.setattr(sides.Keys, "find", dying)
    run = integration.request_sync(None, what="reconcile")
    with pytest.raises(SystemExit):
        integration.perform(str(run.pk))
    SyncRun.objects.update(heartbeat_at=timezone.now() - runs.SILENCE)
    runs.take_up_silent(timezone.now())
    integration.perform(str(run.pk))
    run.refresh_from_db()
    assert (run.status, run.report | {"settled": 0}) == (RunStatus.DONE, whole.report | {"settled": 0})
    assert run.report["missing"] == 9
    assert len(seen) <= 9 + reconcile.CHUNK
    assert len(seen) > len(set(seen))  # what was not stored is looked at again


def test_statements_do_not_grow_with_the_keys_of_a_page(
    ada: User,
    subscribed: list[Subscription],
    litellm: Emulator,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    for number in range(20):
        create_api_key(ada, name=f"k{number}", models=["gpt-4o"])
    push_everything()
    run = integration.request_sync(None, what="reconcile")
    with django_assert_max_num_queries(45):
        integration.perform(str(run.pk))
    assert SyncRun.objects.get(pk=run.pk).report["compared"] == 22
