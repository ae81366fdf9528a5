"""The pages of the catalogue and of subscriptions."""

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import push_url

from accounts.rbac import Permission, can_access_admin_features, check_permission
from accounts.requests import SignedInRequest
from litemaas.foundation.access import access
from litemaas.foundation.forms import perform
from litemaas.foundation.navigation import back_to
from subscriptions import services
from subscriptions.examples import examples_for
from subscriptions.filters import ListFilter, ModelFilter, SubscriptionFilter
from subscriptions.forms import ApproveForm, CancelForm, DenyForm, RestrictForm, ReviewForm, SubscribeForm
from subscriptions.models import Model, Subscription, SubscriptionStatus

MODELS_A_PAGE: Final = 24
SUBSCRIPTIONS_A_PAGE: Final = 25
SIBLINGS: Final = 6
HISTORY_ROWS: Final = 50
SECRET_PLACEHOLDER: Final = "YOUR_KEY"  # noqa: S105 -- stands in examples where nobody's secret may stand
# Also where only a form is sent to: a refused one answers there, and who reloads that page must land somewhere.
METHODS: Final = ["GET", "HEAD", "POST"]


def _list_page(request: HttpRequest, template: str, form: ListFilter, context: dict[str, Any]) -> HttpResponse:
    """A list; where htmx filters, the address becomes the one without empty filters. Links of pages have their own."""
    chips = form.chips()
    response = render(request, template, {"form": form, "chips": chips, **context})
    if "HX-Request" in request.headers and "HX-Boosted" not in request.headers:
        push_url(response, f"{request.path}{form.query}".removesuffix("?"))
    return response


@access(Permission.MODELS_READ)
@require_safe
def models(request: SignedInRequest) -> HttpResponse:
    """The catalogue, with filters and order in the address."""
    listed = Model.objects.listed_for(request.user)
    form = ModelFilter(request.GET, facets=listed.facets())
    page = Paginator(form.narrow(listed), MODELS_A_PAGE).get_page(request.GET.get("page"))
    return _list_page(request, "subscriptions/models.html", form, {"page": page})


@access(Permission.MODELS_READ)
@require_safe
def model(request: SignedInRequest, model_id: str) -> HttpResponse:
    """One model: about it, my access to it, calls to copy."""
    return _model_page(request, model_id, SubscribeForm(initial={"model": model_id}))


def _model_page(request: SignedInRequest, model_id: str, form: SubscribeForm, status: int = 200) -> HttpResponse:
    listed = Model.objects.listed_for(request.user)
    found = get_object_or_404(listed, pk=model_id)
    mine = Subscription.objects.filter(user=request.user, model=found).select_related("model", "user").first()
    siblings = listed.filter(provider=found.provider).exclude(pk=found.pk).order_by("id")
    context = {
        "model": found,
        "subscription": mine,
        "links": mine.key_links() if mine else [],
        "form": form,
        "review": ReviewForm(),
        "examples": examples_for(found, SECRET_PLACEHOLDER),
        "siblings": siblings[:SIBLINGS],
        "may_restrict": check_permission(request.user, Permission.MODELS_WRITE),
    }
    return render(request, "subscriptions/model.html", context, status=status)


@access(Permission.MODELS_WRITE)
@require_http_methods(METHODS)
def model_restrict(request: SignedInRequest) -> HttpResponse:
    """Say whether new subscriptions need approval, and go back to the model."""
    form = RestrictForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return redirect("models")
    wish = form.cleaned_data
    changed = services.set_model_restricted(request.user, model_id=wish["model"], restricted=wish["restricted"])
    if changed.restricted:
        message = _("New subscriptions to “%(model)s” need approval from now on. Active ones stay active.")
    else:
        message = _("New subscriptions to “%(model)s” are active at once from now on. Pending ones still wait.")
    messages.success(request, message % {"model": changed.pk})
    return redirect("model", model_id=changed.pk)


@access(Permission.SUBSCRIPTIONS_CREATE)
@require_http_methods(METHODS)
def subscription_create(request: SignedInRequest) -> HttpResponse:
    """Subscribe, and go back to where the button was."""
    if request.method != "POST":
        return redirect("models")
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
    """One's subscriptions; administrators may look at everybody's and decide what waits."""
    may_see_all = can_access_admin_features(request.user)
    everybody = may_see_all and request.GET.get("of") == "everybody"
    visible = Subscription.objects.visible_to(request.user).select_related("model", "user")
    shown = visible if everybody else visible.filter(user=request.user)
    form = SubscriptionFilter(request.GET, providers=shown.providers(), everybody=everybody)
    context = {
        "page": Paginator(form.narrow(shown), SUBSCRIPTIONS_A_PAGE).get_page(request.GET.get("page")),
        "everybody": everybody,
        "may_see_all": may_see_all,
        "may_decide": check_permission(request.user, Permission.SUBSCRIPTIONS_APPROVE),
    }
    return _list_page(request, "subscriptions/subscriptions.html", form, context)


