"""The only place that speaks HTTP/1.1: a small threaded server with kept connections, quick to start and to stop."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import BinaryIO, Final
from urllib.parse import parse_qsl, unquote, urlsplit

_IDLE_SECONDS: Final = 5.0  # LiteLLM closes connections after 5 s without a request
_BACKLOG: Final = 128
_LONGEST_LINE: Final = 65536


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire; names of headers in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """An answer: a body, or chunks that are sent one by one."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Iterator[bytes] | None = None


Respond = Callable[[Request], Response | None]


class MalformedRequestError(Exception):
    """What came over the wire is not HTTP; the connection is of no use any more."""


class WebServer:
    """Accepts connections and asks a function for the answers; None as an answer drops the connection."""

    def __init__(self, host: str, port: int, respond: Respond) -> None:
        self._respond = respond
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._stopped = False
        self._listener = socket.create_server((host, port), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="emulator-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting and drop every connection."""
        self._stopped = True
        # Closing alone does not wake a thread that waits in accept().
        _shut(self._listener)
        self._listener.close()
        with self._guard:
            connections = list(self._open)
        for connection in connections:
            _shut(connection)
        self._thread.join()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._guard:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_IDLE_SECONDS)
            with connection, connection.makefile("rb") as stream:
                while self._exchange(connection, stream):
                    pass
        except (OSError, MalformedRequestError):
            pass  # The client is gone, or never spoke HTTP: nobody is left to tell.
        finally:
            with self._guard:
                self._open.discard(connection)

    def _exchange(self, connection: socket.socket, stream: BinaryIO) -> bool:
        """Answer one request; return whether the connection stays open."""
        read = _read_request(stream)
        if read is None:
            return False
        request, keep = read
        response = self._respond(request)
        if response is None:
            _shut(connection)
            return False
        _send(connection, response, keep=keep)
        return keep


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side may have closed it already
        connection.shutdown(socket.SHUT_RDWR)


def _read_request(stream: BinaryIO) -> tuple[Request, bool] | None:
    line = stream.readline(_LONGEST_LINE)
    if not line.strip():
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3:  # noqa: PLR2004 -- method, target, version
        raise MalformedRequestError(line)
    headers = _read_headers(stream)
    target = urlsplit(parts[1])
    query = dict(parse_qsl(target.query, keep_blank_values=True))
    request = Request(parts[0], unquote(target.path), query, headers, _read_body(stream, headers))
    wishes = headers.get("connection", "").lower()
    keep = wishes != "close" and (parts[2] == "HTTP/1.1" or wishes == "keep-alive")
    return request, keep


def _read_headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    while (line := stream.readline(_LONGEST_LINE)) not in {b"\r\n", b"\n"}:
        if not line:
            raise MalformedRequestError("the headers have no end")
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


def _read_body(stream: BinaryIO, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return stream.read(int(headers.get("content-length", "0")))
    pieces = []
    while size := int(stream.readline(_LONGEST_LINE).split(b";")[0], 16):
        pieces.append(stream.read(size))
        stream.readline(_LONGEST_LINE)
    stream.readline(_LONGEST_LINE)
    return b"".join(pieces)


def _send(connection: socket.socket, response: Response, *, keep: bool) -> None:
    headers = {"content-type": "application/json"} | response.headers
    if response.chunks is None:
        headers["content-length"] = str(len(response.body))
    else:
        headers["transfer-encoding"] = "chunked"
    if not keep:
        headers["connection"] = "close"
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + response.body)
    if response.chunks is not None:
        for chunk in response.chunks:
            connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
