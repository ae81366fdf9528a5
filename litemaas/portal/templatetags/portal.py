"""The only place that says how figures, dates and states look on a page."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from django import template
from django.forms import BoundField
from django.http import HttpRequest
from django.template import RequestContext
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from lucide.templatetags.lucide import lucide

from accounts.models import AuditEvent
from accounts.wording import ACTIONS
from apikeys.key_status import EXPIRES_SOON
from apikeys.models import ApiKey, KeyStatus
from litellm_sync.state import SyncStatus
from litemaas.foundation.limits import NEARLY
from litemaas.foundation.money import CENT, dollars

register = template.Library()

NOTHING: Final = "–"  # noqa: RUF001 -- a dash stands for "unknown" or "none"
SHORTEN_FROM: Final = 10_000
UNITS: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))

# State -> tone, icon, words.
STATES: Final[dict[str, tuple[str, str, Any]]] = {
    "active": ("good", "circle-check", gettext_lazy("Active")),
    "available": ("good", "circle-check", gettext_lazy("Available")),
    "blocked": ("bad", "ban", gettext_lazy("Blocked")),
    "denied": ("bad", "circle-x", gettext_lazy("Denied")),
    "expired": ("quiet", "timer", gettext_lazy("Expired")),
    "expires_soon": ("warn", "timer", gettext_lazy("Expires soon")),
    "no_model": ("bad", "circle-slash", gettext_lazy("No usable model")),
    "not_usable": ("warn", "circle-slash", gettext_lazy("Not usable now")),
    "over_soft_budget": ("warn", "triangle-alert", gettext_lazy("Above its warning")),
    "over_budget": ("bad", "octagon-alert", gettext_lazy("Budget used up")),
    "near_budget": ("warn", "triangle-alert", gettext_lazy("Over 80 % of budget")),
    "pending": ("warn", "clock", gettext_lazy("Pending approval")),
    "restricted": ("quiet", "lock", gettext_lazy("Restricted")),
    "owner_gone": ("bad", "user-x", gettext_lazy("Owner deactivated")),
    "revoked": ("quiet", "shield-off", gettext_lazy("Revoked")),
    "secret_current": ("good", "circle-check", gettext_lazy("Current")),
    "secret_ended": ("quiet", "shield-off", gettext_lazy("Ended")),
    "secret_old": ("warn", "timer", gettext_lazy("Old, still works")),
    "suspended": ("bad", "circle-pause", gettext_lazy("Suspended")),
    "sync_failed": ("bad", "circle-alert", gettext_lazy("Sync failed")),
    "syncing": ("info", "refresh-cw", gettext_lazy("Syncing…")),
    "unavailable": ("quiet", "unplug", gettext_lazy("Unavailable")),
    "usable": ("good", "circle-check", gettext_lazy("Usable now")),
}


@lru_cache(maxsize=256)
def _drawn(name: str, size: int) -> SafeString:
    drawn = lucide(name, size=size, aria_hidden="true")
    return drawn if isinstance(drawn, SafeString) else SafeString()


@register.simple_tag
def icon(name: str, size: int = 18) -> SafeString:
    """A picture beside a word; it says nothing to those who listen."""
    return _drawn(name, size)


# --- States ----------------------------------------------------------------------------------------------------------


@register.inclusion_tag("components/status.html")
def status(state: str) -> dict[str, Any]:
    """A state as a label with icon and word."""
    tone, name, words = STATES[str(state)]
    return {"tone": tone, "icon_name": name, "words": words}


@register.filter
def states(key: ApiKey) -> list[str]:
    """What is to be said about a key, the gravest first; never empty."""
    now = timezone.now()
    current = key.status_at(now)
    found: list[str] = []
    if current is KeyStatus.ACTIVE:
        found = _worries(key, now)
    synced = {SyncStatus.PENDING: ["syncing"], SyncStatus.FAILED: ["sync_failed"]}.get(key.sync_status, [])
    main = [] if current is KeyStatus.ACTIVE and (synced or found) else [str(current.value)]
    if current is KeyStatus.BLOCKED and key.is_owner_gone:
        main = ["owner_gone", *main]
    return main + synced + found


def _worries(key: ApiKey, now: datetime) -> list[str]:
    # Annotated where it is of interest, with_usability().
    found = ["no_model"] if key.has_usable_model is False else []
    if key.max_budget is not None and key.spend >= key.max_budget:
        found.append("over_budget")
    elif key.max_budget is not None and key.spend >= key.max_budget * NEARLY:
        found.append("near_budget")
    elif key.soft_budget is not None and key.spend >= key.soft_budget:
        found.append("over_soft_budget")
    if key.expires_at is not None and key.expires_at <= now + EXPIRES_SOON:
        found.append("expires_soon")
    return found


@register.inclusion_tag("components/meter.html")
def meter(part: Decimal, whole: Decimal | None) -> dict[str, Any]:
    """How much of a budget is used, as a bar; the figures stand beside it."""
    share = min(part / whole, Decimal(1)) if whole else Decimal(bool(whole is not None))
    tone = "bad" if share >= 1 else "warn" if share >= NEARLY else "info"
    return {"percent": round(share * 100), "tone": tone}


@register.filter
def happened(action: str) -> Any:
    """An action of the audit log in words, with the kind of thing that it is about."""
    return ACTIONS.get(action, action)


@register.filter
def subject(event: AuditEvent) -> str:
    """What an entry of the audit log is about: of a subscription that is the model, of a token its name."""
    details: dict[str, Any] = event.details
    if event.category == "token":
        return str(details.get("token") or event.target_name)
    return str(details.get("model") or event.target_name) if event.target_type == "subscription" else event.target_name


@register.filter
def words(value: str) -> str:
    """A name of LiteLLM's (``function_calling``) as people write it."""
    return value.replace("_", " ")


