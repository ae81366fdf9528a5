"""The catalogue and the subscriptions as data."""

import uuid
from decimal import Decimal
from typing import Any, NamedTuple, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, FilteredRelation, OuterRef, Q, When
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import rbac
from accounts.models import AuditEvent, AuditQuerySet, User
from litemaas.foundation import validators

MILLION = Decimal(1_000_000)


class Availability(models.TextChoices):
    """Whether LiteLLM lists a model at present."""

    AVAILABLE = "available", _("Available")
    UNAVAILABLE = "unavailable", _("Unavailable")


class SubscriptionStatus(models.TextChoices):
    """Where a subscription stands; a cancelled one is gone."""

    ACTIVE = "active", _("Active")
    PENDING = "pending", _("Pending approval")
    DENIED = "denied", _("Denied")
    SUSPENDED = "suspended", _("Suspended")
    EXPIRED = "expired", _("Expired")


class Facets(NamedTuple):
    """What the catalogue can be narrowed by; each sorted."""

    providers: list[str]
    modes: list[str]
    capabilities: list[str]


class ModelQuerySet(models.QuerySet["Model"]):
    """Selections of the catalogue."""

    def with_subscription_of(self, user: rbac.Actor) -> Self:
        """Each model with ``my_status`` (null without a subscription) and ``my_subscription`` (its id)."""
        # One join: the database allows at most one subscription of somebody to a model.
        mine = FilteredRelation("subscriptions", condition=Q(subscriptions__user=user.pk))
        return self.annotate(mine=mine, my_status=F("mine__status"), my_subscription=F("mine__pk"))

    def listed_for(self, user: rbac.Actor) -> Self:
        """What the catalogue shows: available models, and those gone ones that one has subscribed to."""
        return self.with_subscription_of(user).filter(
            Q(availability=Availability.AVAILABLE) | Q(my_subscription__isnull=False)
        )

    def facets(self) -> Facets:
        """The providers, modes and capabilities that there are among them, in one statement."""
        rows = list(self.order_by().values_list("provider", "mode", "capabilities").distinct())
        return Facets(
            sorted({provider for provider, _mode, _can in rows if provider}),
            sorted({mode for _provider, mode, _can in rows if mode}),
            sorted({capability for _provider, _mode, can in rows for capability in can}),
        )

    def mentioning(self, text: str) -> Self:
        """Those with this text in name, provider or description, whatever the case."""
        return self.filter(Q(id__icontains=text) | Q(provider__icontains=text) | Q(description__icontains=text))

    def able_to(self, capabilities: list[str]) -> Self:
        """Those that have all of these capabilities."""
        return self.filter(capabilities__contains=capabilities)

    def costing_at_most(self, dollars: Decimal) -> Self:
        """Those with a known price of at most this, in USD for a million prompt tokens."""
        return self.filter(input_cost_per_token__lte=dollars / MILLION)

    def free(self) -> Self:
        """Those of which LiteLLM says that they cost nothing, neither way."""
        return self.filter(Q(output_cost_per_token=0) | Q(output_cost_per_token=None), input_cost_per_token=0)

    def unpriced(self) -> Self:
        """Available ones whose use costs nothing, or nobody knows what. 1.81 writes 0 where it knows no price."""
        none = Q(input_cost_per_token=None) | Q(input_cost_per_token=0)
        neither = none & (Q(output_cost_per_token=None) | Q(output_cost_per_token=0))
        return self.filter(neither, availability=Availability.AVAILABLE)

    def active_subscriptions(self) -> "SubscriptionQuerySet":
        """Those of the model of an outer query."""
        return Subscription.objects.active().filter(model=OuterRef("pk"))

    def subscribed(self, *, yes: bool) -> Self:
        """Of ``with_subscription_of()`` those that the person has subscribed to, or has not."""
        return self.filter(my_subscription__isnull=not yes)


