"""Metrics for Prometheus: for whoever knows METRICS_TOKEN; without one they are open on a single machine alone."""

import secrets
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app

from litellm_sync.measures import StateOfSync
from litemaas.foundation.access import PUBLIC, access
from litemaas.foundation.errors import NotAuthenticated

log = structlog.get_logger(__name__)

# What stands in the tables is the same for every process: the web server alone tells it, or it would be counted twice.
state_of_sync: Final = CollectorRegistry()
state_of_sync.register(StateOfSync())


@access(PUBLIC)
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What the process counts, and what waits; figures of requests and of calls to LiteLLM, never names of people."""
    if not may_read(request.headers.get("Authorization", "")):
        raise NotAuthenticated
    answer: HttpResponse = ExportToDjangoView(request)
    try:
        answer.write(generate_latest(state_of_sync))
    except DatabaseError as error:
        # What the processes count is wanted most of all when the database is away.
        log.warning("metrics_without_database", error=str(error))
    return answer


def may_read(authorization: str) -> bool:
    """Whether this header shows the token, or none is needed."""
    # As bytes: texts that are not ASCII cannot be compared in constant time.
    wanted, shown = f"Bearer {settings.METRICS_TOKEN}".encode(), authorization.encode()
    is_open = settings.INSECURE_COOKIES and not settings.METRICS_TOKEN
    return is_open or bool(settings.METRICS_TOKEN and secrets.compare_digest(shown, wanted))


def worker_metrics() -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """An application that tells what a worker counts, by the same rule; it needs neither sessions nor the database."""
    exported: Any = make_wsgi_app()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/metrics":
            return _refuse(start_response, HTTPStatus.NOT_FOUND)
        if not may_read(environ.get("HTTP_AUTHORIZATION", "")):
            return _refuse(start_response, HTTPStatus.UNAUTHORIZED)
        answer: Iterable[bytes] = exported(environ, start_response)
        return answer

    return application


def _refuse(start_response: StartResponse, status: HTTPStatus) -> Iterable[bytes]:
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    return [status.phrase.encode()]
