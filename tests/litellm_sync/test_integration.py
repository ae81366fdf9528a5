"""The integration as administrators see it: health, intervals, failed pushes, conflicts, audit trail, default team."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import audit
from accounts.models import AuditEvent, Role, User
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from apikeys.services import create_api_key
from litellm_sync import default_team, failures, health, integration, schedules
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import RunKind, RunStatus, SyncRun, SyncSchedule, Upstream
from litellm_sync.push import push
from litellm_sync.state import synced_models
from litemaas.foundation.errors import Invalid, NotFound, PermissionDenied, UpstreamRejected
from subscriptions.models import Subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from tests.cast import make_person

pytestmark = pytest.mark.django_db

Api = Callable[[User | None], APIClient]
SECRET = "apikeys.apikeysecret"


def settle_all(**columns: Any) -> None:
    """Everything is as LiteLLM has it."""
    for table in synced_models():
        table._base_manager.update(**{"sync_status": "synced", "sync_next_at": None, "sync_error": ""} | columns)


# --- Health ----------------------------------------------------------------------------------------------------------


def test_health_says_how_quick_litellm_is_and_who_waits_longest(ann: User, ada: User, litellm: Emulator) -> None:
    settle_all()
    now = timezone.now()
    integration.tick(now)
    since = now - timedelta(seconds=90)
    User.objects.filter(pk=ada.pk).update(sync_status="pending", sync_requested_at=since)
    Team.objects.update(sync_status="pending", sync_requested_at=now)
    Membership.objects.filter(user=ada).update(sync_status="failed")
    calls = len(litellm.calls)
    found = integration.get_integration_health()
    assert (found["configured"], found["reachable"], found["watched"]) == (True, True, True)
    assert found["queue"] == {"pending": 2, "failed": 1}
    assert found["queues"]["accounts.user"] == {"pending": 1, "failed": 0}
    assert found["queues"]["teams.membership"] == {"pending": 0, "failed": 1}
    assert found["oldest_pending"]["kind"] == "accounts.user"
    assert found["oldest_pending"]["since"] == since
    assert 90 <= found["oldest_pending"]["seconds"] < 150
    assert found["latency_ms"]["looks"] == 1
    assert found["latency_ms"]["last"] == found["latency_ms"]["worst"] >= 1
    assert found["circuit"] == {"web": "closed", "worker": "closed"}
    assert len(litellm.calls) == calls


def test_latencies_are_of_the_last_looks_that_were_answered() -> None:
    now = timezone.now()
    for ms in range(1, integration.LATENCIES_KEPT + 6):
        integration.notice(latency=ms, now=now)
    integration.notice(latency=None, now=now)
    seen = health.seen()
    assert seen == list(range(6, integration.LATENCIES_KEPT + 6))
    assert health.latency(Upstream.objects.get()) == {"last": 35, "median": 20, "worst": 35, "looks": 30}


def test_a_look_that_nobody_takes_any_more_is_seen() -> None:
    assert not integration.get_integration_health()["watched"]
    now = timezone.now()
    integration.notice(latency=3, now=now - timedelta(minutes=2))
    assert not integration.get_integration_health()["watched"]
    integration.notice(latency=3, now=now)
    assert integration.get_integration_health()["watched"]


def test_last_runs_are_told_with_their_outcome() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    SyncRun.objects.create(kind="users", status="done", finished_at=moment)
    failed = SyncRun.objects.create(kind="users", status="failed", error="no")
    found = integration.get_integration_health()
    assert found["last_sync"]["users"] == moment
    told = {"id": str(failed.pk), "status": "failed", "error": "no", "finished_at": None}
    assert found["last_run"]["users"] == told
    assert found["last_run"]["keys"] is None
    assert found["drift"] is None


def test_the_newest_comparison_is_shown_as_drift() -> None:
    run = SyncRun.objects.create(
        kind=RunKind.RECONCILE, status="done", report={"missing": 2}, finished_at=timezone.now()
    )
    SyncRun.objects.create(kind=RunKind.RECONCILE, status="failed")
    found = integration.get_integration_health()["drift"]
    assert (found["run"], found["report"]) == (str(run.pk), {"missing": 2})


def test_health_costs_the_same_however_much_there_is(ann: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(4):
        integration.get_integration_health()
    for n in range(5):
        make_person(f"p{n}")
        SyncRun.objects.create(kind="users", status="done")
    with django_assert_num_queries(4):
        integration.get_integration_health()


# --- Intervals -------------------------------------------------------------------------------------------------------


def test_an_interval_is_obeyed_by_the_next_tick_and_recorded(ann: User, settings: Any) -> None:
    now = timezone.now()
    settings.MODEL_SYNC_SECONDS = 3600
    SyncRun.objects.create(kind="models", status="done")
    SyncRun.objects.create(kind="usage", status="done")
    SyncRun.objects.create(kind="reconcile", status="done")
    later = now + timedelta(minutes=2)
    integration.schedule_auto_sync(ann, kind="usage", seconds=schedules.OFF)
    assert integration.request_due_syncs(later) == []
    after = integration.schedule_auto_sync(ann, kind="models", seconds=60)
    assert (after.seconds, after.is_default, after.default) == (60, False, 3600)
    assert integration.request_due_syncs(later) == ["models"]
    entries = AuditEvent.objects.filter(action="sync.scheduled").order_by("at")
    assert [entry.details for entry in entries] == [
        {"kind": "usage", "seconds": [None, 0]},
        {"kind": "models", "seconds": [None, 60]},
    ]
    assert {entry.actor_id for entry in entries} == {ann.pk}


def test_none_is_what_the_settings_say(ann: User, settings: Any) -> None:
    integration.schedule_auto_sync(ann, kind="models", seconds=60)
    settings.MODEL_SYNC_SECONDS = 1234
    assert integration.schedule_auto_sync(ann, kind="models", seconds=None).seconds == 1234
    assert not SyncSchedule.objects.exists()


def test_what_changes_nothing_is_not_recorded(ann: User) -> None:
    for _turn in range(2):
        integration.schedule_auto_sync(ann, kind="users", seconds=7200)
    assert AuditEvent.objects.filter(action="sync.scheduled").count() == 1


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [("models", 59), ("usage", 14), ("users", 3599), ("all", schedules.MONTH + 1), ("cheese", 60), ("usage", -1)],
)
def test_intervals_have_bounds(ann: User, kind: str, seconds: int) -> None:
    with pytest.raises(Invalid):
        integration.schedule_auto_sync(ann, kind=kind, seconds=seconds)
    assert not SyncSchedule.objects.exists()


def test_every_kind_has_a_lower_bound() -> None:
    assert set(schedules.LEAST) == set(RunKind)


def test_several_intervals_are_changed_together_or_not_at_all(ann: User) -> None:
    with pytest.raises(Invalid):
        integration.schedule_all(ann, seconds={"models": 600, "usage": 1})
    assert not SyncSchedule.objects.exists()
    assert not AuditEvent.objects.filter(action="sync.scheduled").exists()


def test_trap_09_only_administrators_change_intervals_and_push_again(ada: User, ro: User) -> None:
    for actor in (ada, ro):
        with pytest.raises(PermissionDenied):
            integration.schedule_auto_sync(actor, kind="models", seconds=600)
        with pytest.raises(PermissionDenied):
            integration.resolve_conflicts(actor, kind="accounts.user", object_id=ada.pk)
        with pytest.raises(PermissionDenied):
            integration.request_sync(actor, what="orphans")
        with pytest.raises(PermissionDenied):
            default_team.assign_user_to_default_team(actor, user_id=ada.pk)
    with pytest.raises(PermissionDenied):
        integration.generate_audit_log(ada)


def test_whole_tables_that_failed_are_not_tried_again_every_half_minute(ann: User) -> None:
    integration.schedule_auto_sync(ann, kind="users", seconds=3600)
    integration.schedule_auto_sync(ann, kind="usage", seconds=0)
    integration.schedule_auto_sync(ann, kind="models", seconds=0)
    integration.schedule_auto_sync(ann, kind="reconcile", seconds=0)
    now = timezone.now()
    SyncRun.objects.create(kind="users", status="failed")
    assert integration.request_due_syncs(now + timedelta(minutes=14)) == []
    assert integration.request_due_syncs(now + timedelta(minutes=16)) == ["users"]


# --- Pushes that fail ------------------------------------------------------------------------------------------------


@pytest.fixture
def secret(ada: User, subscribed: list[Subscription], litellm: Emulator) -> ApiKeySecret:
    """Of a key of ada's that LiteLLM has; everything else is settled too."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"])
    found = made.key.secrets.get()
    push(SECRET, str(found.pk), limit=5)
    settle_all()
    return found


