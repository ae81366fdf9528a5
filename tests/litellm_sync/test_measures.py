"""What is measured of the synchronisation, and what the lines of the log carry from request to job to call."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import User
from apikeys.models import ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import alerts, integration, measures, runs
from litellm_sync.client import LiteLLM, transport
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import Drift, RunKind, SyncRun, Upstream
from litellm_sync.push import push
from litemaas.foundation import logs
from litemaas.foundation.errors import UpstreamUnavailable
from subscriptions.models import Subscription
from teams.models import Membership, Team

pytestmark = pytest.mark.django_db
KEYS = "apikeys.apikeysecret"


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The lines of the log with their context."""
    processors = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(processors=processors) as captured:
        yield captured  # type: ignore[misc]  # lines are mutable mappings, in fact dicts


def number(name: str, **labels: str) -> float:
    """A figure of this process; 0 for one that was never counted."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def pushed(kind: str, outcome: str) -> float:
    """How many pushes ended so."""
    return number("litemaas_push_seconds_count", kind=kind, outcome=outcome)


@pytest.fixture
def secret(ada: User, subscribed: list[Subscription], litellm: Emulator) -> ApiKeySecret:
    """Of a key of ada's that LiteLLM does not have yet."""
    return create_api_key(ada, name="k", models=["gpt-4o"]).key.secrets.get()


def test_every_push_is_measured_with_its_outcome(secret: ApiKeySecret, litellm: Emulator) -> None:
    before = {outcome: pushed(KEYS, outcome) for outcome in ("done", "postponed", "refused", "broke")}
    litellm.faults.add("500")
    push(KEYS, str(secret.pk), limit=5)
    assert pushed(KEYS, "postponed") == before["postponed"] + 1
    litellm.faults.clear()
    transport.shared.cache_clear()
    push(KEYS, str(secret.pk), limit=5)
    assert pushed(KEYS, "done") == before["done"] + 1
    # LiteLLM has lost it, and we have erased it.
    LiteLLM(5.0).delete_key(secret.digest)
    ApiKeySecret.objects.update(sync_status="pending")
    push(KEYS, str(secret.pk), limit=5)
    assert pushed(KEYS, "refused") == before["refused"] + 1
    assert pushed(KEYS, "broke") == before["broke"]


def test_every_run_is_measured(ann: User, litellm: Emulator, work: Callable[[], int]) -> None:
    before = [number("litemaas_run_seconds_count", kind="models", outcome=outcome) for outcome in ("done", "failed")]
    for fault in ("", "500"):
        if fault:
            litellm.faults.add(fault)
        integration.request_sync(ann, what="models")
        work()
    after = [number("litemaas_run_seconds_count", kind="models", outcome=outcome) for outcome in ("done", "failed")]
    assert after == [before[0] + 1, before[1] + 1]


@pytest.mark.parametrize(("error", "outcome"), [(runs.Interrupted, "interrupted"), (runs.RunLost, "lost")])
def test_a_run_that_goes_on_has_not_failed(
    error: type[Exception], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_run: runs.Run) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(integration, "RUNS", {**integration.RUNS, RunKind.MODELS: stop})
    outcomes = ("failed", outcome)
    before = [number("litemaas_run_seconds_count", kind="models", outcome=one) for one in outcomes]
    integration.perform(str(integration.request_sync(None, what="models").pk))
    after = [number("litemaas_run_seconds_count", kind="models", outcome=one) for one in outcomes]
    assert after == [before[0], before[1] + 1]


def test_each_call_of_a_push_names_the_row_and_of_a_run_the_run(
    secret: ApiKeySecret, ann: User, litellm: Emulator, work: Callable[[], int], lines: list[dict[str, Any]]
) -> None:
    logs.bind_request("request-7")
    push(KEYS, str(secret.pk), limit=5)
    calls = [line for line in lines if line["event"] == "litellm_call"]
    assert len(calls) >= 3
    assert {(line["push"], line["request_id"]) for line in calls} == {(f"{KEYS}/{secret.pk}", "request-7")}
    lines.clear()
    run = integration.request_sync(ann, what="models")
    integration.perform(str(run.pk))
    assert [line["run"] for line in lines if line["event"] == "litellm_call"] == [f"models/{run.pk}"]
    logs.clear()
    LiteLLM(5.0).get_models()
    assert {"push", "run", "request_id"} & set(lines[-1]) == set()


