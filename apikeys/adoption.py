"""Taking a key that was made in LiteLLM into somebody's account: of it only the digest is known, never the secret."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyPolicy
from apikeys.policy import BOUNDED, get_policy
from litellm_sync import state
from litemaas.foundation import validators
from litemaas.foundation.errors import Conflict, Invalid, QuotaExceeded
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Model, Subscription
from teams.models import Team
from teams.services import get_user_primary_team

NAME_LENGTH: Final = 100
LAST: Final = 4
SMALLEST: Final = Decimal(1).scaleb(-validators.BUDGET_DECIMAL_PLACES)


@dataclass(frozen=True, kw_only=True)
class FoundKey:
    """A key as LiteLLM has it. ``models`` empty is every model; amounts are USD, None is no limit.

    ``spend_reset_at``: its last reset of spend, where it was ours once and had one; ``spend`` is since then.
    """

    digest: str
    alias: str
    last4: str
    models: tuple[str, ...]
    team_id: str | None
    spend: Decimal
    max_budget: Decimal | None
    budget_duration: str
    tpm_limit: int | None
    rpm_limit: int | None
    max_parallel_requests: int | None
    expires_at: datetime | None
    blocked: bool
    spend_reset_at: datetime | None = None
    model_limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def adopt_api_key(actor: User, *, owner: User, found: FoundKey) -> ApiKey:
    """Make the row of a key whose secret somebody else has, and have LiteLLM follow it.

    It keeps its limits as far as the policy allows them, its spend, and of its models those that are in the catalogue;
    what it may use of them follows from the owner's subscriptions, as for every key.
    Raises Conflict (key_known, key_expired, key_unfit), Invalid (unknown_owner, model_not_subscribed), QuotaExceeded.
    """
    rbac.require(actor, rbac.Permission.DRIFT_ADOPT)
    policy, now = get_policy(), timezone.now()
    if found.expires_at is not None and found.expires_at <= now:
        raise Conflict(_("The key has expired."), code="key_expired")
    with transaction.atomic():
        # Both in one order: two administrators may adopt for each other.
        list(User.objects.select_for_update(no_key=True).filter(pk__in={actor.pk, owner.pk}).order_by("pk"))
        rbac.require_still(actor, rbac.Permission.DRIFT_ADOPT)
        key = _adopt(actor, owner, found, policy, now)
    return ApiKey.objects.for_display().get(pk=key.pk)


def _adopt(actor: User, owner: User, found: FoundKey, policy: KeyPolicy, now: datetime) -> ApiKey:
    # The owner's row is the lock under which keys are counted, as where they are made.
    holder = User.objects.select_for_update(no_key=True).filter(pk=owner.pk, is_active=True).first()
    if holder is None:
        raise Invalid(_("There is no active person of this name."), code="unknown_owner", field="owner")
    if ApiKey.objects.filter(user=holder).alive().count() >= policy.keys_per_user:
        message = _("%(owner)s has %(number)s active keys, and more are not allowed.")
        numbers = {"owner": holder.username, "number": policy.keys_per_user}
        raise QuotaExceeded(message % numbers, code="too_many_keys", field="owner", limit=policy.keys_per_user)
    team = _team(holder, found)
    models = _models(holder, team, found)
    _require_fitting(found)
    limits = _within(policy, found, now) | {"model_limits": _model_limits(policy, found, models)}
    status = {"status": "blocked"} if found.blocked else {}
    key: ApiKey = ApiKey.objects.create(
        user=holder,
        team=team,
        name=_name(found),
        spend=found.spend,
        spend_reset_at=found.spend_reset_at,
        **limits,
        **status,
    )
    KeyModel.objects.bulk_create(KeyModel(key=key, model_id=model) for model in models)
    row = _secret(key, found, now)
    shown = {name: str(value) for name, value in limits.items() if value not in (None, "", {})}
    about: dict[str, Any] = {
        "owner": str(holder.pk),
        "models": models,
        "was_for": list(found.models),
        "team": str(team.pk),
    }
    audit.record(actor, audit.Action.APIKEY_ADOPTED, key, limits=shown, token=found.digest, **about)
    state.request_push(row)
    return key


def _secret(key: ApiKey, found: FoundKey, now: datetime) -> ApiKeySecret:
    try:
        with transaction.atomic():
            return ApiKeySecret.objects.create(
                key=key,
                digest=found.digest,
                last4=found.last4[-LAST:],
                pushed_at=now,
                spend=found.spend,
                reset_at=found.spend_reset_at,
            )
    except IntegrityError as error:
        raise Conflict(_("This key is known here already."), code="key_known") from error


def _team(owner: User, found: FoundKey) -> Team:
    """The key's own one where the owner is a member of it."""
    try:
        wanted = UUID(found.team_id or "")
    except ValueError:
        return get_user_primary_team(owner)
    return Team.objects.filter(memberships__user=owner, pk=wanted).first() or get_user_primary_team(owner)


