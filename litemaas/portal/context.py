"""The context processor of all pages: navigation, theme, version. It reads the request alone, never the database."""

from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from litemaas import VERSION

THEME_COOKIE: Final = "theme"
THEMES: Final = (("system", _("System"), "sun-moon"), ("light", _("Light"), "sun"), ("dark", _("Dark"), "moon"))
PAGES: Final = (
    ("home", _("Home"), "house"),
    ("models", _("Models"), "boxes"),
    ("subscriptions", _("Subscriptions"), "bookmark"),
    ("api-keys", _("API keys"), "key-round"),
    ("usage", _("Usage"), "chart-column"),
)


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


def theme_of(request: HttpRequest) -> str:
    """The theme that the reader chose; the system's if none or nonsense."""
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in dict(themes()) else "system"


def themes() -> list[tuple[str, Any]]:
    """The choices of a theme."""
    return [(value, label) for value, label, _icon in THEMES]


def portal(request: HttpRequest) -> dict[str, Any]:
    """What every template may use."""
    return {
        "navigation": navigation(request.path),
        "theme": theme_of(request),
        "themes": THEMES,
        "version": VERSION,
    }
