"""Refuses pages by the permission that they are marked with; gives them their reader's language and time zone."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from accounts import provider_sessions, rbac, sessions
from accounts.attempts import SILENT
from accounts.devices import place_of
from accounts.enforcement import count_change, enforce_api_access
from accounts.models import User
from litemaas.foundation import preferences, problems
from litemaas.foundation.access import PUBLIC, required
from litemaas.foundation.errors import DomainError, NotAuthenticated

# It outlives the session's own cookie, which browsers drop in the moment the session ends.
WAS_SIGNED_IN: Final = "was_signed_in"


class PreferencesMiddleware:
    """The person's own language and time zone on pages; the API speaks UTC, and what Accept-Language asks for.

    LocaleMiddleware has chosen by cookie and Accept-Language before. The person is read for pages that need one
    anyway, so public pages and errors stay readable while the database is away.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        timezone.deactivate()  # threads live longer than requests
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Between the choice of the view and the view itself, so that everything that it renders is right."""
        if problems.is_api(request) or required(view) == PUBLIC:
            return
        if isinstance(request.user, User):
            timezone.activate(preferences.zone(request.user.time_zone))
            if language := _language_of(request.user, request):
                translation.activate(language)
                request.LANGUAGE_CODE = translation.get_language()


def _language_of(user: User, request: HttpRequest) -> str:
    """The saved choice; who may not change it any more goes by the cookie, or the switch would do nothing."""
    is_known = user.language in preferences.languages()
    may_change = rbac.check_permission(user, rbac.Permission.PROFILE_WRITE, user)
    return user.language if is_known and (may_change or settings.LANGUAGE_COOKIE_NAME not in request.COOKIES) else ""


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
            count_change(request.user, request.method, marked)
        except NotAuthenticated:
            why = sessions.why_nobody(request.session)
            if problems.is_api(request) or request.method != "GET":
                return problems.response_for(request, why)
            return _to_sign_in(request, why)
        except DomainError as error:
            return problems.response_for(request, error)
        return None


class SessionUseMiddleware:
    """Note that a session was used, and from where; a request that did not read its session costs nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        sessions.note_session_use(request.session, place_of(request))
        return response


class RenewalMiddleware:
    """Have the provider confirm now and then that its session lives on, so that its end is the portal's end too.

    Only a page that somebody reads is sent away for it: a form would lose what was typed, a program cannot follow.
    Those are let through for a while (RENEWAL_GRACE), and then told to open a page.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """To the provider and back, without a question to anybody."""
        if problems.is_api(request) or required(view) == PUBLIC:
            return None
        name = provider_sessions.due(request.session) if isinstance(request.user, User) else ""
        if not name:
            return None
        if request.method != "GET":
            return self._unless_overdue(request)
        fragment = request.headers.get("HX-Request") == "true"
        back = request.headers.get("HX-Current-URL", "") if fragment else request.get_full_path()
        query = urlencode({"next": back, "prompt": SILENT})
        address = f"{resolve_url('sign-in-leave', name=name)}?{query}"
        return HttpResponseClientRedirect(address) if fragment else HttpResponseRedirect(address)

    def _unless_overdue(self, request: HttpRequest) -> HttpResponse | None:
        try:
            provider_sessions.require_confirmed(request.session)
        except NotAuthenticated as error:
            return problems.response_for(request, error)
        return None


def _to_sign_in(request: HttpRequest, why: NotAuthenticated) -> HttpResponse:
    """To the sign-in page and back again; it says why where there was a session that is over."""
    query = urlencode({"next": request.get_full_path()})
    response = HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{query}")
    if why.code != NotAuthenticated.code:
        messages.info(request, str(why.message))
        preferences.forget(response, WAS_SIGNED_IN)
    elif request.COOKIES.get(settings.SESSION_COOKIE_NAME) or request.COOKIES.get(WAS_SIGNED_IN):
        messages.info(request, _("Your session has ended; sign in to go on."))
        preferences.forget(response, WAS_SIGNED_IN)
    return response