def test_the_circuit_says_until_when_it_is_open() -> None:
    opened = number("litemaas_litellm_circuit_openings_total")
    now = timezone.now().timestamp()
    circuit = transport.Circuit()
    for _failure in range(transport.CIRCUIT_FAILURES):
        assert number("litemaas_litellm_circuit_openings_total") == opened
        circuit.failed()
    assert number("litemaas_litellm_circuit_openings_total") == opened + 1
    assert 0 <= number("litemaas_litellm_circuit_open_until_timestamp_seconds") - now - 5 < 60
    with pytest.raises(UpstreamUnavailable):
        circuit.refuse_if_open()


# --- What stands in the tables ---------------------------------------------------------------------------------------


def scraped(browser: Callable[[User | None], Client], settings: Any) -> dict[tuple[str, tuple[str, ...]], float]:
    """Name and labels -> figure, as Prometheus reads them."""
    settings.METRICS_TOKEN = "a-token"
    answer = browser(None).get("/metrics", headers={"Authorization": "Bearer a-token"})
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_metrics_tell_what_waits(browser: Any, settings: Any, ada: User) -> None:
    now = timezone.now()
    for table in (User, Team, Membership):
        table.objects.update(sync_status="synced")
    User.objects.update(sync_status="pending", sync_requested_at=now - timedelta(minutes=10))
    Membership.objects.update(sync_status="failed")
    Upstream.objects.create(id=1, down_since=now - timedelta(minutes=5), checked_at=now, version="1.82.7")
    SyncRun.objects.create(kind="models", status="done", finished_at=now)
    SyncRun.objects.create(kind="usage", status="failed", finished_at=now)
    run = SyncRun.objects.create(kind="reconcile", status="failed")
    Drift.objects.create(run=run, what="key", kind="alive", object_id="x", row_id="1", name="k", seen_at=now)
    alerts.watch(now)
    found = scraped(browser, settings)
    assert found["litemaas_push_queue", ("accounts.user", "pending")] == 1
    assert found["litemaas_push_queue", ("teams.membership", "failed")] == 1
    assert found["litemaas_push_queue", (KEYS, "pending")] == 0
    assert 600 <= found["litemaas_push_oldest_waiting_seconds", ("accounts.user",)] < 700
    assert found["litemaas_push_oldest_waiting_seconds", ("teams.team",)] == 0
    assert 300 <= found["litemaas_litellm_outage_seconds", ()] < 400
    assert found["litemaas_litellm_checked_timestamp_seconds", ()] == pytest.approx(now.timestamp(), abs=1)
    assert found["litemaas_litellm_info", ("1.82.7",)] == 1
    assert found["litemaas_run_last_success_timestamp_seconds", ("models",)] == pytest.approx(now.timestamp(), abs=1)
    assert ("litemaas_run_last_success_timestamp_seconds", ("usage",)) not in found
    assert found["litemaas_alert_active", ("push_waits_too_long",)] == 1
    assert found["litemaas_drift", ("alive",)] == 1
    assert found["litemaas_drift", ("missing",)] == 0
    assert found["litemaas_jobs_waiting", ("litellm_sync.push",)] >= 1
    assert any(name.startswith("django_http") for name, _labels in found)


def test_metrics_cost_as_many_statements_whatever_there_is(ada: User) -> None:
    costs = []
    for _turn in range(2):
        with CaptureQueriesContext(connection) as statements:
            list(measures.StateOfSync().collect())
        costs.append(len(statements))
        Membership.objects.update(sync_status="failed")
        SyncRun.objects.create(kind="models", status="done", finished_at=timezone.now())
    assert costs == [6, 6]


def test_without_a_database_the_processes_tell_what_they_count(
    browser: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> Any:
        raise DatabaseError("gone")

    monkeypatch.setattr(measures, "queue", away)
    found = scraped(browser, settings)
    assert any(name.startswith("django_http") for name, _labels in found)
    assert not any(name == "litemaas_push_queue" for name, _labels in found)
