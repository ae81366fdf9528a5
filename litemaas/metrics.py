"""/metrics for Prometheus: for whoever knows METRICS_TOKEN; without one it is open on a single machine alone."""

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
    is_open = settings.INSECURE_COOKIES and not settings.METRICS_TOKEN
    if not is_open and not (settings.METRICS_TOKEN and secrets.compare_digest(shown, wanted)):
        raise NotAuthenticated
    answer: HttpResponse = ExportToDjangoView(request)
    return answer
