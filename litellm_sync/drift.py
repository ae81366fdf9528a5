"""What LiteLLM has otherwise than we, as data: one row for each thing, as the last reconcile that looked found it."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _


class Subject(models.TextChoices):
    """What a finding is about."""

    USER = "user", _("User")
    TEAM = "team", _("Team")
    MEMBERSHIP = "membership", _("Membership")
    KEY = "key", _("API key")


class DriftKind(models.TextChoices):
    """In what way both sides differ."""

    ALIVE = "alive", _("Works although it must not")
    MISSING = "missing", _("Missing in LiteLLM")
    DIFFERENT = "different", _("Different in LiteLLM")
    UNKNOWN = "unknown", _("Unknown here")


class Drift(models.Model):
    """One thing that differs.

    ``object_id`` is LiteLLM's id of it: a key's hash, a user's or team's id, team and user for a membership.
    ``row_id`` is the row of ours that a push would make LiteLLM agree with; "" where there is none.
    ``details`` holds what differs (``fields``: name -> [ours, LiteLLM's]) or what LiteLLM tells of it.
    ``asked_at`` is when LiteLLM was last asked to agree; the next reconcile says whether it does.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey("litellm_sync.SyncRun", on_delete=models.CASCADE, related_name="drifts")
    what = models.CharField(max_length=10, choices=Subject)
    kind = models.CharField(max_length=10, choices=DriftKind)
    object_id = models.CharField(max_length=600)
    row_id = models.CharField(max_length=40, blank=True)
    name = models.CharField(max_length=255)
    details = models.JSONField(default=dict)
    asked_at = models.DateTimeField(null=True)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-first_seen_at", "id")
        indexes = (
            models.Index(fields=["kind", "what"], name="drift_kind"),
            # What is known of our rows is asked for with each page of a comparison and each chunk that is mended.
            models.Index(fields=["what", "row_id"], name="drift_row"),
        )
        constraints = (models.UniqueConstraint(fields=["what", "object_id"], name="drift_once"),)

    def __str__(self) -> str:
        return self.name
