"""The API's faces of the catalogue and the subscriptions."""

from decimal import Decimal
from typing import Any, Final, cast

import django_filters
from django import forms
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.rbac import Permission
from litemaas.foundation.access import access
from litemaas.foundation.pagination import Truth
from subscriptions import services
from subscriptions.models import Model, ModelQuerySet, Subscription
from subscriptions.serializers import (
    ApprovalSerializer,
    BulkSerializer,
    DecisionSerializer,
    DecisionsSerializer,
    DenialSerializer,
    HappeningSerializer,
    ModelChangesSerializer,
    ModelSerializer,
    NewSubscriptionSerializer,
    ReviewSerializer,
    SubscriptionSerializer,
)

DEAREST: Final = 1_000_000  # USD for a million tokens; more than anything costs, and the column can be compared with it


class AnyWords(forms.MultipleChoiceField):
    """Several values of a parameter that is repeated; a word that nothing has finds nothing."""

    def valid_value(self, value: Any) -> bool:
        """Whatever PostgreSQL can compare."""
        return "\x00" not in str(value)


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class WordsFilter(django_filters.MultipleChoiceFilter):
    """A parameter that may be repeated."""

    field_class = AnyWords


class ModelFilter(django_filters.FilterSet):
    """``provider`` (any of them) and ``capability`` (all of them) may be repeated; ``max_input_cost`` is USD for a
    million tokens and leaves out what has no known price; ``mine`` is whether the asker has a subscription."""

    provider = WordsFilter(field_name="provider")
    capability = WordsFilter(method="by_capabilities")
    restricted = Truth(field_name="restricted")
    mine = Truth(method="by_mine")
    max_input_cost = django_filters.NumberFilter(
        method="by_cost", min_value=0, max_value=DEAREST, decimal_places=10, max_digits=20
    )

    class Meta:
        model = Model
        fields = ("provider", "capability", "mode", "availability", "restricted", "mine", "max_input_cost")

    def by_capabilities(self, rows: ModelQuerySet, _name: str, wanted: list[str]) -> ModelQuerySet:
        """Those that can do all of it."""
        return rows.able_to(wanted)

    def by_mine(self, rows: ModelQuerySet, _name: str, mine: bool) -> ModelQuerySet:  # noqa: FBT001 -- django-filter's
        """The asker's own, or all others."""
        return rows.subscribed(yes=mine)

    def by_cost(self, rows: ModelQuerySet, _name: str, dollars: Decimal) -> ModelQuerySet:
        """Those whose price is known and not above."""
        return rows.costing_at_most(dollars)


@access(Permission.MODELS_READ)
class ModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Model]):
    """The catalogue. Ids are LiteLLM's public names and may contain slashes, raw or as %2F."""

    queryset = Model.objects.none()
    serializer_class = ModelSerializer
    lookup_value_regex = ".+"
    filterset_class = ModelFilter
    search_fields = ("id", "description", "provider")
    ordering_fields = ("id", "provider", "context_length", "input_cost_per_token", "output_cost_per_token")

    def get_queryset(self) -> QuerySet[Model]:
        """What is listed for the asker, with the asker's subscription; without times, which no answer has."""
        listed = Model.objects.listed_for(signed_in(self.request))
        return cast("QuerySet[Model]", listed.defer("created_at", "updated_at"))

    @extend_schema(request=ModelChangesSerializer, responses=ModelSerializer)
    @access(Permission.MODELS_WRITE)
    def partial_update(self, request: Request, pk: str) -> Response:
        """``restricted``: whether new subscriptions need approval. Those that are active stay active."""
        data = validated(ModelChangesSerializer(data=request.data))
        if "restricted" in data:
            services.set_model_restricted(signed_in(request), model_id=pk, restricted=data["restricted"])
        found = get_object_or_404(Model.objects.with_subscription_of(signed_in(request)), pk=pk)
        return Response(ModelSerializer(found).data)


