"""Runs of synchronisation and the pull of usage."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
from django.utils import timezone
from procrastinate.contrib.django import app as jobs
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.testing import InMemoryConnector

from accounts.models import User
from apikeys.models import ApiKey
from apikeys.risks import known_until
from apikeys.services import IssuedKey, create_api_key
from litellm_sync import activity, integration, runs, state
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import Drift, RunStatus, SyncRun
from litellm_sync.push import push
from litemaas.foundation.errors import Conflict, Invalid, PermissionDenied, UpstreamUnavailable
from subscriptions.models import Subscription
from usage.models import DailyUsage, UsageDay

pytestmark = pytest.mark.django_db


def chat(issued: IssuedKey, litellm: Emulator, model: str = "gpt-4o") -> requests.Response:
    """A model call with a key."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {issued.secret}"}
    return requests.post(f"{litellm.url}/chat/completions", json=body, headers=headers, timeout=10)


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription], litellm: Emulator) -> IssuedKey:
    """A key of ada's that works."""
    made = create_api_key(ada, name="k", models=["gpt-4o"])
    push("apikeys.apikeysecret", str(made.key.secrets.get().pk), limit=5)
    return made


def test_trap_29_two_syncs_at_once_one_runs_the_other_says_so(
    ann: User, work: Callable[[], int], litellm: Emulator
) -> None:
    run = integration.request_sync(ann, what="models")
    with pytest.raises(Conflict) as caught:
        integration.request_sync(ann, what="models")
    assert (caught.value.code, caught.value.details) == ("sync_already_running", {"run": str(run.pk)})
    integration.request_sync(ann, what="usage")
    work()
    done = SyncRun.objects.get(pk=run.pk)
    assert (done.status, done.done, done.total) == (RunStatus.DONE, 9, 9)
    assert len(done.report["added"]) == 9
    assert integration.request_sync(ann, what="models").status == RunStatus.QUEUED


def test_a_job_is_queued_in_the_transaction_also_where_a_worker_runs(ann: User) -> None:
    # What `manage.py procrastinate worker` does to the global app, with a connector that forgets.
    with jobs.replace_connector(InMemoryConnector()):
        run = integration.request_sync(ann, what="models")
        state.request_push(ann, immediately=False)
    queued = ProcrastinateJob.objects.order_by("id").values_list("task_name", "args")
    assert list(queued)[-2:] == [
        ("litellm_sync.run", {"run_id": str(run.pk)}),
        ("litellm_sync.push", {"kind": "accounts.user", "object_id": str(ann.pk)}),
    ]


def test_only_administrators_ask_for_a_sync_and_only_for_what_there_is(ann: User, ro: User, ada: User) -> None:
    for actor in (ro, ada):
        with pytest.raises(PermissionDenied):
            integration.request_sync(actor, what="models")
    with pytest.raises(Invalid):
        integration.request_sync(ann, what="everything")
    assert SyncRun.objects.count() == 0


def test_a_failed_run_says_why_and_makes_room(ann: User, litellm: Emulator, work: Callable[[], int]) -> None:
    run = integration.request_sync(ann, what="models")
    litellm.faults.add("500")
    work()
    failed = SyncRun.objects.get(pk=run.pk)
    assert (failed.status, failed.report) == (RunStatus.FAILED, {"code": "litellm_unavailable", "reason": "http_500"})
    assert failed.error == "LiteLLM cannot be reached at the moment."
    assert integration.request_sync(ann, what="models").status == RunStatus.QUEUED


def test_a_run_is_carried_out_once(ann: User, litellm: Emulator, work: Callable[[], int]) -> None:
    run = integration.request_sync(ann, what="models")
    work()
    calls = len(litellm.calls)
    integration.perform(str(run.pk))
    assert len(litellm.calls) == calls


