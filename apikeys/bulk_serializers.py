"""How key hygiene and bulk changes of keys are asked for and answered in the API."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from apikeys.upkeep import BulkChange, BulkChangeKey


class HygieneSerializer(serializers.Serializer[Any]):
    """How many living keys of everybody are untidy in which way, as of when; null is not known."""

    as_of = serializers.DateTimeField(allow_null=True)
    never_used = serializers.IntegerField(allow_null=True)
    idle = serializers.IntegerField(allow_null=True)
    no_limit = serializers.IntegerField()
    no_expiry = serializers.IntegerField()
    expiring = serializers.IntegerField()
    owner_inactive = serializers.IntegerField()


class PlanSerializer(serializers.Serializer[Any]):
    """What is to be done to which keys. The verb says what there is."""

    action = serializers.CharField(max_length=10)
    which = serializers.CharField(max_length=20)
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True)


class BulkChangeSerializer(serializers.ModelSerializer[BulkChange]):
    """A bulk change: ``matching`` keys fitted when it was planned, ``total`` of them it is about, and what became of
    these. ``figures_as_of`` is as of when it is known what keys spent and which were used."""

    waiting = serializers.IntegerField()
    done = serializers.IntegerField()
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()
    figures_as_of = serializers.SerializerMethodField()

    class Meta:
        model = BulkChange
        fields = (
            "id",
            "action",
            "which",
            "reason",
            "status",
            "matching",
            "total",
            "waiting",
            "done",
            "skipped",
            "failed",
            "error",
            "figures_as_of",
            "requested_by",
            "created_at",
            "started_at",
            "finished_at",
        )

    def get_figures_as_of(self, _change: BulkChange) -> datetime | None:
        """The same for all of them, so whoever shows them asks once."""
        as_of: datetime | None = self.context["figures_as_of"]
        return as_of


class BulkChangeKeySerializer(serializers.ModelSerializer[BulkChangeKey]):
    """One key of a bulk change; ``code`` is why nothing was done to it."""

    name = serializers.CharField(source="key.name")
    owner = serializers.UUIDField(source="key.user_id")

    class Meta:
        model = BulkChangeKey
        fields = ("key", "name", "owner", "outcome", "code", "done_at")
