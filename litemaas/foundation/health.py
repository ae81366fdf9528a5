"""Liveness and readiness: what a load balancer asks."""

from collections.abc import Callable
from typing import Any, Final

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from litemaas.foundation.access import PUBLIC, access

_migrated = False


LIVE: Final = "/healthz/live"


@access(PUBLIC)
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


class LivenessMiddleware:
    """Answers whether the process lives before anything but the request id is done, counted or looked up.

    It is asked every few seconds for as long as the process lives, under whatever name of the host, and says nothing
    that depends on who asks; no other address is as simple as that.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != LIVE:
            return self.get_response(request)
        response = live(request)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Length"] = str(len(response.content))
        return response


def database_is_available() -> bool:
    """Whether PostgreSQL answers a trivial question."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def migrations_are_applied() -> bool:
    """Whether the schema is the one that this code expects; a yes is remembered, code and schema never go back."""
    global _migrated  # noqa: PLW0603 -- one flag for the process
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated


@access(PUBLIC)
@require_safe
def ready(request: HttpRequest, reports: dict[str, Callable[[], Any]]) -> HttpResponse:
    """200 when the database and its schema are right, else 503.

    ``reports`` (name -> question) are shown but never fail it: LiteLLM being away must not take the portal down.
    """
    if not database_is_available():
        return JsonResponse({"status": "unavailable", "database": "unreachable"}, status=503)
    if not migrations_are_applied():
        return JsonResponse({"status": "unavailable", "database": "ok", "migrations": "missing"}, status=503)
    answers = {name: report() for name, report in reports.items()}
    return JsonResponse({"status": "ok", "database": "ok", "migrations": "applied", **answers})
