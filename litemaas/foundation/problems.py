"""The only place where an error becomes an answer: problem+json for the API, a page or a message for people."""

import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.contrib import messages
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.views import set_rollback

from litemaas.foundation import errors, logs, rate_limits
from litemaas.foundation.addresses import client_address, network

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"
FORM_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# A form that met one of these goes back to its page with a message; who may not, or sees nothing, is told so.
ABOUT_THE_STATE = frozenset({HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS})

# A token that nobody gave out; refresh tokens come in the body.
MADE_UP = "token_not_valid"
# Whoever shows one of these has a token of ours that has ended. A company behind one address has many of them a day.
ENDED_TOKENS = frozenset({"token_expired", "token_reused", "token_revoked", "user_deactivated"})

DRF_EQUIVALENTS: tuple[tuple[type[Exception], type[errors.DomainError]], ...] = (
    (drf.ParseError, errors.Malformed),
    (drf.UnsupportedMediaType, errors.Malformed),
    (drf.NotAuthenticated, errors.NotAuthenticated),
    (drf.AuthenticationFailed, errors.NotAuthenticated),
    (drf.PermissionDenied, errors.PermissionDenied),
    (drf.NotFound, errors.NotFound),
    (Http404, errors.NotFound),
    (drf.Throttled, errors.RateLimited),
    (DjangoPermissionDenied, errors.PermissionDenied),
    (RequestDataTooBig, errors.TooLarge),
    (OperationalError, errors.DatabaseUnavailable),
    (InterfaceError, errors.DatabaseUnavailable),
    # The session was ended from elsewhere while its request was served.
    (SessionInterrupted, errors.NotAuthenticated),
)


def is_api(request: HttpRequest) -> bool:
    """Whether a program asks, so that it wants problem+json rather than a page."""
    return request.path.startswith("/api/")


def as_domain_error(exception: BaseException | None) -> errors.DomainError | None:
    """The domain error that an exception of Django, DRF or the database stands for; None for a bug of ours."""
    if isinstance(exception, errors.DomainError):
        return exception
    for foreign, ours in DRF_EQUIVALENTS:
        if isinstance(exception, foreign):
            return ours()
    return None