def _models(owner: User, team: Team, found: FoundKey) -> list[str]:
    """The key's models that are in the catalogue; for one that may use every model, all that its owner may use.

    Where none of them could be used the key would stop working by being adopted: that is refused.
    """
    usable = _usable(owner, team)
    known = sorted(Model.objects.filter(pk__in=found.models).values_list("pk", flat=True)) if found.models else usable
    if not set(known) & set(usable):
        message = _("%(owner)s could use none of the key's models, so it would stop working: %(models)s.")
        names = ", ".join(found.models) or _("all models")
        shown = {"owner": owner.username, "models": names}
        raise Invalid(message % shown, code="model_not_subscribed", field="owner", models=list(found.models))
    return known


def _usable(owner: User, team: Team) -> list[str]:
    subscribed = Subscription.objects.active().filter(user=owner).select_related("model").order_by("model")
    available = [row.model_id for row in subscribed if row.model.is_available]
    return [model for model in available if model in (team.allowed_models or [model])]


def _require_fitting(found: FoundKey) -> None:
    """LiteLLM takes what no key can have here: to make anything else of it could loosen the key."""
    figures = [(name, getattr(found, name)) for name in BOUNDED if name != "max_budget"]
    figures += [("model_limits", value) for limits in found.model_limits.values() for value in limits.values()]
    for name, value in figures:
        _check(name, value, validators.validate_rate_limit)
    for name in ("max_budget", "spend"):
        amount = getattr(found, name)
        # LiteLLM reckons in floats: of figures behind the tenth place only the size counts.
        fits = amount is not None and amount.is_finite() and abs(amount) < validators.BUDGET_LIMIT
        _check(name, amount.quantize(SMALLEST, ROUND_DOWN) if fits else amount, validators.validate_budget)
    if found.max_budget is not None and found.budget_duration:
        _check("budget_duration", found.budget_duration, validators.validate_budget_duration)


def _check(name: str, value: Any, validate: Callable[[Any], None]) -> None:
    try:
        if value is not None:
            validate(value)
    except ValidationError as error:
        message = _("LiteLLM has a value for %(name)s that no key can have here: %(reason)s")
        shown = {"name": name, "reason": error.messages[0]}
        raise Conflict(message % shown, code="key_unfit", limit=name) from error


def _within(policy: KeyPolicy, found: FoundKey, now: datetime) -> dict[str, Any]:
    """The key's limits; where the policy allows less, that."""
    limits: dict[str, Any] = {"budget_duration": _period(policy, found)}
    for name in BOUNDED:
        limits[name] = _least(getattr(policy, f"maximum_{name}"), getattr(found, name))
    days = policy.maximum_expires_days
    limits["expires_at"] = _least(None if days is None else now + timedelta(days=days), found.expires_at)
    return limits


def _period(policy: KeyPolicy, found: FoundKey) -> str:
    """Of a budget; a shorter one than the policy allows would give more."""
    if found.max_budget is None or not found.budget_duration:
        return ""
    return max(found.budget_duration, policy.minimum_budget_duration, key=validators.duration_seconds)


def _model_limits(policy: KeyPolicy, found: FoundKey, models: list[str]) -> dict[str, dict[str, int]]:
    return {
        model: {name: _least(getattr(policy, f"maximum_{name}"), value) for name, value in limits.items()}
        for model, limits in found.model_limits.items()
        if model in models
    }


def _least(*values: Any) -> Any:
    return min((value for value in values if value is not None), default=None)


def _name(found: FoundKey) -> str:
    return sanitize_string(found.alias, max_length=NAME_LENGTH) or f"litellm-{found.last4[-LAST:] or found.digest[:8]}"