@register.filter
def period(duration: str) -> str:
    """A budget period (``12h``, ``7d``, ``1mo``) in words."""
    if duration == "1mo":
        return _("every month")
    count = int(duration[:-1])
    if duration.endswith("h"):
        return ngettext("every hour", "every %(count)s hours", count) % {"count": count}
    return ngettext("every day", "every %(count)s days", count) % {"count": count}


# --- Figures ---------------------------------------------------------------------------------------------------------


def plain(value: Decimal) -> str:
    """A decimal as one writes it: no exponent, no zeros at the end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def exactly(value: Decimal) -> str:
    """A decimal with all its places, as the reader's language writes it."""
    return str(number_format(plain(value), force_grouping=True))


@register.filter
def number(value: Decimal | float | None) -> str:
    """A count with thousands separators."""
    return NOTHING if value is None else str(number_format(value, force_grouping=True))


@register.filter
def compact(value: float | None) -> SafeString | str:
    """A large count in short, with the exact one in its title."""
    if value is None:
        return NOTHING
    # Half a unit of the third digit earlier, so that 999,999 is 1 M and not 1000 k.
    size, unit = next(((size, unit) for size, unit in UNITS if value >= size * 0.9995), (1, ""))
    text = f"{number(Decimal(f'{value / size:.3g}'))} {unit}" if value >= SHORTEN_FROM else number(value)
    return format_html('<data value="{}" title="{}">{}</data>', value, number(value), text)


@register.filter
def money(value: Decimal | float | None) -> SafeString | str:
    """US dollars in cents, with the exact amount in the title."""
    if value is None:
        return NOTHING
    amount = Decimal(value)
    text = f"<{dollars(CENT)}" if 0 < amount < CENT else dollars(amount)
    return format_html('<data value="{}" title="{} USD">{}</data>', plain(amount), exactly(amount), text)


@register.filter
def per_million(value: Decimal | None) -> SafeString | str:
    """A price for a million tokens: at least cents, as many decimals as it has, at most six."""
    if value is None:
        return format_html('<span title="{}">{}</span>', _("LiteLLM knows no price"), NOTHING)
    rounded = Decimal(plain(value.quantize(Decimal("0.000001"))))
    places = max(2, -int(rounded.as_tuple().exponent))
    shown = dollars(rounded, places)
    return format_html('<data value="{}" title="{} USD">{}</data>', plain(value), exactly(value), shown)


@register.simple_tag
def change(now: Decimal | int, before: Decimal | int) -> str:
    """How a figure moved against the one before; nothing can be said of a rise from zero."""
    if not before:
        return NOTHING
    percent = round((Decimal(now) - Decimal(before)) / Decimal(before) * 100)
    return f"{percent:+d} %".replace("-", "\u2212") if percent else "± 0 %"


# --- Dates -----------------------------------------------------------------------------------------------------------


def relative(value: datetime, now: datetime) -> str:
    """How long ago or ahead, in one unit."""
    if abs(value - now) < timedelta(minutes=1):
        return _("just now") if value <= now else _("in a moment")
    if value <= now:
        return _("%(time)s ago") % {"time": timesince(value, now, depth=1)}
    return _("in %(time)s") % {"time": timesince(now, value, depth=1)}


def _time(value: datetime | None, shown: str) -> SafeString | str:
    if value is None:
        return NOTHING
    local = timezone.localtime(value)
    title = f"{local:%Y-%m-%d %H:%M:%S} {local:%Z}"
    hint = relative(value, timezone.now())
    markup = '<time datetime="{}" title="{}">{}</time> <span class="muted small">{}</span>'
    return format_html(markup, value.isoformat(), title, local.strftime(shown), hint)


@register.filter
def day(value: datetime | None) -> SafeString | str:
    """A date with a hint how far it is."""
    return _time(value, "%Y-%m-%d")


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """A date and time with a hint how far it is."""
    return _time(value, "%Y-%m-%d %H:%M")


@register.filter
def iso(value: date) -> str:
    """A plain date."""
    return value.isoformat()


# --- Addresses -------------------------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def parameters_without(context: RequestContext, name: str) -> list[tuple[str, str]]:
    """The parameters of the address but one, for the hidden fields of a form that replaces this one."""
    return [(key, value) for key, values in context.request.GET.lists() if key != name for value in values]


@register.filter
def here(request: HttpRequest) -> str:
    """The address of the page that is shown, to come back to; none for a sent form and for an answer of a provider."""
    match = request.resolver_match
    is_spent = match is not None and match.url_name == "sign-in-callback"
    return request.get_full_path() if request.method == "GET" and not is_spent else ""


# --- Forms -----------------------------------------------------------------------------------------------------------


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, css: str = "") -> dict[str, Any]:
    """A form's field with label, help and errors."""
    return {"field": bound, "css": css}
