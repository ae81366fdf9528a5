"""What somebody should be woken for: told when it begins, once a period, and when it ends."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import alerts
from litellm_sync.models import Alert, Drift, SyncRun, Upstream
from subscriptions.models import Subscription
from teams.models import Membership, Team
from tests.cast import make_person
from tests.races import at_once, real_transactions

__all__ = ["real_transactions"]
pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def _quiet(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.PUSH_ALERT_SECONDS, settings.OUTAGE_ALERT_SECONDS, settings.ALERT_REPEAT_SECONDS = 300, 120, 3600


@pytest.fixture
def agreed(ada: User) -> User:
    """Somebody whom LiteLLM agrees with."""
    for table in (User, Team, Membership):
        table.objects.update(sync_status="synced", sync_requested_at=None)
    return ada


def watched(now: datetime) -> list[tuple[str, str, str]]:
    """Level, event and what is said of it, of one look."""
    with capture_logs() as logs:
        alerts.watch(now)
    return [(line["log_level"], line["event"], line["alert"]) for line in logs]


def wait_since(user: User, moment: datetime) -> None:
    """The person's row has waited for LiteLLM since then."""
    User.objects.filter(pk=user.pk).update(sync_status="pending", sync_requested_at=moment)


def test_all_is_well(agreed: User) -> None:
    Upstream.objects.create(id=1, checked_at=NOW, version="1.109.1")
    wait_since(agreed, NOW - timedelta(seconds=299))
    assert watched(NOW) == []


def test_a_push_that_waits_too_long_is_told_once_a_period_and_at_its_end(agreed: User) -> None:
    wait_since(agreed, NOW - timedelta(seconds=301))
    assert watched(NOW) == [("error", "push_waits_too_long", "begins")]
    for seconds in (15, 30, 3599):
        assert watched(NOW + timedelta(seconds=seconds)) == []
    assert watched(NOW + timedelta(seconds=3600)) == [("error", "push_waits_too_long", "lasts")]
    assert watched(NOW + timedelta(seconds=3615)) == []
    User.objects.update(sync_status="synced")
    assert watched(NOW + timedelta(seconds=3630)) == [("warning", "alert_ended", "push_waits_too_long")]
    assert watched(NOW + timedelta(seconds=3645)) == []
    assert not Alert.objects.exists()
    wait_since(agreed, NOW)
    assert watched(NOW + timedelta(seconds=3660)) == [("error", "push_waits_too_long", "begins")]


def test_an_alert_says_what_and_for_how_long(agreed: User) -> None:
    since = NOW - timedelta(hours=1)
    wait_since(agreed, since)
    Membership.objects.update(sync_status="pending", sync_requested_at=since)
    with capture_logs() as logs:
        alerts.watch(NOW)
    told = {line["subject"]: line for line in logs}
    assert sorted(told) == ["accounts.user", "teams.membership"]
    assert (told["accounts.user"]["waiting"], told["accounts.user"]["oldest_since"]) == (1, since)
    User.objects.update(sync_status="synced")
    with capture_logs() as logs:
        alerts.watch(NOW + timedelta(minutes=2))
    assert [(line["subject"], line["lasted_seconds"]) for line in logs] == [("accounts.user", 120)]


@pytest.mark.parametrize("columns", [{"sync_error": "LiteLLM refused"}, {"sync_error": "http_500", "sync_attempts": 5}])
def test_what_is_tried_in_vain_hides_nothing_that_waits_later(agreed: User, columns: dict[str, Any]) -> None:
    User.objects.filter(pk=agreed.pk).update(**columns)
    wait_since(agreed, NOW - timedelta(days=1))
    with capture_logs() as logs:
        alerts.watch(NOW)
    [told] = logs
    assert (told["event"], told["subject"]) == ("push_is_in_vain", f"accounts.user/{agreed.pk}")
    assert told["error"] == columns["sync_error"]
    wait_since(make_person("later"), NOW - timedelta(seconds=301))
    with capture_logs() as logs:
        alerts.watch(NOW)
    [told] = logs
    assert (told["event"], told["subject"], told["waiting"]) == ("push_waits_too_long", "accounts.user", 1)


