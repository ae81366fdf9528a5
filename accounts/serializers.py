"""How accounts, tokens and audit entries look in the API."""

from typing import Any

from rest_framework import serializers

from accounts import rbac
from accounts.models import AuditEvent, User
from litemaas.foundation.rows import Reading


class CredentialsSerializer(serializers.Serializer[Any]):
    """The body of a sign-in."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)


class RefreshSerializer(serializers.Serializer[Any]):
    """The body of refresh and revoke."""

    refresh = serializers.CharField(max_length=4096)


class TokenPairSerializer(serializers.Serializer[Any]):
    """What a sign-in answers; expires_in are seconds."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField()


class MeSerializer(Reading, serializers.ModelSerializer[User]):
    """The own profile."""

    role = serializers.SerializerMethodField()
    permissions = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (
            "id",
            "username",
            "email",
            "full_name",
            "language",
            "time_zone",
            "role",
            "roles",
            "permissions",
            "is_active",
            "max_budget",
            "budget_duration",
            "budget_resets_at",
            "spend",
            "tpm_limit",
            "rpm_limit",
            "sync_status",
            "created_at",
        )
        read_only_fields = tuple(name for name in fields if name not in {"full_name", "language", "time_zone"})

    def get_role(self, user: User) -> str | None:
        """The strongest role."""
        return rbac.role_of(user)

    def get_permissions(self, user: User) -> list[str]:
        """What this person may do."""
        return rbac.permissions_of(user)


class AuditEventSerializer(Reading, serializers.ModelSerializer[AuditEvent]):
    """One entry of the audit log."""

    actor = serializers.UUIDField(source="actor_id", allow_null=True)

    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "at",
            "actor",
            "actor_name",
            "action",
            "category",
            "target_type",
            "target_id",
            "target_name",
            "details",
            "success",
            "request_id",
            "address",
            "credential",
        )


class MyActivitySerializer(AuditEventSerializer):
    """One entry of one's own part; from where and with what an administrator worked is the administrator's business."""

    address = serializers.SerializerMethodField()
    credential = serializers.SerializerMethodField()

    def get_address(self, event: AuditEvent) -> str:
        """Where one did it oneself; empty for what others did."""
        return event.address if self._is_own(event) else ""

    def get_credential(self, event: AuditEvent) -> str:
        """With what one did it oneself; empty for what others did."""
        return event.credential if self._is_own(event) else ""

    def _is_own(self, event: AuditEvent) -> bool:
        return bool(event.actor_id == self.context["request"].user.pk)
