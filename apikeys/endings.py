"""The verbs that stop API keys from working and end them: block, unblock, revoke, delete; and the reset of spend."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from apikeys.policy import LONGEST_REASON
from apikeys.services import locked, push_secrets, reread, visible
from litemaas.foundation.errors import Conflict, NotFound
from litemaas.foundation.validators import sanitize_string


def block_api_key(actor: User, *, key_id: UUID | str, reason: str = "") -> ApiKey:
    """Refuse a key until it is unblocked; again changes nothing. Raises NotFound, Conflict (key_revoked)."""
    return _move(actor, key_id, KeyStatus.BLOCKED, audit.Action.APIKEY_BLOCKED, reason)


def unblock_api_key(actor: User, *, key_id: UUID | str, reason: str = "") -> ApiKey:
    """Let a blocked key work again; again changes nothing. Raises NotFound, Conflict (key_revoked)."""
    return _move(actor, key_id, KeyStatus.ACTIVE, audit.Action.APIKEY_UNBLOCKED, reason)


def _move(actor: User, key_id: UUID | str, new: KeyStatus, action: audit.Action, reason: str) -> ApiKey:
    key = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_BLOCK, key)
    words = sanitize_string(reason, max_length=LONGEST_REASON)
    with transaction.atomic():
        others = ApiKey.objects.filter(pk=key.pk, deleted_at=None).exclude(status__in=(new, KeyStatus.REVOKED))
        if others.update(status=new):
            audit.record(actor, action, key, old=key.status, new=new.value, reason=words)
            push_secrets(key)
    moved = reread(key)
    if moved.status == KeyStatus.REVOKED:
        raise Conflict(_("“%(name)s” is revoked; that is for ever.") % {"name": key.name}, code="key_revoked")
    return moved


def revoke_api_key(actor: User, *, key_id: UUID | str, reason: str = "") -> ApiKey:
    """End a key for ever: refused by us from this moment, by LiteLLM as soon as it answers. Again changes nothing."""
    key = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_REVOKE, key)
    words = sanitize_string(reason, max_length=LONGEST_REASON)
    why: dict[str, Any] = {"reason": words} if words else {}
    with transaction.atomic():
        living = ApiKey.objects.filter(pk=key.pk).exclude(status=KeyStatus.REVOKED)
        if living.update(status=KeyStatus.REVOKED, revoked_at=timezone.now()):
            audit.record(actor, audit.Action.APIKEY_REVOKED, key, old=key.status, new=KeyStatus.REVOKED.value, **why)
            push_secrets(key)
    return reread(key)


def delete_api_key(actor: User, *, key_id: UUID | str) -> None:
    """Hide a revoked key from everybody; its secrets' digests stay, so that its usage keeps its owner. Again, or five
    times at once, changes nothing. Raises NotFound, PermissionDenied, Conflict (key_not_revoked)."""
    rows = rbac.filter_resources_by_role(actor, rbac.Permission.APIKEYS_READ, ApiKey.objects.all())
    key = rows.filter(pk=key_id).first()
    if key is None:
        raise NotFound
    rbac.require(actor, rbac.Permission.APIKEYS_DELETE, key)
    if key.status != KeyStatus.REVOKED:
        message = _("“%(name)s” is not revoked. Only a revoked key can be deleted.") % {"name": key.name}
        raise Conflict(message, code="key_not_revoked")
    with transaction.atomic():
        # A revoked key never comes back, so nothing but a second deletion can come in between.
        if ApiKey.objects.filter(pk=key.pk, deleted_at=None).update(deleted_at=timezone.now()):
            audit.record(actor, audit.Action.APIKEY_DELETED, key, owner=str(key.user_id))


def reset_spend(actor: User, *, key_id: UUID | str) -> ApiKey:
    """Let a key begin its budget again: what it has spent in this period counts as nothing, here and in LiteLLM.

    What LiteLLM writes down late, some twenty seconds after a call, may still be counted. Raises NotFound,
    PermissionDenied, Conflict (key_revoked).
    """
    found = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_RESET_SPEND, found)
    with transaction.atomic():
        key = locked(found)
        if key.status == KeyStatus.REVOKED:
            raise Conflict(_("“%(name)s” is revoked; that is for ever.") % {"name": key.name}, code="key_revoked")
        # LiteLLM's keys carry this moment: each push compares, and resets once.
        ApiKey.objects.filter(pk=key.pk).update(spend=0, spend_reset_at=timezone.now())
        _forget_spend(key)
        audit.record(actor, audit.Action.APIKEY_SPEND_RESET, key, spend=f"{key.spend.normalize():f}")
        push_secrets(key)
    return reread(found)


def _forget_spend(key: ApiKey) -> None:
    """Of a secret that LiteLLM has lost nobody else says again what it spent: a newer one would begin with that.

    Locked in the order in which others who write figures down lock many.
    """
    counting = key.secrets.filter(carried_at=None).order_by("pk").select_for_update(no_key=True)
    ids = list(counting.values_list("pk", flat=True))
    ApiKeySecret.objects.filter(pk__in=ids).update(spend=0, spend_passed_on=0)
