"""The pages about oneself: profile, language, activity."""

from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import rbac, services
from accounts.models import AuditEvent, Role, User
from accounts.rbac import Permission
from accounts.requests import SignedInRequest
from apikeys.models import ApiKey
from litemaas.foundation import preferences
from litemaas.foundation.access import access
from litemaas.foundation.forms import perform
from litemaas.foundation.navigation import back_to
from litemaas.portal.forms import ActivityFilter, LanguageForm, ProfileForm
from litemaas.portal.wording import allowed
from teams.models import Membership
from usage import queries

ENTRIES_A_PAGE: Final = 25
NEWEST_ENTRIES: Final = 5
KEYS_SHOWN: Final = 5


@access(Permission.PROFILE_READ)
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: SignedInRequest) -> HttpResponse:
    """Who one is here, what one may, what is left; name, language and time zone can be changed."""
    if request.method == "POST":
        rbac.require(request.user, Permission.PROFILE_WRITE, request.user)
    form = ProfileForm(request.POST) if request.method == "POST" else ProfileForm.of(request.user)
    if form.is_valid():
        changed = perform(form, services.update_profile, request.user, **form.cleaned_data)
        if changed:
            return _saved(request)
    context = {"form": form, "zones": preferences.zone_names()} | _about(request.user)
    return render(request, "portal/profile.html", context, status=422 if form.errors else 200)


def _saved(request: SignedInRequest) -> HttpResponse:
    """Said in the language that was just chosen."""
    response = redirect("profile")
    preferences.remember_language(response, request.user.language)
    with translation.override(request.user.language or translation.get_language()):
        messages.success(request, _("Your profile is saved."))
    return response


def _about(user: User) -> dict[str, Any]:
    """What the page says of a person beside the form."""
    today = datetime.now(UTC).date()
    month = queries.Question.of(start=today.replace(day=1), end=today, user=[user.pk])
    keys = ApiKey.objects.filter(user=user).alive()
    return {
        "role": Role(rbac.role_of(user) or Role.USER),
        "sees_all": rbac.can_access_admin_features(user),
        "may_change": rbac.check_permission(user, Permission.PROFILE_WRITE, user),
        "may": allowed(rbac.permissions_of(user)),
        "memberships": Membership.objects.filter(user=user).select_related("team").order_by("created_at", "pk"),
        "month": queries.summary(user, month),
        "freshness": queries.freshness(month),
        "keys": keys.exclude(max_budget=None).order_by("-spend", "id")[:KEYS_SHOWN],
        "live_keys": keys.count(),
        "newest": AuditEvent.objects.about(user)[:NEWEST_ENTRIES],
    }


@access(Permission.PROFILE_WRITE)
@require_POST
def choose_language(request: SignedInRequest) -> HttpResponse:
    """Save the language of the switch in the frame, and go back to the page that it was on."""
    response = redirect(back_to(request, "home"))
    form = LanguageForm(request.POST)
    if form.is_valid():
        changed = services.update_profile(request.user, language=form.cleaned_data["language"])
        preferences.remember_language(response, changed.language)
    return response


@access(Permission.PROFILE_READ)
@require_safe
def activity(request: SignedInRequest) -> HttpResponse:
    """What one did and what was done to one, newest first."""
    form = ActivityFilter(request.GET)
    rows = form.narrow(AuditEvent.objects.about(request.user))
    page = Paginator(rows, ENTRIES_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "portal/activity.html", {"form": form, "page": page})
