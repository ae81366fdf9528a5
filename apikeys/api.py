"""The API's faces of keys and their policy."""

from typing import Any, cast

import django_filters
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.rbac import Permission
from apikeys import endings, policy, rotation, services
from apikeys import validation as validations
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyPolicy, KeyStatus
from apikeys.risks import HYGIENE, require_known, untidy
from apikeys.serializers import (
    ApiKeySerializer,
    EndOldSecretSerializer,
    IssuedKeySerializer,
    KeyChangesSerializer,
    KeyPolicySerializer,
    NewApiKeySerializer,
    QuestionSerializer,
    ReasonSerializer,
    RotatedKeySerializer,
    RotationSerializer,
    VerdictSerializer,
)
from litellm_sync.state import SyncStatus
from litemaas.foundation.access import access
from litemaas.foundation.pagination import Filters, Order


class ApiKeyFilter(django_filters.FilterSet):
    """Status is what the key shows now, expiry included."""

    status = django_filters.ChoiceFilter(choices=KeyStatus, method="by_status")
    sync_status = django_filters.ChoiceFilter(choices=SyncStatus, method="by_sync_status")
    expires_soon = django_filters.BooleanFilter(method="by_expiry")
    model = django_filters.CharFilter(field_name="links__model")
    # Of the keys that one may see: whether such a person exists is nobody's business.
    owner = django_filters.CharFilter(method="by_owner", help_text="words of the owner's names or address")
    user = django_filters.UUIDFilter(field_name="user_id")
    team = django_filters.UUIDFilter(field_name="team_id")
    hygiene = django_filters.ChoiceFilter(choices=tuple(HYGIENE.items()), method="by_hygiene")

    class Meta:
        model = ApiKey
        fields = ("hygiene", "owner", "status", "sync_status", "expires_soon", "model", "team", "user")

    def by_status(self, rows: ApiKeyQuerySet, _name: str, status: str) -> ApiKeyQuerySet:
        """Keys that show this status now."""
        return rows.with_status(status)

    def by_owner(self, rows: ApiKeyQuerySet, _name: str, words: str) -> ApiKeyQuerySet:
        """Keys of people who are called so, or a part of it."""
        return rows.of_owner(words)

    def by_hygiene(self, rows: ApiKeyQuerySet, _name: str, way: str) -> ApiKeyQuerySet:
        """Living keys that somebody should tidy up; 409 uses_unknown where nobody can say which."""
        require_known(way)
        return untidy(rows, way)

    @extend_schema_field(OpenApiTypes.STR)
    def by_sync_status(self, rows: ApiKeyQuerySet, _name: str, status: str) -> ApiKeyQuerySet:
        """Keys that show this state of synchronisation: the worst of their secrets."""
        return rows.with_sync_status(status)

    def by_expiry(self, rows: ApiKeyQuerySet, _name: str, wanted: bool) -> ApiKeyQuerySet:  # noqa: FBT001 -- the library's signature
        """Living keys that expire within a week, or all others."""
        soon = rows.expiring_soon()
        return soon if wanted else rows.exclude(pk__in=soon.values("pk"))


class KeySearch(SearchFilter):
    """``search=ada night``: parts of names, descriptions, owners, or the end of a secret, as in the portals."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Everything where nothing is searched for. Raises ValidationError for what no text holds."""
        self.get_search_terms(request)
        return cast("ApiKeyQuerySet", queryset).search(request.query_params.get(self.search_param, ""))


