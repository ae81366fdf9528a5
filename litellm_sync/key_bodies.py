"""What LiteLLM is told of a key, by LiteLLM's names: the whole of a new one, the differences of one that is there."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from apikeys.models import ApiKey, ApiKeySecret, KeyStatus
from litellm_sync import ensure
from litellm_sync.client import KeyInfo
from litellm_sync.client.bodies import KeyChanges, NewKey, only
from litemaas.foundation.errors import UpstreamRejected

# LiteLLM reckons expiry from the moment at which it hears of it.
EXPIRY_TOLERANCE = timedelta(seconds=5)
# What keys are for: they call models and never manage anything; key_type "llm_api" shows as this in both versions.
LLM_ROUTES = ("llm_api_routes",)
# With these among its metadata LiteLLM lets a key do more than its limits say; no key of ours has any.
LOOSENING = frozenset(
    {
        "allowed_passthrough_routes", "disable_global_guardrails", "litellm_disabled_callbacks", "permissions",
        "rpm_limit_type", "temp_budget_expiry", "temp_budget_increase", "throttle_on_budget_exceeded", "tpm_limit_type",
    }
)  # fmt: skip
PER_MODEL = {"rpm_limit": "model_rpm_limit", "tpm_limit": "model_tpm_limit"}


class KeyDifferences(KeyChanges, total=False):
    """What LiteLLM's key has otherwise; whether it is blocked is changed by calls of its own."""

    blocked: bool


# With these a key reaches models beyond its own: 1.81 and 1.109 add those of access groups; 1.81 answers with the one
# that an alias or a fallback names, whether the key may use it or not. No key of ours has any.
WIDENING: KeyDifferences = {"access_group_ids": [], "aliases": {}, "router_settings": {}}


def must_be_blocked(key: ApiKey, models: list[str]) -> bool:
    """A key without a model must not work: to LiteLLM an empty list means every model."""
    return key.status == KeyStatus.BLOCKED or not key.user.is_active or not models


def new_key(secret: ApiKeySecret, models: list[str], spent: Decimal, marks: dict[str, Any]) -> NewKey:
    """The key as it is made: USD ``spent`` by older secrets, and the marks that say so. Raises UpstreamRejected."""
    key, value = secret.key, secret.pending_secret
    if value is None:  # without one LiteLLM would make up a key that nobody has
        raise UpstreamRejected(reason="needs_rotation")
    body: NewKey = {
        "key": value,
        "key_type": "llm_api",
        "key_alias": secret.alias,
        "user_id": str(key.user_id),
        "team_id": str(key.team_id),
        # An empty list would mean every model; the name of no model does no harm, and the key is blocked besides.
        "models": models or [f"none-{key.pk}"],
        "blocked": must_be_blocked(key, models),
        "metadata": {"managed_by": "litemaas", **marks, **per_model(key, models)},
    }
    if key.max_parallel_requests is not None:
        body["max_parallel_requests"] = key.max_parallel_requests
    if secret.ends_at:
        body["duration"] = _duration(secret.ends_at)
    if spent > 0:
        body["spend"] = float(spent)
    return ensure.with_new_limits(body, key)


def per_model(key: ApiKey, models: list[str]) -> dict[str, dict[str, int]]:
    """Per-model limits live in the key's metadata, where LiteLLM reads them."""
    limits: dict[str, dict[str, int]] = {}
    for ours, theirs in PER_MODEL.items():
        figures = {model: values[ours] for model, values in key.model_limits.items() if ours in values}
        if kept := {model: figures[model] for model in models if model in figures}:
            limits[theirs] = kept
    return limits


def differences_of(secret: ApiKeySecret, models: list[str], found: KeyInfo) -> KeyDifferences:
    """What a push would change in LiteLLM's key, by LiteLLM's names; nothing is asked or sent."""
    differing = changes_of(secret, models, found)
    blocked = must_be_blocked(secret.key, models)
    if blocked != found.blocked:
        differing["blocked"] = blocked
    return differing


def changes_of(secret: ApiKeySecret, models: list[str], found: KeyInfo) -> KeyDifferences:
    """What a push sends, less blocking and unblocking, which are calls of their own."""
    key = secret.key
    wanted: KeyDifferences = {
        "user_id": str(key.user_id),
        "team_id": str(key.team_id),
        "max_parallel_requests": key.max_parallel_requests,
    }
    changes = ensure.differences(ensure.with_limits(wanted, key), found)
    if found.alias != secret.alias:
        changes["key_alias"] = secret.alias
    if found.allowed_routes != LLM_ROUTES:
        changes["allowed_routes"] = list(LLM_ROUTES)
    changes |= only(WIDENING, {name for name in WIDENING if getattr(found, name)})
    if models and sorted(found.models) != models:
        changes["models"] = models
    ends_at = secret.ends_at
    if not _same_moment(ends_at, found.expires):
        changes["duration"] = _duration(ends_at) if ends_at else "-1"
    ours = per_model(key, models)
    theirs = {name: found.metadata[name] for name in PER_MODEL.values() if found.metadata.get(name)}
    if ours != theirs or not LOOSENING.isdisjoint(found.metadata):
        left_out = LOOSENING.union(PER_MODEL.values())
        kept = {name: value for name, value in found.metadata.items() if name not in left_out}
        changes["metadata"] = kept | ours
    return changes


def _same_moment(wanted: datetime | None, found: datetime | None) -> bool:
    if wanted is None or found is None:
        return wanted is found
    return abs(wanted - found) <= EXPIRY_TOLERANCE


def _duration(expires_at: datetime) -> str:
    """The seconds that are left, rounded down: never later than we said, never less than one."""
    return f"{max(1, int((expires_at - timezone.now()).total_seconds()))}s"
