"""A real OpenID provider, of another maker (oidc-provider-mock), in a process of its own.

In the test's process its warnings would be errors.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from litemaas.foundation.embedded import end_with_parent

START_SECONDS = 60


@contextmanager
def running_package(*people: dict[str, Any]) -> Iterator[str]:
    """The issuer of a provider that knows ``people`` (claims with ``sub``); it ends with the block."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = int(listening.getsockname()[1])
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    for person in people:
        command += ["--user-claims", json.dumps(person)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 -- one system call
    )
    issuer = f"http://127.0.0.1:{port}"
    try:
        _wait(process, issuer)
        yield issuer
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(process: "subprocess.Popen[bytes]", issuer: str) -> None:
    """Until it answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.get(f"{issuer}/jwks", timeout=5).raise_for_status()
        except requests.RequestException as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the OpenID provider did not start") from error
            time.sleep(0.1)
        else:
            return
