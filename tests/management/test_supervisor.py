"""The supervisor: order of start and end, restarts, failures that name their cause, and nothing left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from litemaas.management import supervisor as supervisor_module
from litemaas.management.supervisor import (
    Child,
    ChildFailedError,
    StopRequested,
    Supervisor,
    environment_with,
    last_lines,
)

# Writes its name when it starts and when it is told to end, as a server does.
SERVER = """
import signal, sys, time
def end(number, frame):
    print("end", sys.argv[1], time.monotonic(), flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("start", sys.argv[1], time.monotonic(), flush=True)
while True:
    time.sleep(0.05)
"""
# Ignores the request to end and has a child that does the same.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisor_module, "PAUSE_BEFORE_RESTART_SECONDS", 0)
    supervisor = Supervisor(log_dir=tmp_path, say=said.append)
    yield supervisor
    supervisor.stop()


def python(program: str, *words: str) -> list[str]:
    return [sys.executable, "-c", program, *words]


def wait_for_line(supervisor: Supervisor, name: str, start: str) -> str:
    def found() -> list[str]:
        return [line for line in last_lines(supervisor.log(name), 1000) if line.startswith(start)]

    assert supervisor.wait_for(lambda: bool(found()), 20)
    return found()[-1]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_children_end_in_the_opposite_order_of_their_start(supervisor: Supervisor) -> None:
    for name in ("emulator", "worker", "web"):
        supervisor.start(Child(name, python(SERVER, name)))
        wait_for_line(supervisor, name, "start")
    supervisor.stop()
    ends = {name: last_lines(supervisor.log(name), 1)[0].split() for name in ("emulator", "worker", "web")}
    assert [name for name, _ in sorted(ends.items(), key=lambda end: float(end[1][2]))] == ["web", "worker", "emulator"]


def test_a_child_that_does_not_listen_is_killed_with_its_children(supervisor: Supervisor) -> None:
    supervisor.start(Child("stubborn", python(STUBBORN), stop_seconds=0.2))
    pids = [int(word) for word in wait_for_line(supervisor, "stubborn", "").split()]
    assert all(is_alive(pid) for pid in pids)
    supervisor.stop()
    assert not any(is_alive(pid) for pid in pids)


def test_a_child_that_dies_is_started_again(supervisor: Supervisor, said: list[str]) -> None:
    child = Child("worker", python(SERVER, "worker"))
    supervisor.start(child)
    wait_for_line(supervisor, "worker", "start")
    assert child.process
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    assert supervisor.wait_for(lambda: child.process is not None and child.process.pid != first, 20)
    assert said == ["worker was ended by SIGKILL. Starting it again."]


def test_what_a_dead_child_left_behind_is_cleared_away(supervisor: Supervisor) -> None:
    supervisor.start(Child("stubborn", python(STUBBORN), stop_seconds=0))
    parent, orphan = (int(word) for word in wait_for_line(supervisor, "stubborn", "").split())
    os.kill(parent, signal.SIGKILL)
    assert supervisor.wait_for(lambda: not is_alive(orphan), 20)


def test_a_child_that_dies_all_the_time_is_given_up_with_its_last_words(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(Child("web", python("import sys; sys.exit('no such module')")))
    with pytest.raises(ChildFailedError, match="web ended with exit code 1, again and again") as failure:
        supervisor.wait_for(lambda: False, 30)
    assert "no such module" in str(failure.value)
    assert len(said) == supervisor_module.DEATHS_PER_MINUTE


def test_a_step_runs_to_its_end_before_the_next(supervisor: Supervisor) -> None:
    supervisor.run("setup", *python("import time; time.sleep(0.2); print('first')"))
    supervisor.run("setup", *python("print('second')"))
    assert last_lines(supervisor.log("setup"), 10) == ["first", "second"]


def test_a_step_that_fails_says_why(supervisor: Supervisor) -> None:
    with pytest.raises(ChildFailedError, match="migrate ended with exit code 3") as failure:
        supervisor.run("migrate", *python("import sys; print('relation exists'); sys.exit(3)"))
    assert "relation exists" in str(failure.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_wait_and_a_step(supervisor: Supervisor, number: signal.Signals) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
    started = time.monotonic()
    with supervisor.listening(), pytest.raises(StopRequested):
        supervisor.run("migrate", *python("import time; time.sleep(60)"))
    assert time.monotonic() - started < 20


def test_signals_mean_what_they_meant_before_once_the_supervisor_is_done(supervisor: Supervisor) -> None:
    before = [signal.getsignal(number) for number in supervisor_module.STOP_SIGNALS]
    with supervisor.listening():
        pass
    assert [signal.getsignal(number) for number in supervisor_module.STOP_SIGNALS] == before


def test_nohup_is_respected(supervisor: Supervisor) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with supervisor.listening():
            os.kill(os.getpid(), signal.SIGHUP)
            supervisor.pause()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from litemaas.management.supervisor import Child, Supervisor
        supervisor = Supervisor(log_dir=Path(sys.argv[1]), say=print)
        child = Child("web", [sys.executable, "-c", sys.argv[2], "web"])
        supervisor.start(child)
        print(child.process.pid, flush=True)
        supervisor.pause(60)
    """)
    with subprocess.Popen(python(program, str(tmp_path), SERVER), stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout
        pid = int(killed.stdout.readline())
        assert is_alive(pid)
        killed.kill()
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_defaults_fill_what_the_environment_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USAGE_SYNC_SECONDS", "5")
    monkeypatch.setenv("SECRET_KEY", "")
    monkeypatch.setenv("UNRELATED", "")
    environment = environment_with({"USAGE_SYNC_SECONDS": "20", "SECRET_KEY": "made", "DEBUG": "0"})
    assert (environment["USAGE_SYNC_SECONDS"], environment["SECRET_KEY"]) == ("5", "made")
    assert (environment["DEBUG"], environment["UNRELATED"]) == ("0", "")
