"""The only place that starts and stops the emulated proxy and leads each request to its handler."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from litellm_sync.emulator import access, catalogue, inference, routes
from litellm_sync.emulator.access import Caller
from litellm_sync.emulator.call import Call
from litellm_sync.emulator.errors import Refusal, bare_detail, invalid, missing, refused
from litellm_sync.emulator.faults import Faults
from litellm_sync.emulator.routes import Access, Route
from litellm_sync.emulator.state import State
from litellm_sync.emulator.steering import PREFIX, Calls, Steering
from litellm_sync.emulator.tables import Row
from litellm_sync.emulator.versions import NEWEST, version_named
from litellm_sync.emulator.wire import Request, Response, WebServer

_NOBODY: Final = Caller("", None, None)


class Emulator:
    """An emulated LiteLLM proxy on a port of this machine; `with Emulator(...) as emulator: emulator.url`."""

    def __init__(
        self,
        *,
        master_key: str,
        state: Path | str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        config: Path | None = None,
        version: str = NEWEST,
        spend_delay: float = 0.0,
        latency: float = 0.0,
    ) -> None:
        models = catalogue.models_of_file(config) if config else catalogue.default_models()
        self.state = State(version_named(version), models, Path(state) if state else None, spend_delay)
        self.faults = Faults()
        self.master_key = master_key
        self._calls = Calls()
        self._steering = Steering(self.state, self.faults, self._calls)
        self._latency = latency
        self._server = WebServer(host, port, self._respond)
        self.port = self._server.port
        self.url = f"http://{host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Drop all connections and write the state to its folder."""
        self.faults.end()
        self._server.stop()
        self.state.close()

    def reset(self) -> None:
        """Forget users, teams, keys, added models, usage, faults and seen calls."""
        self._steering.reset()

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Method and path of the calls since the last reset."""
        return [(call["method"], call["path"]) for call in self._calls.described()["calls"]]

    def _respond(self, request: Request) -> Response | None:
        if request.path.startswith(PREFIX):
            return self._steering.answer(request)
        self._calls.note(request)
        if self._latency:
            self.faults.wait(self._latency)
        return self.faults.apply(request, lambda: self._answer(request))

    def _answer(self, request: Request) -> Response:
        try:
            with self.state.lock:
                self.state.settle()
                if request.method == "POST" and request.path in routes.INFERENCE:
                    return self._infer(request)
                return self._manage(request)
        except Refusal as refusal:
            return _json(refusal.status, refusal.body, refusal.headers)

    def _infer(self, request: Request) -> Response:
        body = _parsed_for_inference(request, old=self.state.version.is_old)
        kind = routes.INFERENCE[request.path]
        answered = inference.answer(self.state, kind, request.headers, body, self.master_key)
        if answered.chunks is None:
            return _json(200, answered.body, answered.headers)
        headers = answered.headers | {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        return Response(200, headers=headers, chunks=_events(answered.chunks))

    def _manage(self, request: Request) -> Response:
        route = routes.route_for(request.method, request.path, old=self.state.version.is_old)
        if route is None and routes.is_known(request.path, old=self.state.version.is_old):
            raise bare_detail(405, "Method Not Allowed")
        if route is None:
            raise bare_detail(404, "Not Found")
        caller = self._admitted(request, route)
        is_old = self.state.version.is_old
        body = _parsed(request, old=is_old) if request.method != "GET" else {}
        return _json(route.status, route.handler(Call(self.state, caller, request.path, request.query, body)))

    def _admitted(self, request: Request, route: Route) -> Caller:
        if route.access is Access.EVERYBODY:
            return _NOBODY
        caller = access.authenticate(self.state, request.headers, self.master_key)
        access.check_alive(self.state, caller)
        is_open = route.access is Access.CLIENTS or (route.access is Access.MODELS and not self.state.version.is_old)
        if not is_open:
            access.check_route(self.state, caller, request.path, admin=route.access is Access.ADMIN)
        return caller


def _parsed(request: Request, *, old: bool) -> Row:
    """Return the body of a management route; a missing or malformed one is a 422."""
    if not request.body:
        raise invalid(missing("body"))
    try:
        body = json.loads(request.body)
    except ValueError as error:
        place = getattr(error, "pos", 0)
        raise invalid({"type": "json_invalid", "loc": ["body", place], "msg": "JSON decode error"}) from error
    return _object(body, old=old)


def _parsed_for_inference(request: Request, *, old: bool) -> Row:
    """Return the body of a model call; a malformed one is a 400."""
    try:
        return _object(json.loads(request.body or b"{}"), old=old)
    except ValueError as error:
        message = f"Invalid JSON payload: {error}"
        raise refused(400, message, "invalid_request_error", "request_body") from error


def _object(body: Any, *, old: bool) -> Row:
    if isinstance(body, dict):
        return body
    if old:
        raise Refusal(500, "Internal Server Error")
    raise refused(400, "Invalid JSON payload: expected an object", "invalid_request_error", "request_body")


def _events(chunks: list[Row]) -> Iterator[bytes]:
    for chunk in chunks:
        yield f"data: {json.dumps(chunk)}\n\n".encode()
    yield b"data: [DONE]\n\n"


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(status, json.dumps(value).encode(), headers or {})
