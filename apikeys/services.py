"""The verbs about API keys: create and revoke."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Unpack
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyPolicy, KeyStatus
from apikeys.policy import KeyLimits, apply_policy, get_policy
from litellm_sync import state
from litemaas.foundation import crypto
from litemaas.foundation.errors import Invalid, NotFound, QuotaExceeded, RateLimited
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Subscription
from teams.models import Team
from teams.services import get_user_primary_team

HOUR = timedelta(hours=1)
LONGEST_DESCRIPTION = 500


@dataclass(frozen=True)
class IssuedKey:
    """A new key with its secret, which can be read here and never again."""

    key: ApiKey
    secret: str = field(repr=False)


def create_api_key(
    actor: User,
    *,
    name: str,
    models: list[str],
    team: UUID | str | None = None,
    description: str = "",
    **limits: Unpack[KeyLimits],
) -> IssuedKey:
    """Make a key for models that the actor has subscribed to.

    It is tried on LiteLLM at once; when LiteLLM is away the key is saved and starts working when it is back.
    Raises Invalid (models, team, limits), QuotaExceeded (too many keys), RateLimited (too many an hour).
    """
    rbac.require(actor, rbac.Permission.APIKEYS_CREATE)
    policy, now = get_policy(), timezone.now()
    models = list(dict.fromkeys(models))
    description = sanitize_string(description, max_length=LONGEST_DESCRIPTION, multiline=True)
    granted = apply_policy(policy, limits, models=models, now=now)
    charged = _chargeable_team(actor, team)
    secret = crypto.new_api_key_secret()
    with transaction.atomic():
        # The owner's row is the lock under which keys are counted: twenty at once must not pass a limit of ten.
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        _require_room(actor, policy)
        _require_subscriptions(actor, models, charged)
        key: ApiKey = ApiKey.objects.create(user=actor, team=charged, name=name, description=description, **granted)
        KeyModel.objects.bulk_create(KeyModel(key=key, model_id=model) for model in models)
        row = _add_secret(key, secret)
        shown = {limit: str(value) for limit, value in granted.items() if value not in (None, "", {})}
        audit.record(actor, audit.Action.APIKEY_CREATED, key, models=models, team=str(charged.pk), limits=shown)
        state.request_push(row)
    return IssuedKey(reread(key), secret)


def _add_secret(key: ApiKey, secret: str) -> ApiKeySecret:
    return ApiKeySecret.objects.create(
        key=key, digest=crypto.secret_digest(secret), last4=secret[-4:], pending_secret=secret
    )


def reread(key: ApiKey) -> ApiKey:
    """The key as it stands now, after the immediate try, ready to be shown."""
    return ApiKey.objects.for_display().get(pk=key.pk)


def _chargeable_team(actor: User, team: UUID | str | None) -> Team:
    """A key can only be charged to a team that its owner belongs to."""
    if team is None:
        return get_user_primary_team(actor)
    found: Team | None = Team.objects.filter(memberships__user=actor, pk=team).first()
    if found is None:
        raise Invalid(_("You do not belong to such a team."), code="unknown_team", field="team")
    return found


def _require_room(actor: User, policy: KeyPolicy) -> None:
    mine = ApiKey.objects.filter(user=actor)
    if mine.filter(created_at__gt=timezone.now() - HOUR).count() >= policy.creations_per_hour:
        message = _("You have made %(number)s keys within an hour. Try again later.")
        seconds = int(HOUR.total_seconds())
        raise RateLimited(message % {"number": policy.creations_per_hour}, retry_after=seconds)
    if mine.alive().count() >= policy.keys_per_user:
        message = _("You have %(number)s active keys, and more are not allowed. Revoke one that you do not need.")
        raise QuotaExceeded(
            message % {"number": policy.keys_per_user}, code="too_many_keys", limit=policy.keys_per_user
        )


def _require_subscriptions(actor: User, models: list[str], team: Team) -> None:
    """Every model must be actively subscribed, available and allowed to the team; never an empty list, which LiteLLM
    reads as *every* model. The lock keeps a subscription from being cancelled meanwhile."""
    if not models:
        raise Invalid(_("Choose at least one model."), code="models_empty", field="models")
    mine = Subscription.objects.active().filter(user=actor, model__in=models).select_for_update(of=("self",))
    usable = {row.model_id for row in mine.select_related("model") if row.model.is_available}
    if team.allowed_models:
        usable &= set(team.allowed_models)
    missing = [model for model in models if model not in usable]
    if missing:
        message = _("You have no active subscription to: %(models)s.") % {"models": ", ".join(missing)}
        raise Invalid(message, code="model_not_subscribed", field="models", models=missing)


def revoke_api_key(actor: User, *, key_id: UUID | str) -> ApiKey:
    """End a key for ever: refused by us from this moment, by LiteLLM as soon as it answers. Again changes nothing."""
    key: ApiKey | None = ApiKey.objects.visible_to(actor).filter(pk=key_id).first()
    if key is None:
        raise NotFound
    rbac.require(actor, rbac.Permission.APIKEYS_REVOKE, key)
    with transaction.atomic():
        living = ApiKey.objects.filter(pk=key.pk).exclude(status=KeyStatus.REVOKED)
        if living.update(status=KeyStatus.REVOKED, revoked_at=timezone.now()):
            audit.record(actor, audit.Action.APIKEY_REVOKED, key)
            for secret in key.secrets.all():
                state.request_push(secret)
    return reread(key)
