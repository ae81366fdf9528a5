"""The API's faces of key hygiene, and of what is done to many keys at once."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.rbac import Permission
from apikeys import bulk
from apikeys.bulk_serializers import BulkChangeKeySerializer, BulkChangeSerializer, HygieneSerializer, PlanSerializer
from apikeys.risks import hygiene, known_until
from apikeys.upkeep import BulkChange, BulkChangeKey
from litemaas.foundation.access import access


@access(Permission.ADMIN_READ)
class HygieneView(APIView):
    """How tidy everybody's keys are."""

    @extend_schema(responses=HygieneSerializer)
    def get(self, request: Request) -> Response:
        """How many keys that have not ended are untidy in which way. Nothing is claimed that was never fetched."""
        return Response(HygieneSerializer({"as_of": known_until(), **hygiene()}).data)


@access(Permission.ADMIN_READ)
class BulkChangeViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[BulkChange]):
    """What was done, or is planned, for many keys at once."""

    queryset = BulkChange.objects.all()
    serializer_class = BulkChangeSerializer
    filterset_fields = ("action", "status", "which")
    ordering_fields = ("created_at",)
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[BulkChange]:
        """Each with what became of its keys."""
        return BulkChange.objects.with_progress()

    def get_serializer_context(self) -> dict[str, Any]:
        """With how old the figures are by which keys are judged."""
        return {**super().get_serializer_context(), "figures_as_of": known_until()}

    def _told(self, change: BulkChange, status: int) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=change.pk)).data, status=status)

    @extend_schema(request=PlanSerializer, responses={201: BulkChangeSerializer})
    @access(Permission.APIKEYS_BULK)
    def create(self, request: Request) -> Response:
        """The dry run: choose and freeze the keys, without changing any. 409 nothing_to_do, uses_unknown."""
        data = validated(PlanSerializer(data=request.data))
        return self._told(bulk.plan_bulk_change(signed_in(request), **data), 201)

    @extend_schema(request=None, responses={202: BulkChangeSerializer})
    @access(Permission.APIKEYS_BULK)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Carry it out, or go on with it; again changes nothing. A job does it, and this resource tells how far it
        is."""
        return self._told(bulk.start_bulk_change(signed_in(request), change_id=pk), 202)

    @extend_schema(request=None, responses=BulkChangeSerializer)
    @access(Permission.APIKEYS_BULK)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Do nothing more; what was done stays. Again changes nothing."""
        return self._told(bulk.stop_bulk_change(signed_in(request), change_id=pk), 200)


@access(Permission.ADMIN_READ)
class BulkChangeKeysView(generics.ListAPIView[BulkChangeKey]):
    """The keys of one bulk change."""

    queryset = BulkChangeKey.objects.none()
    serializer_class = BulkChangeKeySerializer
    filterset_fields = ("outcome",)
    ordering_fields = ("done_at",)

    def get_queryset(self) -> QuerySet[BulkChangeKey]:
        """In the order in which they are treated."""
        if "pk" not in self.kwargs:  # the schema asks without one
            return self.queryset
        change = get_object_or_404(BulkChange, pk=self.kwargs["pk"])
        return change.rows.select_related("key")
