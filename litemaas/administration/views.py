"""The dashboard and its buttons."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.requests import SignedInRequest
from litellm_sync import integration


def overview(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """What needs somebody first, figures second."""
    return TemplateResponse(
        request, "admin/index.html", context | {"page_title": _("Overview"), "title": _("Overview")}
    )


def sync(request: SignedInRequest, what: str) -> HttpResponse:
    """Start a synchronisation, and go where it can be watched."""
    run = integration.request_sync(request.user, what=what)
    messages.success(request, _("The synchronisation has been queued."))
    return HttpResponseRedirect(reverse("admin:litellm_sync_syncrun_change", args=[run.pk]))


def retry_all(request: SignedInRequest) -> HttpResponse:
    """Send everything again that LiteLLM has refused."""
    count = integration.retry_pushes(request.user)
    words = ngettext("%(count)s row is sent to LiteLLM again.", "%(count)s rows are sent to LiteLLM again.", count)
    messages.success(request, words % {"count": count})
    return HttpResponseRedirect(reverse("admin:index"))
