"""What is known about the LiteLLM on the other side, and the runs of synchronisation, as data."""

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from litellm_sync.drift import Drift

# Tables that stand in a file of their own.
__all__ = ["Drift"]


class Upstream(models.Model):
    """One row: since when LiteLLM has been away. All processes share it, so each outage ends once, for everybody.

    ``version`` is what it said its release is, ``enterprise`` whether it has a licence (null: not known), as of
    ``version_at``; null asks for another look.
    ``latencies`` are the milliseconds of the last looks that were answered, the newest last; ``circuit`` is what the
    worker's own circuit was before its last look.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    down_since = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    version = models.CharField(max_length=40, blank=True, default="")
    enterprise = models.BooleanField(null=True)
    version_at = models.DateTimeField(null=True)
    latencies = ArrayField(models.PositiveIntegerField(), default=list)
    circuit = models.CharField(max_length=10, blank=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="upstream_one_row"),)

    def __str__(self) -> str:
        return f"down since {self.down_since}" if self.down_since else "reachable"


class LateCall(models.Model):
    """A change in LiteLLM that is on its way, or of which no answer came: it may be carried out ``until`` then.

    ``kind`` and ``object_id`` say which row of ours it is about, ``call`` what was asked for.
    """

    kind = models.CharField(max_length=50)
    object_id = models.CharField(max_length=36)
    call = models.CharField(max_length=30)
    until = models.DateTimeField()

    objects: ClassVar[models.Manager["LateCall"]] = models.Manager()

    class Meta:
        indexes = (
            models.Index(fields=["until"], name="late_call_until"),
            models.Index(fields=["object_id"], name="late_call_object"),
        )

    def __str__(self) -> str:
        return f"{self.call} {self.kind}/{self.object_id}"


class RunKind(models.TextChoices):
    """What is synchronised: first what is fetched from LiteLLM, then what is made equal there."""

    MODELS = "models", _("Models")
    RECONCILE = "reconcile", _("Comparison")
    USAGE = "usage", _("Usage")
    TEAMS = "teams", _("Teams")
    USERS = "users", _("People")
    KEYS = "keys", _("Keys")
    ALL = "all", _("Everything")
    ORPHANS = "orphans", _("People without a team")


class RunStatus(models.TextChoices):
    """Where a run stands."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)


class SyncRun(models.Model):
    """One synchronisation: who asked for it, how far it is, what it found.

    ``heartbeat_at`` is when its worker was last seen moving. A run whose worker fell silent is taken up by another,
    which goes on at ``cursor``; ``takes`` counts these, so that a worker that comes back from the dead finds the run
    taken, and ``stalls`` those since the run last got any further.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=RunKind)
    status = models.CharField(max_length=10, choices=RunStatus, default=RunStatus.QUEUED)
    total = models.PositiveIntegerField(null=True)
    done = models.PositiveIntegerField(default=0)
    report = models.JSONField(default=dict)
    error = models.CharField(max_length=500, blank=True)
    requested_by = models.UUIDField(null=True)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="steps")
    cursor = models.JSONField(default=dict)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    takes = models.PositiveIntegerField(default=0)
    stalls = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["SyncRun"]] = models.Manager()

    class Meta:
        ordering = ("-created_at",)
        indexes = (models.Index(fields=["kind", "-created_at"], name="sync_run_newest"),)
        constraints = (
            # Two at once of one kind cannot be: the database says who was first.
            models.UniqueConstraint(fields=["kind"], condition=Q(status__in=UNFINISHED), name="sync_run_one_at_a_time"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.status}"


class Alert(models.Model):
    """Something that somebody should be told of and that goes on: when it begins, once a period, and at its end."""

    name = models.CharField(max_length=50)
    subject = models.CharField(max_length=100, blank=True)
    since = models.DateTimeField()
    told_at = models.DateTimeField()

    objects: ClassVar[models.Manager["Alert"]] = models.Manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name", "subject"], name="alert_once"),)

    def __str__(self) -> str:
        return f"{self.name} {self.subject}".strip()


class SyncSchedule(models.Model):
    """How often one kind is synchronised, where an administrator has decided it; else the settings say it.

    All workers read it each time, so a change counts for all of them at once. No seconds mean never.
    """

    kind = models.CharField(max_length=10, choices=RunKind, primary_key=True)
    seconds = models.PositiveIntegerField()

    objects: ClassVar[models.Manager["SyncSchedule"]] = models.Manager()

    class Meta:
        ordering = ("kind",)

    def __str__(self) -> str:
        return self.kind
