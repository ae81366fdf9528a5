"""The API's faces of the synchronisation with LiteLLM."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import AuditViewSet, validated
from accounts.enforcement import signed_in
from accounts.models import AuditEvent
from accounts.rbac import Permission
from apikeys.serializers import ApiKeySerializer
from litellm_sync import failures, integration, mending, schedules
from litellm_sync.default_team import get_default_team_stats
from litellm_sync.models import Drift, SyncRun
from litellm_sync.serializers import (
    AdoptionSerializer,
    DefaultTeamSerializer,
    DriftSerializer,
    FailureSerializer,
    IntervalSerializer,
    RetriedSerializer,
    RetrySerializer,
    SyncRequestSerializer,
    SyncRunSerializer,
)
from litemaas.foundation.access import access


@access(Permission.INTEGRATION_SYNC)
class SyncView(APIView):
    """Ask for a synchronisation."""

    @extend_schema(request=SyncRequestSerializer, responses={202: SyncRunSerializer})
    def post(self, request: Request) -> Response:
        """202 with the run; 409 sync_already_running while one of the kind is not finished."""
        data = validated(SyncRequestSerializer(data=request.data))
        run = integration.request_sync(signed_in(request), **data)
        return Response(SyncRunSerializer(run).data, status=202)


@access(Permission.INTEGRATION_READ)
class HealthView(APIView):
    """How the other side is, from our own tables."""

    @extend_schema(responses=dict)
    def get(self, request: Request) -> Response:
        """No call to LiteLLM: the worker looks every few seconds."""
        health: dict[str, Any] = integration.get_integration_health()
        return Response(health)


@access(Permission.INTEGRATION_READ)
class SyncRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[SyncRun]):
    """The history of synchronisations."""

    queryset = SyncRun.objects.all()
    serializer_class = SyncRunSerializer
    filterset_fields = ("kind", "parent", "status")
    ordering_fields = ("created_at",)
    lookup_value_converter = "uuid"


# --- What differs ----------------------------------------------------------------------------------------------------


@access(Permission.INTEGRATION_READ)
class DriftViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Drift]):
    """What LiteLLM has otherwise, as the last comparison found it."""

    queryset = Drift.objects.all()
    serializer_class = DriftSerializer
    filterset_fields = ("kind", "what", "run")
    search_fields = ("name", "object_id")
    ordering_fields = ("first_seen_at", "name", "seen_at")
    lookup_value_converter = "uuid"

    @extend_schema(request=None, responses=DriftSerializer)
    @access(Permission.DRIFT_MEND)
    @action(detail=True, methods=["post"])
    def mend(self, request: Request, pk: str) -> Response:
        """Push it again; the next comparison says whether both agree."""
        return Response(self.get_serializer(mending.mend_drift(signed_in(request), drift_id=pk)).data)

    @extend_schema(request=AdoptionSerializer, responses={201: ApiKeySerializer})
    @access(Permission.DRIFT_ADOPT)
    @action(detail=True, methods=["post"])
    def adopt(self, request: Request, pk: str) -> Response:
        """Make an unknown key one of a person; 201 with the key, whose secret nobody learns."""
        data = validated(AdoptionSerializer(data=request.data))
        key = mending.adopt_key(signed_in(request), drift_id=pk, **data)
        return Response(ApiKeySerializer(key, context=self.get_serializer_context()).data, status=201)

    @extend_schema(request=None, responses=DriftSerializer)
    @access(Permission.DRIFT_BLOCK)
    @action(detail=True, methods=["post"])
    def block(self, request: Request, pk: str) -> Response:
        """Have LiteLLM refuse an unknown key; again changes nothing."""
        return Response(self.get_serializer(mending.block_key(signed_in(request), drift_id=pk)).data)

    @extend_schema(request=None, responses=DriftSerializer)
    @access(Permission.DRIFT_BLOCK)
    @action(detail=True, methods=["post"])
    def unblock(self, request: Request, pk: str) -> Response:
        """Have LiteLLM take an unknown key again; again changes nothing."""
        return Response(self.get_serializer(mending.unblock_key(signed_in(request), drift_id=pk)).data)


# --- Pushes ----------------------------------------------------------------------------------------------------------


@access(Permission.INTEGRATION_READ)
class FailuresView(generics.GenericAPIView[Any]):
    """The pushes that do not come to their end."""

    serializer_class = FailureSerializer
    filter_backends = ()

    @extend_schema(
        parameters=[OpenApiParameter("kind", OpenApiTypes.STR, description="one table, such as apikeys.apikeysecret")],
        responses=FailureSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Those of all tables or of one, the longest waiting first."""
        page = self.paginate_queryset(failures.failures(request.query_params.get("kind")))
        return self.get_paginated_response(FailureSerializer(failures.shown(page), many=True).data)


@access(Permission.INTEGRATION_SYNC)
class RetryView(APIView):
    """Send to LiteLLM again what it does not have."""

    @extend_schema(request=RetrySerializer, responses=RetriedSerializer)
    def post(self, request: Request) -> Response:
        """One row (``kind`` and ``id``), all that fail of a kind, or all. 422 unknown_kind, 404 for what is gone."""
        data = validated(RetrySerializer(data=request.data))
        rows = integration.retry(signed_in(request), kind=data.get("kind"), object_id=data.get("id"))
        return Response({"rows": rows})


# --- The schedule ----------------------------------------------------------------------------------------------------


def _interval(interval: schedules.Interval) -> dict[str, Any]:
    return dict(IntervalSerializer(interval).data)


@access(Permission.INTEGRATION_READ)
class ScheduleView(APIView):
    """How often each kind is synchronised."""

    @extend_schema(responses=IntervalSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Every kind; 0 seconds is never."""
        return Response([_interval(interval) for interval in schedules.intervals().values()])


@access(Permission.INTEGRATION_SCHEDULE)
class IntervalView(APIView):
    """The interval of one kind."""

    @extend_schema(request=IntervalSerializer, responses=IntervalSerializer)
    def put(self, request: Request, kind: str) -> Response:
        """``seconds``: 0 for never, null for what the settings say. 422 outside of what the kind allows."""
        data = validated(IntervalSerializer(data=request.data))
        return Response(_interval(integration.schedule_auto_sync(signed_in(request), kind=kind, **data)))


# --- Traces and figures ----------------------------------------------------------------------------------------------


@access(Permission.AUDIT_READ)
class IntegrationAuditViewSet(AuditViewSet):
    """What was asked of the integration and what it did, newest first."""

    def get_queryset(self) -> QuerySet[AuditEvent]:
        """The part of the audit log that is about the integration."""
        return integration.generate_audit_log(signed_in(self.request))


@access(Permission.INTEGRATION_READ)
class DefaultTeamView(APIView):
    """The team that everybody belongs to."""

    @extend_schema(responses=DefaultTeamSerializer)
    def get(self, request: Request) -> Response:
        """Its figures, for administrators."""
        return Response(DefaultTeamSerializer(get_default_team_stats()).data)
