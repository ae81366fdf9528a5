"""The one place that says which keys somebody should look at."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Case, Count, Exists, OuterRef, Q, Subquery, Value, When
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apikeys.key_status import EXPIRES_SOON
from apikeys.models import ApiKey, ApiKeyQuerySet, ApiKeySecret, KeyStatus
from apikeys.upkeep import KeyFigures
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import Conflict
from litemaas.foundation.limits import NEARLY_SPENT

# As of when it is known which keys were used; NULL, which no key fits, where that was never fetched. What was not heard
# of since then may have been used: a key is judged as of that moment, not as of now.
KNOWN_UNTIL: Final = Subquery(KeyFigures.objects.values("as_of")[:1])

RISKS: Final[dict[str, Any]] = {
    "over_80": _("Over 80 % of the budget"),
    "expiring": _("Expires within 7 days"),
    "unlimited": _("Neither budget nor expiry"),
    "unused": _("Never used"),
}


def risk(name: str) -> Q:
    """What makes a living key a risk of that name."""
    risks = {
        "over_80": NEARLY_SPENT,
        "expiring": Q(expires_at__lte=timezone.now() + EXPIRES_SOON),
        "unlimited": Q(max_budget=None, expires_at=None),
        "unused": Q(last_used_at=None, created_at__lte=KNOWN_UNTIL),
    }
    return risks[name]


# A key that was made this week may be for something that only begins.
NEW_FOR: Final = timedelta(days=7)
# What keeps keys from being tidy, and what makes a living key one of those.
HYGIENE: Final[dict[str, Any]] = {
    "never_used": _("Never used, and made over 7 days ago"),
    "idle": _("Not used for long"),
    "no_limit": _("No budget"),
    "no_expiry": _("No expiry"),
    "expiring": _("Expires within 7 days"),
    "owner_inactive": _("Owner deactivated"),
}
# Those that only LiteLLM's figures can tell.
BY_USE: Final = ("never_used", "idle")
UNTIDY: Final[dict[str, Callable[[], Q]]] = {
    "never_used": lambda: Q(last_used_at=None, created_at__lte=KNOWN_UNTIL - Value(NEW_FOR)),
    "idle": lambda: Q(last_used_at__lte=KNOWN_UNTIL - Value(timedelta(days=settings.KEY_IDLE_DAYS))),
    "no_limit": lambda: Q(max_budget=None),
    "no_expiry": lambda: Q(expires_at=None),
    "expiring": lambda: risk("expiring"),
    "owner_inactive": lambda: Q(user__is_active=False),
}


def untidy(keys: ApiKeyQuerySet, name: str) -> ApiKeyQuerySet:
    """The living keys of ``keys`` that are untidy in one way."""
    return keys.alive().filter(UNTIDY[name]())


def known_until() -> datetime | None:
    """As of when it is known what keys spent and which were used; None where it was never fetched."""
    return KeyFigures.objects.values_list("as_of", flat=True).first()


def require_known(way: str) -> None:
    """Raise Conflict (uses_unknown) where nobody can say which keys are untidy in this way."""
    if way in BY_USE and known_until() is None:
        message = gettext("LiteLLM's figures were never fetched yet, so nobody knows which keys were used.")
        raise Conflict(message, code="uses_unknown")


def hygiene() -> dict[str, int | None]:
    """Way -> how many living keys of everybody, None where that is not known."""
    counts = {name: Count("pk", filter=made()) for name, made in UNTIDY.items()}
    found: dict[str, int | None] = ApiKey.objects.alive().aggregate(**counts)
    return found if known_until() else found | dict.fromkeys(BY_USE)


def gravest_first(keys: ApiKeyQuerySet) -> ApiKeyQuerySet:
    """What LiteLLM refuses, then what is blocked, then the others; the newest first among equals."""
    refused = ApiKeySecret.objects.filter(key=OuterRef("pk"), sync_status=SyncStatus.FAILED)
    blocked = Case(When(status=KeyStatus.BLOCKED, then=0), default=1)
    return keys.order_by(Exists(refused).desc(), blocked, "-created_at", "id")
