"""How questions about usage are asked and answered in the API."""

from typing import Any

from rest_framework import serializers

from litemaas.foundation.rows import Reading


class QuestionSerializer(serializers.Serializer[Any]):
    """The query string; filters may be repeated, dates are UTC and inclusive."""

    start = serializers.DateField(required=False)
    end = serializers.DateField(required=False)
    model = serializers.ListField(child=serializers.CharField(), required=False)
    api_key = serializers.ListField(child=serializers.UUIDField(), required=False)
    team = serializers.ListField(child=serializers.UUIDField(), required=False)
    user = serializers.ListField(child=serializers.UUIDField(), required=False)
    provider = serializers.ListField(child=serializers.CharField(), required=False)


class PartsSerializer(serializers.Serializer[Any]):
    """How the parts of a breakdown are ordered, and how many of them are wanted."""

    order = serializers.CharField(default="spend")
    limit = serializers.IntegerField(default=None, min_value=1, max_value=1_000_000)


class FiguresSerializer(Reading, serializers.Serializer[Any]):
    """The figures, called the same everywhere; spend is USD as a decimal string."""

    requests = serializers.IntegerField(required=False)
    successful_requests = serializers.IntegerField(required=False)
    failed_requests = serializers.IntegerField(required=False)
    prompt_tokens = serializers.IntegerField(required=False)
    completion_tokens = serializers.IntegerField(required=False)
    cached_tokens = serializers.IntegerField(required=False)
    total_tokens = serializers.IntegerField(required=False)
    spend = serializers.DecimalField(max_digits=30, decimal_places=10, required=False)


class FreshnessSerializer(Reading, serializers.Serializer[Any]):
    """Where the figures come from; missing_days were never fetched and are not zero."""

    as_of = serializers.DateTimeField(allow_null=True)
    missing_days = serializers.ListField(child=serializers.DateField())

    def get_fields(self) -> dict[str, Any]:
        """``source`` is a name that DRF's fields have for themselves, so it cannot stand in the class's body."""
        return {"source": serializers.CharField(), **super().get_fields()}


class PointSerializer(FiguresSerializer):
    """One day, or one day of one group."""

    date = serializers.DateField()
    group = serializers.CharField(required=False, allow_null=True)


class PartSerializer(FiguresSerializer):
    """One model, key, team, user or provider; a null id means that it is nobody's that we know."""

    name = serializers.CharField()

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        """As it is found, with the id under the name of the dimension; there may be as many as there are keys."""
        return {**instance, "spend": f"{instance['spend']:.10f}"}


class ExportRowSerializer(FiguresSerializer):
    """One row of the export: a day of one model with one key; names are those of today."""

    date = serializers.DateField()
    model = serializers.CharField()
    provider = serializers.CharField()
    api_key = serializers.UUIDField(allow_null=True)
    api_key_name = serializers.CharField(allow_null=True)
    team = serializers.UUIDField(allow_null=True)
    team_name = serializers.CharField(allow_null=True)
    user = serializers.UUIDField(allow_null=True)
    user_name = serializers.CharField(allow_null=True)
