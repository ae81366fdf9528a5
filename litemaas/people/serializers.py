"""How people look to administrators in the API, and what these send."""

from dataclasses import asdict
from typing import Any, Final

from rest_framework import serializers

from accounts import rbac
from accounts.claims import SUBJECT_LENGTH
from accounts.models import FULL_NAME_LENGTH, Identity, Role, User
from accounts.people import LONGEST_REASON, MOST_AT_ONCE
from apikeys.serializers import MoneyField
from litemaas.foundation.rows import Reading
from litemaas.people.offboarding import Offboarding

COLUMNS: Final = (
    "id",
    "username",
    "email",
    "full_name",
    "roles",
    "hand_roles",
    "provider_roles",
    "is_active",
    "max_budget",
    "budget_duration",
    "budget_resets_at",
    "spend",
    "tpm_limit",
    "rpm_limit",
    "sync_status",
    "last_login",
    "created_at",
)


class UserSerializer(Reading, serializers.ModelSerializer[User]):
    """One person. ``role`` is the strongest of ``roles``, which are those of both sources."""

    role = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields: tuple[str, ...] = (*COLUMNS[:4], "role", *COLUMNS[4:])
        read_only_fields = fields

    def get_role(self, user: User) -> str:
        """The strongest role, also of the deactivated."""
        return rbac.strongest(user.roles).value


class IdentitySerializer(serializers.ModelSerializer[Identity]):
    """How a provider knows a person."""

    class Meta:
        model = Identity
        fields = ("id", "provider", "issuer", "subject", "created_at", "last_sign_in_at")
        read_only_fields = fields


class NewIdentitySerializer(serializers.Serializer[Any]):
    """A provider of the settings by its name, and its own id for the person: ``sub`` or ``uid``."""

    provider = serializers.CharField(max_length=40)
    subject = serializers.CharField(max_length=SUBJECT_LENGTH)


class WholeUserSerializer(UserSerializer):
    """A person with teams (ids) and identities."""

    teams = serializers.SerializerMethodField()
    identities = serializers.SerializerMethodField()

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "teams", "identities")
        read_only_fields = fields

    def get_teams(self, user: User) -> list[str]:
        """The ids of the person's teams."""
        return [str(pk) for pk in user.memberships.order_by("created_at", "pk").values_list("team", flat=True)]

    def get_identities(self, user: User) -> list[dict[str, Any]]:
        """The person's accounts with providers."""
        return list(IdentitySerializer(user.identities.order_by("created_at", "pk"), many=True).data)


class LimitsSerializer(serializers.Serializer[Any]):
    """Limits to change; what is left out stays, null is no limit."""

    max_budget = MoneyField(required=False, allow_null=True)
    budget_duration = serializers.CharField(max_length=10, required=False, allow_null=True, allow_blank=True)
    tpm_limit = serializers.IntegerField(required=False, allow_null=True)
    rpm_limit = serializers.IntegerField(required=False, allow_null=True)


class RolesField(serializers.ListField):
    """Roles by name; at least one, for everybody is something."""

    child = serializers.ChoiceField(choices=Role.choices)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_empty=False, **kwargs)


class UserChangesSerializer(LimitsSerializer):
    """What administrators change of a person."""

    roles = RolesField(required=False)
    is_active = serializers.BooleanField(required=False)
    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, allow_blank=True)


class BulkLimitsSerializer(LimitsSerializer):
    """The same limits for many people."""

    ids = serializers.ListField(child=serializers.UUIDField(), allow_empty=False, max_length=MOST_AT_ONCE)


class OutcomeSerializer(serializers.Serializer[Any]):
    """What became of one of many."""

    id = serializers.CharField()
    ok = serializers.BooleanField()
    code = serializers.CharField()
    message = serializers.CharField()


class OutcomesSerializer(serializers.Serializer[Any]):
    """Row by row, in the order of the ids, each once."""

    results = OutcomeSerializer(many=True)


class NewUserSerializer(serializers.Serializer[Any]):
    """A person who has not signed in yet."""

    username = serializers.CharField(max_length=150)
    email = serializers.EmailField(required=False, allow_blank=True)
    full_name = serializers.CharField(max_length=FULL_NAME_LENGTH, required=False, allow_blank=True)
    roles = RolesField(required=False)


class OffboardSerializer(serializers.Serializer[Any]):
    """Whether only to say what would be done, and why it is done."""

    dry_run = serializers.BooleanField(required=False, default=False)
    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, allow_blank=True)


class StepsSerializer(serializers.Serializer[Any]):
    """What is done; ``token_names`` and ``key_names`` are those of the first ones."""

    deactivate = serializers.BooleanField()
    sign_ins = serializers.IntegerField()
    tokens = serializers.IntegerField()
    token_names = serializers.ListField(child=serializers.CharField())
    keys = serializers.IntegerField()
    key_names = serializers.ListField(child=serializers.CharField())
    subscriptions = serializers.ListField(child=serializers.CharField())
    teams = serializers.ListField(child=serializers.CharField())
    roles = serializers.ListField(child=serializers.CharField())


class WaitingSerializer(serializers.Serializer[Any]):
    """What LiteLLM does not agree with yet: keys, the person (0 or 1), and what it refuses."""

    keys = serializers.IntegerField()
    person = serializers.IntegerField()
    failed = serializers.IntegerField()


class OffboardingSerializer(serializers.Serializer[Any]):
    """What was done, or would be; and what still waits for LiteLLM."""

    user = serializers.CharField()
    dry_run = serializers.BooleanField()
    done = StepsSerializer()
    waiting = WaitingSerializer()

    def to_representation(self, instance: Offboarding) -> dict[str, Any]:
        """As it is."""
        return asdict(instance)
