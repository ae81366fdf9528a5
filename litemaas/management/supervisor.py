"""The only place that starts, watches and ends processes; what the demo consists of stands in commands/demo.py."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from litemaas.foundation.embedded import end_with_parent

POLL_SECONDS = 0.1
STOP_SECONDS = 10
KILL_SECONDS = 5
# A child that dies more often than this within a minute will not get well by starting it again.
DEATHS_PER_MINUTE = 5
PAUSE_BEFORE_RESTART_SECONDS = 1
LINES_OF_LOG = 25
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """Somebody pressed Ctrl-C or asked for the end in another way."""


class ChildFailedError(Exception):
    """A process ended that should have lived, or failed at what it had to do; the message shows its last lines."""


@dataclass
class Child:
    """A process that must live as long as the supervisor does."""

    name: str
    command: Sequence[str]
    stop_seconds: float = STOP_SECONDS
    # What the kernel sends it when the supervisor is killed and cannot end anything in order.
    orphan_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    deaths: list[float] = field(default_factory=list)


@dataclass
class Supervisor:
    """Starts children in order, starts the dead again, and ends them in the opposite order.

    Every child leads a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone and it decides who
    ends when. Signals only set a flag, which every wait looks at: nothing is interrupted half-way.
    """

    log_dir: Path
    say: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    children: list[Child] = field(default_factory=list)
    stop_requested: bool = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Turn Ctrl-C, SIGTERM and SIGHUP into ``StopRequested`` at the next wait."""
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # nohup: closing the terminal is to end nothing
        heard = [number for number in STOP_SIGNALS if not (ignored and number == signal.SIGHUP)]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True

    def log(self, name: str) -> Path:
        """Where the process of that name writes."""
        return self.log_dir / f"{name}.log"

    def run(self, name: str, *command: str) -> None:
        """Run a step to its end; raises ``ChildFailedError`` if it fails."""
        process = self._spawn(Child(name, command))
        try:
            while process.poll() is None:
                self.pause()
        finally:
            _end(process, STOP_SECONDS)
        if process.returncode:
            raise self.failure(name, _cause(process.returncode))

    def start(self, child: Child) -> None:
        """Start a process that is to stay."""
        child.process = self._spawn(child)
        self.children.append(child)

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Wait a moment and look after the children; raises ``StopRequested`` or ``ChildFailedError``."""
        deadline = time.monotonic() + seconds
        while True:
            if self.stop_requested:
                raise StopRequested
            for child in self.children:
                self._look_after(child)
            if time.monotonic() >= deadline:
                return
            time.sleep(POLL_SECONDS)

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``condition`` holds; False if it still does not after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.pause()
        return True

    def stop(self) -> None:
        """End the children, the youngest first."""
        while self.children:
            child = self.children.pop()
            if child.process:
                _end(child.process, child.stop_seconds)

    def _look_after(self, child: Child) -> None:
        """Start ``child`` again if it died, unless it does so all the time."""
        if child.process is None or child.process.poll() is None:
            return
        _end(child.process, 0)  # the dead may have left children of their own, on the same port for example
        cause = _cause(child.process.returncode)
        now = time.monotonic()
        child.deaths = [*(moment for moment in child.deaths if moment > now - 60), now]
        if len(child.deaths) > DEATHS_PER_MINUTE:
            raise self.failure(child.name, f"{cause}, again and again")
        self.say(f"{child.name} {cause}. Starting it again.")
        time.sleep(PAUSE_BEFORE_RESTART_SECONDS)
        child.process = self._spawn(child)

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        with self.log(child.name).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 -- our own commands
                child.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(child.orphan_signal),  # noqa: PLW1509 -- one system call
            )

    def failure(self, name: str, what: str) -> ChildFailedError:
        """The error that says what happened to a process and shows the last lines that it wrote."""
        lines = last_lines(self.log(name), LINES_OF_LOG)
        return ChildFailedError("\n    ".join([f"{name} {what}. The end of {self.log(name)}:", *lines]))


def _cause(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a log, for people who need to see why something failed."""
    try:
        return path.read_text(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def environment_with(defaults: Mapping[str, str]) -> dict[str, str]:
    """This process's environment plus ``defaults`` for what it leaves unset or empty."""
    given = {name: value for name, value in os.environ.items() if value or name not in defaults}
    return {**defaults, **given}


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    """Ask ``process`` to end, make it end after ``patience`` seconds, and clear away whatever it leaves behind."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    deadline = time.monotonic() + KILL_SECONDS
    # It led a group of its own (start_new_session). The group is gone when nobody is left to be signalled.
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal what is only unburied
        while time.monotonic() < deadline:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(POLL_SECONDS / 10)
