"""The pages of signing in and out."""

from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from accounts import provider_sessions, services, sessions
from accounts.devices import place_of
from accounts.forms import SignInForm
from accounts.middleware import WAS_SIGNED_IN
from accounts.models import User
from accounts.rbac import role_of
from accounts.requests import SignedInRequest
from accounts.session_store import SessionStore
from litemaas.foundation import preferences
from litemaas.foundation.access import PUBLIC, SIGNED_IN, access
from litemaas.foundation.addresses import client_address
from litemaas.foundation.errors import NotAuthenticated, PermissionDenied, RateLimited
from litemaas.foundation.navigation import back_to

DEACTIVATED: Final = _(
    "Your keys are blocked as well. If this is a mistake, ask an administrator of this portal to reactivate it."
)


@access(PUBLIC)
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for name and password, then go to where the person wanted to go."""
    if request.headers.get("HX-Request") == "true":
        # A session ended while its page was open: the whole page must change, not the part that was asked for.
        return HttpResponseClientRedirect(request.get_full_path())
    if role_of(request.user) is not None:
        return redirect(back_to(request, "home"))
    if (why := sessions.why_nobody(request.session)).code != NotAuthenticated.code:
        # Pages say it on the way here; whoever comes here straight away shall know too.
        messages.info(request, str(why.message))
    form = SignInForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        return _try(request, form)
    return _page(request, form, status=422 if form.errors else 200)


def _try(request: HttpRequest, form: SignInForm) -> HttpResponse:
    """The errors that the form itself explains; the rest is the middleware's."""
    try:
        user = services.sign_in_with_password(**form.cleaned_data, address=client_address(request))
    except (NotAuthenticated, PermissionDenied, RateLimited) as error:
        if error.code == "password_sign_in_disabled":
            raise
        form.add_error(None, str(error.message))
        if error.code == "account_deactivated":
            form.add_error(None, str(DEACTIVATED))
        response = _page(request, form, status=error.status)
        if seconds := error.details.get("retry_after"):
            response["Retry-After"] = str(seconds)
        return response
    return enter(request, user, back_to(request, "home"))


def enter(request: HttpRequest, user: User, address: str) -> HttpResponse:
    """Begin somebody's session, under a new key, and go to ``address``, which must be ours."""
    if store := SessionStore.of(request.session):
        store.place = place_of(request)
    login(request, user)
    # What the one before left for the page after the sign-out holds that person's token.
    provider_sessions.forget_link(request.session)
    response = redirect(address)
    preferences.keep(response, WAS_SIGNED_IN, "1")
    if user.language:
        preferences.remember_language(response, user.language)
    return response


def _page(request: HttpRequest, form: SignInForm, status: int) -> HttpResponse:
    context = {"form": form, "enabled": settings.PASSWORD_SIGN_IN, "next": back_to(request, "home")}
    context["wait"] = status == HTTPStatus.TOO_MANY_REQUESTS
    context["providers"] = settings.SIGN_IN_PROVIDERS.values()
    return render(request, "accounts/sign_in.html", context, status=status)


@access(SIGNED_IN)
@require_POST
def sign_out(request: SignedInRequest) -> HttpResponse:
    """End the session; where a provider has one too, offer to end that.

    A link does it, not a redirect: the CSP lets a form lead nowhere else, and ending the provider's session signs the
    person out of everything else that uses it.
    """
    services.sign_out(request.user)
    there = provider_sessions.sign_out_link(request)
    logout(request)
    if there:
        provider_sessions.keep_link(request.session, there)
    response = redirect("signed-out" if there else "sign-in")
    preferences.forget(response, WAS_SIGNED_IN)
    return response


@access(PUBLIC)
@require_safe
def signed_out(request: HttpRequest) -> HttpResponse:
    """Say that the session has ended here, and how to end the provider's."""
    link = provider_sessions.kept_link(request.session)
    return render(request, "accounts/signed_out.html", {"there": link}) if link else redirect("sign-in")
