"""The API's faces of the synchronisation with LiteLLM."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.rbac import Permission
from apikeys.serializers import ApiKeySerializer
from litellm_sync import integration, mending
from litellm_sync.models import Drift, SyncRun
from litellm_sync.serializers import AdoptionSerializer, DriftSerializer, SyncRequestSerializer, SyncRunSerializer
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
    filterset_fields = ("kind", "status")
    ordering_fields = ("created_at",)
    lookup_value_converter = "uuid"


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
