"""How runs of synchronisation look in the API."""

from typing import Any

from rest_framework import serializers

from litellm_sync.models import SyncRun


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


class SyncRequestSerializer(serializers.Serializer[Any]):
    """What is to be synchronised."""

    what = serializers.CharField(max_length=20)
