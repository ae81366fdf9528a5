"""The dashboard and the integration centre, with their buttons."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.admin_shown import FIELD, sealed, touched
from accounts.requests import SignedInRequest
from litellm_sync import integration
from litellm_sync.schedules import intervals
from litemaas.administration import centre
from litemaas.foundation.forms import perform


def overview(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """What needs somebody first, figures second."""
    return TemplateResponse(
        request, "admin/index.html", context | {"page_title": _("Overview"), "title": _("Overview")}
    )


def integration_centre(request: SignedInRequest, context: dict[str, Any]) -> HttpResponse:
    """How LiteLLM and we stand, and what can be done about it."""
    title = {"page_title": _("Integration centre"), "title": _("Integration centre")}
    return TemplateResponse(
        request, "admin/integration.html", context | title | centre.overview(request.user, request.GET)
    )


def schedule(request: SignedInRequest, context: dict[str, Any]) -> HttpResponse:
    """How often each kind is synchronised. Only what was touched changes, and never unseen."""
    every, about = intervals(), reverse("admin:integration_schedule")
    initial = centre.present(every)
    form = centre.ScheduleForm(request.POST or None, every=every, initial=initial)
    if request.method == "POST" and form.is_valid():
        new = touched(form, request.POST.get(FIELD, ""), initial, about=about)
        perform(form, integration.schedule_all, request.user, seconds=centre.wished(new))
        if not form.errors:
            messages.success(request, _("The intervals are as you wished. All workers obey them at once."))
            return HttpResponseRedirect(reverse("admin:integration"))
    title = {"page_title": _("Intervals"), "title": _("Intervals"), "list_title": _("Integration centre")}
    shown = {"form": form, "as_shown": request.POST.get(FIELD) or sealed(initial, about=about)}
    places = {"list_url": reverse("admin:integration"), "back": reverse("admin:integration")}
    return TemplateResponse(
        request, "admin/schedule.html", context | title | shown | places, status=422 if form.errors else 200
    )


def sync(request: SignedInRequest, what: str) -> HttpResponse:
    """Start a synchronisation, and go where it can be watched."""
    integration.request_sync(request.user, what=what)
    messages.success(request, _("The synchronisation has been queued."))
    return HttpResponseRedirect(reverse("admin:integration"))


def retry(request: SignedInRequest) -> HttpResponse:
    """Send to LiteLLM again: one row, what fails of a kind, or all that fails."""
    kind, object_id = request.POST.get("kind"), request.POST.get("object_id")
    count = integration.retry(request.user, kind=kind or None, object_id=object_id)
    words = ngettext("%(count)s row is sent to LiteLLM again.", "%(count)s rows are sent to LiteLLM again.", count)
    messages.success(request, words % {"count": count})
    return HttpResponseRedirect(reverse("admin:integration"))
