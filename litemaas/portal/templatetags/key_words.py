"""The only place that puts into words what happened to a key and what hinders it: ``{% load key_words %}``."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django import template
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import AuditEvent
from apikeys import rotation
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from litellm_sync.models import RunKind, RunStatus, SyncRun
from litemaas.foundation.money import dollars
from litemaas.portal.templatetags.portal import number, period

register = template.Library()

FIELDS: Final = {
    "name": gettext_lazy("Name"),
    "description": gettext_lazy("Description"),
    "models": gettext_lazy("Models"),
    "max_budget": gettext_lazy("Budget"),
    "budget_duration": gettext_lazy("Budget starts again"),
    "soft_budget": gettext_lazy("Soft budget"),
    "tpm_limit": gettext_lazy("Tokens per minute"),
    "rpm_limit": gettext_lazy("Requests per minute"),
    "max_parallel_requests": gettext_lazy("Requests at the same time"),
    "model_limits": gettext_lazy("Limits per model"),
    "expires_at": gettext_lazy("Expires"),
}
HINDRANCES: Final = {
    "denied": gettext_lazy("The subscription was denied."),
    "expired": gettext_lazy("The subscription has expired."),
    "not_for_team": gettext_lazy("The team of the key may not use it."),
    "not_in_team": gettext_lazy("The owner of the key is no longer in its team."),
    "not_subscribed": gettext_lazy("There is no subscription to it any more."),
    "pending": gettext_lazy("The subscription waits for approval."),
    "suspended": gettext_lazy("The subscription is suspended."),
    "unavailable": gettext_lazy("LiteLLM does not offer it at present."),
}
REASONS: Final = {
    "budget_begins_again": gettext_lazy(
        "LiteLLM is about to begin the budget again; the spend is carried over after that."
    ),
    "circuit_open": gettext_lazy("LiteLLM has failed too often just now; it gets a moment's rest."),
    "deadline": gettext_lazy("LiteLLM took too long."),
    "garbage": gettext_lazy("LiteLLM answered something that cannot be read."),
    "internal_error": gettext_lazy("Something went wrong on our side; the log knows more."),
    "needs_rotation": gettext_lazy(
        "LiteLLM has lost the key, and its secret is no longer known here. Rotating it gives it a new one."
    ),
    "not_as_sent": gettext_lazy("LiteLLM did not keep what was sent."),
    "not_configured": gettext_lazy("No LiteLLM is configured."),
    "offer_may_arrive": gettext_lazy("An earlier request may still arrive there; it is looked at once more."),
    "secret_unreadable": gettext_lazy("The secret cannot be decrypted with the keys that are configured."),
    "spend_not_carried_over": gettext_lazy("The newer secret has not taken over yet what this one spent."),
    "spend_not_settled": gettext_lazy("What the old secret spent is not complete yet."),
    "timeout": gettext_lazy("LiteLLM did not answer in time."),
    "unauthorized": gettext_lazy("LiteLLM does not accept the configured master key."),
    "unreachable": gettext_lazy("LiteLLM cannot be reached."),
}
# A call from before the rotation can have a later moment: LiteLLM notes uses some twenty seconds late.
NOTED_LATE: Final = timedelta(seconds=30)


class Line(NamedTuple):
    """One thing that changed: its name, what it was, what it became; what was added or taken off has no old value."""

    label: Any
    old: str
    new: str


class Secret(NamedTuple):
    """One secret of a key as its page shows it; ``meanwhile`` (USD) is what it spent after it was replaced.

    ``is_known`` says whether LiteLLM was asked since it was made who uses it, ``is_known_since`` since it was replaced:
    before that nobody can say that it is not used.
    """

    row: ApiKeySecret
    shown: str
    state: str
    is_still_used: bool
    is_known: bool
    is_known_since: bool
    meanwhile: Decimal


@register.filter
def secrets(key: ApiKey) -> list[Secret]:
    """The secrets of a key, the newest first."""
    now, newer, found = timezone.now(), None, []
    known = _uses_known_until()
    for row in sorted(key.secrets.all(), key=lambda secret: secret.created_at, reverse=True):
        is_used = bool(newer and row.last_used_at and row.last_used_at > newer.created_at + NOTED_LATE)
        is_carried = newer is None or newer.pushed_at is None or row.carried_at is not None
        meanwhile = Decimal(0) if is_carried else row.spend - row.spend_passed_on
        is_known = row.created_at < known
        is_known_since = newer is not None and newer.created_at < known
        state = _state(row, key, now)
        found.append(Secret(row, str(row), state, is_used, is_known, is_known_since, max(meanwhile, Decimal(0))))
        newer = row
    return found


def _uses_known_until() -> datetime:
    """Until when LiteLLM has told of every use: it notes them late, and is asked with each fetch of usage."""
    fetched = SyncRun.objects.filter(kind=RunKind.USAGE, status=RunStatus.DONE)
    begun = fetched.aggregate(begun=Max("started_at"))["begun"]
    return begun - NOTED_LATE if begun else datetime.min.replace(tzinfo=UTC)


@register.filter
def new_secret_is_there(key: ApiKey) -> bool:
    """Whether LiteLLM has the newest secret, so that something works without the older ones."""
    return rotation.stage(key.secrets.all(), timezone.now()) not in rotation.NOT_THERE


def _state(row: ApiKeySecret, key: ApiKey, now: datetime) -> str:
    if key.status == KeyStatus.REVOKED:
        return "revoked"
    if row.has_ended(now):
        return "secret_ended"
    return "secret_old" if row.valid_until else "secret_current"


@register.filter
def hindrance(code: str) -> Any:
    """Why a key cannot use a model."""
    return HINDRANCES[code]


@register.filter
def sync_reason(code: str) -> Any:
    """Why LiteLLM has not taken a row; empty where no words are known for it."""
    return REASONS.get(code, "")


@register.filter
def changed(event: AuditEvent) -> list[Line]:
    """What an entry of the audit log says about a key beyond its action, in words."""
    details = event.details
    if event.action == "apikey.updated":
        lines = [_line(name, details["old"], details["new"]) for name in FIELDS if name in details["new"]]
        return [line for found in lines for line in found]
    if event.action == "apikey.created":
        return [Line(FIELDS["models"], "", ", ".join(details.get("models", [])))]
    if event.action in {"apikey.rotated", "apikey.old_secret_ended"}:
        return [Line(_("Secret"), details["old"], details.get("new", _("ended"))), *_still_working(details)]
    if event.action == "apikey.grace_prolonged":
        until = in_words("expires_at", details["valid_until"])
        return [Line(_("Works on, at the longest until"), "", f"{details['old']} · {until}")]
    if event.action == "apikey.spend_reset":
        return [Line(_("Spend"), dollars(Decimal(details["spend"]), 2), dollars(Decimal(0), 2))]
    reason = details.get("reason")
    return [Line(_("Reason"), "", reason)] if reason else []


def _still_working(details: Mapping[str, Any]) -> list[Line]:
    """Which old secret goes on working after a rotation, and until when; entries of before do not tell."""
    if not details.get("kept"):
        return []
    return [Line(_("Works until"), "", f"{details['kept']} · {in_words('expires_at', details['valid_until'])}")]


def _line(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Line]:
    if name != "models":
        return [Line(FIELDS[name], in_words(name, old[name]), in_words(name, new[name]))]
    added = [model for model in new[name] if model not in old[name]]
    removed = [model for model in old[name] if model not in new[name]]
    lines = [(_("Models added"), added), (_("Models taken off"), removed)]
    return [Line(label, "", ", ".join(models)) for label, models in lines if models]


def in_words(name: str, value: Any) -> str:
    """A value of a key as people say it; nothing is "no limit", "never" or "none"."""
    if value in (None, "", {}, []):
        never = {"budget_duration", "expires_at"}
        return _("never") if name in never else _("none") if name in {"description", "model_limits"} else _("no limit")
    if name in {"max_budget", "soft_budget"}:
        amount = Decimal(value)
        exact = max(-int(amount.normalize().as_tuple().exponent), 2)
        return dollars(amount, exact)
    if name == "expires_at":
        return f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M} UTC"
    if name == "model_limits":
        return "; ".join(_model_limit(model, figures) for model, figures in sorted(value.items()))
    if name == "budget_duration":
        return period(value)
    return number(value) if isinstance(value, int) else str(value)


def _model_limit(model: str, figures: Mapping[str, int]) -> str:
    words = {"rpm_limit": _("%(number)s requests a minute"), "tpm_limit": _("%(number)s tokens a minute")}
    said = ", ".join(words[name] % {"number": number(figures[name])} for name in words if name in figures)
    return f"{model}: {said}"


@register.filter
def model_limit(limits: Mapping[str, Mapping[str, int]], model: str) -> str:
    """A model's own limits on a key in words; empty where it has none."""
    return _model_limit(model, limits[model]).removeprefix(f"{model}: ") if limits.get(model) else ""
