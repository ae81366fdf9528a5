"""Runs that push whole tables: what reaches LiteLLM, progress, what a dead worker and an outage leave behind."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AuditEvent, Role, User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import bulk, integration, measures, runs
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import RunKind, RunStatus, SyncRun
from litellm_sync.push import push
from litemaas.foundation.errors import Conflict
from subscriptions.models import Subscription
from teams.models import DEFAULT_TEAM_ID, Membership
from tests.cast import make_person
from usage.models import UsageDay

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _in_this_thread(settings: Any) -> None:
    """Other threads would not see what a test's transaction holds."""
    settings.BULK_PUSH_CONCURRENCY = 1


@pytest.fixture
def people(db: None) -> list[User]:
    """Five, in the order of their ids."""
    made = [make_person(f"person{n}") for n in range(5)]
    return sorted(made, key=lambda user: user.pk)


def carry_out(kind: str) -> SyncRun:
    """A run of that kind, from its request to its end."""
    run = integration.request_sync(None, what=kind)
    integration.perform(str(run.pk))
    return SyncRun.objects.get(pk=run.pk)


def test_everybody_reaches_litellm_with_the_memberships_and_the_default_team_comes_first(
    litellm: Emulator, people: list[User]
) -> None:
    run = carry_out("users")
    assert (run.status, run.done, run.total) == (RunStatus.DONE, 5, 5)
    # Five people and five memberships.
    assert run.report == {"in_step": 10, "failed": 0, "waiting": 0, "named": []}
    assert set(litellm.state.users.rows) >= {str(user.pk) for user in people}
    made = [path for _method, path in litellm.calls if path in {"/team/new", "/user/new"}]
    assert made == ["/team/new"] + ["/user/new"] * 5
    assert not User.objects.exclude(sync_status="synced").exists()
    assert not Membership.objects.exclude(sync_status="synced").exists()
    # A team's answer lists its members: nobody's push looks at it, only the team's own does.
    looks = [path for _method, path in litellm.calls if path == "/team/info"]
    assert len(looks) == 3, "is it there, it is now, it is equal"


def test_what_was_changed_in_litellm_by_hand_becomes_ours_again(litellm: Emulator, people: list[User]) -> None:
    carry_out("users")
    there = str(people[0].pk)
    litellm.state.users.update(there, {"rpm_limit": 7, "max_budget": 1000.0})
    run = carry_out("users")
    assert run.status == RunStatus.DONE
    row = litellm.state.users.rows[there]
    assert (row["rpm_limit"], row["max_budget"]) == (None, None)


def test_a_refused_row_is_named_and_stops_nobody_else(litellm: Emulator, people: list[User]) -> None:
    odd = people[2]
    User.objects.filter(pk=odd.pk).update(budget_duration="1x")
    run = carry_out("users")
    assert (run.status, run.done) == (RunStatus.DONE, 5)
    assert (run.report["in_step"], run.report["failed"], run.report["waiting"]) == (8, 2, 0)
    named = [(one["kind"], one["name"], one["reason"]) for one in run.report["named"]]
    assert named == [
        ("accounts.user", odd.username, "LiteLLM refused this."),
        ("teams.membership", f"{odd} in Default Team", "LiteLLM refused this."),
    ]
    others = User.objects.exclude(pk=odd.pk)
    assert set(others.values_list("sync_status", flat=True)) == {"synced"}


@pytest.mark.parametrize("died_after", [1, 2, 4])
def test_a_run_whose_worker_died_goes_on_where_it_was(
    litellm: Emulator, people: list[User], monkeypatch: pytest.MonkeyPatch, died_after: int
) -> None:
    """The worker dies at once, in the middle of a batch: nothing says so but its silence."""
    monkeypatch.setattr(bulk, "BATCH", 1)
    pushed: list[str] = []

    def dying(kind: str, object_id: str, *, limit: float) -> None:
        if kind == "accounts.user":
            if len(pushed) == died_after:
                raise KeyboardInterrupt
            pushed.append(object_id)
        push(kind, object_id, limit=limit)

    monkeypatch.setattr(bulk, "push", dying)
    run = integration.request_sync(None, what="users")
    with pytest.raises(KeyboardInterrupt):
        integration.perform(str(run.pk))
    left = SyncRun.objects.get(pk=run.pk)
    assert (left.status, left.done, left.total) == (RunStatus.RUNNING, died_after, 5)
    now = timezone.now()
    assert runs.take_up_silent(now + runs.SILENCE - timedelta(seconds=5)) == []
    assert runs.take_up_silent(now + runs.SILENCE) == [str(run.pk)]

    def noted(kind: str, object_id: str, *, limit: float) -> None:
        pushed.append(object_id)
        push(kind, object_id, limit=limit)

    monkeypatch.setattr(bulk, "push", noted)
    integration.perform(str(run.pk))
    done = SyncRun.objects.get(pk=run.pk)
    assert (done.status, done.done, done.takes) == (RunStatus.DONE, 5, 2)
    assert done.report["in_step"] == 10
    people_pushed = [pk for pk in pushed if pk in {str(user.pk) for user in people}]
    assert people_pushed == [str(user.pk) for user in people]  # each once, none left out


