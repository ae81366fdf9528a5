"""/metrics for Prometheus, open unless METRICS_TOKEN is set."""

import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django_prometheus.exports import ExportToDjangoView

from litemaas.foundation.access import PUBLIC, access
from litemaas.foundation.errors import NotAuthenticated


@access(PUBLIC)
def metrics(request: HttpRequest) -> HttpResponse:
    """What the process counts; figures of requests and of calls to LiteLLM, never names."""
    wanted = f"Bearer {settings.METRICS_TOKEN}"
    if settings.METRICS_TOKEN and not secrets.compare_digest(request.headers.get("Authorization", ""), wanted):
        raise NotAuthenticated
    answer: HttpResponse = ExportToDjangoView(request)
    return answer
