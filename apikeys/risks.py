"""The one place that says which keys somebody should look at."""

from typing import Any, Final

from django.db.models import Case, Exists, OuterRef, Q, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apikeys.models import EXPIRES_SOON, ApiKeyQuerySet, ApiKeySecret, KeyStatus
from litellm_sync.state import SyncStatus
from litemaas.foundation.limits import NEARLY_SPENT

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
        "unused": Q(last_used_at=None),
    }
    return risks[name]


def gravest_first(keys: ApiKeyQuerySet) -> ApiKeyQuerySet:
    """What LiteLLM refuses, then what is blocked, then the others; the newest first among equals."""
    refused = ApiKeySecret.objects.filter(key=OuterRef("pk"), sync_status=SyncStatus.FAILED)
    blocked = Case(When(status=KeyStatus.BLOCKED, then=0), default=1)
    return keys.order_by(Exists(refused).desc(), blocked, "-created_at", "id")
