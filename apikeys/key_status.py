"""Where a key stands, and which keys live."""

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class KeyStatus(models.TextChoices):
    """Where a key stands; EXPIRED is never stored, it follows from the clock."""

    ACTIVE = "active", _("Active")
    BLOCKED = "blocked", _("Blocked")
    REVOKED = "revoked", _("Revoked")
    EXPIRED = "expired", _("Expired")


EXPIRES_SOON: Final = timedelta(days=7)  # from then on somebody should look at a key
STORED_STATUSES = (KeyStatus.ACTIVE, KeyStatus.BLOCKED, KeyStatus.REVOKED)


def living(prefix: str = "") -> Q:
    """Of rows that reach a key by ``prefix``: those of keys that are not revoked, not expired and not deleted."""
    in_time = Q(**{f"{prefix}expires_at": None}) | Q(**{f"{prefix}expires_at__gt": timezone.now()})
    return in_time & Q(**{f"{prefix}deleted_at": None}) & ~Q(**{f"{prefix}status": KeyStatus.REVOKED})
