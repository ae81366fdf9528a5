"""How one value looks in the admin portal: small templates, so that it looks as it does in the portal."""

from typing import Any, Final

from django.contrib.admin.utils import quote
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEvent
from accounts.wording import ACTIONS
from litellm_sync.state import SyncStatus

NOTHING: Final = "–"  # noqa: RUF001 -- a dash stands for "unknown" or "none"


def cell(kind: str, **context: Any) -> SafeString:
    """A value drawn by ``templates/admin/cells/<kind>.html``."""
    return render_to_string(f"admin/cells/{kind}.html", context)


def label(tone: str, icon: str, words: Any) -> SafeString:
    """A state with icon and word; ``tone`` is good, warn, bad, info or quiet."""
    return render_to_string("components/status.html", {"tone": tone, "icon_name": icon, "words": words})


def link(page: str, pk: Any, words: Any) -> SafeString | str:
    """The way to the page of a row (``app_model``); nothing without a row."""
    if pk is None:
        return NOTHING
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[quote(pk)]), words)


def happened(event: AuditEvent) -> SafeString:
    """What an entry of the audit log says was done, in words, with the name that programs know in the title."""
    return format_html('<span title="{}">{}</span>', event.action, ACTIONS.get(event.action, event.action))


def goto(url: str, words: Any) -> SafeString:
    """The way to any other page."""
    return format_html('<a href="{}">{}</a>', url, words)


SYNC: Final = {
    SyncStatus.PENDING: ("info", "refresh-cw", _("Syncing…")),
    SyncStatus.SYNCED: ("good", "circle-check", _("Synced")),
    SyncStatus.FAILED: ("bad", "circle-alert", _("Sync failed")),
}


def sync(row: Any) -> SafeString:
    """Whether LiteLLM agrees with a row."""
    return label(*SYNC[SyncStatus(row.sync_status)])


def spend(row: Any) -> SafeString:
    """What was spent of a budget, as figures and a bar."""
    return cell("spend", spent=row.spend, budget=row.max_budget)


def flag(value: bool, yes: tuple[str, str, Any], no: tuple[str, str, Any]) -> SafeString:  # noqa: FBT001 -- what it draws
    """One of two states."""
    return label(*(yes if value else no))
