"""Off-boarding: everything by which somebody could go on using models, ended in one transaction."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import audit, identities, rbac
from accounts.identities import locked_person
from accounts.models import AuditEvent, PersonalToken, Role, User
from accounts.people import LONGEST_REASON, deactivate_user, require_dispensable
from accounts.personal_tokens import count_personal_tokens, revoke_personal_tokens
from accounts.sessions import count_sign_ins, end_all_sign_ins
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from litellm_sync import state
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import NotFound
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Subscription, SubscriptionStatus
from teams.models import DEFAULT_TEAM_ID, Membership
from teams.services import remove_memberships

# The names of keys and of tokens that an entry of the audit log holds; each has an entry of its own besides.
NAMED: Final = 50
# What its owner could cancel too. A denial and a suspension are decisions: off-boarding does not wash them off.
CANCELLED: Final = Q(status__in=(SubscriptionStatus.ACTIVE, SubscriptionStatus.EXPIRED)) | Q(
    status=SubscriptionStatus.PENDING, reason=""
)


@dataclass(frozen=True)
class Steps:
    """What off-boarding does, or has done: how many tokens and keys, with the names of the first ones."""

    deactivate: bool = False
    sign_ins: int = 0
    tokens: int = 0
    token_names: list[str] = field(default_factory=list)
    keys: int = 0
    key_names: list[str] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)

    @classmethod
    def recorded(cls, details: Mapping[str, Any]) -> Self:
        """Those of an entry in the audit log, which may be older than some of the fields."""
        return cls(**{name: details[name] for name in cls.__dataclass_fields__ if name in details})

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not any(asdict(self).values())


@dataclass(frozen=True)
class Waiting:
    """What LiteLLM has not heard of yet, and what it refuses."""

    keys: int
    person: int
    failed: int

    @property
    def is_nothing(self) -> bool:
        """Whether LiteLLM agrees with everything."""
        return not any(asdict(self).values())


@dataclass(frozen=True)
class Offboarding:
    """The answer of a dry run, or of the deed itself."""

    user: str
    dry_run: bool
    done: Steps
    waiting: Waiting


def plan_offboarding(actor: User, *, user_id: UUID | str) -> Offboarding:
    """What off-boarding would do at this moment; changes nothing. Raises NotFound, Conflict as the deed would."""
    rbac.require(actor, rbac.Permission.USERS_OFFBOARD)
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound
    with transaction.atomic():
        require_dispensable(actor, user)
        return Offboarding(str(user.pk), dry_run=True, done=steps_left(user), waiting=waiting(user))


def offboard_user(actor: User, *, user_id: UUID | str, reason: str = "") -> Offboarding:
    """Deactivate somebody, end all sign-ins, revoke all keys and access tokens for ever, cancel subscriptions, remove
    memberships but that of the default team, take away roles. Everything that exists in LiteLLM follows by its pushes.

    All of it or nothing; again does what has come up since. Raises NotFound, Conflict (own_account, last_admin).
    """
    rbac.require(actor, rbac.Permission.USERS_OFFBOARD)
    words = sanitize_string(reason, max_length=LONGEST_REASON)
    with transaction.atomic():
        user = locked_person(user_id)
        require_dispensable(actor, user)
        steps = steps_left(user)
        if not steps.is_nothing:
            _carry_out(actor, user, words)
            audit.record(actor, audit.Action.USER_OFFBOARDED, user, reason=words, **asdict(steps))
    return Offboarding(str(user.pk), dry_run=False, done=steps, waiting=waiting(user))


def steps_left(user: User) -> Steps:
    """What there is to do, read from the same rows that the deed changes."""
    keys = _keys(user)
    return Steps(
        deactivate=user.is_active,
        sign_ins=count_sign_ins(user),
        tokens=count_personal_tokens(user),
        token_names=list(_tokens(user).order_by("created_at", "pk").values_list("name", flat=True)[:NAMED]),
        keys=keys.count(),
        key_names=list(keys.order_by("created_at", "pk").values_list("name", flat=True)[:NAMED]),
        subscriptions=list(_subscriptions(user).order_by("model").values_list("model_id", flat=True)),
        teams=[membership.team.name for membership in _memberships(user)],
        roles=[role for role in user.roles if role != Role.USER],
    )


def waiting(user: User) -> Waiting:
    """What of the person LiteLLM does not agree with yet."""
    secrets = ApiKeySecret.objects.filter(key__user=user)
    mine = User.objects.filter(pk=user.pk)
    return Waiting(
        keys=secrets.filter(sync_status=SyncStatus.PENDING).values("key").distinct().count(),
        person=mine.filter(sync_status=SyncStatus.PENDING).count(),
        failed=sum(rows.filter(sync_status=SyncStatus.FAILED).count() for rows in (secrets, mine)),
    )


def last_offboarding(user: User) -> AuditEvent | None:
    """The newest entry of the audit log about it; None for whoever came back since, or was never off-boarded."""
    about = AuditEvent.objects.filter(target_type="user", target_id=str(user.pk))
    turns = (audit.Action.USER_OFFBOARDED.value, audit.Action.USER_REACTIVATED.value)
    newest = about.filter(action__in=turns).first()
    return newest if newest is not None and newest.action == audit.Action.USER_OFFBOARDED else None


# --- The deed --------------------------------------------------------------------------------------------------------


def _carry_out(actor: User, user: User, reason: str) -> None:
    # Before the deactivation, which would ask for a push of each key that is still alive.
    _revoke(actor, user)
    deactivate_user(actor, user_id=user.pk, reason=reason)
    end_all_sign_ins(actor, user)
    revoke_personal_tokens(actor, user)
    _cancel(actor, user)
    remove_memberships(actor, user, _memberships(user))
    identities.take_all_roles(actor, user)


def _revoke(actor: User, user: User) -> None:
    """Thousands of keys are a few statements: a verb for each would take minutes."""
    keys = list(_keys(user).only("pk", "name"))
    ids = [key.pk for key in keys]
    ApiKey.objects.filter(pk__in=ids).update(status=KeyStatus.REVOKED, revoked_at=timezone.now())
    audit.record_many(actor, audit.Action.APIKEY_REVOKED, [(key, {"offboarding": True}) for key in keys])
    secrets = ApiKeySecret.objects.filter(key__in=ids)
    state.request_pushes(ApiKeySecret, secrets.values_list("pk", flat=True))


def _cancel(actor: User, user: User) -> None:
    rows = list(_subscriptions(user).select_related("user"))
    details = [(row, {"model": row.model_id, "offboarding": True}) for row in rows]
    audit.record_many(actor, audit.Action.SUBSCRIPTION_CANCELLED, details)
    Subscription.objects.filter(pk__in=[row.pk for row in rows]).delete()


def _keys(user: User) -> QuerySet[ApiKey]:
    """Expired ones too: their owner could move the expiry."""
    return ApiKey.objects.filter(user=user, deleted_at=None).exclude(status=KeyStatus.REVOKED)


def _tokens(user: User) -> QuerySet[PersonalToken]:
    return PersonalToken.objects.alive(timezone.now()).filter(user=user)


def _subscriptions(user: User) -> QuerySet[Subscription]:
    return Subscription.objects.filter(CANCELLED, user=user)


def _memberships(user: User) -> list[Membership]:
    return list(Membership.objects.filter(user=user).exclude(team=DEFAULT_TEAM_ID).select_related("team", "user"))
