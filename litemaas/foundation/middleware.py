"""Request ids, size limits and the last net under every view."""

import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from litemaas.foundation import errors, logs, problems
from litemaas.foundation.addresses import client_address

log = structlog.get_logger("litemaas.request")

GetResponse = Callable[[HttpRequest], HttpResponse]
# Nothing of what browsers offer to pages is used here; copying to the clipboard, by the page itself, is.
UNUSED = (
    *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media", "fullscreen"),
    *("geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment", "picture-in-picture"),
    *("publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
)
PERMISSIONS_POLICY = ", ".join([*(f"{name}=()" for name in UNUSED), "clipboard-write=(self)"])
QUIET_PATHS = ("/static/", "/healthz/", "/metrics")


class RequestIdMiddleware:
    """Give each request an id that logs, audit entries and answers share."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = logs.accept_request_id(request.headers.get("X-Request-ID"))
        logs.clear()
        logs.bind_request(request_id, address=client_address(request))
        started = time.perf_counter()
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        if not request.path.startswith("/static/"):
            # Tokens and people's pages belong into no cache, also not into that of a browser that others use.
            response.setdefault("Cache-Control", "no-store")
        if not request.path.startswith(QUIET_PATHS):
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            log.info("request", method=request.method, path=request.path, status=response.status_code, ms=milliseconds)
        return response


class HeadersMiddleware:
    """What Django's SecurityMiddleware leaves out, also for static files: who may embed answers, what pages may use."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response


class BodyLimitMiddleware:
    """Refuse NUL in addresses, and oversized bodies before anything reads them: DRF would read past Django's limit."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        # Without a length nothing could be refused before it is read, and WSGI would hand an empty body on.
        if not length.isdecimal() or "Transfer-Encoding" in request.headers:
            return problems.response_for(request, errors.Malformed())
        if int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return problems.response_for(request, errors.TooLarge())
        if "\x00" in request.path:  # PostgreSQL takes it for no text, so nothing can have it in its name
            return problems.response_for(request, errors.NotFound())
        return self.get_response(request)


class ErrorsMiddleware:
    """Answer domain errors that a view raised, and methods that a page does not offer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not problems.is_api(request):
            return problems.method_not_allowed(request, response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Django calls this for exceptions of views only; handler500 catches the rest."""
        error = problems.as_domain_error(exception)
        if error and error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            log.warning("unavailable", code=error.code, error=str(exception))
        return problems.response_for(request, error) if error else None