def found() -> list[failures.Failure]:
    """All that fail."""
    return failures.shown(failures.failures())


def test_a_key_that_may_still_work_is_a_failure_although_it_waits(
    ada: User, subscribed: list[Subscription], litellm: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that cannot end such a key goes on for ever; its row only says that it waits."""
    key = create_api_key(ada, name="notebook", models=["gpt-4o"]).key
    push(SECRET, str(key.secrets.get().pk), limit=5)
    settle_all()
    ApiKey.objects.update(status=KeyStatus.BLOCKED)
    ApiKeySecret.objects.update(sync_status="pending")

    def refused(*_arguments: object) -> None:
        raise UpstreamRejected(http_status=400, reason="LiteLLM says no")

    monkeypatch.setattr("litellm_sync.client.LiteLLM.block_key", refused)
    push(SECRET, str(key.secrets.get().pk), limit=5)
    (failure,) = found()
    assert failure.must_not_work
    assert (failure.what, failure.name, failure.status) == ("Key", "notebook", "pending")
    assert (failure.page, failure.shown) == ("apikeys_apikey", str(key.pk))
    assert failure.reason == "LiteLLM says no"


@pytest.mark.parametrize(
    ("columns", "must_not_work"),
    [
        ({"sync_status": "failed", "sync_error": "needs_rotation"}, [False]),
        ({"sync_status": "failed", "sync_error": ""}, [False]),
        ({"sync_status": "pending", "sync_error": ""}, []),
        ({"sync_status": "pending", "sync_error": "timeout", "sync_attempts": 4}, []),
        ({"sync_status": "pending", "sync_error": "timeout", "sync_attempts": 5}, [False]),
        ({"sync_status": "pending", "sync_error": "http_503", "sync_attempts": 1}, []),
        ({"sync_status": "pending", "sync_error": "internal_error", "sync_attempts": 1}, [False]),
        ({"sync_status": "pending", "sync_error": "secret_unreadable", "sync_attempts": 1}, [True]),
        ({"sync_status": "synced", "sync_error": "LiteLLM refused this."}, []),
    ],
)
def test_what_counts_as_failing(secret: ApiKeySecret, columns: dict[str, Any], must_not_work: list[bool]) -> None:
    ApiKeySecret.objects.update(**columns)
    assert [failure.must_not_work for failure in found()] == must_not_work


def test_every_reason_that_a_push_gives_has_words(secret: ApiKeySecret) -> None:
    for error in {**failures.PASSING, **failures.LASTING}:
        ApiKeySecret.objects.update(sync_status="failed", sync_error=error)
        (failure,) = found()
        assert failure.reason
        assert failure.reason != error
    assert failures.reason("http_502") == "LiteLLM answered with an error (502)."
    assert failures.reason("") == "LiteLLM refused it."


def test_failures_of_all_tables_are_listed_with_names_the_longest_first(ada: User, secret: ApiKeySecret) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for days, table in enumerate((Membership, User, Team, ApiKeySecret)):
        rows: Any = table._base_manager.all()
        rows.update(sync_status="failed", sync_requested_at=moment + timedelta(days=days))
    assert [(one.kind, one.name, one.page) for one in found()] == [
        ("teams.membership", "ada · Default Team", "teams_membership"),
        ("accounts.user", "ada", "accounts_user"),
        ("teams.team", "Default Team", "teams_team"),
        (SECRET, "notebook", "apikeys_apikey"),
    ]
    assert [one.kind for one in failures.shown(failures.failures("teams.team"))] == ["teams.team"]


def test_all_that_fails_is_tried_again_also_what_only_waits(ann: User, secret: ApiKeySecret) -> None:
    ApiKeySecret.objects.update(sync_status="pending", sync_error="LiteLLM refused this.", sync_attempts=9)
    Team.objects.update(sync_status="failed")
    assert integration.retry(ann) == 2
    assert found() == []
    assert ApiKeySecret.objects.get().sync_attempts == 0


# --- Conflicts -------------------------------------------------------------------------------------------------------


def test_where_both_sides_differ_our_settings_win_and_their_models(
    ann: User, ada: User, secret: ApiKeySecret, litellm: Emulator
) -> None:
    litellm.state.keys.update(secret.digest, {"rpm_limit": 99})
    row = integration.resolve_conflicts(ann, kind=SECRET, object_id=secret.pk)
    assert row.sync_status == "pending"  # type: ignore[union-attr]  # it is a row of ours
    push(SECRET, str(secret.pk), limit=5)
    assert litellm.state.keys.rows[secret.digest]["rpm_limit"] is None
    entry = AuditEvent.objects.get(action="push.forced")
    assert (entry.actor_id, entry.details["was"]) == (ann.pk, "synced")
    run = integration.resolve_conflicts(ann, kind="subscriptions.model", object_id="gpt-4o")
    assert isinstance(run, SyncRun)
    assert (run.kind, run.status) == ("models", RunStatus.QUEUED)
    with pytest.raises(Invalid):
        integration.resolve_conflicts(ann, kind="accounts.auditevent", object_id=1)
    for nobody in ("not-an-id", ann.pk):
        with pytest.raises(NotFound):
            integration.resolve_conflicts(ann, kind="teams.team", object_id=nobody)


# --- Audit trail -----------------------------------------------------------------------------------------------------


def test_the_trail_holds_what_is_about_the_integration_and_nothing_else(ann: User, ro: User, ada: User) -> None:
    integration.request_sync(ann, what="models")
    integration.schedule_auto_sync(ann, kind="usage", seconds=60)
    integration.retry_push(ann, kind="accounts.user", object_id=ada.pk)
    trail = integration.generate_audit_log(ro)
    assert [event.action for event in trail] == ["push.retried", "sync.scheduled", "sync.requested"]
    moment = trail[1].at
    assert [event.action for event in integration.generate_audit_log(ro, start=moment)] == [
        "push.retried",
        "sync.scheduled",
    ]
    assert [event.action for event in integration.generate_audit_log(ro, end=moment)] == ["sync.requested"]
    audit.record(ann, audit.Action.APIKEY_CREATED, ada)
    audit.record(ann, audit.Action.APIKEY_ADOPTED, ada)
    assert [event.action for event in integration.generate_audit_log(ro)[:2]] == ["apikey.adopted", "push.retried"]


def test_the_trail_is_found_by_its_index_among_many_others(ann: User) -> None:
    audit.record_many(ann, audit.Action.APIKEY_CREATED, [(ann, {})] * 2000)
    integration.request_sync(ann, what="models")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_auditevent")
    assert "audit_integration" in integration.generate_audit_log(ann)[:20].explain()


# --- The default team ------------------------------------------------------------------------------------------------


def test_the_figures_of_the_default_team_are_those_of_its_rows(ada: User, secret: ApiKeySecret, settings: Any) -> None:
    settings.LITELLM_DEFAULT_TEAM_LISTED_MEMBERS = 2
    Team.objects.filter(pk=DEFAULT_TEAM_ID).update(spend=Decimal("12.5"))
    Membership.objects.update(listed=True)
    make_person("later")
    User.objects.create(username="lost", roles=[Role.USER.value])
    stats = default_team.get_default_team_stats()
    assert (stats.members, stats.listed, stats.waiting, stats.cap) == (2, 1, 1, 2)
    assert (stats.keys, stats.orphans) == (1, 1)
    assert (stats.spend, stats.max_budget, stats.budget_left) == (Decimal("12.5"), Decimal(10_000), Decimal("9987.5"))
    Team.objects.update(spend=20_000)
    assert default_team.get_default_team_stats().budget_left == 0
    Team.objects.update(max_budget=None)
    assert default_team.get_default_team_stats().budget_left is None


def test_reading_the_figures_makes_no_team(db: None) -> None:
    assert default_team.get_default_team_stats().members == 0
    assert not Team.objects.exists()


def test_a_dry_run_of_the_migration_counts_and_changes_nothing(ann: User) -> None:
    for n in range(3):
        User.objects.create(username=f"lost{n}", roles=[Role.USER.value])
    assert default_team.migrate_orphaned_users_to_default_team(ann, dry_run=True) == 3
    assert default_team.orphans().count() == 3
    assert default_team.migrate_orphaned_users_to_default_team(ann, dry_run=False) == 3
    assert default_team.orphans().count() == 0


def test_somebody_is_assigned_once(ann: User) -> None:
    lost = User.objects.create(username="lost", roles=[Role.USER.value])
    first = default_team.assign_user_to_default_team(ann, user_id=lost.pk)
    assert default_team.assign_user_to_default_team(ann, user_id=lost.pk) == first
    assert AuditEvent.objects.filter(action="membership.added", target_id=str(first.pk)).count() == 1
    with pytest.raises(NotFound):
        default_team.assign_user_to_default_team(ann, user_id=DEFAULT_TEAM_ID)


# --- The API ---------------------------------------------------------------------------------------------------------


def test_the_centre_works_by_the_api_alone(ann: User, ada: User, secret: ApiKeySecret, api: Api) -> None:
    client = api(ann)
    Team.objects.update(sync_status="failed", sync_error="timeout")
    listed = client.get("/api/v1/integration/failures").json()
    assert listed["count"] == 1
    (row,) = listed["results"]
    assert (row["kind"], row["name"], row["reason"]) == (
        "teams.team",
        "Default Team",
        "LiteLLM did not answer in time.",
    )
    assert client.get("/api/v1/integration/failures?kind=accounts.user").json()["count"] == 0
    assert client.get("/api/v1/integration/failures?kind=cheese").status_code == 422
    again = client.post("/api/v1/integration/retry", {"kind": row["kind"], "id": row["id"]})
    assert (again.status_code, again.json()) == (200, {"rows": 1})
    assert Team.objects.get().sync_status == "pending"
    assert client.post("/api/v1/integration/retry", {"kind": "teams.team", "id": "x"}).status_code == 404
    assert client.post("/api/v1/integration/retry", {"kind": "cheese"}).status_code == 422
    put = client.put("/api/v1/integration/schedule/keys", {"seconds": 7200})
    assert put.json() == {"kind": "keys", "seconds": 7200, "default": 0, "is_default": False, "least": 3600}
    assert client.put("/api/v1/integration/schedule/keys", {"seconds": 5}).status_code == 422
    assert client.put("/api/v1/integration/schedule/cheese", {"seconds": 7200}).status_code == 422
    intervals = {one["kind"]: one["seconds"] for one in client.get("/api/v1/integration/schedule").json()}
    assert intervals["keys"] == 7200
    trail = client.get("/api/v1/integration/audit").json()
    assert [event["action"] for event in trail["results"]] == ["sync.scheduled", "push.retried"]
    team = client.get("/api/v1/integration/default-team").json()
    assert (team["members"], team["max_budget"], team["cap"]) == (2, "10000.0000000000", 500)


def test_trap_39_failed_pushes_are_paged_to_their_end(ann: User, ada: User, api: Api) -> None:
    for n in range(7):
        make_person(f"person{n}")
    settle_all()
    User.objects.update(sync_status="failed")
    seen: list[str] = []
    address = "/api/v1/integration/failures?page_size=3"
    while address:
        answer = api(ann).get(address).json()
        seen += [row["id"] for row in answer["results"]]
        address = answer["next"]
    assert answer["count"] == len(seen) == 9
    assert set(seen) == {str(user.pk) for user in User.objects.all()}
