"""How sign-ins, personal access tokens and credentials look in the API."""

from typing import Any

from django.conf import settings
from rest_framework import serializers

from accounts.models import User
from accounts.sessions import API, BROWSER
from accounts.ways_in import NAME_LENGTH, PersonalToken, TokenScope
from litemaas.foundation import validators
from litemaas.foundation.rows import Reading


class SignInSerializer(serializers.Serializer[Any]):
    """One place where one is signed in."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField([BROWSER, API])
    device = serializers.CharField()
    address = serializers.CharField()
    began_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    is_current = serializers.BooleanField()


class PersonalTokenSerializer(Reading, serializers.ModelSerializer[PersonalToken]):
    """One personal access token, without its secret."""

    status = serializers.ChoiceField(["active", "expired", "revoked"], read_only=True)
    masked = serializers.CharField(read_only=True)

    class Meta:
        model = PersonalToken
        fields = (
            "id",
            "name",
            "masked",
            "scope",
            "status",
            "created_at",
            "expires_at",
            "last_used_at",
            "last_address",
            "revoked_at",
        )
        read_only_fields = fields


class IssuedTokenSerializer(PersonalTokenSerializer):
    """A new token with its secret."""

    secret = serializers.SerializerMethodField()

    class Meta(PersonalTokenSerializer.Meta):
        fields = (*PersonalTokenSerializer.Meta.fields, "secret")  # type: ignore[assignment]  # one more than above
        read_only_fields = fields  # type: ignore[assignment]  # as above

    def get_secret(self, token: PersonalToken) -> str:
        """It is kept nowhere, so it comes from whoever has just made it."""
        return str(self.context["secret"])


class NewTokenSerializer(serializers.Serializer[Any]):
    """What one sends to make a token; without ``days`` it lives as long as the settings say."""

    name = serializers.CharField(
        max_length=NAME_LENGTH, trim_whitespace=False, validators=[validators.validate_key_name]
    )
    scope = serializers.ChoiceField(TokenScope.choices)
    days = serializers.IntegerField(required=False, min_value=1, max_value=settings.PERSONAL_TOKEN_MAX_DAYS)


class SpeaksForSerializer(serializers.ModelSerializer[User]):
    """Whom a credential speaks for."""

    class Meta:
        model = User
        fields = ("id", "username", "roles")
        read_only_fields = fields


class CredentialSerializer(serializers.Serializer[Any]):
    """What one has come with."""

    kind = serializers.ChoiceField(["access_token", "personal_token", "session"])
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    scope = serializers.ChoiceField(TokenScope.choices)
    issued_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    role = serializers.CharField(allow_null=True)
    user = SpeaksForSerializer()
    claims = serializers.DictField(allow_null=True)