def problem(error: errors.DomainError, field_errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The body of RFC 9457 for an error; ``errors`` lists the fields that are wrong."""
    if field_errors is None:
        field = error.details.get("field")
        field_errors = [{"field": field, "code": error.code, "message": str(error.message)}] if field else []
    return {
        "type": f"urn:litemaas:error:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": str(error.message),
        "code": error.code,
        "errors": field_errors,
        "details": {name: value for name, value in error.details.items() if name != "field"},
        "request_id": logs.request_id(),
    }


def _headers(error: errors.DomainError) -> dict[str, str]:
    retry_after = error.details.get("retry_after")
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="api"'
    return headers


def _field_errors(detail: Any, prefix: str = "") -> list[dict[str, str]]:
    """DRF's nested validation detail as a flat list; paths are dotted."""
    if isinstance(detail, dict):
        return [
            entry
            for name, value in detail.items()
            for entry in _field_errors(value, f"{prefix}.{name}" if prefix else str(name))
        ]
    if isinstance(detail, list):
        return [entry for value in detail for entry in _field_errors(value, prefix)]
    return [{"field": prefix, "code": getattr(detail, "code", "invalid"), "message": str(detail)}]


def api_exception_handler(exception: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER: None lets a bug of ours reach server_error().

    The answer is JSON whatever the view renders otherwise: the schema is YAML, its documentation HTML.
    """
    set_rollback()
    if isinstance(exception, drf.ValidationError):
        found = _field_errors(exception.detail)
        first = found[0] if found else {"field": "", "message": ""}
        detail = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
        return _api_response(errors.Invalid(detail), found)
    if isinstance(exception, drf.MethodNotAllowed):
        return _api_response(_method_not_allowed())
    error = as_domain_error(exception)
    if error is None:
        return None
    if error is not exception and isinstance(exception, drf.APIException) and error.status != HTTPStatus.NOT_FOUND:
        error.message = _words_of(exception) or error.message
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("unavailable", code=error.code, error=str(exception))
    return _api_response(_limited(context["request"], error))


def _limited(request: Request, error: errors.DomainError) -> errors.DomainError:
    """A token that was made up counts for its sender's address, so that guessing ends; those that we gave out never do.

    Passwords have a count of their own, and who shows nothing guesses nothing.
    """
    guessed = "Authorization" in request.headers or error.code == MADE_UP
    if error.status != HTTPStatus.UNAUTHORIZED or not guessed or error.code in ENDED_TOKENS:
        return error
    try:
        rate_limits.spend("refused_tokens", network(client_address(request)))
    except errors.RateLimited as limited:
        return limited
    return error


def _words_of(exception: drf.APIException) -> str:
    """simplejwt's details are dictionaries, with the words under ``detail``."""
    words: Any = exception.detail.get("detail", "") if isinstance(exception.detail, dict) else exception.detail
    return str(words)


def _method_not_allowed() -> errors.DomainError:
    error = errors.DomainError(_("This method is not offered here."), code="method_not_allowed")
    error.status = HTTPStatus.METHOD_NOT_ALLOWED
    return error


def _api_response(error: errors.DomainError, field_errors: list[dict[str, str]] | None = None) -> HttpResponse:
    body = problem(error, field_errors)
    return JsonResponse(body, status=error.status, headers=_headers(error), content_type=PROBLEM_JSON)


def response_for(request: HttpRequest, error: errors.DomainError) -> HttpResponse:
    """The answer to an error outside of DRF: problem+json, an htmx alert, a message with a redirect, or a page."""
    if is_api(request):
        return _api_response(error)
    if request.headers.get("HX-Request") == "true":
        return _alert(request, error)
    back = _way_back(request)
    if request.method in FORM_METHODS and back and error.status in ABOUT_THE_STATE:
        messages.error(request, str(error.message))
        return HttpResponseRedirect(back)
    return _page(request, error, "errors/error.html")


def _alert(request: HttpRequest, error: errors.DomainError) -> HttpResponse:
    """For htmx, wherever the answer was meant to go: a form's own 422 replaces the form, this goes on top."""
    response = _page(request, error, "components/alert.html")
    response["HX-Retarget"], response["HX-Reswap"], response["HX-Reselect"] = "#notices", "innerHTML", "unset"
    return response


def _page(request: HttpRequest, error: errors.DomainError, template: str) -> HttpResponse:
    context = {"error": error, "title": HTTPStatus(error.status).phrase, "request_id": logs.request_id()}
    response = render(request, template, context, status=error.status)
    for name, value in _headers(error).items():
        response[name] = value
    return response


def _way_back(request: HttpRequest) -> str | None:
    """The page that a form was sent from, only if it is ours; None when only an error page makes sense."""
    referer = request.headers.get("Referer", "")
    if not hasattr(request, "_messages"):
        return None
    if url_has_allowed_host_and_scheme(referer, {request.get_host()}, require_https=request.is_secure()):
        parts = urlsplit(referer)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return reverse("home")


def method_not_allowed(request: HttpRequest, refused: HttpResponse) -> HttpResponse:
    """Django's empty 405 with words; which methods there are stays in its header."""
    response = response_for(request, _method_not_allowed())
    response["Allow"] = refused["Allow"]
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; it runs inside the except block, so the exception can still be asked for.

    Failures outside of views (a session read while PostgreSQL is away) arrive only here.
    """
    exception = sys.exc_info()[1]
    error = as_domain_error(exception)
    if error is None:
        log.error("unhandled_exception", exc_info=exception)
        error = errors.DomainError(_("Something went wrong on our side. It has been recorded."), code="internal_error")
        error.status = HTTPStatus.INTERNAL_SERVER_ERROR
    else:
        log.warning("unavailable", code=error.code, error=str(exception))
    return response_for(request, error)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return response_for(request, errors.NotFound())


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return response_for(request, errors.PermissionDenied())


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: suspicious hosts, oversized forms."""
    return response_for(request, as_domain_error(exception) or errors.Malformed())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: the usual cause is a page that was left open over a sign-out."""
    return response_for(request, errors.PermissionDenied(_("This page had expired. Go back, reload it and try again.")))
