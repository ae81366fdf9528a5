"""The only place that makes load: wrk, with a script that reports what its own summary leaves out."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

SCRIPT: Final = Path(__file__).with_name("load.lua")
MISSING: Final = "The bench needs wrk: apt install wrk, dnf install wrk, or brew install wrk."


class LoadError(Exception):
    """The load generator is missing or failed."""


@dataclass(frozen=True)
class Request:
    """What is sent. ``body`` and header values contain no tabs, which is what separates them on the way to wrk."""

    path: str
    headers: Sequence[str] = ()
    method: str = "GET"
    body: str = ""

    def line(self) -> str:
        """As load.lua reads it."""
        return "\t".join((self.method, self.path, "|".join(self.headers), self.body))


@dataclass(frozen=True)
class Load:
    """What one run of the generator saw; latencies in milliseconds, ``cpu`` in seconds that the generator used."""

    connections: int
    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float
    errors: int
    cpu: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def require_generator() -> None:
    """Raise LoadError with the way to install wrk when there is none."""
    if shutil.which("wrk") is None:
        raise LoadError(MISSING)


def run(port: int, requests: Sequence[Request], *, connections: int, seconds: float) -> Load:
    """Send the requests, in turn and again and again, over so many connections for so long."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "-s", str(SCRIPT)]
    with NamedTemporaryFile("w", prefix="bench-", suffix=".requests") as file:
        file.write("".join(f"{request.line()}\n" for request in requests))
        file.flush()
        environment = os.environ | {"REQUESTS": file.name, "TARGET_HOST": "127.0.0.1"}
        before = _children_cpu()
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"], env=environment, capture_output=True, text=True, check=False
        )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise LoadError(f"wrk failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    found = json.loads(line.removeprefix("RESULT "))
    return Load(connections=connections, cpu=_children_cpu() - before, **found)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
