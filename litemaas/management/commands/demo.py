"""``manage.py demo``: the only place that says what the demo consists of and in which order it comes up."""

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from litemaas.foundation import embedded
from litemaas.management import serving
from litemaas.management.supervisor import (
    Child,
    ChildFailedError,
    StopRequested,
    Supervisor,
    environment_with,
    last_lines,
)

HOST = "127.0.0.1"
READY_SECONDS = 120
EMULATOR_SECONDS = 30
# A worker first finishes the jobs that it has begun; what it drops after that is picked up again at the next start.
WORKER_GRACE_SECONDS = 10
LOG_INS = "Sign in as admin, ro (an admin who only reads), alice or bob; the password is the name."


class Command(BaseCommand):
    """Starts everything that the product needs, and ends it again on Ctrl-C or SIGTERM."""

    help = "Run the whole product on this machine: database, LiteLLM emulator, worker and web server."
    # The checks need what the demo is about to provide: secrets and the address of LiteLLM.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Live until told to stop; ``CommandError`` when something needed cannot be had or is lost."""
        data_dir: Path = settings.DATA_DIR
        port = _port()
        _require_all_or_nothing("LITELLM_API_URL", "LITELLM_API_KEY")
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _end_with_make()
        supervisor = Supervisor(log_dir=data_dir / "log", say=self.say)
        try:
            with _only_one(data_dir), supervisor.listening():
                self._live(supervisor, data_dir, port)
        except StopRequested:
            self.say("Stopped; the data stay.")
        except (ChildFailedError, embedded.EmbeddedDatabaseError) as error:
            raise CommandError(str(error)) from error

    def say(self, text: str) -> None:
        """Tell the person at the terminal; nobody listening is no reason to fail."""
        with contextlib.suppress(OSError):
            self.stdout.write(text)
            self.stdout.flush()

    def _live(self, supervisor: Supervisor, data_dir: Path, port: int) -> None:
        _begin_logs(supervisor.log_dir)
        # whitenoise, which serves static files from where the apps keep them, warns about a missing folder otherwise.
        (data_dir / "static").mkdir(exist_ok=True)
        kept = _secrets(data_dir)
        supervisor.environment = environment_with(_environment(data_dir, kept))
        with contextlib.ExitStack() as at_the_end:
            server = self._start_database(supervisor, data_dir, at_the_end)
            at_the_end.callback(supervisor.stop)
            self._start_litellm(supervisor, data_dir, kept["LITELLM_API_KEY"])
            self._set_up(supervisor)
            self._serve(supervisor, port)
            at_the_end.callback(self.say, "Stopping ...")
            self._announce(supervisor, port)
            while server is None or server.is_running():
                supervisor.pause(1)
            raise supervisor.failure("postgres", "ended")

    def _start_database(
        self, supervisor: Supervisor, data_dir: Path, at_the_end: contextlib.ExitStack
    ) -> embedded.Server | None:
        if supervisor.environment.get("DATABASE_URL"):
            return None
        self.say("Starting PostgreSQL ...")
        server = embedded.start(data_dir)
        at_the_end.callback(server.stop)
        supervisor.environment["DATABASE_URL"] = server.url
        return server

    def _start_litellm(self, supervisor: Supervisor, data_dir: Path, key: str) -> None:
        """The emulator, unless a real LiteLLM was named."""
        if supervisor.environment.get("LITELLM_API_URL"):
            return
        self.say("Starting the LiteLLM emulator ...")
        state = data_dir / "emulator"
        state.mkdir(mode=0o700, exist_ok=True)
        port_file = state / "port"
        port = _free_port(_last_port(port_file))
        port_file.unlink(missing_ok=True)
        options = {"--port": str(port), "--state": str(state), "--master-key": key, "--port-file": str(port_file)}
        words = [word for option in options.items() for word in option]
        supervisor.start(Child("emulator", [sys.executable, "-m", "litellm_sync.emulator", *words]))
        if not supervisor.wait_for(lambda: _last_port(port_file) == port, EMULATOR_SECONDS):
            raise supervisor.failure("emulator", "does not answer")
        supervisor.environment |= {"LITELLM_API_URL": f"http://{HOST}:{port}", "LITELLM_API_KEY": key}

    def _set_up(self, supervisor: Supervisor) -> None:
        self.say("Bringing the database up to date ...")
        supervisor.run("migrate", *_manage("migrate", "--no-input"))
        supervisor.run("demo_people", *_manage("demo_people"))

    def _serve(self, supervisor: Supervisor, port: int) -> None:
        self.say("Starting the worker and the web server ...")
        grace = ["--shutdown-graceful-timeout", str(WORKER_GRACE_SECONDS)]
        worker = Child("worker", _manage("worker", *grace), stop_seconds=WORKER_GRACE_SECONDS + 5)
        # Without its database, which is ended in the same moment, it would try for a minute to sign off.
        worker.orphan_signal = signal.SIGKILL
        supervisor.start(worker)
        web = _manage("serve", "--host", HOST, "--port", str(port))
        supervisor.start(Child("web", web, stop_seconds=serving.GRACE_SECONDS + 2))

    def _announce(self, supervisor: Supervisor, port: int) -> None:
        """Fill what the first visitor looks at, wait for the web server, and say that it is ready."""
        self._sync_models(supervisor)
        if supervisor.environment.get("DEMO_DATA") != "0":
            self._make_data(supervisor)
        if not supervisor.wait_for(lambda: _is_ready(port), READY_SECONDS):
            raise supervisor.failure("web", "does not answer")
        self.say(f"LiteMaaS is ready: http://{HOST}:{port}")
        self.say(LOG_INS)
        self.say(f"LiteLLM: {supervisor.environment['LITELLM_API_URL']}   Logs: {supervisor.log_dir}")

    def _sync_models(self, supervisor: Supervisor) -> None:
        self.say("Reading the models of LiteLLM ...")
        try:
            supervisor.run("sync", *_manage("sync", "models"))
        except ChildFailedError:
            reason = last_lines(supervisor.log("sync"), 1) or ["no reason given"]
            self.say(f"LiteLLM at {supervisor.environment['LITELLM_API_URL']} gave no models: {reason[0]}")
            self.say("Going on without; they appear by themselves as soon as it answers.")

    def _make_data(self, supervisor: Supervisor) -> None:
        try:
            supervisor.run("demo_data", *_manage("demo_data"))
        except ChildFailedError as error:
            self.say(f"The demo data could not be made: {error}")


