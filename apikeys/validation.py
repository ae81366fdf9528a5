"""Whether a key may be used now, for gateways and services: the one place that answers without asking LiteLLM.

The order is that of a call: the key itself, its owner, the model, budgets, the quota of the subscription, the team.
"""

import enum
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.contrib.postgres.aggregates import BoolOr
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connection, models, transaction
from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, Subquery
from django.utils import timezone

from accounts import audit, rbac
from accounts.models import User
from accounts.ways_in import NOTED_EVERY
from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyStatus
from litemaas.foundation import crypto, rate_limits, validators
from subscriptions.models import Subscription


class Code(enum.StrEnum):
    """What is said of a key; the first that applies."""

    OK = "ok"
    UNKNOWN_KEY = "unknown_key"
    REVOKED = "revoked"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    USER_INACTIVE = "user_inactive"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    BUDGET_EXCEEDED = "budget_exceeded"
    QUOTA_EXCEEDED = "quota_exceeded"
    TEAM_LIMIT = "team_limit"


# Somebody goes on with a key that has ended: that is worth an entry of the audit log, once an hour for each key.
ENDED: Final = frozenset({Code.REVOKED, Code.EXPIRED, Code.BLOCKED, Code.USER_INACTIVE})
# Whoever holds a row notes the same use: nobody waits. Not FOR UPDATE, which would meet the lock of a new reference.
NOTE_USE: Final = """
    WITH noted AS (
        UPDATE apikeys_apikey SET last_used_at = %(now)s WHERE id =
        (SELECT id FROM apikeys_apikey WHERE id = %(key)s AND (last_used_at IS NULL OR last_used_at <= %(before)s)
         FOR NO KEY UPDATE SKIP LOCKED)
    )
    UPDATE apikeys_apikeysecret SET last_used_at = %(now)s WHERE id =
    (SELECT id FROM apikeys_apikeysecret WHERE id = %(secret)s AND (last_used_at IS NULL OR last_used_at <= %(before)s)
     FOR NO KEY UPDATE SKIP LOCKED)
"""


class Purse(NamedTuple):
    """A budget as far as it is spent, in USD; LiteLLM fills it again at ``resets_at``."""

    max_budget: Decimal | None
    spend: Decimal | None
    resets_at: datetime | None

    def left(self, now: datetime) -> Decimal | None:
        """What may still be spent, never less than nothing; None where there is no budget."""
        if self.max_budget is None:
            return None
        is_new = self.resets_at is not None and self.resets_at <= now
        return max(Decimal(0), self.max_budget - (Decimal(0) if is_new else self.spend or Decimal(0)))


@dataclass(frozen=True, slots=True)
class Found:
    """A secret with everything that decides about it, as one statement reads it."""

    secret_id: int
    valid_until: datetime | None
    secret_used_at: datetime | None
    key_id: UUID
    name: str
    status: str
    expires_at: datetime | None
    deleted_at: datetime | None
    last_used_at: datetime | None
    user_id: UUID
    team_id: UUID
    is_owner_active: bool
    tpm_limit: int | None
    rpm_limit: int | None
    max_parallel_requests: int | None
    model_limits: dict[str, dict[str, int]]
    key: Purse
    user: Purse
    team: Purse
    member: Purse
    # Whether a model that the key may use has something left of its quota; None where it may use none.
    has_quota: bool | None


@dataclass(frozen=True)
class Verdict:
    """What is said of a key. ``stopped_by`` is whose limit it is: key, user, subscription, member or team."""

    code: Code
    stopped_by: str | None = None
    api_key: UUID | None = None
    user: UUID | None = None
    team: UUID | None = None
    limits: dict[str, Any] | None = None

    @property
    def valid(self) -> bool:
        """Whether a call may be made with it."""
        return self.code is Code.OK


UNKNOWN: Final = Verdict(Code.UNKNOWN_KEY)


