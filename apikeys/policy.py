"""The key policy: what a key gets when a limit is left out, and what no key may exceed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.models import ApiKey, KeyPolicy
from litemaas.foundation import validators
from litemaas.foundation.errors import Invalid

LONGEST_MINIMUM = "7d"
LONGEST_EXPIRY_DAYS = 36_500
LONGEST_DESCRIPTION = 500
LONGEST_REASON = 500
LONGEST_GRACE_SECONDS = 31_536_000


class KeyLimits(TypedDict, total=False):
    """The limits that a caller sent. Left out means "the policy's default", None means "no limit"."""

    max_budget: Decimal | None
    budget_duration: str | None
    soft_budget: Decimal | None
    tpm_limit: int | None
    rpm_limit: int | None
    max_parallel_requests: int | None
    model_limits: Mapping[str, Mapping[str, int]] | None
    expires_at: datetime | None


class KeyChanges(KeyLimits, total=False):
    """What of a key a caller wants otherwise. Left out means "as it is", None means "no limit"."""

    name: str
    description: str
    models: list[str]


BOUNDED = ("max_budget", "tpm_limit", "rpm_limit", "max_parallel_requests")
MODEL_LIMITS = ("rpm_limit", "tpm_limit")


def get_policy() -> KeyPolicy:
    """The policy in force; as shipped when nobody has changed it."""
    return KeyPolicy.objects.first() or KeyPolicy()


def update_policy(actor: User, **changes: Any) -> KeyPolicy:
    """Change the policy; keys that exist keep their limits. Raises Invalid when a default exceeds its maximum."""
    rbac.require(actor, rbac.Permission.KEY_POLICY_WRITE)
    with transaction.atomic():
        KeyPolicy.objects.get_or_create(id=1)
        policy = KeyPolicy.objects.select_for_update().get(id=1)
        old = {name: str(getattr(policy, name)) for name in changes}
        for name, value in changes.items():
            setattr(policy, name, value)
        _check_policy(policy)
        policy.save()
        new = {name: str(value) for name, value in changes.items()}
        audit.record(actor, audit.Action.KEY_POLICY_CHANGED, policy, old=old, new=new)
    return policy


def _check_policy(policy: KeyPolicy) -> None:
    try:
        policy.clean_fields()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(messages[0], field=field) from error
    for name in (*BOUNDED, "expires_days", "grace_seconds"):
        _check_pair(name, getattr(policy, f"default_{name}"), getattr(policy, f"maximum_{name}"))
    shortest = validators.duration_seconds(policy.minimum_budget_duration)
    default_period = policy.default_budget_duration
    if default_period and validators.duration_seconds(default_period) < shortest:
        raise Invalid(_("The default is shorter than the minimum."), field="default_budget_duration")
    if shortest > validators.duration_seconds(LONGEST_MINIMUM):
        raise Invalid(_("A week must remain possible: at most 7d."), field="minimum_budget_duration")


def _check_pair(name: str, default: Any, maximum: Any) -> None:
    for side, value in (("default", default), ("maximum", maximum)):
        # Without a bound the calendar ends, and with it every creation.
        if name == "expires_days" and value is not None and not 1 <= value <= LONGEST_EXPIRY_DAYS:
            message = _("A key may live from 1 to %(days)s days.") % {"days": LONGEST_EXPIRY_DAYS}
            raise Invalid(message, field=f"{side}_{name}")
        if name == "grace_seconds" and value > LONGEST_GRACE_SECONDS:
            message = _("Two secrets may work side by side for a year at most.")
            raise Invalid(message, field=f"{side}_{name}")
    if default is not None and maximum is not None and default > maximum:
        raise Invalid(_("The default is above the maximum."), code="default_above_maximum", field=f"default_{name}")


def apply_policy(policy: KeyPolicy, limits: KeyLimits, *, models: list[str], now: datetime) -> dict[str, Any]:
    """The limits that a new key gets. Raises Invalid (exceeds_policy) for what the policy does not allow."""
    granted: dict[str, Any] = {name: _bounded(policy, limits, name) for name in BOUNDED}
    granted["budget_duration"] = _budget_duration(policy, limits)
    granted["soft_budget"] = _valid("soft_budget", limits.get("soft_budget"), validators.validate_budget)
    granted["model_limits"] = _model_limits(policy, limits.get("model_limits") or {}, models)
    granted["expires_at"] = _expiry(policy, limits, now)
    return granted


def granted_grace(policy: KeyPolicy, seconds: int | None) -> timedelta:
    """How long a secret that is replaced goes on working; None is the policy's default. Raises Invalid."""
    seconds = policy.default_grace_seconds if seconds is None else seconds
    if seconds < 0:
        raise Invalid(_("The old secret can end at once (0) or later, not earlier."), field="grace_seconds")
    if seconds > policy.maximum_grace_seconds:
        message = _("An old secret may go on working for %(maximum)s seconds at most.")
        maximum = policy.maximum_grace_seconds
        raise Invalid(
            message % {"maximum": maximum}, code="exceeds_policy", field="grace_seconds", maximum=str(maximum)
        )
    return timedelta(seconds=seconds)


def check_name(name: str) -> None:
    """Raise Invalid unless it can be a key's name."""
    _valid("name", name, validators.validate_key_name)