@access(Permission.APIKEYS_READ)
class ApiKeyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ApiKey]):
    """One's own keys; administrators see everybody's."""

    queryset = ApiKey.objects.none()
    serializer_class = ApiKeySerializer
    filterset_class = ApiKeyFilter
    filter_backends = (Filters, KeySearch, Order)
    search_fields = ("name", "description", "user")
    ordering_fields = ("created_at", "name", "spend", "expires_at", "last_used_at")
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[ApiKey]:
        """What the asker may see, in a constant number of statements."""
        return cast("QuerySet[ApiKey]", ApiKey.objects.visible_to(signed_in(self.request)).for_answer())

    @extend_schema(request=NewApiKeySerializer, responses={201: IssuedKeySerializer})
    @access(Permission.APIKEYS_CREATE)
    def create(self, request: Request) -> Response:
        """Make a key. ``secret`` is in this answer and nowhere else."""
        data = validated(NewApiKeySerializer(data=request.data))
        return self._issued(services.create_api_key(signed_in(request), **data))

    def _issued(self, issued: services.IssuedKey, shape: type[IssuedKeySerializer] = IssuedKeySerializer) -> Response:
        context = {**self.get_serializer_context(), "secret": issued.secret}
        answer = shape(issued.key, context=context).data
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})

    @extend_schema(responses={204: None})
    @access(Permission.APIKEYS_DELETE)
    def destroy(self, request: Request, pk: str) -> Response:
        """Hide a revoked key; again changes nothing. Its usage keeps its owner."""
        endings.delete_api_key(signed_in(request), key_id=pk)
        return Response(status=204)

    @extend_schema(request=RotationSerializer, responses={201: RotatedKeySerializer})
    @access(Permission.APIKEYS_ROTATE)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Give one's own key another secret, which is in this answer and nowhere else; the old one works until the
        grace ends. With 0 every secret ends at once, and nothing works until the new one does."""
        data = validated(RotationSerializer(data=request.data))
        issued = rotation.rotate_api_key(signed_in(request), key_id=pk, **data)
        return self._issued(issued, RotatedKeySerializer)

    @extend_schema(request=EndOldSecretSerializer, responses=ApiKeySerializer)
    @access(Permission.APIKEYS_REVOKE)
    @action(detail=True, methods=["post"], url_path="end-old-secret")
    def end_old_secret(self, request: Request, pk: str) -> Response:
        """End the grace of a rotated key now; again changes nothing. 409 where LiteLLM does not have the new secret."""
        data = validated(EndOldSecretSerializer(data=request.data))
        ended = rotation.end_old_secret(signed_in(request), key_id=pk, **data)
        return Response(self.get_serializer(ended).data)

    @extend_schema(request=None, responses=ApiKeySerializer)
    @access(Permission.APIKEYS_RESET_SPEND)
    @action(detail=True, methods=["post"], url_path="reset-spend")
    def reset_spend(self, request: Request, pk: str) -> Response:
        """Let the key begin its budget again."""
        begun = endings.reset_spend(signed_in(request), key_id=pk)
        return Response(self.get_serializer(begun).data)

    @extend_schema(request=KeyChangesSerializer, responses=ApiKeySerializer)
    @access(Permission.APIKEYS_UPDATE)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the fields that are sent; null clears where the policy allows that. The same again changes nothing."""
        data = validated(KeyChangesSerializer(data=request.data, partial=True))
        changed = services.update_api_key(signed_in(request), key_id=pk, **data)
        return Response(self.get_serializer(changed).data)

    @extend_schema(request=ReasonSerializer, responses=ApiKeySerializer)
    @access(Permission.APIKEYS_BLOCK)
    @action(detail=True, methods=["post"])
    def block(self, request: Request, pk: str) -> Response:
        """Refuse the key until it is unblocked; again changes nothing."""
        data = validated(ReasonSerializer(data=request.data))
        blocked = endings.block_api_key(signed_in(request), key_id=pk, **data)
        return Response(self.get_serializer(blocked).data)

    @extend_schema(request=ReasonSerializer, responses=ApiKeySerializer)
    @access(Permission.APIKEYS_BLOCK)
    @action(detail=True, methods=["post"])
    def unblock(self, request: Request, pk: str) -> Response:
        """Let a blocked key work again; again changes nothing."""
        data = validated(ReasonSerializer(data=request.data))
        unblocked = endings.unblock_api_key(signed_in(request), key_id=pk, **data)
        return Response(self.get_serializer(unblocked).data)

    @extend_schema(request=None, responses=ApiKeySerializer)
    @access(Permission.APIKEYS_REVOKE)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """End the key for ever; again changes nothing."""
        revoked = endings.revoke_api_key(signed_in(request), key_id=pk)
        return Response(self.get_serializer(revoked).data)

    @extend_schema(request=QuestionSerializer, responses=VerdictSerializer)
    @access(Permission.APIKEYS_VALIDATE)
    @action(detail=False, methods=["post"])
    def validate(self, request: Request) -> Response:
        """Whether a key may be used now: 200 whatever is to be said of it. Nothing on the way may keep the answer."""
        asked = validated(QuestionSerializer(data=request.data))
        verdict = validations.validate_api_key(signed_in(request), key=asked["key"] or "", model=asked.get("model"))
        return Response(VerdictSerializer(verdict).data, headers={"Cache-Control": "no-store"})


@access(Permission.KEY_POLICY_READ)
class KeyPolicyView(generics.GenericAPIView[KeyPolicy]):
    """Defaults and maxima for keys."""

    serializer_class = KeyPolicySerializer
    filter_backends = ()

    def get(self, request: Request) -> Response:
        """The policy in force."""
        return Response(self.get_serializer(policy.get_policy()).data)

    @access(Permission.KEY_POLICY_WRITE)
    def put(self, request: Request) -> Response:
        """Change the fields that are sent; keys that exist keep their limits."""
        data = validated(self.get_serializer(policy.get_policy(), data=request.data, partial=True))
        return Response(self.get_serializer(policy.update_policy(signed_in(request), **data)).data)
