"""The only way into the audit log."""

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from django.contrib.auth.models import AnonymousUser
from django.db import models

from accounts.models import AuditEvent, User
from litemaas.foundation import logs

SYSTEM = "system"


class Action(enum.StrEnum):
    """``noun.past_participle``, sorted; the part before the dot is the category."""

    APIKEY_ADOPTED = "apikey.adopted"
    APIKEY_BLOCKED = "apikey.blocked"
    APIKEY_BULK_PLANNED = "apikey.bulk_planned"
    APIKEY_BULK_STARTED = "apikey.bulk_started"
    APIKEY_BULK_STOPPED = "apikey.bulk_stopped"
    APIKEY_CREATED = "apikey.created"
    APIKEY_DELETED = "apikey.deleted"
    APIKEY_GRACE_PROLONGED = "apikey.grace_prolonged"
    APIKEY_OLD_SECRET_ENDED = "apikey.old_secret_ended"  # noqa: S105 -- the name of an action
    APIKEY_REFUSED = "apikey.refused"
    APIKEY_REVOKED = "apikey.revoked"
    APIKEY_ROTATED = "apikey.rotated"
    APIKEY_SPEND_RESET = "apikey.spend_reset"
    APIKEY_UNBLOCKED = "apikey.unblocked"
    APIKEY_UPDATED = "apikey.updated"
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_VERIFIED = "audit.verified"
    DRIFT_BLOCKED = "drift.blocked"
    DRIFT_MENDED = "drift.mended"
    DRIFT_UNBLOCKED = "drift.unblocked"
    IDENTITY_LINKED = "identity.linked"
    IDENTITY_UNLINKED = "identity.unlinked"
    KEY_POLICY_CHANGED = "key_policy.changed"
    MEMBERSHIP_ADDED = "membership.added"
    MEMBERSHIP_REMOVED = "membership.removed"
    MODEL_CHANGED = "model.changed"
    MODELS_DISAPPEARANCE_CONFIRMED = "models.disappearance_confirmed"
    MODELS_SYNCED = "models.synced"
    PROFILE_CHANGED = "profile.changed"
    PUSH_FORCED = "push.forced"
    PUSH_RETRIED = "push.retried"
    SESSION_ENDED = "session.ended"
    SIGN_IN_FAILED = "sign_in.failed"
    SIGN_IN_SUCCEEDED = "sign_in.succeeded"
    SIGN_OUT_SUCCEEDED = "sign_out.succeeded"
    SUBSCRIPTION_APPROVED = "subscription.approved"
    SUBSCRIPTION_CANCELLED = "subscription.cancelled"
    SUBSCRIPTION_CREATED = "subscription.created"
    SUBSCRIPTION_DENIED = "subscription.denied"
    SUBSCRIPTION_REVIEW_REQUESTED = "subscription.review_requested"
    SYNC_REQUESTED = "sync.requested"
    SYNC_SCHEDULED = "sync.scheduled"
    TEAM_CREATED = "team.created"
    TOKEN_CREATED = "token.created"  # noqa: S105 -- the name of an action
    TOKEN_REFUSED = "token.refused"  # noqa: S105 -- the name of an action
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 -- the name of an action
    USER_CREATED = "user.created"
    USER_DEACTIVATED = "user.deactivated"
    USER_EMAIL_CHANGED = "user.email_changed"
    USER_LIMITS_CHANGED = "user.limits_changed"
    USER_OFFBOARDED = "user.offboarded"
    USER_REACTIVATED = "user.reactivated"
    USER_ROLES_CHANGED = "user.roles_changed"


def record(
    actor: User | AnonymousUser | None,
    action: Action,
    target: models.Model | None = None,
    *,
    success: bool = True,
    actor_name: str = "",
    **details: Any,
) -> AuditEvent:
    """Write one entry, in the caller's transaction. ``details`` must be JSON and hold no secret.

    ``actor`` None is the system itself. Request id, address and credential come from the request that is being served,
    if any.
    """
    event = _entry(actor, action, target, details, success=success, actor_name=actor_name)
    event.save(force_insert=True)
    return event


def record_many(
    actor: User | None, action: Action, targets: Iterable[tuple[models.Model, Mapping[str, Any]]]
) -> list[AuditEvent]:
    """One entry for each target with its details, however many there are, in one statement."""
    return AuditEvent.objects.bulk_create(_entry(actor, action, target, details) for target, details in targets)


def _entry(
    actor: User | AnonymousUser | None,
    action: Action,
    target: models.Model | None,
    details: Mapping[str, Any],
    *,
    success: bool = True,
    actor_name: str = "",
) -> AuditEvent:
    context = structlog.contextvars.get_contextvars()
    known = actor if isinstance(actor, User) else None
    return AuditEvent(
        actor_id=known.id if known else None,
        actor_name=known.username if known else actor_name or SYSTEM,
        action=action.value,
        category=action.value.partition(".")[0],
        target_type=target._meta.model_name or "" if target else "",
        target_id=str(target.pk) if target else "",
        target_name=str(target)[:255] if target else "",
        details=dict(details),
        success=success,
        request_id=str(context.get("request_id", ""))[:64],
        address=str(context.get("address", ""))[:64],
        credential=logs.credential()[:64],
    )
