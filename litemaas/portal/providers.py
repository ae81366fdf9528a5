"""The pages of signing in through a provider: to it, back from it, and what went wrong on the way."""

from http import HTTPStatus
from urllib.parse import urlencode

import structlog
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts import attempts, provider_sessions
from accounts.attempts import SILENT, SOMEBODY_ELSE, Attempt
from accounts.models import User
from accounts.rbac import role_of
from accounts.views import enter
from litemaas import sign_in
from litemaas.foundation import logs, rate_limits
from litemaas.foundation.access import PUBLIC, access
from litemaas.foundation.addresses import client_address, network
from litemaas.foundation.errors import DomainError, Malformed
from litemaas.foundation.navigation import back_to
from litemaas.foundation.providers import OIDC, Provider
from litemaas.portal.refusals import sign_in_failure

log = structlog.get_logger(__name__)


@access(PUBLIC)
@require_GET
def leave(request: HttpRequest, name: str) -> HttpResponse:
    """To the provider. ``prompt`` may be "none" (confirm the session silently) or "login" (somebody else)."""
    provider, back = sign_in.provider_called(name), back_to(request, "home")
    prompt = request.GET.get("prompt", "")
    prompt = prompt if prompt in {SILENT, SOMEBODY_ELSE} and provider.kind == OIDC else ""
    if prompt == SILENT and provider_sessions.due(request.session) != provider.name:
        # Only a session of this provider's that has to be confirmed: else a link of anybody's could end or swap it.
        prompt = ""
    if role_of(request.user) is not None and prompt != SILENT:
        return redirect(back)
    if prompt == SILENT and role_of(request.user) is not None:
        # Counted for the person: what strangers behind the same address do must not stop anybody's work.
        if not rate_limits.allows("session_confirmations", request.user.pk):
            provider_sessions.ask_later(request.session)
            return redirect(back)
    else:
        rate_limits.spend("sign_in_starts", network(client_address(request)))
    try:
        return redirect(sign_in.leave_for(request, provider, back=back, prompt=prompt))
    except DomainError as error:
        _note_of_anybody(provider, error)
        return _failed(request, provider, error, back=back, silent=prompt == SILENT)


@access(PUBLIC)
@require_GET
def come_back(request: HttpRequest, name: str) -> HttpResponse:
    """Back from the provider, with a code or an error."""
    provider, said = sign_in.provider_called(name), request.GET.get("error", "")
    try:
        attempt = attempts.take(request.session, provider, request.GET.get("state", ""))
    except Malformed as error:
        rate_limits.spend("unknown_callbacks", network(client_address(request)))
        # Some providers forget the state when they refuse; nothing hangs on it then but the words of the page.
        failure = attempts.refusal(provider, said) if said and error.code == "sign_in_unknown" else error
        _note_of_anybody(provider, failure)
        return _failed(request, provider, failure, back=resolve_url("home"))
    if said:
        failure = attempts.refusal(provider, said)
        log.warning("provider_refused", provider=provider.name, error=said[:100])
        sign_in.note_failure(provider, failure)
        return _failed(request, provider, failure, back=attempt.back, silent=attempt.silent)
    try:
        return _enter(request, provider, attempt)
    except DomainError as error:
        return _failed(request, provider, error, back=attempt.back, silent=attempt.silent)


def _note_of_anybody(provider: Provider, error: DomainError) -> None:
    """Write a failure into the audit log that anybody can cause without a provider, but let nobody fill it that way."""
    if rate_limits.allows("unknown_callbacks_recorded", rate_limits.EVERYBODY):
        sign_in.note_failure(provider, error)
    else:
        log.warning("sign_in_not_recorded", provider=provider.name, reason=error.code)


def _enter(request: HttpRequest, provider: Provider, attempt: Attempt) -> HttpResponse:
    """A new session, or the old one confirmed: a new key would make the forms in other tabs useless."""
    code, issuer = request.GET.get("code", ""), request.GET.get("iss", "")
    signed_in = request.user if isinstance(request.user, User) and role_of(request.user) is not None else None
    user, proof = sign_in.come_back(provider, attempt, code, issuer=issuer, signed_in=signed_in)
    is_signed_in, is_same = signed_in is not None, signed_in == user
    if attempt.silent and is_signed_in and not is_same:
        # Nobody becomes somebody else in the middle of their work.
        logout(request)
        return _ended(request, provider, attempt.back)
    response = redirect(attempt.back) if is_same else enter(request, user, attempt.back)
    provider_sessions.remember(request.session, provider, proof.id_token)
    return response


def _failed(
    request: HttpRequest, provider: Provider, error: DomainError, *, back: str, silent: bool = False
) -> HttpResponse:
    """What happened and what to do. When a session was only to be confirmed, it lives on or ends by this."""
    if silent and role_of(request.user) is not None:
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            provider_sessions.postpone(request.session)
            return redirect(back)
        logout(request)
    if error.code == "provider_session_ended":
        return _ended(request, provider, back)
    again = {"next": back}
    address = resolve_url("sign-in-leave", name=provider.name)
    somebody_else = f"{address}?{urlencode(again | {'prompt': SOMEBODY_ELSE})}"
    context = {
        "failure": sign_in_failure(error, provider.label),
        "provider": provider,
        "error": error,
        "again": f"{address}?{urlencode(again)}",
        "as_somebody_else": somebody_else if provider.kind == OIDC else "",
        "other_ways": f"{resolve_url('sign-in')}?{urlencode(again)}",
        "request_id": logs.request_id(),
    }
    return render(request, "accounts/sign_in_failed.html", context, status=error.status)


def _ended(request: HttpRequest, provider: Provider, back: str) -> HttpResponse:
    """To the sign-in page, with the reason."""
    ended = _("Your session at %(provider)s has ended; sign in to go on.")
    messages.info(request, ended % {"provider": provider.label})
    return redirect(f"{resolve_url('sign-in')}?{urlencode({'next': back})}")
