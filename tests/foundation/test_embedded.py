"""The embedded PostgreSQL: starts, is found again, survives being killed, and ends with whoever started it."""

import fcntl
import importlib.util
import os
import pwd
import signal
import subprocess
import sys
import tempfile
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
def folder() -> Iterator[Path]:
    """A folder that a server user may reach; pytest closes the parents of its own at the start of every other run."""
    with tempfile.TemporaryDirectory(prefix="litemaas-embedded-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def data_dir(folder: Path) -> Iterator[Path]:
    data_dir = folder / "data"
    yield data_dir
    if (data_dir / "postgres").exists():
        embedded.start(data_dir, durable=False).stop()


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


def test_a_socket_outside_the_cluster_stands_in_a_closed_folder(folder: Path) -> None:
    deep = folder / ("a folder, with a comma " * 5)
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


# --- What happens rarely ---------------------------------------------------------------------------------------------


def test_a_server_that_does_not_stop_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.2)
    deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 3)]; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(embedded.EmbeddedDatabaseError, match="does not stop"):
            embedded.Server(url="", folder=tmp_path, process=process).stop()
        process.kill()


def test_a_server_that_is_gone_already_is_stopped(tmp_path: Path) -> None:
    embedded.Server(url="", folder=tmp_path).stop()


def test_a_server_that_holds_the_lock_but_does_not_answer_is_reported(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 0.2)
    data_dir.mkdir()
    with (data_dir / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(embedded.EmbeddedDatabaseError, match="runs but does not answer"):
            embedded.start(data_dir)


def test_a_server_that_takes_too_long_is_ended(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "START_SECONDS", 0.2)
        patched.setattr(embedded, "_answers", lambda _data_dir: False)
        with pytest.raises(embedded.EmbeddedDatabaseError, match="did not start"):
            embedded.start(data_dir, durable=False)
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_a_server_of_somebody_else_is_left_alone_when_the_database_cannot_be_made(
    data_dir: Path, hold: Callable[[], tuple[subprocess.Popen[str], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pid = hold()

    def refuse(_data_dir: Path) -> None:
        raise psycopg.OperationalError

    with monkeypatch.context() as patched:
        patched.setattr(embedded, "_create_database", refuse)
        with pytest.raises(psycopg.OperationalError):
            embedded.start(data_dir, durable=False)
    assert embedded._living_pid(data_dir / "postgres") == pid


def test_a_failing_initdb_says_why(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initdb = tmp_path / "initdb"
    initdb.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    initdb.chmod(0o755)
    user = embedded._User(uid=os.geteuid(), gid=os.getegid(), is_other=False)
    monkeypatch.setattr(embedded, "_programs", lambda: tmp_path)
    embedded._prepare_folders(data_dir, user)
    with pytest.raises(embedded.EmbeddedDatabaseError, match="no space left"):
        embedded._create_cluster(data_dir / "postgres", user, durable=True)
    assert not (data_dir / "postgres").exists()


def test_root_gets_a_server_user(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwall", list)
    monkeypatch.setattr(
        pwd, "getpwnam", lambda _name: pwd.struct_passwd(("pgserver", "x", 77, 78, "", "/", "/bin/false"))
    )
    monkeypatch.setattr(subprocess, "run", lambda command, **_options: made.append(command))
    assert embedded._server_user() == embedded._User(uid=77, gid=78, is_other=True)
    assert made[0][-1] == embedded.SERVER_USER


@pytest.mark.parametrize("error", [OSError("no useradd"), subprocess.CalledProcessError(1, [], stderr="no useradd")])
def test_without_a_server_user_root_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(embedded.EmbeddedDatabaseError, match=r"no useradd.*Run this as a normal user"):
        embedded._add_server_user()


def test_a_normal_user_is_the_server_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert embedded._server_user() == embedded._User(uid=1000, gid=os.getegid(), is_other=False)


def test_programs_closed_by_a_strict_umask_are_opened(tmp_path: Path) -> None:
    for name, mode in (("program", 0o700), ("text", 0o600)):
        (tmp_path / name).touch(mode)
    embedded._let_read(tmp_path)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("program", "text")] == [0o705, 0o604]


def test_the_kernel_is_only_asked_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = embedded.end_with_parent(signal.SIGCONT)
    if ask:
        ask()  # SIGCONT does nothing to a process that runs
    monkeypatch.setattr(sys, "platform", "darwin")
    assert embedded.end_with_parent(signal.SIGTERM) is None
