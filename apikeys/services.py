"""The verbs that make and change API keys; rotation.py replaces their secrets, endings.py ends them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Unpack
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import AuditEvent, User
from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyPolicy, KeyStatus
from apikeys.policy import (
    LONGEST_DESCRIPTION,
    KeyChanges,
    KeyLimits,
    apply_policy,
    check_changes,
    check_name,
    get_policy,
    to_the_second,
)
from litellm_sync import state
from litemaas.foundation import crypto
from litemaas.foundation.errors import Conflict, Invalid, NotFound, QuotaExceeded, RateLimited
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Subscription
from teams.models import Team
from teams.services import get_user_primary_team

HOUR = timedelta(hours=1)
# What LiteLLM knows nothing of: changing it alone needs no push.
OURS_ALONE: Final = frozenset({"name", "description", "soft_budget"})


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
    models = list(dict.fromkeys(models))
    check_name(name)
    description = sanitize_string(description, max_length=LONGEST_DESCRIPTION, multiline=True)
    charged = _chargeable_team(actor, team)
    secret = crypto.new_api_key_secret()
    with transaction.atomic():
        # The owner's row is the lock under which keys are counted: twenty at once must not pass a limit of ten.
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        rbac.require(owner, rbac.Permission.APIKEYS_CREATE)  # who was deactivated meanwhile gets no key any more
        policy = get_policy()  # as it is now, not as it was before somebody was waited for
        granted = apply_policy(policy, limits, models=models, now=timezone.now())
        _require_slow_making(actor, policy)
        _require_room(actor, policy)
        _require_models(models)
        _require_subscriptions(actor, actor, models, charged)
        key: ApiKey = ApiKey.objects.create(user=actor, team=charged, name=name, description=description, **granted)
        KeyModel.objects.bulk_create(KeyModel(key=key, model_id=model) for model in models)
        row = add_secret(key, secret)
        shown = {limit: str(value) for limit, value in granted.items() if value not in (None, "", {})}
        audit.record(actor, audit.Action.APIKEY_CREATED, key, models=models, team=str(charged.pk), limits=shown)
        state.request_push(row)
    return IssuedKey(reread(key), secret)


def add_secret(key: ApiKey, secret: str) -> ApiKeySecret:
    """Keep a new secret until LiteLLM has it."""
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


def _require_slow_making(actor: User, policy: KeyPolicy) -> None:
    fresh = ApiKey.objects.filter(user=actor, created_at__gt=timezone.now() - HOUR).values_list("pk", flat=True)
    most = policy.creations_per_hour
    if len(fresh) >= most and len(fresh) - _adopted(fresh) >= most:
        message = _("You have made %(number)s keys within an hour. Try again later.")
        seconds = int(HOUR.total_seconds())
        raise RateLimited(message % {"number": policy.creations_per_hour}, retry_after=seconds)


def _adopted(keys: Iterable[UUID]) -> int:
    """How many of the keys were not made here: an administrator took them over from LiteLLM."""
    about = {"target_type": "apikey", "target_id__in": [str(key) for key in keys]}
    return AuditEvent.objects.filter(action=audit.Action.APIKEY_ADOPTED, **about).count()


def _require_room(owner: User, policy: KeyPolicy) -> None:
    if ApiKey.objects.filter(user=owner).alive().count() >= policy.keys_per_user:
        message = _("You have %(number)s active keys, and more are not allowed. Revoke one that you do not need.")
        raise QuotaExceeded(
            message % {"number": policy.keys_per_user}, code="too_many_keys", limit=policy.keys_per_user
        )


def _require_models(models: list[str]) -> None:
    """Never an empty list, which LiteLLM reads as *every* model."""
    if not models:
        raise Invalid(_("Choose at least one model."), code="models_empty", field="models")


def _require_subscriptions(actor: User, owner: User, models: list[str], team: Team) -> None:
    """Every model must be actively subscribed by the owner, available and allowed to the team. The lock keeps a
    subscription from being cancelled meanwhile."""
    theirs = Subscription.objects.active().filter(user=owner, model__in=models).select_for_update(of=("self",))
    usable = {row.model_id for row in theirs.select_related("model") if row.model.is_available}
    if team.allowed_models:
        usable &= set(team.allowed_models)
    missing = [model for model in models if model not in usable]
    if missing:
        message = _("You have no active subscription to: %(models)s.")
        if actor != owner:
            message = _("The owner of the key has no active subscription to: %(models)s.")
        raise Invalid(
            message % {"models": ", ".join(missing)}, code="model_not_subscribed", field="models", models=missing
        )


# --- Changing --------------------------------------------------------------------------------------------------------


def update_api_key(actor: User, *, key_id: UUID | str, **changes: Unpack[KeyChanges]) -> ApiKey:
    """Change what is sent and differs from what the key has; sending what it has changes nothing at all.

    None clears a limit where the policy allows that. Models that are new must be actively subscribed by the key's
    owner; those that it has may stay. An expired key comes back when ``expires_at`` is moved, and then counts again
    among the keys that its owner may have.
    Raises NotFound, Invalid (models, limits), Conflict (key_revoked, key_expired, rotation_running), QuotaExceeded
    (too many keys).
    """
    found = visible(actor, key_id)
    rbac.require(actor, rbac.Permission.APIKEYS_UPDATE, found)
    with transaction.atomic():
        # First the owner, as in a creation: a key that comes back is counted under the same lock.
        owner = User.objects.select_for_update(no_key=True).get(pk=found.user_id)
        key, policy = locked(found), get_policy()
        new = _differing(key, changes)
        _require_changeable(owner, key, new, policy)
        new = _checked(actor, owner, key, new, policy)
        if new:
            _carry_out(actor, key, new)
    return reread(found)


def visible(actor: User, key_id: UUID | str) -> ApiKey:
    """The key, if the actor may see it. Raises NotFound."""
    key: ApiKey | None = ApiKey.objects.visible_to(actor).filter(pk=key_id).first()
    if key is None:
        raise NotFound
    return key


def locked(found: ApiKey) -> ApiKey:
    """The key as it stands now; two who change it at once do so one after the other."""
    key: ApiKey | None = (
        ApiKey.objects.select_for_update().prefetch_related("links").filter(pk=found.pk, deleted_at=None).first()
    )
    if key is None:
        raise NotFound
    return key


def _differing(key: ApiKey, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What of the changes is otherwise than what the key has, written as it is stored."""
    wanted = dict(changes)
    if "description" in wanted:
        words = wanted["description"] or ""
        wanted["description"] = sanitize_string(words, max_length=LONGEST_DESCRIPTION, multiline=True)
    if "budget_duration" in wanted:
        wanted["budget_duration"] = wanted["budget_duration"] or ""
    if "model_limits" in wanted:
        wanted["model_limits"] = {model: dict(figures) for model, figures in (wanted["model_limits"] or {}).items()}
    if "models" in wanted:
        wanted["models"] = sorted(set(wanted["models"]))
    if "expires_at" in wanted and to_the_second(wanted["expires_at"]) == to_the_second(key.expires_at):
        del wanted["expires_at"]
    return {name: value for name, value in wanted.items() if value != _present(key, name)}