def test_a_run_that_moves_is_never_declared_dead_however_long_it_takes(
    litellm: Emulator, people: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 1)
    run = integration.request_sync(None, what="users")
    SyncRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=1))
    seen: list[list[str]] = []

    def watched(kind: str, object_id: str, *, limit: float) -> None:
        push(kind, object_id, limit=limit)
        seen.append(runs.take_up_silent(timezone.now()))

    monkeypatch.setattr(bulk, "push", watched)
    integration.perform(str(run.pk))
    assert len(seen) == 10
    assert not any(seen)
    assert SyncRun.objects.get(pk=run.pk).status == RunStatus.DONE


def test_a_worker_that_comes_back_from_the_dead_finds_the_run_taken(
    litellm: Emulator, people: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    run = integration.request_sync(None, what="users")
    slept: list[str] = []

    def asleep(kind: str, object_id: str, *, limit: float) -> None:
        """While the first worker sleeps over its third person, another carries the run to its end."""
        push(kind, object_id, limit=limit)
        if kind == "accounts.user":
            slept.append(object_id)
        if len(slept) == 3:
            runs.take_up_silent(timezone.now() + runs.SILENCE)
            monkeypatch.setattr(bulk, "push", push)
            integration.perform(str(run.pk))

    monkeypatch.setattr(bulk, "push", asleep)
    integration.perform(str(run.pk))
    done = SyncRun.objects.get(pk=run.pk)
    assert (done.status, done.done, done.takes) == (RunStatus.DONE, 5, 2)
    assert done.report["in_step"] == 10


def test_a_run_that_kills_its_workers_does_not_go_on_for_ever(litellm: Emulator, people: list[User]) -> None:
    run = integration.request_sync(None, what="users")
    now = timezone.now()
    for turn in range(1, runs.MOST_STALLS + 1):
        assert runs.take(str(run.pk)) is not None
        now += runs.SILENCE + timedelta(seconds=1)
        assert runs.take_up_silent(now) == [str(run.pk)], turn
    assert runs.take(str(run.pk)) is not None
    assert runs.take_up_silent(now + runs.SILENCE + timedelta(seconds=1)) == []
    dead = SyncRun.objects.get(pk=run.pk)
    assert dead.status == RunStatus.FAILED
    assert "never got any further" in dead.error


def test_a_run_waits_for_litellm_and_goes_on_when_it_is_back(
    litellm: Emulator, people: list[User], work: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    pushed: list[str] = []

    def stormy(kind: str, object_id: str, *, limit: float) -> None:
        pushed.append(object_id)
        if len(pushed) == 5:
            litellm.faults.add("down")
        push(kind, object_id, limit=limit)

    monkeypatch.setattr(bulk, "push", stormy)
    run = integration.request_sync(None, what="users")
    integration.perform(str(run.pk))
    waits = SyncRun.objects.get(pk=run.pk)
    assert (waits.status, waits.done) == (RunStatus.QUEUED, 2)
    integration.tick(timezone.now())
    assert SyncRun.objects.get(pk=run.pk).status == RunStatus.QUEUED
    with pytest.raises(Conflict):
        integration.request_sync(None, what="users")
    litellm.faults.clear()
    monkeypatch.setattr(bulk, "push", push)
    integration.tick(timezone.now())
    work()
    done = SyncRun.objects.get(pk=run.pk)
    assert (done.status, done.done) == (RunStatus.DONE, 5)
    assert not User.objects.exclude(sync_status="synced").exists()


def test_keys_are_those_that_litellm_is_to_have(ada: User, subscribed: list[Subscription], litellm: Emulator) -> None:
    alive, dead = (create_api_key(ada, name=name, models=["gpt-4o"]).key for name in ("alive", "dead"))
    for secret in ApiKeySecret.objects.all():
        push("apikeys.apikeysecret", str(secret.pk), limit=5)
    revoke_api_key(ada, key_id=dead.pk)
    unsettled = carry_out("keys")
    assert (unsettled.done, unsettled.report["in_step"]) == (2, 2)
    assert carry_out("keys").done == 1
    # Somebody deletes the living one in LiteLLM: its secret is gone for good, and the run says so.
    litellm.state.keys.clear()
    lost = carry_out("keys")
    assert lost.report["failed"] == 1
    (named,) = lost.report["named"]
    assert named["reason"] == "needs_rotation"
    assert named["id"] == str(alive.secrets.get().pk)
    assert ApiKey.objects.get(pk=alive.pk).sync_status == "failed"


def test_everything_is_one_run_with_one_progress_and_a_step_for_each_kind(
    ann: User, people: list[User], subscribed: list[Subscription], ada: User, litellm: Emulator
) -> None:
    create_api_key(ada, name="k", models=["gpt-4o"])
    run = integration.request_sync(ann, what="all")
    integration.perform(str(run.pk))
    whole = SyncRun.objects.get(pk=run.pk)
    assert whole.status == RunStatus.DONE, whole.report
    steps = list(whole.steps.order_by("created_at"))
    assert [step.kind for step in steps] == ["models", "teams", "users", "keys", "usage"]
    assert {step.status for step in steps} == {RunStatus.DONE}
    assert set(whole.report["steps"]) == {step.kind for step in steps}
    assert whole.report["steps"]["users"]["report"]["in_step"] == 14
    # One for the models, a team, seven people, a key, one for the usage.
    assert (whole.done, whole.total) == (11, 11)
    assert UsageDay.objects.count() == 30
    # What was a step counts for the schedule: nothing of it is due again, and the comparison is no step.
    assert integration.request_due_syncs(timezone.now()) == ["reconcile"]


def test_everything_goes_on_with_the_step_that_it_died_in(
    people: list[User], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    pushed: list[str] = []

    def dying(kind: str, object_id: str, *, limit: float) -> None:
        pushed.append(kind)
        if pushed.count("accounts.user") == 4:
            raise KeyboardInterrupt
        push(kind, object_id, limit=limit)

    monkeypatch.setattr(bulk, "push", dying)
    run = integration.request_sync(None, what="all")
    with pytest.raises(KeyboardInterrupt):
        integration.perform(str(run.pk))
    models = SyncRun.objects.get(kind="models")
    assert runs.take_up_silent(timezone.now() + runs.SILENCE) == [str(run.pk)]
    monkeypatch.setattr(bulk, "push", push)
    integration.perform(str(run.pk))
    whole = SyncRun.objects.get(pk=run.pk)
    assert (whole.status, whole.takes) == (RunStatus.DONE, 2)
    assert SyncRun.objects.filter(kind="models").get() == models
    users = SyncRun.objects.get(kind="users")
    assert (users.status, users.takes, users.done, users.parent_id) == (RunStatus.DONE, 2, 5, whole.pk)


def test_everything_says_which_step_failed_and_carries_out_the_others(
    people: list[User], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: dict[RunKind, Any] = {**integration.RUNS, RunKind.TEAMS: lambda _run: 1 / 0}
    monkeypatch.setattr(integration, "RUNS", broken)
    whole = carry_out("all")
    assert whole.status == RunStatus.FAILED
    assert whole.error == "Not everything could be synchronised: Teams."
    assert whole.report["code"] == "sync_incomplete"
    found = {kind: step["status"] for kind, step in whole.report["steps"].items()}
    assert found == {"models": "done", "teams": "failed", "users": "done", "keys": "done", "usage": "done"}


def test_a_step_that_could_not_record_its_end_ends_with_its_run(
    people: list[User], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database went away for a moment: nothing of the kind could ever be synchronised again."""
    finish = runs.Run.finish

    def broken(self: runs.Run, status: RunStatus, **outcome: Any) -> None:
        if self.kind is RunKind.TEAMS:
            raise OSError
        finish(self, status, **outcome)

    monkeypatch.setattr(runs.Run, "finish", broken)
    whole = carry_out("all")
    assert {step.kind: step.status for step in whole.steps.all()} == {"models": "done", "teams": "failed"}
    assert integration.request_sync(None, what="teams").status == RunStatus.QUEUED


def test_a_step_that_outlives_its_run_is_ended(litellm: Emulator) -> None:
    """A worker that was thought dead came back and began another step after its run had been ended."""
    whole = SyncRun.objects.create(kind="all", status=RunStatus.RUNNING)
    step = runs.Run(whole).step(RunKind.TEAMS, before=0, weight=1)
    assert step is not None
    later = timezone.now() + runs.SILENCE
    SyncRun.objects.filter(pk=whole.pk).update(heartbeat_at=later)
    runs.take_up_silent(later)
    assert SyncRun.objects.get(pk=step.row.pk).status == RunStatus.RUNNING, "its run goes on"
    SyncRun.objects.filter(pk=whole.pk).update(status=RunStatus.FAILED)
    runs.take_up_silent(later)
    ended = SyncRun.objects.get(pk=step.row.pk)
    assert (ended.status, ended.error) == (RunStatus.FAILED, "The run that this was a step of ended without it.")
    assert integration.request_sync(None, what="teams").status == RunStatus.QUEUED


def test_everything_leaves_alone_what_somebody_else_synchronises_already(litellm: Emulator) -> None:
    running = integration.request_sync(None, what="usage")
    whole = carry_out("all")
    assert whole.status == RunStatus.DONE
    assert whole.report["steps"]["usage"] == {"status": "running", "code": "sync_already_running"}
    assert SyncRun.objects.get(pk=running.pk).status == RunStatus.QUEUED


def test_people_without_a_team_join_the_default_team(ann: User, litellm: Emulator) -> None:
    lost = [User.objects.create(username=f"lost{n}", roles=[Role.USER.value]) for n in range(3)]
    run = integration.request_sync(ann, what="orphans")
    integration.perform(str(run.pk))
    done = SyncRun.objects.get(pk=run.pk)
    assert (done.status, done.done, done.total, done.report) == (RunStatus.DONE, 3, 3, {"assigned": 3})
    for user in lost:
        membership = Membership.objects.get(user=user)
        assert (membership.team_id, membership.sync_status) == (DEFAULT_TEAM_ID, "pending")
        entry = AuditEvent.objects.get(action="membership.added", target_id=str(membership.pk))
        assert (entry.details["user"], entry.details["source"]) == (str(user.pk), "migration")
    assert sum(row["pending"] for row in measures.queue().values()) >= 6


@pytest.mark.django_db(transaction=True)
def test_several_are_pushed_at_once_but_never_more_than_the_settings_say(
    real_transactions: None, litellm: Emulator, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BULK_PUSH_CONCURRENCY = 3
    people = [make_person(f"person{n}") for n in range(7)]
    together = threading.Semaphore(0)
    lock, busy, most = threading.Lock(), [0], [0]

    def counted(kind: str, object_id: str, *, limit: float) -> None:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            if busy[0] == 3:
                together.release(100)
        # Whoever is alone waits for the others: only so is it known that they can be there together.
        if kind == "accounts.user" and object_id in firsts:
            assert together.acquire(timeout=60)
        push(kind, object_id, limit=limit)
        with lock:
            busy[0] -= 1

    firsts = {str(pk) for pk in User.objects.order_by("pk").values_list("pk", flat=True)[:3]}
    monkeypatch.setattr(bulk, "push", counted)
    run = carry_out("users")
    assert (run.status, run.done, run.report["in_step"]) == (RunStatus.DONE, 7, 14)
    assert most == [3]
    assert set(litellm.state.users.rows) >= {str(user.pk) for user in people}


def test_the_command_carries_a_run_out_and_says_what_it_found(
    litellm: Emulator, people: list[User], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("sync", "users")
    assert "in_step: 10" in capsys.readouterr().out
    assert SyncRun.objects.get(kind="users").status == RunStatus.DONE
    User.objects.update(sync_status="pending")
    litellm.faults.add("down")
    with pytest.raises(CommandError, match="a worker goes on with it"):
        call_command("sync", "users")
    assert SyncRun.objects.get(kind="users", finished_at=None).status == RunStatus.QUEUED
