"""The side bar of the admin portal, and the few looks that unfold takes from settings."""

from typing import Any, Final

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext_lazy as _

from accounts.admin_parts import Text

# Group -> its pages: title, icon, table (empty for the dashboard; a page that shows no table has a name of its own).
GROUPS: Final[tuple[tuple[Text, tuple[tuple[Text, str, str], ...]], ...]] = (
    ("", ((_("Overview"), "space_dashboard", ""),)),
    (
        _("People"),
        (
            (_("Users"), "group", "accounts_user"),
            (_("Teams"), "groups", "teams_team"),
            (_("Memberships"), "badge", "teams_membership"),
        ),
    ),
    (
        _("Catalogue"),
        (
            (_("Models"), "deployed_code", "subscriptions_model"),
            (_("Subscriptions"), "bookmark", "subscriptions_subscription"),
        ),
    ),
    (
        _("Keys"),
        (
            (_("API keys"), "key", "apikeys_apikey"),
            (_("Key hygiene"), "cleaning_services", "apikeys_bulkchange"),
            (_("Key policy"), "rule", "apikeys_keypolicy"),
        ),
    ),
    (
        _("Usage"),
        (
            (_("Daily usage"), "bar_chart", "usage_dailyusage"),
            (_("Fetched days"), "event_available", "usage_usageday"),
        ),
    ),
    (
        _("Operations"),
        (
            (_("Integration centre"), "hub", "integration"),
            (_("Sync runs"), "sync", "litellm_sync_syncrun"),
            (_("Differences"), "difference", "litellm_sync_drift"),
            (_("Jobs"), "manufacturing", "procrastinate_procrastinatejob"),
            (_("Audit log"), "history", "accounts_auditevent"),
            (_("Failed sign-ins"), "gpp_maybe", "accounts_failedsignin"),
            (_("Browser sessions"), "computer", "accounts_browsersession"),
            (_("API sessions"), "devices", "accounts_refreshfamily"),
            (_("Access tokens"), "vpn_key", "accounts_personaltoken"),
        ),
    ),
)

PORTAL: Final = {"title": _("Back to the portal"), "icon": "arrow_back", "link": reverse_lazy("home"), "active": False}


def side_bar(request: HttpRequest) -> list[dict[str, Any]]:
    """What unfold draws at the left; everybody who gets in may read all of it."""
    groups: list[dict[str, Any]] = [
        {"title": title, "items": [_item(request.path, *page) for page in pages], "separator": bool(title)}
        for title, pages in GROUPS
    ]
    groups[0]["items"] = [PORTAL, *groups[0]["items"]]
    return groups


def _item(path: str, title: Text, icon: str, table: str) -> dict[str, Any]:
    page = f"{table}_changelist" if "_" in table else table or "index"
    url = reverse(f"admin:{page}")
    active = path.startswith(url) if table else path == url
    return {"title": title, "icon": icon, "link": url, "active": active}


def icon(request: HttpRequest) -> str:
    """Our sign."""
    return static("img/favicon.svg")


def styles(request: HttpRequest) -> str:
    """The portal's stylesheet: the parts of its pages look the same here. It must come before unfold's."""
    return static("css/litemaas.css")


def admin_styles(request: HttpRequest) -> str:
    """What is particular here: unfold's colours from our tokens."""
    return static("css/admin.css")


def script(request: HttpRequest) -> str:
    """Hands the portal's theme to unfold."""
    return static("js/admin.js")
