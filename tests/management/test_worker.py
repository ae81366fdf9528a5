"""The worker tells what it counts, to whoever knows the token, and to nobody where it has no port."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.core.management import CommandError, call_command
from django.db import connection

from litemaas.management.supervisor import Child, Supervisor
from litemaas.metrics import worker_metrics
from tests.performance.stage import free_port
from tests.races import real_transactions

__all__ = ["real_transactions"]

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90


def ask(path: str = "/metrics", token: str = "") -> tuple[str, str]:
    """Status and body of the worker's answer."""
    answered: list[str] = []

    def start(status: str, _headers: Any, _error: Any = None) -> Any:
        answered.append(status)

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": ""}
    if token:
        environ["HTTP_AUTHORIZATION"] = token
    body = b"".join(worker_metrics()(environ, start)).decode()
    return answered[0], body


def test_the_workers_metrics_want_the_token(settings: Any) -> None:
    settings.METRICS_TOKEN, settings.INSECURE_COOKIES = "a-token", True
    for wrong in ("", "Bearer", "Bearer other", "a-token", "Bearer a-tokén"):
        status, body = ask(token=wrong)
        assert (status, body) == ("401 Unauthorized", "Unauthorized")
    status, body = ask(token="Bearer a-token")
    assert status == "200 OK"
    assert "litemaas_litellm_call_seconds" in body


@pytest.mark.parametrize(("insecure", "status"), [(True, "200 OK"), (False, "401 Unauthorized")])
def test_without_a_token_they_are_open_on_one_machine_alone(settings: Any, insecure: bool, status: str) -> None:  # noqa: FBT001
    settings.METRICS_TOKEN, settings.INSECURE_COOKIES = "", insecure
    assert ask()[0] == status


def test_nothing_else_is_told(settings: Any) -> None:
    settings.METRICS_TOKEN, settings.INSECURE_COOKIES = "", True
    assert ask("/")[0] == "404 Not Found"


def test_a_port_that_is_taken_is_said(settings: Any) -> None:
    settings.DEBUG = True
    with pytest.raises(CommandError, match="Metrics cannot be told at"):
        call_command("worker", "--metrics-host", "192.0.2.1", "--metrics-port", "9")


@pytest.fixture
def supervisor(tmp_path: Path, real_transactions: None) -> Iterator[Supervisor]:
    """Starts processes on the database of the test, and ends them."""
    server, _slash, _name = os.environ["DATABASE_URL"].partition("?")[0].rpartition("/")
    query = urlsplit(os.environ["DATABASE_URL"]).query
    url = f"{server}/{connection.settings_dict['NAME']}" + (f"?{query}" if query else "")
    one = Supervisor(log_dir=tmp_path, say=lambda _text: None)
    changes = {"DATABASE_URL": url, "DEBUG": "1", "METRICS_TOKEN": "a-token", "LITELLM_API_URL": ""}
    one.environment = {**os.environ, **changes}
    yield one
    one.stop()


def test_a_real_worker_carries_jobs_out_and_counts_them(supervisor: Supervisor) -> None:
    port = free_port()
    words = [sys.executable, str(ROOT / "manage.py"), "worker", "--metrics-port", str(port)]
    supervisor.start(Child("worker", words, stop_seconds=10))
    url = f"http://127.0.0.1:{port}/metrics"

    def told() -> bool:
        headers = {"Authorization": "Bearer a-token", "Connection": "close"}
        try:
            text = requests.get(url, headers=headers, timeout=5).text
        except requests.ConnectionError:
            return False
        return 'litemaas_job_seconds_count{outcome="done",task="litellm_sync.tick"}' in text

    assert supervisor.wait_for(told, READY_SECONDS), supervisor.log("worker").read_text()
    assert requests.get(url, headers={"Connection": "close"}, timeout=5).status_code == 401
    # What stands in the tables is told by the web server alone.
    answer = requests.get(url, headers={"Authorization": "Bearer a-token", "Connection": "close"}, timeout=5)
    assert "litemaas_push_queue" not in answer.text
