"""The pages of API keys: the list, and each thing that can be done to a key."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.rbac import Permission, can_access_admin_features, check_permission, require
from accounts.requests import SignedInRequest
from apikeys import endings, rotation, services
from apikeys.edit_form import EditForm
from apikeys.filters import KeyFilter
from apikeys.forms import BlockForm, ConfirmForm, KeyForm
from apikeys.models import ApiKey
from apikeys.policy import get_policy
from apikeys.rotate_form import EndOldSecretForm, RotateForm
from litellm_sync.state import SyncStatus
from litemaas.foundation.access import access
from litemaas.foundation.forms import perform
from litemaas.foundation.once import new_ticket, use_ticket
from subscriptions.examples import base_url, examples_for
from subscriptions.models import Model

KEYS_A_PAGE: Final = 25
MANY_MODELS: Final = 12  # from so many on one wants to search them


@access(Permission.APIKEYS_READ)
@require_safe
def api_keys(request: SignedInRequest) -> HttpResponse:
    """One's keys; administrators may look at everybody's."""
    may_see_all = can_access_admin_features(request.user)
    everybody = may_see_all and request.GET.get("of") == "everybody"
    rows = ApiKey.objects.visible_to(request.user).for_display().with_usability()
    form = KeyFilter(request.GET, user=request.user, everybody=everybody)
    rows = form.narrow(rows if everybody else rows.filter(user=request.user))
    page = Paginator(rows, KEYS_A_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "everybody": everybody, "may_see_all": may_see_all}
    return render(request, "apikeys/api_keys.html", context | _may(request))


def _may(request: SignedInRequest) -> dict[str, bool]:
    """What the reader may do to the keys that the page shows: whoever sees somebody else's and may, may to all."""
    return {
        "may_create": check_permission(request.user, Permission.APIKEYS_CREATE),
        "may_update": check_permission(request.user, Permission.APIKEYS_UPDATE),
        "may_revoke": check_permission(request.user, Permission.APIKEYS_REVOKE),
        "may_delete": check_permission(request.user, Permission.APIKEYS_DELETE),
    }


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
    context = {"form": form, "ticket": new_ticket(request.user.pk), "many_models": MANY_MODELS}
    return render(request, "apikeys/create.html", context, status=422 if form.errors else 200)


