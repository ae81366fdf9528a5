"""The API's faces of the synchronisation with LiteLLM."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.rbac import Permission
from litellm_sync import integration
from litellm_sync.models import SyncRun
from litellm_sync.serializers import SyncRequestSerializer, SyncRunSerializer
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
