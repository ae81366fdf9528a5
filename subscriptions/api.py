"""The API's faces of the catalogue and the subscriptions."""

from typing import Final, cast

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import validated
from accounts.enforcement import signed_in
from accounts.rbac import Permission
from litemaas.foundation.access import access
from subscriptions import services
from subscriptions.models import Model, Subscription
from subscriptions.serializers import ModelSerializer, NewSubscriptionSerializer, SubscriptionSerializer

TRUTH: Final = {"true": True, "false": False, "True": True, "False": False, "1": True, "0": False}


class ModelFilter(django_filters.FilterSet):
    """``restricted`` is true or false; django-filter's own would take anything else for "do not care"."""

    restricted = django_filters.TypedChoiceFilter(
        choices=[(sent, sent) for sent in TRUTH], coerce=lambda sent: TRUTH[sent]
    )

    class Meta:
        model = Model
        fields = ("provider", "mode", "availability", "restricted")


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
        """What is listed for the asker, with the asker's subscription."""
        return cast("QuerySet[Model]", Model.objects.listed_for(signed_in(self.request)))


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
