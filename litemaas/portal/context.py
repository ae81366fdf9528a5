"""The context processor of all pages: navigation, theme, language, version, and whether LiteLLM is away.

Making the context reads the request alone, so that the pages of signing in and of errors need no database. What does
ask it is a function that only the templates of signed-in people call: that LiteLLM is away concerns every page of
theirs, because what they change then works later than it seems to.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from accounts import rbac
from accounts.models import User
from litellm_sync.models import Upstream
from litemaas import VERSION
from litemaas.foundation import preferences

THEME_COOKIE: Final = "theme"
THEMES: Final = (("system", _("System"), "sun-moon"), ("light", _("Light"), "sun"), ("dark", _("Dark"), "moon"))
PAGES: Final = (
    ("home", _("Home"), "house"),
    ("models", _("Models"), "boxes"),
    ("subscriptions", _("Subscriptions"), "bookmark"),
    ("api-keys", _("API keys"), "key-round"),
    ("usage", _("Usage"), "chart-column"),
)
ADMINISTRATION: Final = "admin:index"


@dataclass(frozen=True)
class Entry:
    """One line of the navigation."""

    url: str
    label: Any
    icon: str
    current: bool


def navigation(path: str) -> list[Entry]:
    """The pages that there are; the one that ``path`` belongs to is current."""
    entries = []
    for name, label, icon in PAGES:
        url = reverse(name)
        current = path == url or (url != "/" and path.startswith(f"{url}/"))
        entries.append(Entry(url, label, icon, current))
    return entries


def administration(user: rbac.Actor) -> str | None:
    """Where the administrators' pages begin; None for everybody else, and where they are not installed."""
    try:
        return reverse(ADMINISTRATION) if rbac.can_access_admin_features(user) else None
    except NoReverseMatch:
        return None


def away_since() -> datetime | None:
    """Since when LiteLLM has not answered; None while it does. One row, found by its primary key."""
    return Upstream.objects.filter(pk=1).values_list("down_since", flat=True).first()


def theme_of(request: HttpRequest) -> str:
    """The theme that the reader chose; the system's if none or nonsense."""
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in dict(themes()) else "system"


def themes() -> list[tuple[str, Any]]:
    """The choices of a theme."""
    return [(value, label) for value, label, _icon in THEMES]


def _language_url(request: HttpRequest) -> Callable[[], str]:
    """Where the switch of a signed-in person's page goes: into the profile, or a cookie if it cannot be changed."""

    def url() -> str:
        user = request.user
        may = isinstance(user, User) and rbac.check_permission(user, rbac.Permission.PROFILE_WRITE, user)
        return reverse("profile-language" if may else "language")

    return url


def portal(request: HttpRequest) -> dict[str, Any]:
    """What every template may use; functions are called by the templates that need their answers."""
    return {
        "navigation": navigation(request.path),
        "administration": lambda: administration(request.user),
        "away_since": cache(away_since),
        "language_url": _language_url(request),
        "languages": preferences.languages().items(),
        "theme": theme_of(request),
        "themes": THEMES,
        "version": VERSION,
    }
