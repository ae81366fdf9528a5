"""What the web server itself costs: a WSGI application that answers one small thing, and nothing else."""

from collections.abc import Callable, Iterable
from typing import Any

BODY = b'{"status":"ok"}'


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Always the same fifteen bytes."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]