class SubscriptionFilter(django_filters.FilterSet):
    """By id alone: whether such a person exists is nobody's business."""

    model = django_filters.CharFilter(field_name="model_id")
    user = django_filters.UUIDFilter(field_name="user_id")

    class Meta:
        model = Subscription
        fields = ("status", "model", "user")


@access(Permission.SUBSCRIPTIONS_READ)
class SubscriptionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Subscription]):
    """One's own subscriptions; administrators see everybody's."""

    queryset = Subscription.objects.none()
    serializer_class = SubscriptionSerializer
    filterset_class = SubscriptionFilter
    search_fields = ("model__id", "user__username")
    ordering_fields = ("created_at", "model", "status")
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[Subscription]:
        """What the asker may see."""
        return cast("QuerySet[Subscription]", Subscription.objects.visible_to(signed_in(self.request)))

    @extend_schema(request=NewSubscriptionSerializer, responses={201: SubscriptionSerializer})
    @access(Permission.SUBSCRIPTIONS_CREATE)
    def create(self, request: Request) -> Response:
        """Subscribe: active at once, or pending where the model is restricted."""
        data = validated(NewSubscriptionSerializer(data=request.data))
        made = services.create_subscription(signed_in(request), **data)
        return Response(SubscriptionSerializer(made).data, status=201)

    @extend_schema(responses={204: None})
    @access(Permission.SUBSCRIPTIONS_CANCEL)
    def destroy(self, request: Request, pk: str) -> Response:
        """Cancel; refused with 409 active_keys_exist while keys use the model."""
        services.cancel_subscription(signed_in(request), subscription_id=pk)
        return Response(status=204)

    @extend_schema(responses=HappeningSerializer(many=True))
    @action(detail=True, filter_backends=[])
    def history(self, request: Request, pk: str) -> Response:
        """What happened to the subscription, newest first."""
        rows: Any = self.get_object().history()  # the viewset's own type is that of subscriptions
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(HappeningSerializer(page, many=True).data)

    @extend_schema(request=ApprovalSerializer, responses=SubscriptionSerializer)
    @access(Permission.SUBSCRIPTIONS_APPROVE)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Grant a pending one; 409 already_decided if it is not pending any more."""
        data = validated(ApprovalSerializer(data=request.data))
        made = services.approve_subscription(signed_in(request), subscription_id=pk, **data)
        return Response(SubscriptionSerializer(made).data)

    @extend_schema(request=DenialSerializer, responses=SubscriptionSerializer)
    @access(Permission.SUBSCRIPTIONS_APPROVE)
    @action(detail=True, methods=["post"])
    def deny(self, request: Request, pk: str) -> Response:
        """Refuse a pending one, with the reason that the person reads."""
        data = validated(DenialSerializer(data=request.data))
        made = services.deny_subscription(signed_in(request), subscription_id=pk, **data)
        return Response(SubscriptionSerializer(made).data)

    @extend_schema(request=ReviewSerializer, responses=SubscriptionSerializer)
    @access(Permission.SUBSCRIPTIONS_CREATE)
    @action(detail=True, methods=["post"], url_path="request-review")
    def request_review(self, request: Request, pk: str) -> Response:
        """Ask again for one of one's own that was denied: it is pending again."""
        data = validated(ReviewSerializer(data=request.data))
        made = services.request_review(signed_in(request), subscription_id=pk, **data)
        return Response(SubscriptionSerializer(made).data)

    @extend_schema(request=BulkSerializer, responses=DecisionsSerializer)
    @access(Permission.SUBSCRIPTIONS_APPROVE)
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Decide at most a hundred, each by itself; the answer says row by row what became of it."""
        data = validated(BulkSerializer(data=request.data))
        decisions = services.decide_subscriptions(signed_in(request), **data)
        return Response({"results": DecisionSerializer(decisions, many=True).data})