def _visible(request: SignedInRequest, subscription_id: UUID) -> Subscription:
    rows = Subscription.objects.visible_to(request.user).select_related("model", "user")
    return get_object_or_404(rows, pk=subscription_id)


@access(Permission.SUBSCRIPTIONS_READ)
@require_safe
def subscription(request: SignedInRequest, subscription_id: UUID) -> HttpResponse:
    """One subscription with its keys and its history."""
    return _subscription_page(request, _visible(request, subscription_id), ReviewForm())


def _subscription_page(
    request: SignedInRequest, found: Subscription, review: ReviewForm, status: int = 200
) -> HttpResponse:
    history = list(found.history()[:HISTORY_ROWS])
    context = {
        "subscription": found,
        "is_mine": found.user_id == request.user.pk,
        "may_decide": check_permission(request.user, Permission.SUBSCRIPTIONS_APPROVE),
        "may_cancel": check_permission(request.user, Permission.SUBSCRIPTIONS_CANCEL, found),
        "links": found.key_links(),
        "history": history,
        "since": history[0].at if history else found.created_at,
        "review": review,
    }
    return render(request, "subscriptions/subscription.html", context, status=status)


@access(Permission.SUBSCRIPTIONS_CANCEL)
@require_http_methods(METHODS)
def subscription_cancel(request: SignedInRequest, subscription_id: UUID) -> HttpResponse:
    """Ask once, naming the model and the keys that need it; then cancel."""
    found = _visible(request, subscription_id)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        perform(form, services.cancel_subscription, request.user, subscription_id=subscription_id)
        if form.is_valid():
            messages.success(request, _("You cancelled “%(model)s”.") % {"model": found.model_id})
            return redirect("subscriptions")
    context = {"form": form, "subscription": found, "links": found.key_links()}
    return render(request, "subscriptions/cancel.html", context, status=422 if form.errors else 200)


@access(Permission.SUBSCRIPTIONS_APPROVE)
@require_http_methods(METHODS)
def subscription_approve(request: SignedInRequest, subscription_id: UUID) -> HttpResponse:
    """Grant what waits, and go back to where the button was."""
    found = _visible(request, subscription_id)
    if request.method != "POST":
        return redirect("subscription", subscription_id=found.pk)
    form = ApproveForm(request.POST)
    if not form.is_valid():
        return _deny_page(request, found, DenyForm(request.POST))
    made = services.approve_subscription(request.user, subscription_id=subscription_id, **form.cleaned_data)
    names = {"person": made.user.display_name, "model": made.model_id}
    messages.success(request, _("%(person)s can use “%(model)s” now.") % names)
    return redirect(back_to(request, "subscriptions"))


@access(Permission.SUBSCRIPTIONS_APPROVE)
@require_http_methods(METHODS)
def subscription_deny(request: SignedInRequest, subscription_id: UUID) -> HttpResponse:
    """Refuse what waits, saying why, and go back to where the button was."""
    found = _visible(request, subscription_id)
    form = DenyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        perform(form, services.deny_subscription, request.user, subscription_id=subscription_id, **form.cleaned_data)
        if form.is_valid():
            names = {"person": found.user.display_name, "model": found.model_id}
            messages.success(request, _("You denied “%(model)s” to %(person)s, who sees the reason.") % names)
            return redirect(back_to(request, "subscriptions"))
    return _deny_page(request, found, form)


def _deny_page(request: SignedInRequest, found: Subscription, form: DenyForm) -> HttpResponse:
    context = {"form": form, "subscription": found, "next": back_to(request, "subscriptions")}
    return render(request, "subscriptions/deny.html", context, status=422 if form.errors else 200)


@access(Permission.SUBSCRIPTIONS_CREATE)
@require_http_methods(METHODS)
def subscription_review(request: SignedInRequest, subscription_id: UUID) -> HttpResponse:
    """Ask again after a denial."""
    found = _visible(request, subscription_id)
    if request.method != "POST":
        return redirect("subscription", subscription_id=found.pk)
    form = ReviewForm(request.POST)
    if not form.is_valid():
        return _subscription_page(request, found, form, status=422)
    services.request_review(request.user, subscription_id=subscription_id, **form.cleaned_data)
    messages.success(
        request, _("You asked again for “%(model)s”. It waits for a decision.") % {"model": found.model_id}
    )
    return redirect("subscription", subscription_id=found.pk)
