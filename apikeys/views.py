"""The pages of API keys: the list, making one, revoking one."""

from typing import Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.rbac import Permission, can_access_admin_features
from accounts.requests import SignedInRequest
from apikeys import services
from apikeys.forms import KeyFilter, KeyForm, RevokeForm
from apikeys.models import ApiKey
from apikeys.policy import get_policy
from litellm_sync.state import SyncStatus
from litemaas.foundation.access import access
from litemaas.foundation.forms import perform
from litemaas.foundation.once import new_ticket, use_ticket
from subscriptions.examples import base_url, examples_for
from subscriptions.models import Model

KEYS_A_PAGE: Final = 25


@access(Permission.APIKEYS_READ)
@require_safe
def api_keys(request: SignedInRequest) -> HttpResponse:
    """One's keys; administrators may look at everybody's."""
    may_see_all = can_access_admin_features(request.user)
    everybody = may_see_all and request.GET.get("of") == "everybody"
    rows = ApiKey.objects.visible_to(request.user).for_display()
    form = KeyFilter(request.GET)
    rows = form.narrow(rows if everybody else rows.filter(user=request.user))
    page = Paginator(rows, KEYS_A_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "everybody": everybody, "may_see_all": may_see_all}
    return render(request, "apikeys/api_keys.html", context)


@access(Permission.APIKEYS_CREATE)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_create(request: SignedInRequest) -> HttpResponse:
    """Make a key, once however often the form is sent; the answer is the only page that has the secret."""
    data = request.POST if request.method == "POST" else None
    form = KeyForm(data, user=request.user, policy=get_policy(), initial={"models": request.GET.getlist("model")})
    if form.is_valid() and perform(form, use_ticket, request.POST.get("ticket", ""), request.user.pk):
        issued = perform(form, services.create_api_key, request.user, **form.wish())
        if issued:
            return _issued(request, issued)
    context = {"form": form, "ticket": new_ticket(request.user.pk)}
    return render(request, "apikeys/create.html", context, status=422 if form.errors else 200)


def _issued(request: SignedInRequest, issued: services.IssuedKey) -> HttpResponse:
    """The secret, with calls that work; nothing on the way may keep it."""
    model = Model.objects.get(pk=issued.key.model_ids[0])
    context = {
        "key": issued.key,
        "secret": issued.secret,
        "model": model,
        "examples": examples_for(model, issued.secret),
        "base_url": base_url(),
        "is_synced": issued.key.sync_status == SyncStatus.SYNCED,
    }
    response = render(request, "apikeys/created.html", context)
    response["Cache-Control"] = "no-store"
    return response


@access(Permission.APIKEYS_REVOKE)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_revoke(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Ask once, naming the key; then revoke it."""
    key = get_object_or_404(ApiKey.objects.visible_to(request.user).for_display(), pk=key_id)
    form = RevokeForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        revoked = perform(form, services.revoke_api_key, request.user, key_id=key_id)
        if revoked:
            messages.success(request, _("“%(name)s” is revoked and refused from now on.") % {"name": revoked.name})
            return redirect("api-keys")
    return render(request, "apikeys/revoke.html", {"key": key, "form": form}, status=422 if form.errors else 200)
