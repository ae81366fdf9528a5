"""The one admin site: who gets in, which addresses it has, and what its pages may run."""

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any, Final

from csp.decorators import csp_update
from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import include, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from unfold.sites import UnfoldAdminSite

from accounts.admin_page import FORM, READING, AdminPage
from accounts.admin_parts import Section, Verb
from accounts.rbac import Permission, check_permission, require
from accounts.requests import SignedInRequest
from litemaas.administration import dashboard, views
from litemaas.administration.people import sections_of
from litemaas.administration.verbs import list_verbs, row_verbs
from litemaas.foundation.access import access
from litemaas.portal.context import THEMES, theme_of

# Alpine.js, which unfold's pages are made of, evaluates the expressions in their attributes. What was tried instead
# stands in docs/adr/0014.
NEEDED_BY_UNFOLD: Final = {"script-src": ["'unsafe-eval'"]}

View = Callable[..., HttpResponseBase]


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold ships no types
    """The site; only pages that cannot save may be registered with it."""

    enable_nav_sidebar = True
    final_catch_all_view = False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Libraries register pages that save (groups, jobs): they are left out."""
        if admin_class is not None and issubclass(admin_class, AdminPage):
            super().register(model_or_iterable, admin_class, **options)

    # --- Who may -----------------------------------------------------------------------------------------------------

    def has_permission(self, request: HttpRequest) -> bool:
        """Administrators, also those who may only read."""
        return check_permission(request.user, Permission.ADMIN_READ)

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # noqa: FBT001, FBT002 -- Django's signature
        """For administrators alone. The anonymous were sent to the sign-in page before, by AccessMiddleware."""

        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            require(request.user, Permission.ADMIN_READ)
            return view(request, *args, **kwargs)

        return inner if cacheable else never_cache(inner)

    def page(self, view: View, permission: str, methods: Iterable[str], *, cacheable: bool = False) -> View:
        """A view as an address of the portal: marked with its permission, for its methods, under its policy."""
        guarded = require_http_methods(list(methods))(self.admin_view(view, cacheable))
        policed: View = csp_update(NEEDED_BY_UNFOLD)(guarded)

        def marked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return policed(request, *args, **kwargs)

        return access(permission)(update_wrapper(marked, guarded, updated=()))

    # --- Addresses ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """The dashboard, its buttons, the words of Django's scripts, and each table's pages; nothing else.

        Signing in and out, passwords and languages have their places in the portal; unfold's search would keep its
        answers in the memory of one process.
        """
        words = self.page(self.i18n_javascript, Permission.ADMIN_READ, READING, cacheable=True)
        sync = self.page(views.sync, Permission.INTEGRATION_SYNC, ["POST"])
        retry = self.page(views.retry, Permission.INTEGRATION_SYNC, ["POST"])
        schedule = self.page(self.schedule, Permission.INTEGRATION_SCHEDULE, FORM)
        return [
            path("", self.page(self.index, Permission.ADMIN_READ, READING), name="index"),
            path("jsi18n/", words, name="jsi18n"),
            path("integration/", self.page(self.centre, Permission.INTEGRATION_READ, READING), name="integration"),
            path("integration/schedule/", schedule, name="integration_schedule"),
            path("retry/", retry, name="retry"),
            path("sync/<slug:what>/", sync, name="sync"),
            *(
                path(f"{model._meta.app_label}/{model._meta.model_name}/", include(page.get_urls()))
                for model, page in self._registry.items()
            ),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """What needs somebody, then the figures."""
        request.current_app = self.name
        return views.overview(request, self.each_context(request) | dashboard.overview(request.user))

    def centre(self, request: SignedInRequest) -> HttpResponseBase:
        """How LiteLLM and we stand."""
        request.current_app = self.name
        return views.integration_centre(request, self.each_context(request))

    def schedule(self, request: SignedInRequest) -> HttpResponseBase:
        """How often each kind is synchronised."""
        request.current_app = self.name
        return views.schedule(request, self.each_context(request))

    # --- What upper layers add ---------------------------------------------------------------------------------------

    def verbs_for(self, model: type[Model]) -> tuple[Verb, ...]:
        """The verbs for a row that the model's own app cannot know."""
        return row_verbs(model)

    def list_verbs_for(self, model: type[Model]) -> tuple[Verb, ...]:
        """The verbs of a list that the model's own app cannot know."""
        return list_verbs(model)

    def sections_for(self, row: Model) -> list[Section]:
        """What belongs to a row that its own app cannot know."""
        return sections_of(row)

    # --- Looks -------------------------------------------------------------------------------------------------------

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Colours come from our stylesheet, so that no style stands in a page; the theme from the portal's cookie."""
        context: dict[str, Any] = super().each_context(request)
        theme = theme_of(request)
        shown = theme if theme in {"light", "dark"} else None
        return context | {
            "colors": None,
            "border_radius": None,
            "theme": shown,
            "themes": THEMES,
            "chosen_theme": theme,
        }

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Nowhere shown: the navigation is ours."""
        return []
