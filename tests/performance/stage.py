"""The only place that brings the bench's processes up and ends them: PostgreSQL, LiteLLM's emulator, web servers."""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.fernet import Fernet
from django.conf import settings

from litemaas.foundation import embedded
from litemaas.management import serving
from litemaas.management.supervisor import Child, Supervisor
from tests.identity_providers import CLIENT, SECRET, OpenIdServer, running

HOST: Final = "127.0.0.1"
READY_SECONDS: Final = 60
LITELLM_MILLISECONDS: Final = 5
MASTER_KEY: Final = "sk-bench"
PROVIDER: Final = "bench"
PRODUCT: Final = "litemaas.wsgi:application"
BARE: Final = "tests.performance.bare:application"
DELIVERED: Final = "delivered"
VALIDATIONS: Final = ("validations", "validations_key", "validations_team")
GUNICORN: Final = "gunicorn-"
# Processes and threads. The first is what the product is delivered with, whatever that is.
SERVERS: Final[dict[str, tuple[int, int]]] = {
    DELIVERED: (0, 0),
    **{f"granian-{n}x{m}": (n, m) for n, m in ((1, 1), (1, 4), (1, 8), (1, 16), (2, 4), (2, 8), (2, 16))},
    **{f"{GUNICORN}{n}x{m}": (n, m) for n, m in ((1, 4), (1, 16), (2, 8))},
}