def validate_api_key(actor: User, *, key: str, model: str | None = None) -> Verdict:
    """What is to be said of a secret, for one model or, without it, for whatever its key may use.

    Gateways and administrators ask about any key, others about their own: of somebody else's they learn nothing.
    Two statements, and two more when a use is noted or the refusal of an ended key is recorded.
    Raises RateLimited (validations, validations_key, validations_team; validations_own).
    """
    rbac.require(actor, rbac.Permission.APIKEYS_VALIDATE)
    is_any = rbac.scope(actor, rbac.Permission.APIKEYS_VALIDATE) is rbac.Scope.ALL
    now, found = timezone.now(), _look_up(key, model)
    if found is None or found.deleted_at or not (is_any or found.user_id == actor.pk):
        rate_limits.spend("validations" if is_any else "validations_own", actor.pk)
        return UNKNOWN
    rate_limits.spend_all(_counted(actor, found) if is_any else {"validations_own": actor.pk})
    code, stopped_by = _judge(found, now)
    if code is Code.OK:
        _note_use(found, now)
    elif code in ENDED:
        _note_refusal(actor, found, code)
    return Verdict(code, stopped_by, found.key_id, found.user_id, found.team_id, _limits(found, model, now))


def _counted(actor: User, found: Found) -> dict[str, Any]:
    """Of gateways alone: whoever asks about the own keys must not use up what a gateway may ask about a team's."""
    return {"validations": actor.pk, "validations_key": found.key_id, "validations_team": found.team_id}


# --- Looking ---------------------------------------------------------------------------------------------------------


DIGEST: Final = "-the digest-"
MODEL: Final = "-the model-"
PURSE: Final = ("max_budget", "spend", "budget_resets_at")
COLUMNS: Final = (
    *("id", "valid_until", "last_used_at"),
    *("key_id", "key__name", "key__status", "key__expires_at", "key__deleted_at", "key__last_used_at"),
    *("key__user_id", "key__team_id", "key__user__is_active"),
    *("key__tpm_limit", "key__rpm_limit", "key__max_parallel_requests", "key__model_limits"),
    *(f"{whose}__{name}" for whose in ("key", "key__user", "key__team", "member") for name in PURSE),
    "has_quota",
)
LIMITS_AT: Final = COLUMNS.index("key__model_limits")
PURSES_AT: Final = LIMITS_AT + 1


def _question(model: str | None) -> "models.QuerySet[ApiKeySecret, Any]":
    """What decides about a secret; the models are those that LiteLLM is sent."""
    links = KeyModel.objects.filter(key=OuterRef("key")).effective()
    usable = links if model is None else links.filter(model=model)
    theirs = Subscription.objects.within_quota().filter(user=OuterRef("key__user"), model=OuterRef("model"))
    mine = Q(key__team__memberships__user=F("key__user"))
    has_quota = usable.order_by().values("key").annotate(some=BoolOr(Exists(theirs))).values("some")
    rows = ApiKeySecret.objects.filter(digest=DIGEST).annotate(
        member=FilteredRelation("key__team__memberships", condition=mine), has_quota=Subquery(has_quota)
    )
    return rows.order_by().values_list(*COLUMNS)


@cache
def _statement(*, with_model: bool) -> tuple[str, tuple[Any, ...]]:
    """The question in SQL, written once: writing it anew takes longer than PostgreSQL takes to answer it."""
    sql, params = _question(MODEL if with_model else None).query.sql_with_params()
    if any(isinstance(value, datetime) for value in params):
        # It would be the moment of the first question for ever, and an end that comes later would never be seen.
        raise ImproperlyConfigured("A selection that validation uses compares with Python's clock: use Now().")
    return sql, params


def _look_up(secret: str, model: str | None) -> Found | None:
    """By its digest, which an index finds; a typing error costs no statement."""
    if not crypto.may_be_a_secret(secret):
        return None
    sql, params = _statement(with_model=model is not None)
    given = {DIGEST: crypto.secret_digest(secret), MODEL: _askable(model)}
    with connection.cursor() as cursor:
        cursor.execute(sql, [given.get(value, value) if isinstance(value, str) else value for value in params])
        row = cursor.fetchone()
    return _found(row) if row else None


