"""A LiteLLM whose weather a test decides: the emulator, or a real one behind a proxy that makes the same faults."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, Self

import requests

from litellm_sync.emulator.faults import Faults
from litellm_sync.emulator.server import Emulator
from litellm_sync.emulator.steering import PREFIX, answer, steer_faults
from litellm_sync.emulator.versions import NEWEST
from litellm_sync.emulator.wire import Request, Response, WebServer
from tests.cast import MASTER_KEY

HOP_BY_HOP = {"connection", "content-length", "content-encoding", "transfer-encoding", "host"}


class Weather(Protocol):
    """What both have."""

    url: str
    faults: Faults
    master_key: str

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Method and path of what arrived."""


class Storm:
    """Stands in front of a real LiteLLM and passes everything on, as far as the weather allows."""

    def __init__(self, target: str, master_key: str) -> None:
        self.faults = Faults()
        self.master_key = master_key
        self.calls: list[tuple[str, str]] = []
        self._target = target
        self._server = WebServer("127.0.0.1", 0, self._respond)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def _respond(self, request: Request) -> Response | None:
        if request.path.startswith(PREFIX):
            return answer(request, partial(steer_faults, self.faults))
        self.calls.append((request.method, request.path))
        return self.faults.apply(request, lambda: self._pass_on(request))

    def _pass_on(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        found = requests.request(
            request.method,
            self._target + request.path,
            params=request.query,
            headers=headers,
            data=request.body,
            timeout=60,
        )
        kept = {name: value for name, value in found.headers.items() if name.lower() not in HOP_BY_HOP}
        return Response(found.status_code, found.content, kept)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.faults.end()
        self._server.stop()


@contextmanager
def weather_over(target: str, *, version: str = NEWEST) -> Iterator[Weather]:
    """The emulator of that version when ``target`` says so, else the real LiteLLM at that address."""
    if target == "emulator":
        with Emulator(master_key=MASTER_KEY, state=None, version=version) as emulator:
            yield emulator
    else:
        with Storm(target, os.environ.get("LITELLM_REAL_KEY", "sk-litellm-master-key")) as storm:
            yield storm
