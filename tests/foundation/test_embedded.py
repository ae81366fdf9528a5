"""The embedded PostgreSQL: starts, is found again, survives being killed, and ends with whoever started it."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from litemaas.foundation import embedded

# What another process does: start the server of the folder, say so, and wait to be ended.
HOLDER = """
import sys, time
from pathlib import Path
from litemaas.foundation import embedded
print(embedded.start(Path(sys.argv[1]), durable=False).process.pid, flush=True)
time.sleep(120)
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    if (folder / "postgres").exists():
        embedded.start(folder, durable=False).stop()


@pytest.fixture
def hold(data_dir: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], int]]]:
    holders: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], int]:
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(data_dir)], stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout
        return holder, int(holder.stdout.readline())

    yield start
    for holder in holders:
        with holder:
            holder.kill()


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question).fetchone()
    return row[0] if row else None


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_url_starts_nothing(data_dir: Path) -> None:
    assert embedded.url(data_dir) == embedded.url(data_dir)
    assert not data_dir.exists()


def test_url_of_a_long_path_fits_into_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)
    folder = embedded._socket_folder(embedded._folder(deep))
    assert len(str(folder / embedded.SOCKET_NAME)) < embedded.SOCKET_PATH_LIMIT
    assert folder != embedded._socket_folder(embedded._folder(tmp_path / ("deep" * 31)))


def test_start_makes_a_server_with_the_database_at_the_url(data_dir: Path) -> None:
    server = embedded.start(data_dir, durable=False)
    assert server.url == embedded.url(data_dir)
    assert ask(server.url, "SELECT current_database()") == "litemaas"
    assert ask(server.url, "SHOW max_connections") == "200"
    assert ask(server.url, "SHOW fsync") == "off"
    server.stop()
    assert not server.is_running()
    server.stop()


def test_start_is_durable_unless_told_otherwise(data_dir: Path) -> None:
    server = embedded.start(data_dir)
    assert ask(server.url, "SHOW fsync") == "on"
    server.stop()


def test_only_the_server_user_can_enter_the_cluster(data_dir: Path) -> None:
    embedded.start(data_dir, durable=False).stop()
    assert (data_dir / "postgres").stat().st_mode & 0o077 == 0
    assert (data_dir / "log").stat().st_mode & 0o077 == 0
    assert data_dir.stat().st_mode & 0o066 == 0


def test_a_socket_outside_the_cluster_stands_in_a_closed_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("a folder, with a comma " * 5)
    server = embedded.start(deep, durable=False)
    sockets = embedded._socket_folder(server.folder)
    try:
        assert sockets != server.folder
        assert sockets.stat().st_mode & 0o077 == 0
        assert ask(server.url, "SELECT current_database()") == "litemaas"
    finally:
        server.stop()
    sockets.chmod(0o777)
    with pytest.raises(embedded.EmbeddedDatabaseError, match="belongs to somebody else"):
        embedded.start(deep, durable=False)
    sockets.rmdir()


def test_data_survive_a_restart(data_dir: Path) -> None:
    server = embedded.start(data_dir, durable=False)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    server = embedded.start(data_dir, durable=False)
    assert ask(server.url, "SELECT answer FROM kept") == 42
    server.stop()


def test_start_takes_over_a_running_server(data_dir: Path, hold: Callable[[], tuple[object, int]]) -> None:
    hold()
    server = embedded.start(data_dir, durable=False)
    assert server.process is None
    assert server.is_running()
    server.stop()
    assert not server.is_running()


def test_the_server_ends_when_its_starter_is_killed(
    data_dir: Path, hold: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    holder, pid = hold()
    holder.kill()
    wait_until_gone(pid)
    embedded.start(data_dir, durable=False).stop()


def test_a_killed_server_does_not_stop_the_next_start(
    data_dir: Path, hold: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    _, pid = hold()
    os.kill(pid, signal.SIGKILL)
    server = embedded.start(data_dir, durable=False)
    assert ask(server.url, "SELECT current_database()") == "litemaas"
    server.stop()


def test_a_process_number_used_again_does_not_stop_the_next_start(data_dir: Path) -> None:
    embedded.start(data_dir, durable=False).stop()
    (data_dir / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}/postgres\n")
    server = embedded.start(data_dir, durable=False)
    assert server.is_running()
    server.stop()


def test_an_interrupted_first_start_is_begun_again(data_dir: Path) -> None:
    half_made = data_dir / "postgres.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    embedded.start(data_dir, durable=False).stop()
    assert not half_made.exists()


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    embedded.start(data_dir, durable=False).stop()
    version = data_dir / "postgres" / "PG_VERSION"
    version.write_text("9.6\n")
    with pytest.raises(embedded.EmbeddedDatabaseError, match=r"initialized by PostgreSQL version 9\.6"):
        embedded.start(data_dir, durable=False)
    version.write_text("18\n")


def test_without_the_wheel_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(embedded.EmbeddedDatabaseError, match=r"requirements/demo\.txt"):
        embedded._programs()
