"""The verbs about subscriptions: subscribe and cancel."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from litellm_sync import state
from litemaas.foundation.errors import Conflict, Invalid, NotFound
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Model, Subscription, SubscriptionStatus

LONGEST_WORDS = 1000


def create_subscription(actor: User, *, model: str, justification: str = "") -> Subscription:
    """Subscribe to a model: active at once, or pending where the model is restricted.

    Raises Invalid for a model that does not exist or is not available, Conflict (already_subscribed) the second time.
    """
    rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_CREATE)
    wanted = Model.objects.filter(pk=model).first()
    if wanted is None:
        raise Invalid(_("There is no model “%(model)s”.") % {"model": model}, code="unknown_model", field="model")
    if not wanted.is_available:
        message = _("“%(model)s” is not available at the moment.") % {"model": model}
        raise Invalid(message, code="model_unavailable", field="model")
    words = sanitize_string(justification, max_length=LONGEST_WORDS, multiline=True)
    status = SubscriptionStatus.PENDING if wanted.restricted else SubscriptionStatus.ACTIVE
    try:
        with transaction.atomic():
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

    Raises Conflict (active_keys_exist, with ``api_keys``) while keys depend on it, and for one that was denied or
    suspended: cancelling must not wash that off. The lock keeps a key from being made meanwhile.
    """
    with transaction.atomic():
        mine = Subscription.objects.visible_to(actor).select_for_update(of=("self",)).select_related("model", "user")
        subscription = mine.filter(pk=subscription_id).first()
        if subscription is None:
            raise NotFound
        rbac.require(actor, rbac.Permission.SUBSCRIPTIONS_CANCEL, subscription)
        if subscription.status in {SubscriptionStatus.DENIED, SubscriptionStatus.SUSPENDED}:
            message = _("A subscription that was denied or suspended cannot be cancelled.")
            raise Conflict(message, code="not_cancellable", status=subscription.status)
        _refuse_while_keys_depend(subscription)
        audit.record(actor, audit.Action.SUBSCRIPTION_CANCELLED, subscription, model=subscription.model_id)
        subscription.delete()


def _refuse_while_keys_depend(subscription: Subscription) -> None:
    """The links of keys to models are data that the upper app hangs onto the model: a reverse relation, no import."""
    links = subscription.model.key_links.filter(key__user=subscription.user_id).alive()
    keys = [{"id": str(pk), "name": name} for pk, name in links.values_list("key_id", "key__name")]
    if keys:
        names = ", ".join(key["name"] for key in keys)
        message = _("These keys still use the model: %(names)s. Revoke them or take the model off them first.")
        raise Conflict(message % {"names": names}, code="active_keys_exist", api_keys=keys)