def _end_with_make() -> None:
    """Under make, be told when make is killed: it cannot pass that on, and nobody would own what runs here."""
    tell_me = embedded.end_with_parent(signal.SIGTERM)
    if tell_me and "MAKELEVEL" in os.environ:
        tell_me()


def _manage(*words: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]


def _environment(data_dir: Path, kept: dict[str, str]) -> dict[str, str]:
    """What the demo needs where its environment says nothing else."""
    return {
        "ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
        "DATA_DIR": str(data_dir),
        "DEBUG": "0",
        "ENCRYPTION_KEYS": kept["ENCRYPTION_KEYS"],
        "INSECURE_COOKIES": "1",  # the demo is plain HTTP on the loopback interface
        "MAIL_URL": "consolemail://",  # into the log of the worker
        "PASSWORD_SIGN_IN": "1",
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": kept["SECRET_KEY"],
        "USAGE_SYNC_SECONDS": "20",
    }


def _secrets(data_dir: Path) -> dict[str, str]:
    """The secrets of this demo: made once, kept where only their owner can read them."""
    path = data_dir / "secrets.json"
    if not path.exists():
        made = {
            "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "LITELLM_API_KEY": f"sk-{secrets.token_urlsafe(24)}",
            "SECRET_KEY": secrets.token_urlsafe(50),
        }
        attempt = path.with_suffix(".new")
        attempt.unlink(missing_ok=True)
        with os.fdopen(os.open(attempt, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file, indent=2)
        attempt.rename(path)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _begin_logs(log_dir: Path) -> None:
    """Keep the logs of the last run beside the new ones, and no more than that."""
    log_dir.mkdir(mode=0o700, exist_ok=True)
    for log in log_dir.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Two demos on the same data would end each other's database; the kernel drops the lock when we die."""
    with (data_dir / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"A demo already runs on {data_dir}. Stop it, or set another DATA_DIR.") from None
        yield


def _port() -> int:
    """The port to serve on; refused at once if something else listens there."""
    given = os.environ.get("PORT") or "8000"
    try:
        return _bind(int(given))
    except OSError as error:
        reason = error.strerror or "it is in use"
        raise CommandError(f"Port {given} cannot be used: {reason}. Choose another one: make demo PORT=8001") from error
    except (ValueError, OverflowError) as error:
        raise CommandError(f"PORT={given} is not the number of a port.") from error


def _require_all_or_nothing(*names: str) -> None:
    if len({bool(os.environ.get(name)) for name in names}) > 1:
        raise CommandError(f"Set both {' and '.join(names)}, or neither (then an emulator is used).")


def _bind(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


def _free_port(wanted: int | None) -> int:
    """``wanted`` if it is free, so that addresses that people copied stay right; else any."""
    try:
        return _bind(wanted or 0)
    except OSError:
        return _bind(0)


def _last_port(port_file: Path) -> int | None:
    """The port in the file that the emulator writes once it listens."""
    try:
        return int(port_file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/healthz/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
