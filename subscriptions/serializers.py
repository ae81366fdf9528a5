"""How models and subscriptions look in the API."""

from typing import Any, Final

from rest_framework import serializers

from accounts.models import AuditEvent
from litemaas.foundation.rows import Reading
from subscriptions.models import Model, Subscription
from subscriptions.services import APPROVE, DENY, LONGEST_WORDS

BULK: Final = 100


class ModelSerializer(Reading, serializers.ModelSerializer[Model]):
    """A model of the catalogue; ``subscription`` is the asker's status or null. Prices are USD per million tokens."""

    name = serializers.CharField(source="id")
    input_cost_per_million = serializers.SerializerMethodField()
    output_cost_per_million = serializers.SerializerMethodField()
    subscription = serializers.CharField(source="my_status", allow_null=True)

    class Meta:
        model = Model
        fields = (
            "id",
            "name",
            "provider",
            "description",
            "mode",
            "capabilities",
            "context_length",
            "max_output_tokens",
            "input_cost_per_million",
            "output_cost_per_million",
            "availability",
            "restricted",
            "subscription",
        )

    def get_input_cost_per_million(self, model: Model) -> str | None:
        """USD as a decimal string; null where LiteLLM knows no price."""
        return price(model.input_cost_per_million)

    def get_output_cost_per_million(self, model: Model) -> str | None:
        """USD as a decimal string; null where LiteLLM knows no price."""
        return price(model.output_cost_per_million)


def price(amount: Any) -> str | None:
    """A decimal without an exponent and without trailing zeros: 2.5, not 2.5000000000 or 1E+1."""
    return None if amount is None else f"{amount.normalize():f}"


class SubscriptionSerializer(Reading, serializers.ModelSerializer[Subscription]):
    """A subscription; relations are ids."""

    user = serializers.UUIDField(source="user_id")
    model = serializers.CharField(source="model_id")

    class Meta:
        model = Subscription
        fields = (
            "id",
            "user",
            "model",
            "status",
            "quota_requests",
            "quota_tokens",
            "used_requests",
            "used_tokens",
            "resets_at",
            "expires_at",
            "reason",
            "justification",
            "created_at",
        )


class NewSubscriptionSerializer(serializers.Serializer[Any]):
    """What one sends to subscribe."""

    model = serializers.CharField(max_length=255)
    justification = serializers.CharField(max_length=LONGEST_WORDS, required=False, allow_blank=True, default="")


class ModelChangesSerializer(serializers.Serializer[Any]):
    """What administrators may change of a model; the rest is LiteLLM's."""

    restricted = serializers.BooleanField(required=False)


class ApprovalSerializer(serializers.Serializer[Any]):
    """What one says to the person whose wish is granted."""

    reason = serializers.CharField(max_length=LONGEST_WORDS, required=False, allow_blank=True, default="")


class DenialSerializer(serializers.Serializer[Any]):
    """Why not."""

    reason = serializers.CharField(max_length=LONGEST_WORDS)


class ReviewSerializer(serializers.Serializer[Any]):
    """What has changed since the denial."""

    message = serializers.CharField(max_length=LONGEST_WORDS)


class BulkSerializer(serializers.Serializer[Any]):
    """One decision about many subscriptions."""

    action = serializers.ChoiceField([APPROVE, DENY])
    ids = serializers.ListField(child=serializers.UUIDField(), allow_empty=False, max_length=BULK)
    reason = serializers.CharField(max_length=LONGEST_WORDS, required=False, allow_blank=True, default="")


class DecisionSerializer(serializers.Serializer[Any]):
    """What became of one of them; ``code`` is ``ok`` or that of the error."""

    id = serializers.UUIDField()
    ok = serializers.BooleanField()
    code = serializers.CharField()
    message = serializers.CharField()


class DecisionsSerializer(serializers.Serializer[Any]):
    """The answers, in the order of the ids."""

    results = DecisionSerializer(many=True)


class HappeningSerializer(serializers.ModelSerializer[AuditEvent]):
    """One line of a subscription's history, without what only administrators may know (addresses, requests)."""

    actor = serializers.UUIDField(source="actor_id", allow_null=True)

    class Meta:
        model = AuditEvent
        fields = ("id", "at", "actor", "actor_name", "action", "details")