class Model(models.Model):
    """A model of the catalogue, by LiteLLM's public name; prices are USD a token, null where LiteLLM knows none."""

    id = models.CharField(primary_key=True, max_length=255, validators=[validators.validate_model_id])
    provider = models.CharField(max_length=100, db_index=True)
    description = models.TextField(blank=True)
    mode = models.CharField(max_length=50)
    capabilities = ArrayField(models.CharField(max_length=100), default=list)
    context_length = models.BigIntegerField(null=True)
    max_output_tokens = models.BigIntegerField(null=True)
    input_cost_per_token = models.DecimalField(max_digits=24, decimal_places=16, null=True)
    output_cost_per_token = models.DecimalField(max_digits=24, decimal_places=16, null=True)
    availability = models.CharField(max_length=20, choices=Availability, default=Availability.AVAILABLE)
    restricted = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.id

    @property
    def is_available(self) -> bool:
        """Whether LiteLLM lists it."""
        return self.availability == Availability.AVAILABLE

    @property
    def input_cost_per_million(self) -> Decimal | None:
        """USD for a million prompt tokens."""
        return None if self.input_cost_per_token is None else self.input_cost_per_token * MILLION

    @property
    def output_cost_per_million(self) -> Decimal | None:
        """USD for a million completion tokens."""
        return None if self.output_cost_per_token is None else self.output_cost_per_token * MILLION


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    """Selections of subscriptions."""

    def visible_to(self, actor: rbac.Actor) -> Self:
        """One's own; administrators see all."""
        return rbac.filter_resources_by_role(actor, rbac.Permission.SUBSCRIPTIONS_READ, self)  # type: ignore[return-value]  # a filtered queryset keeps its class

    def providers(self) -> list[str]:
        """The providers of their models, sorted."""
        return list(self.order_by("model__provider").values_list("model__provider", flat=True).distinct())

    def active(self) -> Self:
        """Those that let one use the model."""
        return self.filter(status=SubscriptionStatus.ACTIVE)

    def within_quota(self) -> Self:
        """Those with something left; what was used before a reset that lies in the past does not count any more."""
        spent = Q(exhausted=True) | Q(used_requests__gte=F("quota_requests")) | Q(used_tokens__gte=F("quota_tokens"))
        # A comparison with a quota that is null is neither true nor false, so what is spent is named by a case.
        used_up = Case(When(spent & ~Q(resets_at__lte=Now()), then=True), default=False)
        nothing_ever = Case(When(Q(quota_requests=0) | Q(quota_tokens=0), then=True), default=False)
        return self.alias(used_up=used_up, nothing_ever=nothing_ever).filter(used_up=False, nothing_ever=False)


class Subscription(models.Model):
    """A person may use a model. ``used_*`` and ``exhausted`` are written by usage, so that checks read one row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="subscriptions")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=10, choices=SubscriptionStatus, default=SubscriptionStatus.ACTIVE)
    reason = models.CharField(max_length=1000, blank=True)
    justification = models.CharField(max_length=1000, blank=True)
    quota_requests = models.BigIntegerField(null=True, blank=True)
    quota_tokens = models.BigIntegerField(null=True, blank=True)
    used_requests = models.BigIntegerField(default=0, editable=False)
    used_tokens = models.BigIntegerField(default=0, editable=False)
    exhausted = models.BooleanField(default=False, editable=False)
    resets_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        indexes = (models.Index(fields=["-created_at", "id"], name="subscription_newest"),)
        constraints = (
            models.UniqueConstraint(fields=["user", "model"], name="subscription_once"),
            models.CheckConstraint(
                condition=Q(quota_requests=None) | Q(quota_requests__gte=0), name="subscription_requests_positive"
            ),
            models.CheckConstraint(
                condition=Q(quota_tokens=None) | Q(quota_tokens__gte=0), name="subscription_tokens_positive"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} to {self.model_id}"

    @property
    def owner_id(self) -> uuid.UUID:
        """Whose it is (rbac asks every object this)."""
        return self.user_id

    def key_links(self) -> models.QuerySet[Any]:
        """The owner's living keys with this model, by name: what an upper app hangs onto the model is data here."""
        links = self.model.key_links.alive().filter(key__user=self.user_id)
        rows: models.QuerySet[Any] = links.select_related("key__user").prefetch_related("key__secrets")
        return rows.order_by("key__name")

    def history(self) -> AuditQuerySet:
        """What happened to it, newest first."""
        return AuditEvent.objects.filter(target_type="subscription", target_id=str(self.pk))

    @property
    def was_denied(self) -> bool:
        """Whether it is denied, or waits for a second decision: approving alone may leave no reason."""
        waits_again = self.status == SubscriptionStatus.PENDING and bool(self.reason)
        return waits_again or self.status == SubscriptionStatus.DENIED

    @property
    def is_cancellable(self) -> bool:
        """Whether its owner may take it back: that must not wash a decision off, also while it is reviewed."""
        return not self.was_denied and self.status != SubscriptionStatus.SUSPENDED