def check_changes(
    policy: KeyPolicy, changes: KeyLimits, *, key: ApiKey, models: list[str], now: datetime
) -> dict[str, Any]:
    """The limits in ``changes`` as they are to be stored; what a key has from before, the policy leaves alone.

    Raises Invalid (exceeds_policy, expiry_in_the_past) for what is not allowed.
    """
    granted: dict[str, Any] = {name: _bounded(policy, changes, name) for name in BOUNDED if name in changes}
    if "budget_duration" in changes:
        granted["budget_duration"] = _budget_duration(policy, changes)
    if "soft_budget" in changes:
        granted["soft_budget"] = _valid("soft_budget", changes["soft_budget"], validators.validate_budget)
    if "model_limits" in changes:
        wanted = changes["model_limits"] or {}
        kept = {model: figures for model, figures in wanted.items() if key.model_limits.get(model) == figures}
        fresh = {model: figures for model, figures in wanted.items() if model not in kept}
        granted["model_limits"] = {**kept, **_model_limits(policy, fresh, models)}
    if "expires_at" in changes:
        granted["expires_at"] = _moved_expiry(policy, changes["expires_at"], key, now)
    return granted


def _moved_expiry(policy: KeyPolicy, wanted: datetime | None, key: ApiKey, now: datetime) -> datetime | None:
    """The days that a key may live are counted from its creation: editing it again and again adds none. Ending a key
    sooner than it would have ended is allowed even where that is still too late for a policy that came after it."""
    wanted = to_the_second(wanted)
    _require_future(wanted, now)
    is_sooner = wanted is not None and (key.expires_at is None or wanted < key.expires_at)
    if not is_sooner:
        _require_within(policy, wanted, key.created_at)
    return wanted


def to_the_second(moment: datetime | None) -> datetime | None:
    """An expiry as it is stored and compared: forms show seconds, and one that is sent back unchanged is the same."""
    return moment and moment.replace(microsecond=0)


def _bounded(policy: KeyPolicy, limits: Mapping[str, Any], name: str) -> Any:
    maximum = getattr(policy, f"maximum_{name}")
    if name not in limits:
        default = getattr(policy, f"default_{name}")
        return maximum if default is None else default
    validator = validators.validate_budget if name == "max_budget" else validators.validate_rate_limit
    return _at_most(maximum, _valid(name, limits[name], validator), name)


def _valid(field: str, value: Any, validator: Any, **about: str) -> Any:
    try:
        if value is not None:
            validator(value)
    except ValidationError as error:
        raise Invalid(error.messages[0], code=error.code or "invalid", field=field, **about) from error
    return value


def _at_most(maximum: Any, value: Any, field: str, **about: str) -> Any:
    if maximum is not None and (value is None or value > maximum):
        shown = f"{maximum.normalize():f}" if isinstance(maximum, Decimal) else str(maximum)
        message = _("At most %(maximum)s is allowed here, and “no limit” is more.") % {"maximum": shown}
        raise Invalid(message, code="exceeds_policy", field=field, maximum=shown, **about)
    return value


def _budget_duration(policy: KeyPolicy, limits: KeyLimits) -> str:
    if "budget_duration" not in limits:
        return policy.default_budget_duration
    duration = limits["budget_duration"] or ""
    if not duration:
        return ""
    _valid("budget_duration", duration, validators.validate_budget_duration)
    if validators.duration_seconds(duration) < validators.duration_seconds(policy.minimum_budget_duration):
        message = _("The shortest period allowed here is %(minimum)s.") % {"minimum": policy.minimum_budget_duration}
        raise Invalid(message, code="exceeds_policy", field="budget_duration")
    return duration


def _model_limits(policy: KeyPolicy, wanted: Mapping[str, Mapping[str, int]], models: list[str]) -> dict[str, Any]:
    granted: dict[str, dict[str, int]] = {}
    for model, figures in wanted.items():
        if model not in models:
            message = _("“%(model)s” is not among the key's models.") % {"model": model}
            raise Invalid(message, field="model_limits")
        unknown = set(figures) - set(MODEL_LIMITS)
        if unknown:
            message = _("Only rpm_limit and tpm_limit can be set per model.")
            raise Invalid(message, field="model_limits", unknown=sorted(unknown))
        for name, value in figures.items():
            about = {"model": model, "limit": name}  # for forms, which have a field for each
            _valid("model_limits", value, validators.validate_rate_limit, **about)
            _at_most(getattr(policy, f"maximum_{name}"), value, "model_limits", **about)
        granted[model] = dict(figures)
    return granted


def _expiry(policy: KeyPolicy, limits: KeyLimits, now: datetime) -> datetime | None:
    if "expires_at" not in limits:
        default, longest = policy.default_expires_days, policy.maximum_expires_days
        days = longest if default is None else default
        return None if days is None else to_the_second(now + timedelta(days=days))
    wanted = to_the_second(limits["expires_at"])
    _require_future(wanted, now)
    _require_within(policy, wanted, now)
    return wanted


def _require_future(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise Invalid(_("The expiry must lie in the future."), code="expiry_in_the_past", field="expires_at")
    # Without a bound LiteLLM's own calendar ends: it reckons the moment from a number of seconds.
    if expires_at is not None and expires_at > now + timedelta(days=LONGEST_EXPIRY_DAYS):
        raise Invalid(_("A key may live from 1 to %(days)s days.") % {"days": LONGEST_EXPIRY_DAYS}, field="expires_at")


def _require_within(policy: KeyPolicy, expires_at: datetime | None, since: datetime) -> None:
    days = policy.maximum_expires_days
    if days is not None and (expires_at is None or expires_at > since + timedelta(days=days)):
        message = _("A key may live %(days)s days at most.") % {"days": days}
        raise Invalid(message, code="exceeds_policy", field="expires_at")
