"""The web server as it is delivered: its words, and that several processes count together."""

import os
import re
import subprocess
import sys
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
    options = dict(zip(words[3:-1:2], words[4:-1:2], strict=True))
    assert options == {
        "--interface": "wsgi",
        "--host": "0.0.0.0",  # noqa: S104 -- as above
        "--port": "8000",
        "--workers": "3",
        "--blocking-threads": "5",
        "--workers-kill-timeout": "10",
    }
    assert words[-1] == "litemaas.wsgi:application"


def test_only_several_processes_count_in_a_folder_and_each_start_in_a_new_one() -> None:
    given = {"LOG_LEVEL": "INFO", serving.METRICS_FOLDER: "/somewhere/old"}
    assert serving.environment(given, processes=1) == {"LOG_LEVEL": "INFO"}
    made = [Path(serving.environment(given, processes=2)[serving.METRICS_FOLDER]) for _ in range(2)]
    assert made[0] != made[1]
    for folder in made:
        assert list(folder.iterdir()) == []
        folder.rmdir()


def test_processes_of_one_server_count_together(tmp_path: Path) -> None:
    port, pages = free_port(), 12
    environment = {**os.environ, "DEBUG": "1", "WEB_PROCESSES": "2", "TMPDIR": str(tmp_path)}
    supervisor = Supervisor(log_dir=tmp_path, say=lambda _text: None, environment=environment)
    supervisor.start(Child("web", [sys.executable, "manage.py", "serve", "--port", str(port)]))
    try:
        assert supervisor.wait_for(lambda: _status(port, "/healthz/live") == 200, READY_SECONDS)
        for _ in range(pages):
            assert _status(port, "/sign-in") == 200
        # Whichever process answers: it knows what both have counted.
        assert {_counted(port) for _ in range(6)} == {pages}
    finally:
        supervisor.stop()
    assert _status(port, "/healthz/live") == 0


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
