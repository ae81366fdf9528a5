"""What lets somebody in again, as data: sessions of browsers, attempts at a provider, personal access tokens.

Secrets stand here as SHA-256 only. models.py imports these tables, so Django knows them as those of accounts.
"""

import uuid
from datetime import datetime, timedelta
from typing import Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

AGENT_LENGTH: Final = 300
ADDRESS_LENGTH: Final = 64
NAME_LENGTH: Final = 100
# A use within a minute of the last one that was noted is not noted.
NOTED_EVERY: Final = timedelta(minutes=1)
# How long a browser can still learn why its session is over.
TOLD_FOR: Final = timedelta(days=7)
# How long an ended token stays in its owner's list.
SHOWN_FOR: Final = timedelta(days=90)


class Ending(models.TextChoices):
    """Why a session of a browser is over; the browser is told, as long as the row is kept."""

    IDLE = "idle", _("Not used for long")
    TOO_OLD = "too_old", _("Begun long ago")
    ELSEWHERE = "elsewhere", _("Signed out from elsewhere")
    ADMIN = "admin", _("Ended by an administrator")
    PROVIDER = "provider", _("Shut out by the sign-in service")


class BrowserSessionQuerySet(models.QuerySet["BrowserSession"]):
    """Selections of sessions."""

    def alive(self, now: datetime) -> Self:
        """Those that are good now, by the lifetimes of the settings as they are now."""
        begun, seen = now - settings.SESSION_LIFETIME, now - settings.SESSION_IDLE_LIFETIME
        return self.filter(ended_at=None, begun_at__gt=begun, seen_at__gt=seen)

    def forgettable(self, now: datetime) -> Self:
        """Those that nobody needs; people's are kept for a week after their end, so that the browser can be told."""
        over = now - settings.SESSION_IDLE_LIFETIME
        return self.filter(Q(user=None, seen_at__lte=over) | Q(seen_at__lte=over - TOLD_FOR))


class BrowserSession(models.Model):
    """A browser's session, somebody's or (before a sign-in) nobody's. The cookie's value is known by its digest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    digest = models.CharField(max_length=64, unique=True)
    data = models.TextField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="browser_sessions"
    )
    begun_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)
    agent = models.CharField(max_length=AGENT_LENGTH, blank=True)
    address = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=20, choices=Ending, blank=True)

    objects = BrowserSessionQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(ended_at=None, ended_by="")
                | Q(ended_at__isnull=False, ended_by__in=(Ending.ELSEWHERE, Ending.ADMIN, Ending.PROVIDER)),
                name="browser_session_ended_by_somebody",
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    def ending(self, now: datetime) -> Ending | None:
        """Why it is over; None while it is good."""
        if self.ended_at is not None:
            return Ending(self.ended_by)
        if self.begun_at <= now - settings.SESSION_LIFETIME:
            return Ending.TOO_OLD
        return Ending.IDLE if self.seen_at <= now - settings.SESSION_IDLE_LIFETIME else None

    @property
    def owner_id(self) -> uuid.UUID | None:
        """Whose it is (rbac asks every object this)."""
        return self.user_id


class SignInAttempt(models.Model):
    """One departure to a provider, until the answer comes. Rows, not entries of one session: two tabs lose none."""

    state = models.CharField(max_length=64, primary_key=True)
    browser = models.CharField(max_length=64)
    provider = models.CharField(max_length=40)
    # nonce, verifier and addresses: one text, encrypted as a whole.
    sealed = models.TextField()
    begun_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        indexes = (models.Index(fields=["browser", "begun_at"], name="attempt_browser"),)

    def __str__(self) -> str:
        return f"{self.provider} {self.begun_at:%Y-%m-%d %H:%M}"


class TokenScope(models.TextChoices):
    """What a personal access token may do of that which its owner may."""

    READ = "read", _("Read")
    WRITE = "write", _("Read and write")


class PersonalTokenQuerySet(models.QuerySet["PersonalToken"]):
    """Selections of personal access tokens."""

    def alive(self, now: datetime) -> Self:
        """Those that let somebody in now."""
        return self.filter(revoked_at=None, expires_at__gt=now)

    def refusal_due(self, before: datetime) -> Self:
        """Those whose refusal was not written into the audit log since then."""
        return self.filter(Q(refused_at=None) | Q(refused_at__lte=before))

    def forgettable(self, now: datetime) -> Self:
        """Those that ended so long ago that nobody looks for them in the list."""
        return self.filter(Q(revoked_at__lt=now - SHOWN_FOR) | Q(expires_at__lt=now - SHOWN_FOR))


class PersonalToken(models.Model):
    """What a person's script shows to the API instead of a password."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="personal_tokens")
    name = models.CharField(max_length=NAME_LENGTH)
    digest = models.CharField(max_length=64, unique=True)
    last4 = models.CharField(max_length=4)
    scope = models.CharField(max_length=10, choices=TokenScope)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    last_address = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    revoked_at = models.DateTimeField(null=True)
    # When its use after its end was last written into the audit log.
    refused_at = models.DateTimeField(null=True)

    objects = PersonalTokenQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        indexes = (models.Index(fields=["user", "-created_at"], name="personal_token_user"),)
        constraints = (
            models.CheckConstraint(condition=Q(scope__in=TokenScope.values), name="personal_token_scope_known"),
            models.CheckConstraint(condition=Q(expires_at__gt=models.F("created_at")), name="personal_token_expires"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def owner_id(self) -> uuid.UUID:
        """Whose it is (rbac asks every object this)."""
        return self.user_id

    @property
    def masked(self) -> str:
        """What may be shown of the secret."""
        return f"lmp_…{self.last4}"

    @property
    def status(self) -> str:
        """``active``, ``expired`` or ``revoked``, now."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expires_at > timezone.now() else "expired"
