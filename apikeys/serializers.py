"""How API keys and their policy look in the API."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import rbac
from apikeys.models import ApiKey, KeyPolicy
from apikeys.rotation import waits_for_spend
from apikeys.stopped import Evidence, evidence, stopped_at
from apikeys.validation import Code
from litemaas.foundation import validators
from litemaas.foundation.rows import Reading

# How the end of a key was proved; of what was proved before this was noted it is unknown.
EVIDENCE = [one.value or "unknown" for one in Evidence]


class MoneyField(serializers.DecimalField):
    """USD as a decimal string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=20, decimal_places=10, **kwargs)


class ApiKeySerializer(Reading, serializers.ModelSerializer[ApiKey]):
    """A key without its secret; ``token`` (LiteLLM's hash) is for administrators only."""

    user = serializers.UUIDField(source="user_id")
    team = serializers.UUIDField(source="team_id")
    models = serializers.ListField(source="model_ids", child=serializers.CharField())
    status = serializers.CharField(source="current_status")
    sync_status = serializers.CharField()
    masked = serializers.CharField()
    old_secret_valid_until = serializers.DateTimeField(allow_null=True)
    stopped_at = serializers.SerializerMethodField()
    stopped_proof = serializers.SerializerMethodField()
    token = serializers.SerializerMethodField()

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "id",
            "name",
            "description",
            "masked",
            "models",
            "user",
            "team",
            "status",
            "sync_status",
            "max_budget",
            "budget_duration",
            "budget_resets_at",
            "soft_budget",
            "spend",
            "tpm_limit",
            "rpm_limit",
            "max_parallel_requests",
            "model_limits",
            "expires_at",
            "last_used_at",
            "old_secret_valid_until",
            "created_at",
            "stopped_at",
            "stopped_proof",
            "token",
        )

    def get_stopped_at(self, key: ApiKey) -> datetime | None:
        """When it was proved that LiteLLM refuses the key; null while it may work, or is not proved to have stopped."""
        return stopped_at(key.secrets.all())

    @extend_schema_field(serializers.ChoiceField(choices=EVIDENCE, allow_null=True))
    def get_stopped_proof(self, key: ApiKey) -> str | None:
        """How that was proved, of several secrets the weakest; null with ``stopped_at``."""
        found = evidence(key.secrets.all())
        return None if found is None else (found.value or "unknown")

    def get_token(self, key: ApiKey) -> str | None:
        """Null for everybody who is not an administrator."""
        newest = key.newest_secret
        return newest.digest if newest and rbac.can_access_admin_features(self.context["request"].user) else None


class IssuedKeySerializer(ApiKeySerializer):
    """The answer to a creation: flat, with the secret (from the context), once."""

    secret = serializers.SerializerMethodField()

    class Meta(ApiKeySerializer.Meta):
        fields: tuple[str, ...] = (*ApiKeySerializer.Meta.fields, "secret")

    def get_secret(self, _key: ApiKey) -> str:
        """In this answer and nowhere else."""
        return str(self.context["secret"])


class RotatedKeySerializer(IssuedKeySerializer):
    """The answer to a rotation: the same, with when the secret works."""

    waits_for_spend = serializers.SerializerMethodField()

    class Meta(IssuedKeySerializer.Meta):
        fields: tuple[str, ...] = (*IssuedKeySerializer.Meta.fields, "waits_for_spend")

    def get_waits_for_spend(self, key: ApiKey) -> bool:
        """Whether the secret works only when it is known what those before it spent, about a minute and a half later.
        Where old_secret_valid_until is null nothing works until then."""
        return waits_for_spend(key)


class ModelLimitsField(serializers.DictField):
    """``{"model": {"rpm_limit": 10, "tpm_limit": 1000}}``."""

    child = serializers.DictField(child=serializers.IntegerField())


