"""Which models a key's owner wants to use with it, and what may really be used of them."""

from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, Subquery

from apikeys.key_status import living
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from teams.models import DEFAULT_TEAM_ID, Membership


class OneElementArray(models.Func):
    """``ARRAY[column]``, to ask whether an array contains a column's value."""

    template = "ARRAY[%(expressions)s]"
    arity = 1
    output_field = ArrayField(models.CharField(max_length=255))


def in_team(user: Any, team: Any) -> Q:
    """A key is charged only to a team that its owner belongs to; to the default team everybody does."""
    member = Membership.objects.filter(user=user, team=team)
    return Q(key__team=DEFAULT_TEAM_ID) | Q(Exists(member))


class KeyModelQuerySet(models.QuerySet["KeyModel"]):
    """Selections of the links between keys and models."""

    def alive(self) -> Self:
        """Links of keys that are not revoked, expired or deleted."""
        return self.filter(living("key__"))

    def effective(self) -> Self:
        """What a key may really use: wished, actively subscribed by its owner, available, allowed to its team, of
        which its owner is a member."""
        active = Subscription.objects.active().filter(user=OuterRef("key__user"), model=OuterRef("model"))
        any_model = Q(key__team__allowed_models=[])
        this_model = Q(key__team__allowed_models__contains=OneElementArray("model_id"))
        allowed = Q(any_model | this_model, model__availability=Availability.AVAILABLE)
        return self.filter(Exists(active), allowed, in_team(OuterRef("key__user"), OuterRef("key__team")))

    def with_subscription(self) -> Self:
        """Each link with what ``hindrance`` looks at, in one statement."""
        theirs = Subscription.objects.filter(user=OuterRef("key__user"), model=OuterRef("model"))
        rows = self.select_related("model", "key__team").order_by("model")
        member = ExpressionWrapper(in_team(OuterRef("key__user"), OuterRef("key__team")), BooleanField())
        return rows.annotate(is_member=member, subscription_status=Subquery(theirs.values("status")))


class KeyModel(models.Model):
    """A key's owner wants to use a model with it. Losing the subscription does not remove the wish."""

    key = models.ForeignKey("apikeys.ApiKey", on_delete=models.CASCADE, related_name="links")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="key_links")

    objects = KeyModelQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["key", "model"], name="key_model_once"),)

    def __str__(self) -> str:
        return f"{self.key_id} {self.model_id}"

    @property
    def hindrance(self) -> str:
        """Why the key cannot use the model now, "" if ``effective()`` has it; for rows of ``with_subscription()``."""
        status: str | None = self.subscription_status  # type: ignore[attr-defined]  # annotated by with_subscription()
        if not self.model.is_available:
            return "unavailable"
        if not self.is_member:  # type: ignore[attr-defined]  # annotated by with_subscription()
            return "not_in_team"
        if self.model_id in (self.key.team.allowed_models or [self.model_id]):
            return "" if status == SubscriptionStatus.ACTIVE else status or "not_subscribed"
        return "not_for_team"


def usable() -> Exists:
    """Whether a key could do anything at all."""
    return Exists(KeyModel.objects.filter(key=OuterRef("pk")).effective())
