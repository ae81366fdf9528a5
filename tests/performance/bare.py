"""What the web server itself costs: a WSGI application that answers one small thing, or looks one thing up."""

import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

from psycopg_pool import ConnectionPool

BODY = b'{"status":"ok"}'
LOOK_UP: Final = "/look-up/"
QUESTION: Final = "SELECT key_id FROM apikeys_apikeysecret WHERE digest = %s"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Always the same fifteen bytes; below /look-up/ after one statement about a digest, which an index answers."""
    path = environ["PATH_INFO"]
    body = _looked_up(path.removeprefix(LOOK_UP)) if path.startswith(LOOK_UP) else BODY
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _looked_up(digest: str) -> bytes:
    with _pool().connection() as connection:
        row = connection.execute(QUESTION, [digest]).fetchone()
    return f'{{"key":"{row[0] if row else ""}"}}'.encode()


@cache
def _pool() -> "ConnectionPool[Any]":
    """One for the process, as the product has."""
    options: dict[str, Any] = {"autocommit": True}
    return ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=20, kwargs=options, open=True)