def test_due_runs_are_queued_by_their_interval_and_failed_ones_soon_again(litellm: Emulator) -> None:
    now = timezone.now()
    assert integration.request_due_syncs(now) == ["models", "reconcile", "usage"]
    assert integration.request_due_syncs(now) == []
    SyncRun.objects.update(status=RunStatus.FAILED)
    assert integration.request_due_syncs(now) == []
    assert integration.request_due_syncs(now + timedelta(minutes=1)) == ["models", "usage"]
    later = now + timedelta(hours=2)
    assert integration.request_due_syncs(later) == ["reconcile"]
    assert integration.request_due_syncs(later) == []  # one of each kind goes on


def test_models_that_are_missing_are_asked_for_again_when_the_interval_has_passed(
    litellm: Emulator, work: Callable[[], int]
) -> None:
    """A refusal to hide them is an answer: each try would leave a run behind."""
    now = timezone.now()
    integration.request_sync(None, what="models")
    work()
    SyncRun.objects.update(created_at=now - timedelta(hours=3))
    for name in list(litellm.state.models.rows)[1:]:
        litellm.state.models.remove(name)
    integration.request_sync(None, what="models")
    work()
    refused = SyncRun.objects.filter(kind="models").latest("created_at")
    assert (refused.status, refused.report["code"]) == (RunStatus.FAILED, "mass_disappearance")
    assert "models" not in integration.request_due_syncs(now + timedelta(minutes=30))
    assert "models" in integration.request_due_syncs(now + timedelta(minutes=61))
    SyncRun.objects.filter(kind="models").update(status=RunStatus.FAILED, report={"code": "litellm_unavailable"})
    assert "models" in integration.request_due_syncs(now + timedelta(minutes=2))


