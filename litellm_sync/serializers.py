"""How runs, intervals and pushes of the synchronisation look in the API."""

from typing import Any

from rest_framework import serializers

from litellm_sync.models import Drift, SyncRun


class SyncRunSerializer(serializers.ModelSerializer[SyncRun]):
    """A run with its progress and report."""

    class Meta:
        model = SyncRun
        fields = (
            "id",
            "kind",
            "status",
            "total",
            "done",
            "report",
            "error",
            "requested_by",
            "parent",
            "created_at",
            "started_at",
            "heartbeat_at",
            "finished_at",
        )


class DriftSerializer(serializers.ModelSerializer[Drift]):
    """One thing that differs: ``object_id`` is LiteLLM's id of it, ``row_id`` that of our row, null without one."""

    row_id = serializers.SerializerMethodField()

    class Meta:
        model = Drift
        fields = (
            "id",
            "what",
            "kind",
            "object_id",
            "row_id",
            "name",
            "details",
            "run",
            "asked_at",
            "first_seen_at",
            "seen_at",
        )

    def get_row_id(self, drift: Drift) -> str | None:
        """Null where nothing of ours belongs to it."""
        return drift.row_id or None


class AdoptionSerializer(serializers.Serializer[Any]):
    """Whose an unknown key becomes."""

    owner = serializers.CharField(max_length=150)


class SyncRequestSerializer(serializers.Serializer[Any]):
    """What is to be synchronised."""

    what = serializers.CharField(max_length=20)


class IntervalSerializer(serializers.Serializer[Any]):
    """How often a kind is synchronised; 0 is never. ``least`` is the fewest seconds that may be set."""

    kind = serializers.CharField(read_only=True)
    seconds = serializers.IntegerField(min_value=0, allow_null=True)
    default = serializers.IntegerField(read_only=True)
    is_default = serializers.BooleanField(read_only=True)
    least = serializers.IntegerField(read_only=True)


class FailureSerializer(serializers.Serializer[Any]):
    """A row that LiteLLM does not take; ``reason`` is ``error`` in words."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    error = serializers.CharField()
    reason = serializers.CharField()
    must_not_work = serializers.BooleanField()
    attempts = serializers.IntegerField()
    since = serializers.DateTimeField(allow_null=True)
    next_at = serializers.DateTimeField(allow_null=True)


class RetrySerializer(serializers.Serializer[Any]):
    """Which rows to send again: one, all of a kind, or all."""

    kind = serializers.CharField(max_length=100, required=False)
    id = serializers.CharField(max_length=64, required=False)


class RetriedSerializer(serializers.Serializer[Any]):
    """How many rows are sent again."""

    rows = serializers.IntegerField()


class DefaultTeamSerializer(serializers.Serializer[Any]):
    """The default team in figures: members here, listed there at most ``cap``, money in USD."""

    members = serializers.IntegerField()
    listed = serializers.IntegerField()
    waiting = serializers.IntegerField()
    cap = serializers.IntegerField()
    keys = serializers.IntegerField()
    orphans = serializers.IntegerField()
    spend = serializers.DecimalField(max_digits=20, decimal_places=10)
    max_budget = serializers.DecimalField(max_digits=20, decimal_places=10, allow_null=True)
    budget_left = serializers.DecimalField(max_digits=20, decimal_places=10, allow_null=True)
    budget_resets_at = serializers.DateTimeField(allow_null=True)