class KeyFieldsSerializer(serializers.Serializer[Any]):
    """What one says about a key, when it is made and later.

    Ranges are the policy's business, so that both faces refuse the same things in the same words.
    """

    name = serializers.CharField(max_length=100, validators=[validators.validate_key_name])
    models = serializers.ListField(child=serializers.CharField(max_length=255), allow_empty=False, max_length=500)
    max_budget = MoneyField(required=False, allow_null=True)
    budget_duration = serializers.CharField(max_length=10, required=False, allow_null=True, allow_blank=True)
    soft_budget = MoneyField(required=False, allow_null=True)
    tpm_limit = serializers.IntegerField(required=False, allow_null=True)
    rpm_limit = serializers.IntegerField(required=False, allow_null=True)
    max_parallel_requests = serializers.IntegerField(required=False, allow_null=True)
    model_limits = ModelLimitsField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class NewApiKeySerializer(KeyFieldsSerializer):
    """What one sends to create a key. A limit that is left out gets the policy's default; null is "no limit"."""

    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    team = serializers.UUIDField(required=False, allow_null=True)


class KeyChangesSerializer(KeyFieldsSerializer):
    """What one sends to change a key, any part of it. Null is "no limit"; the team stays."""

    description = serializers.CharField(max_length=500, required=False, allow_blank=True, allow_null=True)


class ReasonSerializer(serializers.Serializer[Any]):
    """Why, for the history."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True)


@extend_schema_field({"type": "string"})
class AsSentField(serializers.Field[Any, Any, Any, Any]):
    """A text just as it came: what cannot be right is answered, not refused. What is no text is an empty one."""

    def to_internal_value(self, data: Any) -> str:
        """Nothing is trimmed, and nothing is said about it."""
        return data if isinstance(data, str) else ""


class QuestionSerializer(serializers.Serializer[Any]):
    """Which key is asked about, and for which model; without one, for whatever the key may use."""

    key = AsSentField(allow_null=True)
    model = AsSentField(required=False, allow_null=True)


class ValidLimitsSerializer(Reading, serializers.Serializer[Any]):
    """What a key may still do; ``remaining_budget`` is the smaller of the key's and its owner's."""

    max_budget = MoneyField(allow_null=True)
    spend = MoneyField()
    budget_resets_at = serializers.DateTimeField(allow_null=True)
    remaining_budget = MoneyField(allow_null=True)
    tpm_limit = serializers.IntegerField(allow_null=True)
    rpm_limit = serializers.IntegerField(allow_null=True)
    max_parallel_requests = serializers.IntegerField(allow_null=True)
    model_limits = ModelLimitsField()
    expires_at = serializers.DateTimeField(allow_null=True)


class VerdictSerializer(Reading, serializers.Serializer[Any]):
    """The answer of a validation; of an unknown key there is nothing but that."""

    valid = serializers.BooleanField()
    code = serializers.ChoiceField(choices=[code.value for code in Code])
    stopped_by = serializers.ChoiceField(choices=["key", "user", "subscription", "member", "team"], allow_null=True)
    api_key = serializers.UUIDField(allow_null=True)
    user = serializers.UUIDField(allow_null=True)
    team = serializers.UUIDField(allow_null=True)
    limits = ValidLimitsSerializer(allow_null=True)


class RotationSerializer(serializers.Serializer[Any]):
    """How long the old secret goes on working; left out or null is the policy's default, 0 ends all at once.

    ``replace_newest``: the newest secret of a running rotation got lost. It ends at once, the older one when it would.
    """

    grace_seconds = serializers.IntegerField(required=False, allow_null=True)
    replace_newest = serializers.BooleanField(default=False)


class EndOldSecretSerializer(serializers.Serializer[Any]):
    """``force``: also where LiteLLM does not have the new secret, so that nothing works."""

    force = serializers.BooleanField(default=False)


class KeyPolicySerializer(serializers.ModelSerializer[KeyPolicy]):
    """The policy; null is no bound."""

    class Meta:
        model = KeyPolicy
        exclude = ("id",)
        read_only_fields = ("updated_at",)
