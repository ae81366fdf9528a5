"""The web server as it is delivered: its words, and that several processes count together."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests

from litemaas.management import serving
from litemaas.management.supervisor import Child, Supervisor
from tests.performance.stage import free_port

READY_SECONDS = 90


def test_the_command_names_processes_threads_and_address() -> None:
    words = serving.command("0.0.0.0", 8000, processes=3, threads=5)  # noqa: S104 -- only the words
    assert words[:3] == [sys.executable, "-m", "granian"]
    options = dict(zip(words[3:-2:2], words[4:-2:2], strict=True))
    assert options == {
        "--interface": "wsgi",
        "--host": "0.0.0.0",  # noqa: S104 -- as above
        "--port": "8000",
        "--workers": "3",
        "--blocking-threads": "5",
        "--workers-kill-timeout": "10",
    }
    assert words[-2:] == ["--respawn-failed-workers", "litemaas.wsgi:application"]


def test_one_process_counts_in_its_memory(tmp_path: Path) -> None:
    given = {"LOG_LEVEL": "INFO", serving.METRICS_FOLDER: "/somewhere/old"}
    assert serving.environment(given, processes=1, data_dir=tmp_path) == {"LOG_LEVEL": "INFO"}
    assert list(tmp_path.iterdir()) == []


def test_each_start_counts_in_a_new_folder_and_removes_those_of_the_dead_alone(tmp_path: Path) -> None:
    given = {serving.METRICS_FOLDER: "/somewhere/old"}
    left = tmp_path / "metrics" / "left"
    left.mkdir(parents=True)
    (left / "counter_1.db").write_text("what a server counted that was killed")
    made = [Path(serving.environment(given, processes=2, data_dir=tmp_path)[serving.METRICS_FOLDER]) for _ in range(2)]
    # This process lives, and has both.
    assert {*(tmp_path / "metrics").iterdir()} == {*made}
    assert len({*made}) == 2
    assert [list(folder.iterdir()) for folder in made] == [[], []]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, Supervisor]]:
    """Port and supervisor of a web server with two processes, which answers."""
    port = free_port()
    # Those of the tests would have a DATA_DIR of their own.
    own = {"DJANGO_SETTINGS_MODULE": "litemaas.settings", "DATA_DIR": str(tmp_path), "DEBUG": "1", "WEB_PROCESSES": "2"}
    environment = {**os.environ, **own}
    supervisor = Supervisor(log_dir=tmp_path, say=lambda _text: None, environment=environment)
    supervisor.start(Child("web", [sys.executable, "manage.py", "serve", "--port", str(port)]))
    try:
        assert supervisor.wait_for(lambda: _status(port, "/healthz/live") == 200, READY_SECONDS)
        yield port, supervisor
    finally:
        supervisor.stop()


def test_processes_of_one_server_count_together_and_the_dead_are_replaced(
    served: tuple[int, Supervisor], tmp_path: Path
) -> None:
    port, supervisor = served
    pages = 12
    for _ in range(pages):
        assert _status(port, "/sign-in") == 200
    # Whichever process answers: it knows what both have counted.
    assert {_counted(port) for _ in range(6)} == {pages}
    killed = _workers(supervisor)
    assert len(killed) == 2
    for number, worker in enumerate(killed, 3):
        os.kill(worker, signal.SIGKILL)
        assert supervisor.wait_for(partial(_has_started, supervisor, number), READY_SECONDS)
        assert supervisor.wait_for(lambda: _status(port, "/healthz/live") == 200, READY_SECONDS)
    # The web server itself is the one of before, and what the dead counted is not lost.
    assert supervisor.children[0].deaths == []
    assert _counted(port) == pages
    (folder,) = (tmp_path / "metrics").iterdir()
    supervisor.stop()
    assert _status(port, "/healthz/live") == 0
    started = serving.environment({}, processes=2, data_dir=tmp_path)
    assert [*folder.parent.iterdir()] == [Path(started[serving.METRICS_FOLDER])] != [folder]


def test_unsafe_settings_are_refused_before_anything_is_served() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"SECRET_KEY", "DEBUG"}}
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", "--port", "1"],
        env=environment | {"DEBUG": "0", "DJANGO_SETTINGS_MODULE": "litemaas.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_SECONDS,
    )
    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr


def _workers(supervisor: Supervisor) -> list[int]:
    """Every process that was started to serve, the oldest first."""
    return [int(pid) for pid in re.findall(r"Spawning worker-\d+ with PID: (\d+)", supervisor.log("web").read_text())]


def _has_started(supervisor: Supervisor, number: int) -> bool:
    return len(_workers(supervisor)) == number


def _status(port: int, path: str) -> int:
    try:
        return requests.get(f"http://127.0.0.1:{port}{path}", headers={"Connection": "close"}, timeout=30).status_code
    except requests.ConnectionError:
        return 0


def _counted(port: int) -> int:
    text = requests.get(f"http://127.0.0.1:{port}/metrics", headers={"Connection": "close"}, timeout=30).text
    found = re.findall(
        r'django_http_requests_total_by_view_transport_method_total\{[^}]*view="sign-in"[^}]*\} (\S+)', text
    )
    if not found:
        pytest.fail(text[:2000])
    return int(sum(map(float, found)))