def test_what_the_schedule_ran_long_ago_is_forgotten_and_nothing_that_still_says_something(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FORGOTTEN_AT_ONCE", 2)
    now = timezone.now()

    def ran(kind: str, status: str, days: int, **columns: Any) -> SyncRun:
        run = SyncRun.objects.create(kind=kind, status=status, **columns)
        SyncRun.objects.filter(pk=run.pk).update(created_at=now - timedelta(days=days))
        return run

    whole = ran("all", "done", 30)
    kept = {
        whole,
        ran("models", "done", 8),  # the newest of its kind that was done
        ran("models", "failed", 40),
        ran("models", "done", 50, requested_by=ann.pk),
        ran("models", "done", 30, parent=whole),
        ran("usage", "running", 30),
        ran("usage", "done", 6),
        ran("reconcile", "done", 0),
        ran("keys", "failed", 30),
    }
    ran("keys", "failed", 31)
    standing = ran("reconcile", "done", 20)
    Drift.objects.create(run=standing, what="key", kind="unknown", object_id="x", name="k", seen_at=now)
    for days in (9, 10, 11, 12, 13):
        ran("models", "done", days)
    ran("usage", "done", 7)
    assert runs.forget_old_runs(now) == 7
    assert set(SyncRun.objects.all()) == {*kept, standing}
    assert (runs.forget_old_runs(now), Drift.objects.count()) == (0, 1)


def test_old_runs_go_with_their_steps_and_stay_for_a_step_that_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FORGOTTEN_AT_ONCE", 1)
    now = timezone.now()

    def everything(days: int, *steps: str) -> list[SyncRun]:
        whole = SyncRun.objects.create(kind="all", status="done")
        made = [whole, *(SyncRun.objects.create(kind=kind, status="done", parent=whole) for kind in steps)]
        SyncRun.objects.filter(pk__in=[run.pk for run in made]).update(created_at=now - timedelta(days=days))
        return made

    everything(20, "models", "keys")
    with_newest_step = everything(15, "models", "teams")
    everything(10, "models", "keys")
    newest = everything(9, "models", "keys")
    assert runs.forget_old_runs(now) == 6
    assert set(SyncRun.objects.all()) == {*with_newest_step, *newest}


def test_usage_of_calls_arrives_with_owner_key_and_spend(issued: IssuedKey, litellm: Emulator) -> None:
    answers = [chat(issued, litellm) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert chat(issued, litellm, "gpt-4o-mini").status_code in {401, 403}
    report = activity.pull_usage()
    assert (report["days"], report["keys"]) == (30, 1)
    today = datetime.now(UTC).date()
    row = DailyUsage.objects.get(model="gpt-4o")
    assert (row.date, row.successful_requests, row.user, row.api_key) == (today, 3, issued.key.user, issued.key)
    assert row.team_id == issued.key.team_id
    tokens = sum(answer.json()["usage"]["total_tokens"] for answer in answers)
    assert row.prompt_tokens + row.completion_tokens == tokens
    assert row.spend > 0
    key = ApiKey.objects.get()
    assert key.spend == row.spend
    assert key.last_used_at is not None
    assert abs(key.last_used_at - timezone.now()) < timedelta(minutes=1)
    assert activity.pull_usage()["keys"] == 0
    assert UsageDay.objects.count() == 30


def test_calls_that_cost_nothing_are_uses_too(issued: IssuedKey, litellm: Emulator, ada: User) -> None:
    """LiteLLM notes the last use only of what cost something; a key for free models must not pass for unused."""
    today = datetime.now(UTC).date()
    other = create_api_key(ada, name="refused", models=["gpt-4o"])
    call = {"date": str(today), "model": "free", "requests": 3, "spend": 0.0, "charge": False}
    rows = [
        {**call, "token": issued.key.secrets.get().digest},
        {**call, "token": other.key.secrets.get().digest, "requests": 0, "failed": 3},
    ]
    requests.post(f"{litellm.url}/emulator/activity", json={"rows": rows}, timeout=10).raise_for_status()
    assert known_until() is None
    activity.pull_usage()
    assert known_until() is not None
    key = ApiKey.objects.get(pk=issued.key.pk)
    begun = datetime.combine(today, datetime.min.time(), UTC)
    assert key.last_used_at == max(begun, key.created_at)
    assert key.secrets.get().last_used_at == max(begun, key.secrets.get().created_at)
    assert ApiKey.objects.get(pk=other.key.pk).last_used_at is None
    # What is known more exactly stays.
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
    used = ApiKey.objects.get(pk=key.pk).last_used_at
    activity.pull_usage()
    assert ApiKey.objects.get(pk=key.pk).last_used_at == used


def test_days_are_fetched_again_until_they_are_settled(issued: IssuedKey, litellm: Emulator) -> None:
    chat(issued, litellm)
    activity.pull_usage()
    chat(issued, litellm)
    report = activity.pull_usage()
    assert report["days"] == 3
    assert DailyUsage.objects.get(model="gpt-4o").successful_requests == 2
    today = datetime.now(UTC).date()
    UsageDay.objects.filter(date__gt=today - timedelta(days=10)).delete()
    assert activity.pull_usage()["days"] == 11


def test_the_spend_of_keys_arrives_while_the_days_cannot_be_had(issued: IssuedKey, litellm: Emulator) -> None:
    chat(issued, litellm)
    litellm.faults.add("500", paths=["/user/daily/activity"])
    with pytest.raises(UpstreamUnavailable):
        activity.pull_usage()
    assert known_until() is None, "of uses the days tell too"
    key = ApiKey.objects.get()
    assert key.spend > 0
    assert key.last_used_at is not None


def test_usage_of_keys_that_are_not_ours_is_counted_and_belongs_to_nobody(litellm: Emulator, ann: User) -> None:
    headers = {"Authorization": f"Bearer {litellm.master_key}"}
    made = requests.post(f"{litellm.url}/key/generate", json={}, headers=headers, timeout=10).json()
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    foreign = {"Authorization": f"Bearer {made['key']}"}
    assert requests.post(f"{litellm.url}/chat/completions", json=body, headers=foreign, timeout=10).ok
    activity.pull_usage()
    row = DailyUsage.objects.get(model="gpt-4o")
    assert (row.user, row.api_key, row.team) == (None, None, None)
    assert row.spend > Decimal(0)


# --- A pull whose worker dies ----------------------------------------------------------------------------------------


def die_and_be_found(run: SyncRun) -> list[str]:
    """A worker takes the run and is killed by it; another finds it silent."""
    with pytest.raises(SystemExit):
        integration.perform(str(run.pk))
    SyncRun.objects.filter(status=RunStatus.RUNNING).update(heartbeat_at=timezone.now() - runs.SILENCE)
    return runs.take_up_silent(timezone.now())


def test_a_pull_that_kills_its_workers_after_the_keys_does_not_go_on_for_ever(
    issued: IssuedKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(asked: Any, day: Any) -> Any:
        raise SystemExit

    monkeypatch.setattr(activity, "get_usage_from_litellm", deadly)
    run = integration.request_sync(ann, what="usage")
    taken_up = [die_and_be_found(run) for _turn in range(runs.MOST_STALLS + 1)]
    assert taken_up == [[str(run.pk)]] * runs.MOST_STALLS + [[]]
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, runs.STALLED)


def test_a_pull_that_kills_its_workers_at_a_day_goes_on_there_and_ends(
    issued: IssuedKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Any] = []
    real = activity.get_usage_from_litellm

    def dying(asked: Any, day: Any) -> Any:
        fetched.append(day)
        if len(fetched) == 3:
            raise SystemExit
        return real(asked, day)

    monkeypatch.setattr(activity, "get_usage_from_litellm", dying)
    run = integration.request_sync(ann, what="usage")
    assert die_and_be_found(run) == [str(run.pk)]
    integration.perform(str(run.pk))
    run.refresh_from_db()
    assert (run.status, run.done, run.total, run.stalls) == (RunStatus.DONE, 30, 30, 0)
    assert (len(fetched), len(set(fetched)), UsageDay.objects.count()) == (31, 30, 30)
    assert fetched[2] == fetched[3]


def test_everything_that_dies_at_the_same_step_again_and_again_ends(
    issued: IssuedKey, ann: User, litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done by then is not done again, and is no progress each time."""

    def deadly(asked: Any, day: Any) -> Any:
        raise SystemExit

    monkeypatch.setattr(activity, "get_usage_from_litellm", deadly)
    run = integration.request_sync(ann, what="all")
    taken_up = [die_and_be_found(run) for _turn in range(runs.MOST_STALLS + 1)]
    # The first worker did get further.
    assert taken_up == [[str(run.pk)]] * runs.MOST_STALLS + [[]]
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, runs.STALLED)
    assert not SyncRun.objects.filter(status__in=["queued", "running"]).exists()


def test_a_key_that_cannot_be_read_keeps_its_figures_and_stops_no_usage(issued: IssuedKey, litellm: Emulator) -> None:
    assert chat(issued, litellm).ok
    activity.pull_usage()
    before = ApiKey.objects.get().spend
    assert before > 0
    headers = {"Authorization": f"Bearer {litellm.master_key}"}
    other = create_api_key(issued.key.user, name="other", models=["gpt-4o"])
    push("apikeys.apikeysecret", str(other.key.secrets.get().pk), limit=5)
    assert (chat(issued, litellm).ok, chat(other, litellm).ok) == (True, True)
    litellm.state.keys.update(issued.key.secrets.get().digest, {"tpm_limit": "many"})
    listed = requests.get(f"{litellm.url}/key/list?return_full_object=true", headers=headers, timeout=10).json()
    assert [key["tpm_limit"] for key in listed["keys"]].count("many") == 1
    activity.pull_usage()
    assert ApiKey.objects.get(pk=issued.key.pk).spend == before
    assert ApiKey.objects.get(pk=other.key.pk).spend > 0
    assert DailyUsage.objects.get(model="gpt-4o", api_key=issued.key).successful_requests == 2
