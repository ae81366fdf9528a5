"""/metrics for Prometheus, open unless METRICS_TOKEN is set."""

import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from litemaas.foundation.access import PUBLIC, access
from litemaas.foundation.errors import NotAuthenticated


@access(PUBLIC)
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What the process counts; figures of requests and of calls to LiteLLM, never names."""
    # As bytes: texts that are not ASCII cannot be compared in constant time.
    wanted, shown = f"Bearer {settings.METRICS_TOKEN}".encode(), request.headers.get("Authorization", "").encode()
    if settings.METRICS_TOKEN and not secrets.compare_digest(shown, wanted):
        raise NotAuthenticated
    answer: HttpResponse = ExportToDjangoView(request)
    return answer
