"""API keys, their secrets and the models that they may use, as data; the policy is beside it."""

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Prefetch, Q, When
from django.utils import timezone

from accounts import rbac
from accounts.models import User
from apikeys import search, upkeep  # noqa: F401 -- Django looks for upkeep's tables here
from apikeys.key_links import KeyModel, usable
from apikeys.key_policy import KeyPolicy
from apikeys.key_status import EXPIRES_SOON, STORED_STATUSES, KeyStatus, living
from apikeys.stopped import COLUMNS, Stoppable
from litellm_sync.state import SyncStatus
from litemaas.foundation import validators
from litemaas.foundation.crypto import EncryptedTextField, mask_secret
from litemaas.foundation.limits import NEARLY_SPENT, Limited
from subscriptions.models import Subscription
from teams.models import Membership, Team

__all__ = ["ApiKey", "ApiKeySecret", "KeyModel", "KeyPolicy", "KeyStatus"]
# What an ApiKey shows is the worst that any of its secrets is in.
WORST_FIRST = (SyncStatus.FAILED, SyncStatus.PENDING, SyncStatus.SYNCED)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Selections of keys."""

    def visible_to(self, actor: rbac.Actor) -> Self:
        """One's own; administrators see all. Deleted keys are hidden from everybody."""
        rows = self.filter(deleted_at=None)
        return rbac.filter_resources_by_role(actor, rbac.Permission.APIKEYS_READ, rows)  # type: ignore[return-value]  # a filtered queryset keeps its class

    def search(self, text: str) -> Self:
        """Keys of which every word of ``text`` is a part of the name, the description or the owner's names or address,
        whatever its case; or the id, or the end of a secret that the key has or had."""
        return self.filter(search.everywhere(text))

    def of_owner(self, text: str) -> Self:
        """Keys of whose owner's names or address every word of ``text`` is a part, whatever its case."""
        return self.filter(search.in_owner(text))

    def alive(self) -> Self:
        """Keys that count against the number one may have: not revoked, not expired, not deleted."""
        return self.filter(living())

    def with_status(self, status: str) -> Self:
        """Keys that show this status now."""
        now = timezone.now()
        if status == KeyStatus.EXPIRED:
            return self.filter(expires_at__lte=now).exclude(status=KeyStatus.REVOKED)
        if status == KeyStatus.REVOKED:
            return self.filter(status=status)
        in_time = self.filter(Q(expires_at=None) | Q(expires_at__gt=now))
        if status == KeyStatus.ACTIVE:
            return in_time.filter(status=status, user__is_active=True)
        return in_time.filter(Q(status=status) | Q(status=KeyStatus.ACTIVE, user__is_active=False))

    def with_sync_status(self, status: str) -> Self:
        """Keys that show this state of synchronisation: the worst of their secrets."""
        worse = WORST_FIRST[: WORST_FIRST.index(SyncStatus(status))]
        secrets = ApiKeySecret.objects.filter(key=OuterRef("pk"))
        rows = self.exclude(Exists(secrets.filter(sync_status__in=worse))) if worse else self
        return rows if status == SyncStatus.SYNCED else rows.filter(Exists(secrets.filter(sync_status=status)))

    def expiring_soon(self) -> Self:
        """Living keys that will expire within days."""
        return self.alive().filter(expires_at__lte=timezone.now() + EXPIRES_SOON)

    def with_usability(self) -> Self:
        """Each key with ``has_usable_model``."""
        return self.annotate(has_usable_model=usable())

    def needing_attention(self) -> Self:
        """Living keys that do not work as wished, or soon will not."""
        unsynced = Q(Exists(ApiKeySecret.objects.filter(key=OuterRef("pk")).exclude(sync_status=SyncStatus.SYNCED)))
        ending = Q(expires_at__lte=timezone.now() + EXPIRES_SOON) | Q(status=KeyStatus.BLOCKED)
        return self.alive().with_usability().filter(unsynced | ending | NEARLY_SPENT | Q(has_usable_model=False))

    def for_display(self) -> Self:
        """With everything that a list shows, in a constant number of statements."""
        return self.select_related("user", "team").prefetch_related("links", "secrets")

    def for_answer(self) -> Self:
        """With what the API says of a key: of people and teams the ids alone, of secrets no more than it shows.

        Whether a key has a usable model counts for it only where an end was proved.
        """
        proved = Exists(ApiKeySecret.objects.filter(key=OuterRef("pk"), proven_at__isnull=False))
        can_do = Case(When(proved, then=usable()), default=None)
        shown = ApiKeySecret.objects.only("key", "digest", "last4", "created_at", *COLUMNS)
        owned = self.annotate(owner_is_active=F("user__is_active"), has_usable_model=can_do)
        return owned.prefetch_related("links", Prefetch("secrets", queryset=shown))


