"""Teams and memberships as data."""

import uuid
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts import rbac
from accounts.models import User
from litellm_sync.state import Synced
from litemaas.foundation import validators
from litemaas.foundation.limits import Limited

DEFAULT_TEAM_ID = uuid.UUID("a0000000-0000-4000-8000-000000000001")


class TeamQuerySet(models.QuerySet["Team"]):
    """Selections of teams."""

    def visible_to(self, actor: rbac.Actor) -> Self:
        """Teams that one belongs to; administrators see all."""
        found = rbac.scope(actor, rbac.Permission.TEAMS_READ)
        if found is rbac.Scope.ALL:
            return self
        return self.filter(memberships__user=actor.pk) if found is rbac.Scope.OWN else self.none()


class Team(Limited, Synced):
    """People who share a budget. The id is also LiteLLM's ``team_id``; no ``allowed_models`` means every model."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True, validators=[validators.validate_team_name])
    description = models.CharField(max_length=500, blank=True)
    allowed_models = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    class Meta(Limited.Meta, Synced.Meta):
        abstract = False
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class MembershipRole(models.TextChoices):
    """What somebody is in a team."""

    ADMIN = "admin", _("Team administrator")
    MEMBER = "member", _("Member")


class Membership(Limited, Synced):
    """Somebody belongs to a team.

    ``listed`` says whether LiteLLM lists the person as a member too: it lists few people of the default team, because
    a long list makes every call with one of its keys slow. By hand, by the groups of a provider, or by both: leaving a
    group ends only what the group alone gave.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=MembershipRole, default=MembershipRole.MEMBER)
    listed = models.BooleanField(default=False, editable=False)
    by_hand = models.BooleanField(default=True, editable=False)
    by_provider = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(Limited.Meta, Synced.Meta):
        abstract = False
        constraints = (
            *Limited.Meta.constraints,
            models.UniqueConstraint(fields=["team", "user"], name="membership_once"),
            models.CheckConstraint(condition=Q(by_hand=True) | Q(by_provider=True), name="membership_has_a_source"),
        )

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"
