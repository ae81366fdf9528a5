"""The API's faces of tokens, the own profile and the audit log."""

from datetime import UTC, date, datetime, time
from typing import Any, cast

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, mixins, viewsets
from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from accounts import rbac, serializers, services, tokens
from accounts.devices import place_of
from accounts.enforcement import signed_in
from accounts.models import AuditEvent, AuditQuerySet, User
from litemaas.foundation import rate_limits
from litemaas.foundation.access import PUBLIC, access
from litemaas.foundation.addresses import client_address, network
from litemaas.foundation.pagination import Filters, Order, Truth


def validated(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """The data of a serializer, or a ValidationError that lists what is wrong."""
    serializer.is_valid(raise_exception=True)
    return cast("dict[str, Any]", serializer.validated_data)


def _spend_at_address(request: Request) -> None:
    rate_limits.spend("tokens_issued_address", network(client_address(request)))


@access(PUBLIC)
class TokenView(APIView):
    """Sign in with a password."""

    authentication_classes = ()

    @extend_schema(request=serializers.CredentialsSerializer, responses=serializers.TokenPairSerializer)
    def post(self, request: Request) -> Response:
        """Five wrong passwords for an account in 15 minutes are answered 429."""
        data = validated(serializers.CredentialsSerializer(data=request.data))
        _spend_at_address(request)
        user = services.sign_in_with_password(**data, address=client_address(request))
        rate_limits.spend("tokens_issued", user.pk)
        return Response(serializers.TokenPairSerializer(tokens.generate_token_pair(user, place_of(request))).data)


@access(PUBLIC)
class TokenRefreshView(APIView):
    """Exchange a refresh token."""

    authentication_classes = ()

    @extend_schema(request=serializers.RefreshSerializer, responses=serializers.TokenPairSerializer)
    def post(self, request: Request) -> Response:
        """A refresh token that is used twice ends its whole family."""
        data = validated(serializers.RefreshSerializer(data=request.data))
        _spend_at_address(request)
        # For each sign-in, not each person: an old token of one must not stop the others.
        rate_limits.spend("tokens_issued", tokens.extract_claims(data["refresh"])[tokens.FAMILY])
        return Response(serializers.TokenPairSerializer(tokens.refresh_token(data["refresh"], place_of(request))).data)


@access(PUBLIC)
class TokenRevokeView(APIView):
    """End the sign-in that a refresh token belongs to."""

    authentication_classes = ()

    @extend_schema(request=serializers.RefreshSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Holding the token is the proof."""
        tokens.revoke_token(validated(serializers.RefreshSerializer(data=request.data))["refresh"])
        return Response(status=204)


@access(rbac.Permission.PROFILE_READ)
class MeView(generics.GenericAPIView[User]):
    """The own profile."""

    serializer_class = serializers.MeSerializer
    filter_backends = ()

    def get(self, request: Request) -> Response:
        """Profile with role and permissions."""
        return Response(self.get_serializer(request.user).data)

    @access(rbac.Permission.PROFILE_WRITE)
    def patch(self, request: Request) -> Response:
        """Only name, language and time zone can be changed here."""
        user = signed_in(request)
        data = validated(self.get_serializer(user, data=request.data, partial=True))
        return Response(self.get_serializer(services.update_profile(user, **data) if data else user).data)


class AuditFilter(django_filters.FilterSet):
    """Dates are UTC and inclusive."""

    actor = django_filters.UUIDFilter(field_name="actor_id")
    action = django_filters.CharFilter()
    category = django_filters.CharFilter()
    credential = django_filters.CharFilter()
    target = django_filters.CharFilter(field_name="target_id")
    success = Truth()
    start = django_filters.DateFilter(method="from_day")
    end = django_filters.DateFilter(method="to_day")

    class Meta:
        model = AuditEvent
        fields = ("actor", "action", "category", "credential", "target", "success", "start", "end")

    def from_day(self, rows: QuerySet[AuditEvent], _name: str, day: date) -> QuerySet[AuditEvent]:
        """From the first moment of the day."""
        return rows.filter(at__gte=datetime.combine(day, time.min, UTC))

    def to_day(self, rows: QuerySet[AuditEvent], _name: str, day: date) -> QuerySet[AuditEvent]:
        """To the last moment of the day."""
        return rows.filter(at__lte=datetime.combine(day, time.max, UTC))


class AuditSearch(SearchFilter):
    """``search=ada created``: words that begin so, in whatever order; an index answers, however long the log is."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Everything where nothing is searched for."""
        terms = self.get_search_terms(request)
        return cast("AuditQuerySet", queryset).search(" ".join(terms)) if terms else queryset


@access(rbac.Permission.AUDIT_READ)
class AuditViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[AuditEvent]):
    """Who did what, newest first."""

    queryset = AuditEvent.objects.all()
    serializer_class = serializers.AuditEventSerializer
    filterset_class = AuditFilter
    filter_backends = (Filters, AuditSearch, Order)
    search_fields = ("actor_name", "target_name", "action")
    ordering_fields = ("at",)


@access(rbac.Permission.PROFILE_READ)
class MyActivityView(generics.ListAPIView[AuditEvent]):
    """What one did and what was done to one, newest first."""

    queryset = AuditEvent.objects.none()
    serializer_class = serializers.MyActivitySerializer
    filterset_class = AuditFilter
    search_fields = ("actor_name", "target_name", "action")
    ordering_fields = ("at",)

    def get_queryset(self) -> QuerySet[AuditEvent]:
        """The own part of the audit log."""
        return AuditEvent.objects.about(signed_in(self.request))