def test_a_key_that_works_although_it_must_not_is_told_by_itself(ada: User, subscribed: list[Subscription]) -> None:
    for name in ("one", "two", "three"):
        create_api_key(ada, name=name, models=["gpt-4o"])
    for table in (User, Team, Membership, ApiKeySecret):
        table.objects.update(sync_status="synced", sync_requested_at=None)
    ApiKey.objects.update(status="blocked")
    proved, listed, both = ApiKeySecret.objects.order_by("created_at")
    ApiKeySecret.objects.filter(pk__in=[proved.pk, both.pk]).update(worked_at=NOW)
    run = SyncRun.objects.create(kind="reconcile", status="done")
    for secret in (listed, both):
        Drift.objects.create(
            run=run, what="key", kind="alive", object_id=secret.digest, row_id=str(secret.pk), name="k", seen_at=NOW
        )
    with capture_logs() as logs:
        alerts.watch(NOW)
    found = {line["subject"]: (line["log_level"], line["event"], line["alert"]) for line in logs}
    assert found == {str(one.pk): ("error", "key_still_works", "begins") for one in (proved, listed, both)}
    Drift.objects.all().delete()
    ApiKeySecret.objects.filter(pk=proved.pk).update(proven_at=NOW)
    with capture_logs() as logs:
        alerts.watch(NOW)
    assert sorted(line["subject"] for line in logs) == sorted([str(proved.pk), str(listed.pk)])
    assert {line["event"] for line in logs} == {"alert_ended"}


def test_an_outage_that_lasts_is_told(agreed: User) -> None:
    Upstream.objects.create(id=1, down_since=NOW - timedelta(seconds=119))
    assert watched(NOW) == []
    assert watched(NOW + timedelta(seconds=1)) == [("error", "litellm_outage_lasts", "begins")]
    Upstream.objects.update(down_since=None)
    assert watched(NOW + timedelta(seconds=2)) == [("warning", "alert_ended", "litellm_outage_lasts")]


def test_a_bad_release_is_told_and_another_bad_one_too(agreed: User) -> None:
    Upstream.objects.create(id=1, version="1.82.7")
    assert watched(NOW) == [("error", "litellm_version_is_bad", "begins")]
    Upstream.objects.update(version="1.82.8")
    assert sorted(watched(NOW)) == [
        ("error", "litellm_version_is_bad", "begins"),
        ("warning", "alert_ended", "litellm_version_is_bad"),
    ]
    Upstream.objects.update(version="1.109.1")
    assert watched(NOW) == [("warning", "alert_ended", "litellm_version_is_bad")]


def runs(kind: str, *statuses: str) -> None:
    """Runs of a kind, the oldest first."""
    for status in statuses:
        SyncRun.objects.create(kind=kind, status=status, report={"code": "mass_disappearance"})


def test_a_run_that_keeps_failing_is_told_until_one_is_done(agreed: User) -> None:
    runs("models", "done", "failed", "failed")
    runs("usage", "failed", "failed", "failed", "done")
    assert watched(timezone.now()) == []
    runs("models", "failed")
    with capture_logs() as logs:
        alerts.watch(timezone.now())
    assert [(line["event"], line["subject"], line["code"]) for line in logs] == [
        ("run_keeps_failing", "models", "mass_disappearance")
    ]
    runs("models", "running")
    assert watched(timezone.now()) == []
    SyncRun.objects.filter(status="running").update(status="done")
    assert watched(timezone.now()) == [("warning", "alert_ended", "run_keeps_failing")]


def test_a_kind_that_is_switched_off_is_not_failing(agreed: User) -> None:
    runs("models", "failed", "failed", "failed")
    assert watched(timezone.now()) != []
    assert watched(timezone.now() + timedelta(days=1, minutes=1)) == [("warning", "alert_ended", "run_keeps_failing")]


@pytest.mark.usefixtures("real_transactions")
def test_several_workers_tell_once() -> None:
    Upstream.objects.create(id=1, version="1.82.7")
    with capture_logs() as logs:
        at_once(4, lambda _turn: alerts.watch(NOW))
    assert [line["event"] for line in logs] == ["litellm_version_is_bad"]


def test_a_look_costs_as_many_statements_whatever_waits(agreed: User) -> None:
    costs = []
    for _turn in range(2):
        with CaptureQueriesContext(connection) as statements:
            alerts.watch(NOW)
        costs.append(len(statements))
        Membership.objects.update(sync_status="pending", sync_requested_at=NOW)
        runs("models", *["failed"] * 2)
    assert costs[0] == costs[1] <= 11
