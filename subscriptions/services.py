"""The verbs about subscriptions and the catalogue: subscribe, cancel, decide, ask again, restrict a model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from litellm_sync import state
from litemaas.foundation import rate_limits
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Model, Subscription, SubscriptionStatus

LONGEST_WORDS = 1000
APPROVE: Final = "approve"
DENY: Final = "deny"


@dataclass(frozen=True)
class Decision:
    """What became of one subscription of many; ``code`` is ``ok`` or that of the error, ``message`` its words."""

    id: str
    ok: bool
    code: str = "ok"
    message: str = ""


def create_subscription(actor: User, *, model: str, justification: str = "") -> Subscription:
    """Subscribe to a model: active at once, or pending where the model is restricted.

    Raises Invalid for a model that does not exist or is not available, Conflict (already_subscribed) the second time,
    RateLimited (subscription_requests).
    """
    rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_CREATE)
    wanted = Model.objects.filter(pk=model).first()
    if wanted is None:
        raise Invalid(_("There is no model “%(model)s”.") % {"model": model}, code="unknown_model", field="model")
    if not wanted.is_available:
        message = _("“%(model)s” is not available at the moment.") % {"model": model}
        raise Invalid(message, code="model_unavailable", field="model")
    if wanted.restricted:  # each is work for somebody
        rate_limits.spend("subscription_requests", actor.pk)
    words = sanitize_string(justification, max_length=LONGEST_WORDS, multiline=True)
    status = SubscriptionStatus.PENDING if wanted.restricted else SubscriptionStatus.ACTIVE
    try:
        with transaction.atomic():
            rbac.require_still(actor, rbac.Permission.SUBSCRIPTIONS_CREATE)
            subscription: Subscription = Subscription.objects.create(
                user=actor, model=wanted, status=status, justification=words
            )
            audit.record(actor, audit.Action.SUBSCRIPTION_CREATED, subscription, model=model, status=status.value)
            state.request_push(subscription, immediately=False)
    except IntegrityError as error:
        message = _("You have subscribed to “%(model)s” already.") % {"model": model}
        raise Conflict(message, code="already_subscribed", field="model") from error
    return subscription


def cancel_subscription(actor: User, *, subscription_id: UUID | str) -> None:
    """Remove a subscription completely.

    Raises Conflict (active_keys_exist, with ``api_keys``) while keys depend on it, and (not_cancellable) for one that
    was denied or suspended: cancelling must not wash that off. The lock keeps a key from being made meanwhile.
    """
    with transaction.atomic():
        mine = Subscription.objects.visible_to(actor).select_for_update(of=("self",)).select_related("model", "user")
        subscription = mine.filter(pk=subscription_id).first()
        if subscription is None:
            raise NotFound
        rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_CANCEL, subscription)
        if not subscription.is_cancellable:
            message = _("A subscription that was denied or suspended cannot be cancelled.")
            raise Conflict(message, code="not_cancellable", status=subscription.status)
        _refuse_while_keys_depend(subscription)
        facts: dict[str, Any] = {"model": subscription.model_id, "old": subscription.status}
        audit.record(actor, audit.Action.SUBSCRIPTION_CANCELLED, subscription, **facts)
        subscription.delete()


def _refuse_while_keys_depend(subscription: Subscription) -> None:
    """The links of keys to models are data that the upper app hangs onto the model: a reverse relation, no import."""
    links = subscription.model.key_links.filter(key__user=subscription.user_id).alive()
    keys = [{"id": str(pk), "name": name} for pk, name in links.values_list("key_id", "key__name")]
    if keys:
        names = ", ".join(key["name"] for key in keys)
        message = _("These keys still use the model: %(names)s. Revoke them or take the model off them first.")
        raise Conflict(message % {"names": names}, code="active_keys_exist", api_keys=keys)


# --- Decisions -------------------------------------------------------------------------------------------------------


def approve_subscription(actor: User, *, subscription_id: UUID | str, reason: str = "") -> Subscription:
    """Let somebody use the model from now on. The reason, which may be empty, is shown to the person.

    Raises NotFound, and Conflict (already_decided) for one that is not pending, with its present ``status``.
    """
    rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_APPROVE)
    return _decide(actor, subscription_id, SubscriptionStatus.ACTIVE, reason)


def deny_subscription(actor: User, *, subscription_id: UUID | str, reason: str) -> Subscription:
    """Refuse, with the reason that the person reads.

    Raises Invalid (reason_required) without one, NotFound, and Conflict (already_decided) for one that is not pending.
    """
    rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_APPROVE)
    _require_words(reason)
    return _decide(actor, subscription_id, SubscriptionStatus.DENIED, reason)


def decide_subscriptions(actor: User, *, ids: Iterable[UUID | str], action: str, reason: str) -> list[Decision]:
    """Approve or deny many, each by itself: what one of them meets does not touch the others.

    ``action`` is ``approve`` or ``deny``. Raises Invalid (unknown_action; reason_required for denying without one)
    before anything is decided.
    """
    rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_APPROVE)
    verbs = {APPROVE: approve_subscription, DENY: deny_subscription}
    if action not in verbs:
        raise Invalid(_("Subscriptions can be approved or denied."), code="unknown_action", field="action")
    if action == DENY:
        _require_words(reason)
    rate_limits.spend("bulk_decisions", actor.pk)
    return [_decision(one, partial(verbs[action], actor, reason=reason)) for one in dict.fromkeys(map(str, ids))]


def _decision(subscription_id: str, verb: Callable[..., Subscription]) -> Decision:
    try:
        verb(subscription_id=subscription_id)
    except DomainError as error:
        return Decision(subscription_id, ok=False, code=error.code, message=str(error.message))
    return Decision(subscription_id, ok=True)


def _require_words(reason: str) -> None:
    if not sanitize_string(reason, max_length=LONGEST_WORDS, multiline=True):
        message = _("Say why: the person will read it.")
        raise Invalid(message, code="reason_required", field="reason")


def _decide(actor: User, subscription_id: UUID | str, new: SubscriptionStatus, reason: str) -> Subscription:
    """Of two who decide at once the second one finds nothing pending any more."""
    words = sanitize_string(reason, max_length=LONGEST_WORDS, multiline=True)
    old = SubscriptionStatus.PENDING
    with transaction.atomic():
        moved = Subscription.objects.filter(pk=subscription_id, status=old).update(status=new, reason=words)
        subscription = Subscription.objects.select_related("model", "user").filter(pk=subscription_id).first()
        if subscription is None:
            raise NotFound
        if not moved:
            message = _("“%(model)s” for %(person)s was decided meanwhile: %(status)s.")
            names = {"model": subscription.model_id, "person": subscription.user.display_name}
            raise Conflict(
                message % {**names, "status": subscription.get_status_display()},
                code="already_decided",
                status=subscription.status,
            )
        approved, denied = audit.Action.SUBSCRIPTION_APPROVED, audit.Action.SUBSCRIPTION_DENIED
        action = approved if new == SubscriptionStatus.ACTIVE else denied
        facts: dict[str, Any] = {"model": subscription.model_id, "old": old.value, "new": new.value}
        audit.record(actor, action, subscription, **facts, reason=words)
        # Keys that have had the model get it back, or lose what they should not have.
        state.request_push(subscription, immediately=False)
    return subscription


def request_review(actor: User, *, subscription_id: UUID | str, message: str) -> Subscription:
    """Ask again after a denial; the reason of the denial stays until it is decided anew.

    Raises NotFound, PermissionDenied for somebody else's, Invalid (message_required), and Conflict (not_denied).
    """
    rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_CREATE)
    rate_limits.spend("subscription_requests", actor.pk)
    words = sanitize_string(message, max_length=LONGEST_WORDS, multiline=True)
    old, new = SubscriptionStatus.DENIED, SubscriptionStatus.PENDING
    with transaction.atomic():
        rbac.require_still(actor, rbac.Permission.SUBSCRIPTIONS_CREATE)
        rows = Subscription.objects.visible_to(actor).filter(pk=subscription_id)
        subscription = rows.select_related("model", "user").select_for_update(of=("self",)).first()
        if subscription is None:
            raise NotFound
        if subscription.owner_id != actor.pk:
            raise PermissionDenied(_("Only the person who was denied can ask again."))
        if subscription.status != old:
            refusal = _("Only a subscription that was denied can be reviewed again.")
            raise Conflict(refusal, code="not_denied", status=subscription.status)
        if not words:
            raise Invalid(_("Say what has changed, or what was overlooked."), code="message_required", field="message")
        subscription.status, subscription.justification = new, words
        subscription.save(update_fields=["status", "justification"])
        facts: dict[str, Any] = {"model": subscription.model_id, "old": old.value, "new": new.value}
        audit.record(actor, audit.Action.SUBSCRIPTION_REVIEW_REQUESTED, subscription, **facts, message=words)
    return subscription


# --- The catalogue ---------------------------------------------------------------------------------------------------


def set_model_restricted(actor: User, *, model_id: str, restricted: bool) -> Model:
    """Say whether new subscriptions to a model need approval. The same again changes nothing.

    Only those to come are concerned: active ones stay active, pending ones stay pending until somebody decides.
    Raises NotFound.
    """
    rbac.require(actor, rbac.Permission.MODELS_WRITE)
    with transaction.atomic():
        changed = Model.objects.filter(pk=model_id, restricted=not restricted).update(
            restricted=restricted, updated_at=timezone.now()
        )
        model = Model.objects.filter(pk=model_id).first()
        if model is None:
            raise NotFound
        if changed:
            facts: dict[str, Any] = {"old": {"restricted": not restricted}, "new": {"restricted": restricted}}
            audit.record(actor, audit.Action.MODEL_CHANGED, model, **facts)
    return model