def _issued(request: SignedInRequest, issued: services.IssuedKey) -> HttpResponse:
    """The secret, with calls that work; nothing on the way may keep it."""
    model = Model.objects.get(pk=issued.key.model_ids[0])
    newest, *older = sorted(issued.key.secrets.all(), key=lambda secret: secret.created_at, reverse=True)
    context = {
        "key": issued.key,
        "is_rotated": bool(older),
        "secret": issued.secret,
        "model": model,
        "examples": examples_for(model, issued.secret),
        "base_url": base_url(),
        "is_synced": newest.sync_status == SyncStatus.SYNCED,
        "waits_for_spend": rotation.waits_for_spend(issued.key),
    }
    response = render(request, "apikeys/created.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _seen(request: SignedInRequest, key_id: UUID) -> ApiKey:
    key: ApiKey = get_object_or_404(ApiKey.objects.visible_to(request.user).for_display(), pk=key_id)
    return key


@access(Permission.APIKEYS_UPDATE)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_edit(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """The key as it is, to be changed; what was not touched is not sent to the verb."""
    key = _seen(request, key_id)
    form = EditForm(request.POST if request.method == "POST" else None, key=key, policy=get_policy())
    if form.is_valid():
        changes = form.changes()
        if not changes:
            messages.info(request, _("Nothing was changed."))
            return redirect("api-key", key_id=key_id)
        changed = perform(form, services.update_api_key, request.user, key_id=key_id, **changes)
        if changed:
            messages.success(request, _saved(changed))
            return redirect("api-key", key_id=key_id)
    context = {"form": form, "key": key, "many_models": MANY_MODELS}
    return render(request, "apikeys/edit.html", context, status=422 if form.errors else 200)


def _saved(key: ApiKey) -> str:
    if key.sync_status == SyncStatus.SYNCED:
        return _("“%(name)s” is changed.") % {"name": key.name}
    return _("“%(name)s” is changed here; LiteLLM follows as soon as it answers.") % {"name": key.name}


@access(Permission.APIKEYS_BLOCK)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_block(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Ask once, naming the key; then refuse it until it is unblocked."""
    done = _("“%(name)s” is blocked and refused from now on.")
    return _decide(request, key_id, endings.block_api_key, "apikeys/block.html", done)


@access(Permission.APIKEYS_BLOCK)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_unblock(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Ask once, naming the key; then let it work again."""
    done = _("“%(name)s” works again.")
    return _decide(request, key_id, endings.unblock_api_key, "apikeys/unblock.html", done)


def _decide(
    request: SignedInRequest,
    key_id: UUID,
    verb: Callable[..., ApiKey],
    template: str,
    done: str,
    *,
    form_class: type[Form] = BlockForm,
) -> HttpResponse:
    key = _seen(request, key_id)
    form = form_class(request.POST if request.method == "POST" else None)
    if form.is_valid():
        decided: Any = perform(form, verb, request.user, key_id=key_id, **form.cleaned_data)
        if decided:
            messages.success(request, done % {"name": decided.name})
            return redirect("api-key", key_id=key_id)
    return render(request, template, {"key": key, "form": form}, status=422 if form.errors else 200)


@access(Permission.APIKEYS_ROTATE)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_rotate(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Give one's own key another secret, once however often the form is sent; the answer alone has the secret."""
    key = _seen(request, key_id)
    require(request.user, Permission.APIKEYS_ROTATE, key)
    form = RotateForm(request.POST if request.method == "POST" else None, key=key, policy=get_policy())
    if form.is_valid() and perform(form, use_ticket, request.POST.get("ticket", ""), request.user.pk):
        issued = perform(form, rotation.rotate_api_key, request.user, key_id=key_id, **form.wish())
        if issued:
            return _issued(request, issued)
    context = {"form": form, "key": key, "ticket": new_ticket(request.user.pk)}
    return render(request, "apikeys/rotate.html", context, status=422 if form.errors else 200)


@access(Permission.APIKEYS_REVOKE)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_end_old_secret(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Ask once, and once more where nothing would work; then only the newest secret works."""
    done = _("The old secret of “%(name)s” is refused from now on.")
    return _decide(
        request, key_id, rotation.end_old_secret, "apikeys/end_old_secret.html", done, form_class=EndOldSecretForm
    )


@access(Permission.APIKEYS_RESET_SPEND)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_reset_spend(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Ask once, naming the key; then its budget begins again."""
    done = _("The budget of “%(name)s” has begun again.")
    return _decide(request, key_id, endings.reset_spend, "apikeys/reset_spend.html", done, form_class=ConfirmForm)


@access(Permission.APIKEYS_DELETE)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_delete(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Ask once, naming the key; then nobody sees it any more."""
    key = _seen(request, key_id)
    require(request.user, Permission.APIKEYS_DELETE, key)
    form = ConfirmForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        perform(form, endings.delete_api_key, request.user, key_id=key_id)
        if not form.errors:
            messages.success(
                request, _("“%(name)s” is deleted. What it used stays in the figures.") % {"name": key.name}
            )
            return redirect("api-keys")
    return render(request, "apikeys/delete.html", {"key": key, "form": form}, status=422 if form.errors else 200)


@access(Permission.APIKEYS_REVOKE)
@require_http_methods(["GET", "HEAD", "POST"])
def api_key_revoke(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Ask once, naming the key; then revoke it."""
    key = _seen(request, key_id)
    form = ConfirmForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        revoked = perform(form, endings.revoke_api_key, request.user, key_id=key_id)
        if revoked:
            messages.success(request, _("“%(name)s” is revoked and refused from now on.") % {"name": revoked.name})
            return redirect("api-keys")
    return render(request, "apikeys/revoke.html", {"key": key, "form": form}, status=422 if form.errors else 200)