class ApiKey(Limited):
    """A key as its owner sees it: one name, limits and history, over all secrets that it ever had."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100, validators=[validators.validate_key_name])
    description = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=10, choices=KeyStatus, default=KeyStatus.ACTIVE)
    soft_budget = models.DecimalField(
        max_digits=20, decimal_places=10, null=True, blank=True, validators=[validators.validate_budget]
    )
    max_parallel_requests = models.BigIntegerField(null=True, blank=True, validators=[validators.validate_rate_limit])
    model_limits = models.JSONField(default=dict, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    # When an administrator last had the spend set to zero; LiteLLM's keys say of which moment their reset is.
    spend_reset_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    # Annotated by for_answer(), which reads no people; None where the person has to be asked.
    owner_is_active: bool | None = None
    # Annotated by with_usability() and for_answer(); None where the links have to be asked.
    has_usable_model: bool | None = None

    class Meta(Limited.Meta):
        abstract = False
        ordering = ("-created_at", "id")
        indexes = (
            models.Index(fields=["user", "-created_at"], name="api_key_owner"),
            models.Index(fields=["-created_at", "id"], condition=Q(deleted_at=None), name="api_key_newest"),
            models.Index(fields=["expires_at"], condition=Q(deleted_at=None), name="api_key_expiry"),
        )
        constraints = (
            *Limited.Meta.constraints,
            models.CheckConstraint(condition=Q(status__in=STORED_STATUSES), name="api_key_status_stored"),
            models.CheckConstraint(
                condition=Q(soft_budget=None) | Q(soft_budget__gte=0), name="api_key_soft_budget_positive"
            ),
            models.CheckConstraint(
                condition=Q(max_parallel_requests=None) | Q(max_parallel_requests__gt=0),
                name="api_key_parallel_positive",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def owner_id(self) -> uuid.UUID:
        """Whose it is (rbac asks every object this)."""
        return self.user_id

    def status_at(self, now: datetime) -> KeyStatus:
        """What the key is at a moment; a revoked key stays revoked after its expiry.

        That its owner is deactivated blocks it without being stored: it works again when the person is back.
        """
        if self.status != KeyStatus.REVOKED and self.expires_at and self.expires_at <= now:
            return KeyStatus.EXPIRED
        return KeyStatus.BLOCKED if self.is_owner_gone else KeyStatus(self.status)

    @property
    def is_owner_gone(self) -> bool:
        """Whether an active key is blocked only because its owner is deactivated."""
        known = self.owner_is_active
        return self.status == KeyStatus.ACTIVE and not (self.user.is_active if known is None else known)

    @property
    def is_idle(self) -> bool:
        """Whether none of its models can be used, so that LiteLLM is to refuse it; one statement if not annotated."""
        known = self.has_usable_model
        return not (self.links.effective().exists() if known is None else known)

    @property
    def current_status(self) -> KeyStatus:
        """What the key is now."""
        return self.status_at(timezone.now())

    @property
    def sync_status(self) -> SyncStatus:
        """The worst state of its secrets."""
        found = {secret.sync_status for secret in self.secrets.all()}
        return next((status for status in WORST_FIRST if status in found), SyncStatus.SYNCED)

    @property
    def newest_secret(self) -> "ApiKeySecret | None":
        """The secret that was made last; keys have few, and lists have them prefetched."""
        return max(self.secrets.all(), key=lambda secret: secret.created_at, default=None)

    @property
    def valid_secrets(self) -> "list[ApiKeySecret]":
        """The newest and, until its grace ends, the one that it replaced, the newest first."""
        now = timezone.now()
        valid = [secret for secret in self.secrets.all() if not secret.has_ended(now)]
        return sorted(valid, key=lambda secret: secret.created_at, reverse=True)

    @property
    def old_secret_valid_until(self) -> datetime | None:
        """When a replaced secret that still works ends; None where there is none."""
        return max((secret.valid_until for secret in self.valid_secrets if secret.valid_until), default=None)

    @property
    def masked(self) -> str:
        """What may be shown of the secret."""
        newest = self.newest_secret
        return mask_secret(newest.last4) if newest else ""

    @property
    def model_ids(self) -> list[str]:
        """The models that its owner chose, sorted; what works of them is KeyModelQuerySet.effective()."""
        return sorted(link.model_id for link in self.links.all())


class ApiKeySecret(Stoppable):
    """One secret of a key; kept for ever, so that the usage of every secret belongs to its key.

    ``digest`` is its SHA-256 and LiteLLM's ``token``; ``pending_secret`` is there only until LiteLLM has it, and
    ``attempted_at`` is when an offer last went without an answer: it may arrive late.
    A secret that was replaced works until ``valid_until``. LiteLLM refuses it since ``blocked_at``, and at
    ``carried_at`` a newer one had got the rest of what it spent. ``spend`` (USD) is what LiteLLM last said of this
    secret alone, ``spend_passed_on`` the part of it that a newer one has too: added up, nothing counts twice.
    ``reset_at`` is the moment of the last reset of spend that LiteLLM's key for it has had by us (``spend_reset_at``).
    ``due_at`` is when the clock next changes what LiteLLM is to have, without anybody's doing.
    """

    pushed_with = ("key__team", "key__user")

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")
    digest = models.CharField(max_length=search.DIGEST, unique=True)
    last4 = models.CharField(max_length=search.LAST)
    pending_secret = EncryptedTextField(null=True)
    attempted_at = models.DateTimeField(null=True)
    pushed_at = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True)
    blocked_at = models.DateTimeField(null=True, editable=False)
    carried_at = models.DateTimeField(null=True, editable=False)
    reset_at = models.DateTimeField(null=True, editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    spend = models.DecimalField(max_digits=20, decimal_places=10, default=0, editable=False)
    spend_passed_on = models.DecimalField(max_digits=20, decimal_places=10, default=0, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(Stoppable.Meta):
        abstract = False
        indexes = (
            *Stoppable.Meta.indexes,
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="api_key_secret_due_at"),
            models.Index(
                fields=["valid_until"],
                condition=Q(carried_at=None, valid_until__isnull=False),
                name="api_key_secret_in_grace",
            ),
        )

    def __str__(self) -> str:
        return mask_secret(self.last4)

    def has_ended(self, now: datetime) -> bool:
        """Whether a newer one has taken its place for good."""
        return self.valid_until is not None and self.valid_until <= now

    @property
    def has_pending(self) -> bool:
        """Whether ``pending_secret`` is there; asked without decrypting it, which fails when its key is gone."""
        return self.__dict__["pending_secret"] is not None

    @property
    def ends_at(self) -> datetime | None:
        """When it stops working by itself: with its key, or when its grace is over; None is never."""
        return min((moment for moment in (self.key.expires_at, self.valid_until) if moment), default=None)

    @classmethod
    def living(cls) -> "models.QuerySet[ApiKeySecret]":
        """What has not ended for good; what has expired may be prolonged."""
        kept = cls.objects.filter(key__deleted_at=None).exclude(key__status=KeyStatus.REVOKED)
        return kept.exclude(valid_until__lte=timezone.now())

    @classmethod
    def behind(cls, target: models.Model) -> "models.QuerySet[ApiKeySecret] | None":
        """A person who comes or goes unblocks or blocks the own keys; joining or leaving a team those charged to it; a
        subscription gives its model to the keys that wish for it, or takes it away.

        What has ended for good stays as it is.
        """
        living = cls.living()
        if isinstance(target, User):
            return living.filter(key__user=target)
        if isinstance(target, Membership):
            return living.filter(key__user=target.user_id, key__team=target.team_id)
        if isinstance(target, Subscription):
            return living.filter(key__user=target.user_id, key__links__model=target.model_id)
        return None

    @property
    def alias(self) -> str:
        """The name in LiteLLM, where aliases must be unique; nothing that somebody typed goes there."""
        return f"litemaas-{self.key_id}-{self.digest[:8]}"
