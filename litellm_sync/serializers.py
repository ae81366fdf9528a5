"""How runs of synchronisation look in the API."""

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
            "created_at",
            "started_at",
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