@dataclass
class Stage:
    """What runs, and where. ``ports`` are those of the web servers and of the emulator, by name."""

    folder: Path
    supervisor: Supervisor
    ports: dict[str, int] = field(default_factory=dict)
    provider: OpenIdServer = field(default_factory=OpenIdServer)

    @property
    def mark(self) -> Path:
        """A file that says which size lies in a kept folder, as it was loaded; see ``--keep``."""
        return self.folder / "loaded"

    def holds(self, size: str) -> bool:
        """Whether the data of that size are there already."""
        return self.mark.exists() and self.mark.read_text() == size

    def start_web(self, name: str, server: str, application: str) -> None:
        """Start a web server and wait until it answers."""
        port = free_port()
        self.supervisor.start(Child(name, _command(server, port, application), stop_seconds=12))
        if not self.supervisor.wait_for(lambda: status_of(port, "/healthz/live") == http.client.OK, READY_SECONDS):
            raise self.supervisor.failure(name, "does not answer")
        self.ports[name] = port

    def start_litellm(self) -> None:
        """Start the emulator, every answer of which takes as long as LiteLLM's did with the original."""
        port_file = self.folder / "litellm-port"
        port_file.unlink(missing_ok=True)
        words = ["--master-key", MASTER_KEY, "--port-file", str(port_file), "--latency-ms", str(LITELLM_MILLISECONDS)]
        self.supervisor.start(Child("litellm", [sys.executable, "-m", "litellm_sync.emulator", *words]))
        if not self.supervisor.wait_for(lambda: port_file.exists() and port_file.read_text() != "", READY_SECONDS):
            raise self.supervisor.failure("litellm", "does not answer")
        self.ports["litellm"] = int(port_file.read_text())
        url = f"http://{HOST}:{self.ports['litellm']}"
        self.supervisor.environment |= {"LITELLM_API_URL": url, "LITELLM_API_KEY": MASTER_KEY}

    def start_provider(self, until: contextlib.ExitStack) -> None:
        """Start a strict OpenID provider in this process; it signs whatever it says anew."""
        until.enter_context(running(self.provider))
        prefix = f"SIGN_IN_{PROVIDER.upper()}_"
        about = {"ISSUER": self.provider.url, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET}
        self.supervisor.environment |= {"SIGN_IN_PROVIDERS": PROVIDER}
        self.supervisor.environment |= {prefix + name: value for name, value in about.items()}

    def litellm_calls(self) -> dict[str, int]:
        """What was asked of LiteLLM since the last time; the count starts anew."""
        connection = http.client.HTTPConnection(HOST, self.ports["litellm"], timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/emulator/calls")
            counts: dict[str, int] = json.loads(connection.getresponse().read())["counts"]
            connection.request("DELETE", "/emulator/calls")
            connection.getresponse().read()
        return counts

    def memory(self, name: str) -> int:
        """Bytes that the processes of a web server hold at the moment; 0 where the kernel does not say."""
        leader = next(child.process.pid for child in self.supervisor.children if child.name == name and child.process)
        pages = 0
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ProcessLookupError):
                if os.getsid(int(entry.name)) == leader:
                    pages += int((entry / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def _command(server: str, port: int, application: str) -> list[str]:
    if (server, application) == (DELIVERED, PRODUCT):
        return [sys.executable, "manage.py", "serve", "--host", HOST, "--port", str(port)]
    processes, threads = SERVERS[server] if server != DELIVERED else (settings.WEB_PROCESSES, settings.WEB_THREADS)
    if not server.startswith(GUNICORN):
        return serving.command(HOST, port, processes=processes, threads=threads, application=application)
    options = ["--worker-class", "gthread", "--workers", str(processes), "--threads", str(threads)]
    return [sys.executable, "-m", "gunicorn", *options, "--bind", f"{HOST}:{port}", application]


@contextlib.contextmanager
def open_stage(say: Callable[[str], None], keep: Path | None = None, size: str = "") -> Iterator[Stage]:
    """PostgreSQL with normal durability and the emulator; everything ends with the block.

    The folder is temporary, or one of its own in ``keep``, the data of which stay for the next run about this size.
    """
    folder = keep.resolve() / f"bench-{size}" if keep else Path(tempfile.mkdtemp(prefix="litemaas-bench-"))
    supervisor = Supervisor(log_dir=folder / "log", say=say)
    stage = Stage(folder, supervisor)
    if keep and not stage.holds(size):
        shutil.rmtree(folder, ignore_errors=True)
    (folder / "log").mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as at_the_end:
        if not keep:
            at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        at_the_end.enter_context(supervisor.listening())
        server = embedded.start(folder)
        at_the_end.callback(server.stop)
        at_the_end.callback(supervisor.stop)
        supervisor.environment = {**os.environ, **_settings(folder, server.url)}
        stage.start_litellm()
        stage.start_provider(at_the_end)
        yield stage


def _settings(folder: Path, database_url: str) -> dict[str, Any]:
    """A production's settings, but for plain HTTP, tokens that last for the whole bench, and limits that it meets."""
    return {
        "ACCESS_TOKEN_MINUTES": "600",
        "ALLOWED_HOSTS": HOST,
        "COMPRESS_STATIC": "1",
        "DATABASE_URL": database_url,
        "DATA_DIR": str(folder),
        "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "litemaas.settings",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "INSECURE_COOKIES": "1",
        "LOG_JSON": "1",
        "LOG_LEVEL": "INFO",
        "PASSWORD_SIGN_IN": "1",
        # Counted as in life, but never reached.
        "RATE_LIMITS": f"usage_exports=off,{','.join(f'{name}=9999999/1m' for name in VALIDATIONS)}",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SESSION_HOURS": "12",
        "STATIC_ROOT": str(folder / "static"),
        "WEB_DOWNLOADS": "64",
    }


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        return int(listening.getsockname()[1])


def status_of(port: int, path: str, headers: dict[str, str] | None = None, body: str = "") -> int:
    """The status of an answer; 0 where nobody answers."""
    return answer_of(port, path, headers, body)[0]


def answer_of(port: int, path: str, headers: dict[str, str] | None = None, body: str = "") -> tuple[int, bytes]:
    """Status and body of an answer, as they came over the wire; a ``body`` is sent by POST."""
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    with contextlib.closing(connection):
        try:
            connection.request("POST" if body else "GET", path, body or None, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