def _present(key: ApiKey, name: str) -> Any:
    return key.model_ids if name == "models" else getattr(key, name)


def _require_changeable(owner: User, key: ApiKey, new: dict[str, Any], policy: KeyPolicy) -> None:
    status = key.current_status
    if status is KeyStatus.REVOKED:
        raise Conflict(_("“%(name)s” is revoked; that is for ever.") % {"name": key.name}, code="key_revoked")
    if status is KeyStatus.EXPIRED:
        if "expires_at" not in new:
            message = _("“%(name)s” has expired. Move its expiry to change it.") % {"name": key.name}
            raise Conflict(message, code="key_expired")
        _require_room(owner, policy)
    if "budget_duration" in new and key.secrets.filter(valid_until__isnull=False, carried_at=None).exists():
        # Spend is carried over within one period of the budget; LiteLLM would begin another one for each secret.
        message = _("Two secrets are valid or have just been. Change the period when the old one has ended.")
        raise Conflict(message, code="rotation_running", field="budget_duration")


def _checked(actor: User, owner: User, key: ApiKey, new: dict[str, Any], policy: KeyPolicy) -> dict[str, Any]:
    """The changes as far as they are allowed; limits of models that the key no longer has go with them."""
    models, now = new.get("models", key.model_ids), timezone.now()
    if "name" in new:
        check_name(new["name"])
    if "models" in new:
        _require_models(models)
        added = [model for model in models if model not in key.model_ids]
        _require_subscriptions(actor, owner, added, key.team)
    limits = {name: value for name, value in new.items() if name not in {"name", "description", "models"}}
    granted = new | check_changes(policy, limits, key=key, models=models, now=now)  # type: ignore[arg-type]  # a part of the TypedDict that came in
    per_model = granted.get("model_limits", key.model_limits)
    granted["model_limits"] = {model: figures for model, figures in per_model.items() if model in models}
    return {name: value for name, value in granted.items() if value != _present(key, name)}


def _carry_out(actor: User, key: ApiKey, new: dict[str, Any]) -> None:
    old = {name: _present(key, name) for name in new}
    columns = {name: value for name, value in new.items() if name != "models"}
    for name, value in columns.items():
        setattr(key, name, value)
    if columns:
        ApiKey.objects.filter(pk=key.pk).update(**columns)
    if "models" in new:
        key.links.exclude(model__in=new["models"]).delete()
        KeyModel.objects.bulk_create(KeyModel(key=key, model_id=m) for m in new["models"] if m not in old["models"])
    audit.record(actor, audit.Action.APIKEY_UPDATED, key, old=_as_json(old), new=_as_json(new))
    if not new.keys() <= OURS_ALONE:
        push_secrets(key)


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """For the audit log: amounts as decimal strings, moments as ISO 8601."""
    written = {}
    for name, value in values.items():
        is_amount, is_moment = isinstance(value, Decimal), isinstance(value, datetime)
        written[name] = f"{value.normalize():f}" if is_amount else value.isoformat() if is_moment else value
    return written


def push_secrets(key: ApiKey) -> None:
    """LiteLLM is to follow a change of the key, with each of its secrets but those that it has forgotten for good."""
    for secret in key.secrets.filter(carried_at=None):
        state.request_push(secret)
