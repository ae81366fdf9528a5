"""What is done to many keys at once, and what owners were told about the end of theirs, as data.

models.py imports these tables, so Django knows them as those of apikeys.
"""

import uuid
from typing import Self

from django.db import models
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class KeyFigures(models.Model):
    """One row: as of when LiteLLM's figures of all keys, what they spent and when they were last used, are here."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    as_of = models.DateTimeField()

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="key_figures_one_row"),)

    def __str__(self) -> str:
        return f"as of {self.as_of:%Y-%m-%d %H:%M}"


class BulkAction(models.TextChoices):
    """What is done to each key."""

    BLOCK = "block", _("Block")
    REVOKE = "revoke", _("Revoke")


class BulkStatus(models.TextChoices):
    """Where a bulk change stands; a planned one has changed nothing."""

    PLANNED = "planned", _("Planned")
    RUNNING = "running", _("Running")
    STOPPED = "stopped", _("Stopped")
    DONE = "done", _("Done")


class Outcome(models.TextChoices):
    """What became of one key of a bulk change."""

    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Done")
    SKIPPED = "skipped", _("Skipped")
    FAILED = "failed", _("Failed")


class BulkChangeQuerySet(models.QuerySet["BulkChange"]):
    """Selections of bulk changes."""

    def with_progress(self) -> Self:
        """Each with how many of its keys are ``waiting``, ``done``, ``skipped`` and ``failed``."""
        rows = BulkChangeKey.objects.filter(change=OuterRef("pk")).order_by().values("change")
        # Counted for the rows of the page alone, each through the index.
        counts = {
            outcome.value: Coalesce(
                Subquery(rows.filter(outcome=outcome).annotate(number=Count("pk")).values("number")), 0
            )
            for outcome in Outcome
        }
        return self.annotate(**counts)


class BulkChange(models.Model):
    """The same done to many keys: chosen and frozen when it is planned, carried out by a job, row by row.

    ``matching`` is how many keys fitted when it was planned, ``total`` how many of them it is about.
    ``lease_until`` is the claim of the one job that is at it; a past one waits for a job.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    action = models.CharField(max_length=10, choices=BulkAction)
    which = models.CharField(max_length=20)
    reason = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=10, choices=BulkStatus, default=BulkStatus.PLANNED)
    matching = models.PositiveIntegerField()
    total = models.PositiveIntegerField()
    # Why it was stopped: the code of an error, or "by_hand".
    error = models.CharField(max_length=40, blank=True)
    requested_by = models.UUIDField()
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    objects = BulkChangeQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=Q(action__in=BulkAction.values), name="bulk_action_known"),
            models.CheckConstraint(condition=Q(status__in=BulkStatus.values), name="bulk_status_known"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.which} {self.created_at:%Y-%m-%d %H:%M}"


class BulkChangeKeyQuerySet(models.QuerySet["BulkChangeKey"]):
    """Selections of the keys of bulk changes."""

    def waiting(self) -> Self:
        """Those that nothing has been done to yet."""
        return self.filter(outcome=Outcome.WAITING)

    def outcomes(self) -> dict[str, int]:
        """Outcome -> how many, in one statement."""
        return dict(self.order_by().values_list("outcome").annotate(number=Count("pk")))


class BulkChangeKey(models.Model):
    """One key of a bulk change. What is done to it and its ``outcome`` are written in one transaction."""

    change = models.ForeignKey(BulkChange, on_delete=models.CASCADE, related_name="rows")
    key = models.ForeignKey("apikeys.ApiKey", on_delete=models.CASCADE, related_name="bulk_changes")
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.WAITING)
    # Why it was skipped or failed: the code of an error.
    code = models.CharField(max_length=40, blank=True)
    done_at = models.DateTimeField(null=True)

    objects = BulkChangeKeyQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["change", "key"], name="bulk_change_key_once"),
            models.CheckConstraint(condition=Q(outcome__in=Outcome.values), name="bulk_outcome_known"),
        )
        indexes = (models.Index(fields=["change", "outcome", "id"], name="bulk_change_progress"),)

    def __str__(self) -> str:
        return f"{self.change_id} {self.key_id}"


class MailState(models.TextChoices):
    """What became of a notice's e-mail; without an address or a mail server the portal alone says it."""

    WAITING = "waiting", _("Waits to be sent")
    SENT = "sent", _("Sent")
    NONE = "none", _("Shown in the portal only")
    DROPPED = "dropped", _("No longer needed")


class ExpiryNotice(models.Model):
    """A key's owner is told that it expires within ``days``; another expiry begins anew.

    ``next_at`` is when its e-mail may be tried, and in between the claim of whoever sends it.
    """

    key = models.ForeignKey("apikeys.ApiKey", on_delete=models.CASCADE, related_name="expiry_notices")
    expires_at = models.DateTimeField()
    days = models.PositiveSmallIntegerField()
    mail = models.CharField(max_length=10, choices=MailState)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    # What kind of error the last try met; the words of a mail server may hold anything.
    error = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at", "-id")
        constraints = (
            models.UniqueConstraint(fields=["key", "expires_at", "days"], name="expiry_notice_once"),
            models.CheckConstraint(condition=Q(mail__in=MailState.values), name="expiry_notice_mail_known"),
        )
        indexes = (models.Index(fields=["next_at"], condition=Q(mail=MailState.WAITING), name="expiry_notice_due"),)

    def __str__(self) -> str:
        return f"{self.key_id} {self.days}"
