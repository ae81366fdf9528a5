"""The whole product from outside: its own database, a web server, a worker, and a LiteLLM (emulated or real)."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import requests

from litellm_sync.emulator.server import Emulator
from litemaas.foundation.embedded import end_with_parent
from tests.cast import MASTER_KEY

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
REAL = [url for url in os.environ.get("LITELLM_REAL_URLS", "").split(",") if url]
# Plain HTTP, and nobody to sign in elsewhere.
PLAIN: Final = {
    "DJANGO_SETTINGS_MODULE": "litemaas.settings",
    "INSECURE_COOKIES": "1",
    "LOG_LEVEL": "INFO",
    "PASSWORD_SIGN_IN": "1",
    "USAGE_SYNC_SECONDS": "3",
}
TARGETS = ["emulator", *(pytest.param(url, marks=pytest.mark.real) for url in REAL)]


def wait_for(condition: Callable[[], Any], *, seconds: float = 60, what: str = "the condition") -> Any:
    """Poll until ``condition`` gives something true; fail with its name when the deadline passes."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come about within {seconds} s")
        time.sleep(0.1)
    return found


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def database() -> Iterator[str]:
    """A database of its own on the run's PostgreSQL, with tables and people; dropped afterwards."""
    name = _new_name()
    _on_the_server(f'CREATE DATABASE "{name}" TEMPLATE "{_template()}"')
    try:
        yield _address_of(name)
    finally:
        _on_the_server(f'DROP DATABASE "{name}" WITH (FORCE)')


@cache
def _template() -> str:
    """A database that others are copied from, which is quicker than to migrate each; one for a process.

    Nobody in it was pushed: each copy has a LiteLLM of its own that must hear of them.
    """
    name = _new_name()
    _on_the_server(f'CREATE DATABASE "{name}"')
    atexit.register(_drop_template, name)
    env = os.environ | PLAIN | {"DATABASE_URL": _address_of(name), "LITELLM_API_URL": ""}
    for command in ("migrate", "demo_people"):
        subprocess.run([sys.executable, "manage.py", command], cwd=ROOT, env=env, check=True, capture_output=True)
    return name


def _drop_template(name: str) -> None:
    with suppress(psycopg.OperationalError):  # the run's server may be gone already, and everything with it
        _on_the_server(f'DROP DATABASE "{name}" WITH (FORCE)')


def _new_name() -> str:
    return f"e2e_{uuid4().hex[:12]}"


def _address_of(name: str) -> str:
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def _on_the_server(statement: LiteralString) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as admin:
        admin.execute(statement)


class Program:
    """One of the product's processes, and where it writes."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self._command, self._env, self._log = command, env, log
        self._process = self._start()

    def stop(self) -> None:
        """Tell it to end, and wait for that."""
        self._process.terminate()
        self._process.wait(timeout=60)

    def start_again(self) -> None:
        """What the platform does with a process that ended, whether this one has come to that or not."""
        self.stop()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("a") as output:
            return subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._env,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 -- one system call
            )


class Product:
    """A running product and the LiteLLM behind it."""

    def __init__(self, url: str, database_url: str, litellm_url: str, litellm_key: str, worker: Program) -> None:
        self.url, self.database_url, self.worker = url, database_url, worker
        self.litellm_url, self.litellm_key = litellm_url, litellm_key

    def sign_in(self, name: str) -> "Speaker":
        """A client with an access token."""
        answer = requests.post(f"{self.url}/api/v1/auth/token", json={"username": name, "password": name}, timeout=30)
        assert answer.status_code == 200, answer.text
        return Speaker(self.url, answer.json()["access"])

    def chat(self, secret: str, model: str) -> requests.Response:
        """A model call with a key, straight to LiteLLM."""
        body = {"model": model, "messages": [{"role": "user", "content": "Say hello"}]}
        headers = {"Authorization": f"Bearer {secret}"}
        return requests.post(f"{self.litellm_url}/chat/completions", json=body, headers=headers, timeout=60)


class Speaker:
    """Speaks to the API for somebody."""

    def __init__(self, url: str, access: str) -> None:
        self._base, self._headers = f"{url}/api/v1", {"Authorization": f"Bearer {access}"}

    def __call__(self, method: str, path: str, expect: int = 200, **kwargs: Any) -> Any:
        """The decoded answer, whose status must be the expected one."""
        answer = requests.request(method, self._base + path, headers=self._headers, timeout=60, **kwargs)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


@contextmanager
def running_product(
    litellm_url: str,
    litellm_key: str,
    log: Path,
    *,
    prepare: Callable[[dict[str, str]], None] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Product]:
    """A web server and a worker in front of a LiteLLM, with a database of their own; they end with the block.

    ``prepare`` is called with their environment once there are tables and people, before anything serves.
    """
    port, python = free_port(), [sys.executable]
    url = f"http://127.0.0.1:{port}"
    with database() as database_url:
        litellm = {"LITELLM_API_URL": litellm_url, "LITELLM_API_KEY": litellm_key}
        env = os.environ | PLAIN | litellm | {"DATABASE_URL": database_url} | dict(settings or {})
        if prepare:
            prepare(env)
        web = ["-m", "granian", "--interface", "wsgi", "--port", str(port), "--blocking-threads", "16"]
        web += ["--workers-kill-timeout", "10"]  # told to end while it starts, it could wait for ever
        with (
            _process([*python, *web, "litemaas.wsgi:application"], env, log / "web.log"),
            _process([*python, "manage.py", "procrastinate", "worker"], env, log / "worker.log") as worker,
        ):
            wait_for(lambda: _is_ready(url), what="readiness")
            yield Product(url, database_url, litellm_url, litellm_key, worker)


@contextmanager
def _process(command: list[str], env: dict[str, str], log: Path) -> Iterator[Program]:
    program = Program(command, env, log)
    try:
        yield program
    finally:
        program.stop()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.fixture(params=TARGETS)
def product(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Product]:
    """The product on the emulator, and on every real LiteLLM that LITELLM_REAL_URLS names."""
    if request.param == "emulator":
        with (
            Emulator(master_key=MASTER_KEY, state=None) as emulator,
            running_product(emulator.url, MASTER_KEY, tmp_path) as running,
        ):
            yield running
    else:
        key = os.environ.get("LITELLM_REAL_KEY", "sk-litellm-master-key")
        with running_product(request.param, key, tmp_path) as running:
            yield running


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Stage"]:
    """One running product full of life for all browser tests of a run; each flow has a person of its own."""
    from tests.e2e.stage import set_stage  # noqa: PLC0415 -- which needs what stands above

    with set_stage(tmp_path_factory.mktemp("stage")) as standing:
        yield standing


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """Debian's Chromium; without it these tests have nothing to say, but CI must have looked at the pages.

    It ends with its module: while playwright runs, Django takes the whole thread for an asynchronous one.
    """
    from tests.e2e import browser  # noqa: PLC0415 -- as above

    if browser.chromium_path() is None and "CI" in os.environ:
        pytest.fail(browser.HOW_TO_INSTALL)
    if browser.chromium_path() is None:
        pytest.skip(browser.HOW_TO_INSTALL)
    with browser.started() as running:
        yield running
