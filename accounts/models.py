"""Users, the audit log, refresh-token families and failed sign-ins as data."""

import uuid
from typing import ClassVar, Final, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ways_in import ADDRESS_LENGTH, AGENT_LENGTH, BrowserSession, PersonalToken, SignInAttempt
from litellm_sync.state import Synced
from litemaas.foundation.limits import Limited
from litemaas.foundation.words import IndexedWords, beginnings

# Tables of accounts that stand in a file of their own.
__all__ = ["BrowserSession", "PersonalToken", "SignInAttempt"]

FULL_NAME_LENGTH = 200
LANGUAGE_LENGTH = 10
TIME_ZONE_LENGTH = 64


class Role(models.TextChoices):
    """What somebody is; the order of precedence stands in rbac.PRECEDENCE."""

    ADMIN = "admin", _("Administrator")
    ADMIN_READONLY = "adminReadonly", _("Administrator, read only")
    GATEWAY = "gateway", _("Gateway")
    USER = "user", _("User")


def default_roles() -> list[str]:
    """What a person is who was given nothing else."""
    return [Role.USER.value]


# An index and a search meet only if they are about the same expression.
USER_WORDS: Final = IndexedWords("username", "full_name", "email")


class UserQuerySet(models.QuerySet["User"]):
    """Selections of people."""

    def search(self, text: str) -> Self:
        """People in whose names or address words begin with every word of ``text``."""
        query = beginnings(text)
        return self.alias(words=USER_WORDS).filter(words=query) if query else self.none()

    def with_role(self, role: str) -> Self:
        """Those who have a role, the strongest or not."""
        return self.filter(roles__contains=[role])

    def admins(self) -> Self:
        """Those on whom one can rely: a deactivated administrator is none."""
        return self.with_role(Role.ADMIN.value).filter(is_active=True)


class UserManager(BaseUserManager["User"]):
    """Users are made by teams.services.provision_user alone, so there is no create_user here."""

    def get_queryset(self) -> UserQuerySet:
        """With the selections of people."""
        return UserQuerySet(self.model, using=self._db)

    def search(self, text: str) -> UserQuerySet:
        """As UserQuerySet.search()."""
        return self.get_queryset().search(text)

    def admins(self) -> UserQuerySet:
        """As UserQuerySet.admins()."""
        return self.get_queryset().admins()

    def get_by_natural_key(self, username: str | None) -> "User":
        """Names are unique whatever their case, so signing in does not ask for it either."""
        return self.annotate(lower_name=Lower("username")).get(lower_name=(username or "").lower())


class User(AbstractBaseUser, Limited, Synced):
    """A person. The id is also LiteLLM's ``user_id``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField(blank=True)
    # Typed by an administrator, or confirmed by the provider: only such an address may link an account to a provider.
    email_verified = models.BooleanField(default=False, editable=False)
    full_name = models.CharField(max_length=FULL_NAME_LENGTH, blank=True)
    # What counts: both sources together (rbac.effective_roles). Kept apart, so that leaving a group takes a role away
    # that the provider gave, and none that was given by hand.
    roles = ArrayField(models.CharField(max_length=20, choices=Role), default=default_roles)
    hand_roles = ArrayField(models.CharField(max_length=20, choices=Role), default=list, blank=True)
    provider_roles = ArrayField(models.CharField(max_length=20, choices=Role), default=list, blank=True, editable=False)
    # "" is whatever the browser asks for, and UTC.
    language = models.CharField(max_length=LANGUAGE_LENGTH, blank=True, default="")
    time_zone = models.CharField(max_length=TIME_ZONE_LENGTH, blank=True, default="")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"

    class Meta(Limited.Meta, Synced.Meta):
        abstract = False
        constraints = (
            *Limited.Meta.constraints,
            models.CheckConstraint(condition=Q(roles__contained_by=list(Role.values)), name="user_roles_known"),
            models.CheckConstraint(condition=Q(roles__len__gt=0), name="user_has_a_role"),
            models.CheckConstraint(
                condition=Q(hand_roles__contained_by=list(Role.values))
                & Q(provider_roles__contained_by=list(Role.values)),
                name="user_role_sources_known",
            ),
            models.UniqueConstraint(Lower("username"), name="user_username_once", violation_error_code="unique"),
        )
        indexes = (*Synced.Meta.indexes, GinIndex(USER_WORDS, name="user_words"))

    def __str__(self) -> str:
        return self.username

    @property
    def owner_id(self) -> uuid.UUID:
        """A person owns the own account (rbac asks every object this)."""
        return self.id

    @property
    def display_name(self) -> str:
        """What to call somebody on a page."""
        return self.full_name or self.username


class Identity(models.Model):
    """How a provider knows a person: its issuer and its own id for the person, which never changes (OIDC Core, 2)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    provider = models.CharField(max_length=40)
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    last_sign_in_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["issuer", "subject"], name="identity_once"),)

    def __str__(self) -> str:
        return f"{self.provider}: {self.subject}"


