"""Bringing LiteLLM's models into the catalogue: only what changed is written, and nothing disappears by accident."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from apikeys.models import ApiKeySecret, KeyModel
from litellm_sync import state
from litellm_sync.client import Deployment, LiteLLM
from litemaas.foundation.errors import Conflict
from litemaas.foundation.locks import advisory_lock
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Availability, Model

log = structlog.get_logger(__name__)

SYNC_SECONDS = 30.0
FIELDS = (
    "provider",
    "description",
    "mode",
    "capabilities",
    "context_length",
    "max_output_tokens",
    "input_cost_per_token",
    "output_cost_per_token",
    "availability",
)


@dataclass
class Report:
    """What a sync of the catalogue did; names are model ids."""

    added: list[str] = field(default_factory=list)
    changed: dict[str, dict[str, list[str | None]]] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unchanged: int = 0

    def as_json(self) -> dict[str, Any]:
        """What is stored with the run and shown."""
        return dict(vars(self))


def sync_models(litellm: LiteLLM | None = None, *, confirmed: bool = False) -> Report:
    """Make the catalogue equal to what LiteLLM lists.

    Raises Conflict (mass_disappearance) when more would be hidden than the settings allow, unless ``confirmed``: an
    empty answer is usually a LiteLLM that has just started.
    """
    listed = merge_deployments((litellm or LiteLLM(SYNC_SECONDS)).get_models())
    wanted = {name: fields for name, fields in listed.items() if validate_model_integrity(name, fields)}
    with transaction.atomic():
        # An empty table has no rows to lock, and two first syncs would add the same models.
        advisory_lock("litellm_sync.catalogue")
        known = {model.pk: model for model in Model.objects.select_for_update(no_key=True)}
        gone = [model for model in known.values() if model.is_available and model.pk not in wanted]
        if not confirmed:
            available = sum(model.is_available for model in known.values())
            _refuse_mass_disappearance(len(gone), available, empty=not wanted)
        report = _write(known, wanted)
        mark_unavailable_models(gone)
        report.skipped = sorted(sanitize_string(name, max_length=255) for name in listed.keys() - wanted.keys())
        report.hidden = sorted(model.pk for model in gone)
        _push_keys_of([*report.hidden, *report.restored])
        if report.added or report.changed or report.hidden or report.restored:
            audit.record(None, audit.Action.MODELS_SYNCED, **report.as_json())
    return report


def _refuse_mass_disappearance(gone: int, available: int, *, empty: bool) -> None:
    # One model more or less is daily life, also in a small catalogue; all of them at once never is.
    allowed = max(1, math.floor(available * settings.MODEL_SYNC_DISAPPEARANCE_LIMIT))
    if gone and (gone > allowed or empty):
        message = _("%(gone)s of %(available)s models are missing in LiteLLM's answer. Nothing was changed.")
        numbers = {"gone": gone, "available": available}
        raise Conflict(message % numbers, code="mass_disappearance", **numbers)


def validate_model_integrity(name: str, fields: dict[str, Any]) -> bool:
    """Whether a model fits into the catalogue; one odd entry must not keep all others out."""
    try:
        # What LiteLLM does not know is left out: only forms may not leave it blank.
        Model(id=name, **fields).clean_fields(exclude={field for field, value in fields.items() if not value})
    except ValidationError as error:
        log.warning("model_skipped", model=name, errors=error.message_dict)
        return False
    return True


def merge_deployments(deployments: Iterable[Deployment]) -> dict[str, dict[str, Any]]:
    """One entry a public name. Several deployments share what all can do; the dearest price is the honest one."""
    groups: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        groups.setdefault(deployment.name, []).append(deployment)
    return {name: _merged(group) for name, group in groups.items()}


def _merged(group: list[Deployment]) -> dict[str, Any]:
    group = sorted(group, key=lambda deployment: deployment.deployment_id)
    first = group[0]
    shared = set(first.capabilities).intersection(*(other.capabilities for other in group))

    def known(name: str) -> list[Any]:
        return [getattr(one, name) for one in group if getattr(one, name) is not None]

    return {
        "provider": first.provider,
        "mode": first.mode,
        "description": next((one.description for one in group if one.description), ""),
        "capabilities": sorted(shared),
        "context_length": min(known("context_length"), default=None),
        "max_output_tokens": min(known("max_output_tokens"), default=None),
        "input_cost_per_token": max(known("input_cost_per_token"), default=None),
        "output_cost_per_token": max(known("output_cost_per_token"), default=None),
        "availability": Availability.AVAILABLE.value,
    }


def _write(known: dict[str, Model], wanted: dict[str, dict[str, Any]]) -> Report:
    report = Report()
    new = [Model(id=name, **fields) for name, fields in wanted.items() if name not in known]
    Model.objects.bulk_create(new)
    report.added = sorted(model.pk for model in new)
    for name in sorted(wanted.keys() & known.keys()):
        changes = update_model_metadata(known[name], wanted[name])
        if "availability" in changes:
            report.restored.append(name)
        elif changes:
            report.changed[name] = changes
        else:
            report.unchanged += 1
    return report


def update_model_metadata(model: Model, wanted: dict[str, Any]) -> dict[str, list[str | None]]:
    """Write only what differs. Returns name -> [old, new] as text."""
    changes: dict[str, list[str | None]] = {}
    for name in FIELDS:
        old, new = getattr(model, name), wanted[name]
        if old != new:
            changes[name] = [None if old is None else str(old), None if new is None else str(new)]
            setattr(model, name, new)
    if changes:
        model.save(update_fields=[*changes, "updated_at"])
    return changes


def mark_unavailable_models(models: Iterable[Model]) -> None:
    """Hide models that LiteLLM no longer lists. Subscriptions and key links stay and come back with them."""
    Model.objects.filter(pk__in=[model.pk for model in models]).update(availability=Availability.UNAVAILABLE)


def _push_keys_of(models: list[str]) -> None:
    links = KeyModel.objects.filter(model__in=models).alive()
    secrets = ApiKeySecret.objects.filter(key__in=links.values("key"))
    state.request_pushes(ApiKeySecret, secrets.values_list("pk", flat=True))
