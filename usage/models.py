"""Daily facts of usage, and which days have been fetched, as data."""

from typing import Self

from django.db import models

from accounts import rbac
from accounts.models import User
from apikeys.models import ApiKey
from teams.models import Team


class DailyUsageQuerySet(models.QuerySet["DailyUsage"]):
    """Selections of facts."""

    def visible_to(self, actor: rbac.Actor) -> Self:
        """One's own; administrators see all, also what belongs to nobody."""
        return rbac.filter_resources_by_role(actor, rbac.Permission.USAGE_READ, self)  # type: ignore[return-value]  # a filtered queryset keeps its class


class DailyUsage(models.Model):
    """What one secret did with one model on one UTC day; spend in USD.

    The token is the fact; user, key and team follow from it when the day is written, and are null for keys that are
    not ours. Names are joined when somebody reads.
    """

    date = models.DateField()
    token = models.CharField(max_length=64, blank=True)
    model = models.CharField(max_length=255)
    provider = models.CharField(max_length=100, blank=True)
    # The indexes below begin with them.
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    team = models.ForeignKey(Team, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    requests = models.BigIntegerField(default=0)
    successful_requests = models.BigIntegerField(default=0)
    failed_requests = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    spend = models.DecimalField(max_digits=20, decimal_places=10, default=0)

    objects = DailyUsageQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["date", "token", "model"], name="daily_usage_once"),)
        indexes = (
            models.Index(fields=["user", "date"], name="daily_usage_user"),
            models.Index(fields=["api_key", "date"], name="daily_usage_key"),
            models.Index(fields=["team", "date"], name="daily_usage_team"),
            # Of the list of all facts, the newest first.
            models.Index(fields=["-date", "-id"], name="daily_usage_newest"),
        )

    def __str__(self) -> str:
        return f"{self.date} {self.token[:8]} {self.model}"


class Sums(models.Model):
    """Figures of several facts together; spend in USD."""

    requests = models.BigIntegerField()
    successful_requests = models.BigIntegerField()
    failed_requests = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    spend = models.DecimalField(max_digits=24, decimal_places=10)

    class Meta:
        abstract = True


class DailyTotal(Sums):
    """What everybody together did with one model on one UTC day: the sums of ``DailyUsage``, ready made.

    ``usage.services`` writes it in the transaction that writes the facts, so it says nothing that they do not say.
    """

    date = models.DateField()
    model = models.CharField(max_length=255)
    provider = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["date", "model", "provider"], name="daily_total_once"),)

    def __str__(self) -> str:
        return f"{self.date} {self.model}"


class WeeklyTotal(Sums):
    """What one key did in one week (Monday to Sunday, UTC), over all models: the sums of ``DailyUsage``, ready made.

    Written like ``DailyTotal``. Rows of keys that are not ours have neither key nor owner nor team.
    """

    # Asked by week alone, whatever else: the indexes that keys to other tables get by themselves would only cost.
    week = models.DateField(db_index=True)
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    team = models.ForeignKey(Team, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)

    def __str__(self) -> str:
        return f"{self.week} {self.api_key_id}"


class Span(Sums):
    """Weeks and days side by side, a view: ``WeeklyTotal`` with seven ``days``, ``DailyUsage`` with one.

    Whoever reads it chooses spans that do not overlap (``usage.queries.spans``), else everything counts twice.
    """

    start = models.DateField(primary_key=True)
    days = models.SmallIntegerField()
    user = models.ForeignKey(User, null=True, on_delete=models.DO_NOTHING, related_name="+")
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.DO_NOTHING, related_name="+")
    team = models.ForeignKey(Team, null=True, on_delete=models.DO_NOTHING, related_name="+")

    class Meta:
        managed = False
        db_table = "usage_span"

    def __str__(self) -> str:
        return f"{self.start} {self.days}"


class UsageDay(models.Model):
    """A UTC day that was fetched from LiteLLM, with rows or without: what is not here is missing, not zero."""

    date = models.DateField(primary_key=True)
    fetched_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.date)
