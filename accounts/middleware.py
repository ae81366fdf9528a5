"""Refuses pages by the permission that they are marked with."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url

from accounts.enforcement import enforce_api_access
from litemaas.foundation import problems
from litemaas.foundation.access import PUBLIC, required
from litemaas.foundation.errors import DomainError, NotAuthenticated


class AccessMiddleware:
    """Refuse pages by their marker. Views of the REST framework are left to AccessPermission."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Anonymous people are sent to the sign-in page and come back to where they wanted to go."""
        marked = required(view)
        if hasattr(view, "cls") or marked == PUBLIC:
            return None
        try:
            enforce_api_access(request.user, marked)
        except NotAuthenticated as error:
            if problems.is_api(request) or request.method != "GET":
                return problems.response_for(request, error)
            query = urlencode({"next": request.get_full_path()})
            return HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{query}")
        except DomainError as error:
            return problems.response_for(request, error)
        return None