class ProviderDocument(models.Model):
    """The last good copy of what a provider publishes about itself: its endpoints, its public keys.

    In the database, so that every process has it, also one that starts while the provider is away.
    """

    url = models.CharField(max_length=600, primary_key=True)
    body = models.JSONField()
    fetched_at = models.DateTimeField()
    tried_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.url


class AuditWords(IndexedWords):
    """Those of the audit log; its migration knows them by this name."""


AUDIT_WORDS: Final = AuditWords("actor_name", "target_name", "action")


# What the audit log says about the integration: whole categories, and of keys that they were adopted. Few of many.
OF_THE_INTEGRATION: Final = Q(category__in=("drift", "models", "push", "sync")) | Q(action="apikey.adopted")


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    """Selections of the audit log."""

    def search(self, text: str) -> Self:
        """Entries in whose names or action words begin with every word of ``text``."""
        query = beginnings(text)
        return self.alias(words=AUDIT_WORDS).filter(words=query) if query else self.none()

    def about(self, user: User) -> Self:
        """What a person did and what was done to the person."""
        return self.filter(Q(actor_id=user.id) | Q(target_type="user", target_id=str(user.id)))


class TransactionId(models.Func):
    """The number of the running transaction: it never returns, and PostgreSQL says which are still running."""

    template = "pg_current_xact_id()::text::bigint"
    allowed_default = True
    output_field = models.BigIntegerField()


class AuditEvent(models.Model):
    """Who did what to what, when and from where. Triggers refuse UPDATE, DELETE and TRUNCATE.

    Actor and target are copied as id and name: what happened stays readable when they are gone.
    """

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    category = models.CharField(max_length=30)
    target_type = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=255, blank=True)
    target_name = models.CharField(max_length=255, blank=True)
    details = models.JSONField(default=dict)
    success = models.BooleanField(default=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=64, blank=True)
    # What the actor came with, as kind/id: a session, the sign-in of an access token, a personal access token. The
    # database has a default, because processes of the version before write too while an upgrade goes on.
    credential = models.CharField(max_length=64, blank=True, default="", db_default="")
    # Ids are given out before transactions end, so a lower one may show up later; by this the sealer knows what is
    # complete (accounts/audit_seal.py). A trigger writes it, whatever the statement says.
    transaction = models.BigIntegerField(db_default=TransactionId(), editable=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["actor_id", "-id"], name="audit_actor"),
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_target"),
            models.Index(fields=["action", "-id"], name="audit_action"),
            models.Index(fields=["credential", "-id"], name="audit_credential", condition=~Q(credential="")),
            GinIndex(fields=["details"], name="audit_details"),
            GinIndex(AUDIT_WORDS, name="audit_words"),
            models.Index(fields=["transaction", "id"], name="audit_transaction"),
            models.Index(fields=["-id"], name="audit_integration", condition=OF_THE_INTEGRATION),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor_name} {self.action} {self.target_name}"


class AuditSeal(models.Model):
    """A stretch of the audit log, closed: who changes it afterwards breaks the chain. accounts/audit_seal.py says how.

    Triggers keep it as they keep the log itself.
    """

    number = models.BigIntegerField(primary_key=True)
    # Which columns of an entry went into it (audit_seal.COLUMNS).
    version = models.SmallIntegerField(default=1, db_default=1)
    sealed_at = models.DateTimeField()
    # The entries of this seal lie behind the ids up to here, which belong to an older database (audit_seal.Era).
    after_id = models.BigIntegerField()
    last_transaction = models.BigIntegerField()
    last_id = models.BigIntegerField()
    highest_id = models.BigIntegerField()
    count = models.IntegerField()
    # Of each entry its id (8 bytes) and its link of the chain (32 bytes).
    links = models.BinaryField()
    seal = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.number}:{bytes(self.seal).hex()}"


class RefreshFamily(models.Model):
    """All refresh tokens that came from one sign-in; ``current`` is the id (jti) of the only one that is good."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="refresh_families")
    current = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True)
    agent = models.CharField(max_length=AGENT_LENGTH, blank=True)
    address = models.CharField(max_length=ADDRESS_LENGTH, blank=True)

    def __str__(self) -> str:
        return f"{self.user_id} {self.id}"


class FailedSignIn(models.Model):
    """One wrong password; counting them limits guessing, across all processes."""

    account = models.CharField(max_length=150)
    address = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = (
            models.Index(fields=["account", "at"], name="failed_account"),
            models.Index(fields=["address", "at"], name="failed_address"),
        )

    def __str__(self) -> str:
        return f"{self.account} from {self.address}"