def _askable(model: str | None) -> str:
    """What cannot be the name of a model is that of none."""
    try:
        validators.validate_model_id(model or "")
    except ValidationError:
        return ""
    return model or ""


def _found(row: tuple[Any, ...]) -> Found:
    limits: Any = row[LIMITS_AT]
    purses = [Purse(*row[at : at + len(PURSE)]) for at in range(PURSES_AT, len(row) - 1, len(PURSE))]
    model_limits = json.loads(limits) if isinstance(limits, str) else limits
    values: list[Any] = [*row[:LIMITS_AT], model_limits, *purses, row[-1]]
    return Found(*values)


# --- Judging ---------------------------------------------------------------------------------------------------------


def _judge(found: Found, now: datetime) -> tuple[Code, str | None]:
    if (ended := _ended(found, now)) is not None:
        return ended, None
    if found.has_quota is None:
        return Code.MODEL_NOT_ALLOWED, None
    for whose, purse in (("key", found.key), ("user", found.user)):
        if purse.left(now) == 0:
            return Code.BUDGET_EXCEEDED, whose
    if not found.has_quota:
        return Code.QUOTA_EXCEEDED, "subscription"
    for whose, purse in (("member", found.member), ("team", found.team)):
        if purse.left(now) == 0:
            return Code.TEAM_LIMIT, whose
    return Code.OK, None


def _ended(found: Found, now: datetime) -> Code | None:
    """As the portal shows it: a key that is blocked and has expired is an expired one."""
    if found.status == KeyStatus.REVOKED:
        return Code.REVOKED
    if any(end is not None and end <= now for end in (found.valid_until, found.expires_at)):
        return Code.EXPIRED
    if found.status != KeyStatus.ACTIVE:
        return Code.BLOCKED
    return None if found.is_owner_active else Code.USER_INACTIVE


def _limits(found: Found, model: str | None, now: datetime) -> dict[str, Any]:
    """The key's own, and the smaller of what key and owner may still spend. A team's figures are not its members'."""
    ends = [end for end in (found.valid_until, found.expires_at) if end is not None]
    left = [purse.left(now) for purse in (found.key, found.user)]
    shown = found.model_limits if model is None else {model: found.model_limits.get(model, {})}
    return {
        "max_budget": found.key.max_budget,
        "spend": found.key.spend,
        "budget_resets_at": found.key.resets_at,
        "remaining_budget": min((amount for amount in left if amount is not None), default=None),
        "tpm_limit": found.tpm_limit,
        "rpm_limit": found.rpm_limit,
        "max_parallel_requests": found.max_parallel_requests,
        "model_limits": {name: figures for name, figures in shown.items() if figures},
        "expires_at": min(ends, default=None),
    }


# --- Noting ----------------------------------------------------------------------------------------------------------


def _note_use(found: Found, now: datetime) -> None:
    """Of the key and of this secret of it: once a minute at most, and never behind somebody who holds the row."""
    before = now - NOTED_EVERY
    if any(used is None or used <= before for used in (found.last_used_at, found.secret_used_at)):
        about: dict[str, Any] = {"now": now, "before": before, "key": found.key_id, "secret": found.secret_id}
        with connection.cursor() as cursor:
            cursor.execute(NOTE_USE, about)


def _note_refusal(actor: User, found: Found, code: Code) -> None:
    """In the key's history, where its owner sees that something still uses it."""
    if rate_limits.allows("validation_refusals_recorded", f"{found.key_id} {code.value}"):
        about = ApiKey(id=found.key_id, name=found.name)
        with transaction.atomic():
            audit.record(actor, audit.Action.APIKEY_REFUSED, about, success=False, reason=code.value)
