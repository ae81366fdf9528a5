"""``manage.py demo``: comes up from nothing, serves, keeps its data, and leaves no process behind."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from litemaas.foundation import embedded
from litemaas.management.commands import demo

# What this run says about itself must not reach the demo, which makes its own.
NOT_PASSED_ON = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "ENCRYPTION_KEYS", "MAKELEVEL", "SECRET_KEY"}
READY_SECONDS = 120


class Demo:
    """A running demo and what it said."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.url = data_dir, f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo"],
            cwd=django_settings.BASE_DIR,
            env=environment | {"DATA_DIR": str(data_dir), "PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=embedded.end_with_parent(signal.SIGTERM),  # noqa: PLW1509 -- one system call
        )

    def wait_until_ready(self) -> None:
        impatient = threading.Timer(READY_SECONDS, self.process.terminate)
        impatient.start()
        try:
            assert self.process.stdout
            lines = []
            for line in self.process.stdout:
                lines.append(line)
                if line == f"LiteMaaS is ready: {self.url}\n":
                    return
            pytest.fail("".join(lines))
        finally:
            impatient.cancel()

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def processes(self) -> list[str]:
        """The command lines of everything that works for this demo."""
        mark, found = str(self.data_dir).encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
            except OSError:
                continue  # it ended meanwhile, or is none of ours
            if mark in command + environment:
                found.append(command.replace(b"\0", b" ").decode())
        return found


@contextmanager
def running(data_dir: Path) -> Iterator[Demo]:
    demo = Demo(data_dir, free_port())
    try:
        demo.wait_until_ready()
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.stop(signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def sign_in(url: str, name: str) -> dict[str, str]:
    answer = requests.post(f"{url}/api/v1/auth/token", json={"username": name, "password": name}, timeout=30)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access']}"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a server user may reach; pytest closes the parents of its own at the start of every other run."""
    with tempfile.TemporaryDirectory(prefix="litemaas-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.e2e
def test_the_demo_serves_at_once_keeps_its_data_and_leaves_nothing(folder: Path) -> None:
    data_dir = folder / "data"
    with running(data_dir) as first:
        for name in ("admin", "ro", "alice", "bob"):
            headers = sign_in(first.url, name)
        models = requests.get(f"{first.url}/api/v1/models", headers=headers, timeout=30).json()["results"]
        model = next(model["id"] for model in models if model["subscription"] is None)
        answer = requests.post(f"{first.url}/api/v1/subscriptions", json={"model": model}, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        assert len(first.processes()) > 4
        assert first.stop(signal.SIGTERM) == 0
        assert first.processes() == []

    with running(data_dir) as second:
        headers = sign_in(second.url, "bob")
        mine = requests.get(f"{second.url}/api/v1/subscriptions", headers=headers, timeout=30).json()["results"]
        assert model in {subscription["model"] for subscription in mine}
        assert second.stop(signal.SIGINT) == 0
        assert second.processes() == []


@pytest.mark.e2e
def test_a_demo_that_is_killed_leaves_nothing_either(folder: Path) -> None:
    with running(folder / "data") as killed:
        killed.process.kill()
        killed.process.communicate()
        deadline = time.monotonic() + 30
        while killed.processes():
            assert time.monotonic() < deadline, killed.processes()
            time.sleep(0.2)


@pytest.fixture
def data_dir(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.setenv("PORT", str(free_port()))
    settings.DATA_DIR = tmp_path
    return tmp_path


def test_a_port_in_use_is_said_at_once(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(CommandError, match=rf"Port {port} cannot be used: Address already in use.*PORT="):
            call_command("demo")


@pytest.mark.parametrize("port", ["eighty", "-1", "70000"])
def test_a_port_that_is_none_is_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PORT", port)
    with pytest.raises(CommandError, match="is not the number of a port"):
        call_command("demo")


@pytest.mark.parametrize("name", ["LITELLM_API_URL", "LITELLM_API_KEY"])
def test_half_the_address_of_a_litellm_is_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(CommandError, match="Set both LITELLM_API_URL and LITELLM_API_KEY"):
        call_command("demo")


def test_two_demos_on_the_same_data_are_refused(data_dir: Path) -> None:
    with (data_dir / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="A demo already runs on"):
            call_command("demo")


def test_secrets_are_made_once_and_closed(tmp_path: Path) -> None:
    first = demo._secrets(tmp_path)
    assert first == demo._secrets(tmp_path)
    assert set(first) == {"ENCRYPTION_KEYS", "LITELLM_API_KEY", "SECRET_KEY"}
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_logs_of_the_last_run_stay_beside_the_new_ones(tmp_path: Path) -> None:
    log_dir = tmp_path / "log"
    demo._begin_logs(log_dir)
    (log_dir / "web.log").write_text("first run")
    demo._begin_logs(log_dir)
    assert [path.name for path in log_dir.iterdir()] == ["web.log.1"]
    assert log_dir.stat().st_mode & 0o077 == 0


def test_the_emulator_keeps_its_port_while_it_is_free(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    assert demo._last_port(port_file) is None
    port = demo._free_port(None)
    port_file.write_text(str(port))
    assert demo._free_port(demo._last_port(port_file)) == port
    with socket.create_server(("127.0.0.1", port)):
        assert demo._free_port(port) != port
