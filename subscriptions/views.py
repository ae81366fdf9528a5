"""The pages of the catalogue and of one's subscriptions."""

from typing import Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rbac import Permission, can_access_admin_features
from accounts.requests import SignedInRequest
from litemaas.foundation.access import access
from litemaas.foundation.forms import perform
from litemaas.foundation.navigation import back_to
from subscriptions import services
from subscriptions.examples import examples_for
from subscriptions.forms import CancelForm, ModelFilter, SubscribeForm, SubscriptionFilter
from subscriptions.models import Model, Subscription, SubscriptionStatus

MODELS_A_PAGE: Final = 24
SUBSCRIPTIONS_A_PAGE: Final = 25
SECRET_PLACEHOLDER: Final = "YOUR_KEY"  # noqa: S105 -- stands in examples where nobody's secret may stand


@access(Permission.MODELS_READ)
@require_safe
def models(request: SignedInRequest) -> HttpResponse:
    """The catalogue, with search, provider and order in the address."""
    listed = Model.objects.listed_for(request.user)
    providers = Model.objects.order_by("provider").values_list("provider", flat=True).distinct()
    form = ModelFilter(request.GET, providers=list(providers))
    page = Paginator(form.narrow(listed), MODELS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "subscriptions/models.html", {"form": form, "page": page})


@access(Permission.MODELS_READ)
@require_safe
def model(request: SignedInRequest, model_id: str) -> HttpResponse:
    """One model with an example of a call."""
    return _model_page(request, model_id, SubscribeForm(initial={"model": model_id}))


def _model_page(request: SignedInRequest, model_id: str, form: SubscribeForm, status: int = 200) -> HttpResponse:
    found = get_object_or_404(Model.objects.listed_for(request.user), pk=model_id)
    context = {"model": found, "form": form, "examples": examples_for(found, SECRET_PLACEHOLDER)}
    return render(request, "subscriptions/model.html", context, status=status)


@access(Permission.SUBSCRIPTIONS_CREATE)
@require_POST
def subscription_create(request: SignedInRequest) -> HttpResponse:
    """Subscribe, and go back to where the button was."""
    form = SubscribeForm(request.POST)
    if not form.is_valid():
        return _model_page(request, form.cleaned_data.get("model", ""), form, status=422)
    made = services.create_subscription(request.user, **form.cleaned_data)
    if made.status == SubscriptionStatus.PENDING:
        messages.info(request, _("You asked for access to “%(model)s”. It waits for approval.") % {"model": made.model})
    else:
        messages.success(request, _("You can use “%(model)s” now. Put it on a key.") % {"model": made.model})
    return redirect(back_to(request, "subscriptions"))


@access(Permission.SUBSCRIPTIONS_READ)
@require_safe
def subscriptions(request: SignedInRequest) -> HttpResponse:
    """One's subscriptions; administrators may look at everybody's."""
    may_see_all = can_access_admin_features(request.user)
    everybody = may_see_all and request.GET.get("of") == "everybody"
    visible = Subscription.objects.visible_to(request.user).select_related("model", "user")
    form = SubscriptionFilter(request.GET)
    rows = form.narrow(visible if everybody else visible.filter(user=request.user))
    page = Paginator(rows, SUBSCRIPTIONS_A_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "everybody": everybody, "may_see_all": may_see_all}
    return render(request, "subscriptions/subscriptions.html", context)


@access(Permission.SUBSCRIPTIONS_CANCEL)
@require_http_methods(["GET", "POST"])
def subscription_cancel(request: SignedInRequest, subscription_id: UUID) -> HttpResponse:
    """Ask once, naming the model; then cancel."""
    mine = Subscription.objects.visible_to(request.user).select_related("model", "user")
    subscription = get_object_or_404(mine, pk=subscription_id)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        perform(form, services.cancel_subscription, request.user, subscription_id=subscription_id)
        if form.is_valid():
            messages.success(request, _("You cancelled “%(model)s”.") % {"model": subscription.model_id})
            return redirect("subscriptions")
    context = {"form": form, "subscription": subscription}
    return render(request, "subscriptions/cancel.html", context, status=422 if form.errors else 200)
