"""Bringing LiteLLM's models into the catalogue: only what changed is written, and nothing disappears by accident."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.models import ApiKeySecret, KeyModel
from litellm_sync import state
from litellm_sync.client import Deployment, LiteLLM
from litellm_sync.client.fallback import Answered, execute_with_fallback
from litellm_sync.integrity import validate_model_integrity
from litemaas.foundation.errors import Conflict, NotFound, UpstreamUnavailable
from litemaas.foundation.locks import advisory_lock
from litemaas.foundation.validators import sanitize_string
from subscriptions.models import Availability, Model

__all__ = [
    "generate_sync_report",
    "look_at_model",
    "mark_unavailable_models",
    "merge_deployments",
    "refresh_model",
    "sync_models",
    "update_model_metadata",
    "validate_model_integrity",
]

log = structlog.get_logger(__name__)

SYNC_SECONDS = 30.0
# As long somebody who looks at one model is kept waiting.
LOOK_SECONDS = 5.0
# So many models are written by one statement.
BATCH = 1000
# Where a run that was queued by a confirmation keeps the names of the models that may go.
CONFIRMED = "confirmed"
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
    """What a sync of the catalogue found and did; names are model ids, ``skipped`` says why.

    ``integrity`` is what does not fit together afterwards.
    """

    added: list[str] = field(default_factory=list)
    changed: dict[str, dict[str, list[str | None]]] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0
    integrity: dict[str, Any] = field(default_factory=dict)

    @property
    def says_something(self) -> bool:
        """Whether anything is different."""
        return bool(self.added or self.changed or self.hidden or self.restored)

    def as_json(self) -> dict[str, Any]:
        """What is stored with the run and shown."""
        return dict(vars(self))


def sync_models(litellm: LiteLLM | None = None, *, confirmed: bool = False, shown: Collection[str] = ()) -> Report:
    """Make the catalogue equal to what LiteLLM lists, in a number of statements that does not depend on how much.

    Raises Conflict (mass_disappearance) when more would be hidden than the settings allow: an empty answer is usually a
    LiteLLM that has just started. ``shown`` are the models that an administrator was shown and agreed to hide; it
    holds for no others. ``confirmed`` agrees to whatever is missing.
    """
    deployments = (litellm or LiteLLM(SYNC_SECONDS)).get_models()
    listed = merge_deployments(deployments)
    flaws = _unreadable(deployments) | {name: flaw for name, fields in listed.items() if (flaw := _flaw(name, fields))}
    wanted = {name: fields for name, fields in listed.items() if name not in flaws}
    with transaction.atomic():
        # An empty table has no rows to lock, and two first syncs would add the same models.
        advisory_lock("litellm_sync.catalogue")
        known = {model.pk: model for model in Model.objects.select_for_update(no_key=True)}
        report = generate_sync_report(known, wanted, flaws)
        if not confirmed and not set(report.hidden) <= set(shown):
            available = sum(model.is_available for model in known.values())
            _refuse_mass_disappearance(report.hidden, available, empty=not deployments)
        _carry_out(report, known, wanted)
        if report.says_something:
            audit.record(None, audit.Action.MODELS_SYNCED, **report.as_json())
    report.integrity = validate_model_integrity()
    return report


def _refuse_mass_disappearance(gone: list[str], available: int, *, empty: bool) -> None:
    # One model more or less is daily life, also in a small catalogue; all of them at once never is.
    allowed = max(1, math.floor(available * settings.MODEL_SYNC_DISAPPEARANCE_LIMIT))
    if gone and (len(gone) > allowed or empty):
        message = _("%(gone)s of %(available)s models are missing in LiteLLM's answer. Nothing was changed.")
        numbers = {"gone": len(gone), "available": available}
        raise Conflict(message % numbers, code="mass_disappearance", **numbers, refused=gone)


def _flaw(name: str, fields: dict[str, Any]) -> str:
    """Why a model does not fit into the catalogue, if so; one odd entry must not keep all others out."""
    try:
        # What LiteLLM does not know is left out: only forms may not leave it blank.
        Model(id=name, **fields).clean_fields(exclude={field for field, value in fields.items() if not value})
    except ValidationError as error:
        log.warning("model_skipped", model=name, errors=error.message_dict)
        reasons = (f"{field}: {' '.join(messages)}" for field, messages in sorted(error.message_dict.items()))
        return sanitize_string("; ".join(reasons), max_length=300)
    return ""


def _unreadable(deployments: Iterable[Deployment]) -> dict[str, str]:
    """The public names with a deployment that could not be read, and why; half of a model is none."""
    odd = {deployment.name: deployment.flaw for deployment in deployments if deployment.flaw}
    for name, flaw in odd.items():
        log.warning("model_skipped", model=name, errors=flaw)
    words = _("What LiteLLM says of it cannot be read: %(error)s")
    return {name: sanitize_string(words % {"error": flaw}, max_length=300) for name, flaw in odd.items()}


def merge_deployments(deployments: Iterable[Deployment]) -> dict[str, dict[str, Any]]:
    """One entry a public name. Several deployments share what all can do; the dearest price is the honest one.

    A name of which one deployment could not be read has none.
    """
    groups: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        groups.setdefault(deployment.name, []).append(deployment)
    return {name: _merged(group) for name, group in groups.items() if not any(one.flaw for one in group)}


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


def generate_sync_report(
    known: Mapping[str, Model], wanted: Mapping[str, dict[str, Any]], flaws: Mapping[str, str]
) -> Report:
    """What has to be done to the catalogue; nothing is changed yet.

    A model that is back may have changed meanwhile: it is among ``restored`` and, with what is new, among ``changed``.
    """
    report = Report(added=sorted(wanted.keys() - known.keys()))
    # What LiteLLM lists works there, also where what it says of it does not fit here: it stays as it is.
    listed = wanted.keys() | flaws.keys()
    report.hidden = sorted(model.pk for model in known.values() if model.is_available and model.pk not in listed)
    report.skipped = {sanitize_string(name, max_length=255): flaws[name] for name in sorted(flaws)}
    for name in sorted(wanted.keys() & known.keys()):
        changes = _differences(known[name], wanted[name])
        if changes.pop("availability", None):
            report.restored.append(name)
        elif not changes:
            report.unchanged += 1
        if changes:
            report.changed[name] = changes
    return report


def _differences(model: Model, wanted: Mapping[str, Any]) -> dict[str, list[str | None]]:
    """Field -> old and new, as text."""
    both = ((name, getattr(model, name), wanted[name]) for name in FIELDS)
    return {name: [_as_text(old), _as_text(new)] for name, old, new in both if old != new}


def _as_text(value: Any) -> str | None:
    """Without the zeros that a column of fixed places adds to a price."""
    return None if value is None else f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _carry_out(report: Report, known: Mapping[str, Model], wanted: Mapping[str, dict[str, Any]]) -> None:
    Model.objects.bulk_create([Model(id=name, **wanted[name]) for name in report.added], batch_size=BATCH)
    touched = sorted({*report.changed, *report.restored})
    update_model_metadata([known[name] for name in touched], wanted)
    mark_unavailable_models(report.hidden)
    _push_keys_of([*report.hidden, *report.restored])


def update_model_metadata(models: Iterable[Model], wanted: Mapping[str, dict[str, Any]]) -> None:
    """Give these models what LiteLLM says of them; call it for those that differ."""
    now, changed = timezone.now(), list(models)
    for model in changed:
        for name in FIELDS:
            setattr(model, name, wanted[model.pk][name])
        model.updated_at = now
    Model.objects.bulk_update(changed, (*FIELDS, "updated_at"), batch_size=BATCH)


def mark_unavailable_models(names: Collection[str]) -> None:
    """Hide models that LiteLLM no longer lists. Subscriptions and key links stay and come back with them."""
    if names:
        Model.objects.filter(pk__in=names).update(availability=Availability.UNAVAILABLE, updated_at=timezone.now())


def _push_keys_of(models: list[str]) -> None:
    if models:
        links = KeyModel.objects.filter(model__in=models).alive()
        secrets = ApiKeySecret.living().filter(key__in=links.values("key"))
        state.request_pushes(ApiKeySecret, secrets.values_list("pk", flat=True))


# --- One model -------------------------------------------------------------------------------------------------------


def look_at_model(model: Model) -> Answered[dict[str, list[str | None]] | None]:
    """What is different about a model in LiteLLM right now, old to new; None where LiteLLM does not list it.

    When LiteLLM does not answer, nothing is known to be different, and the answer says so by its source.
    """

    def ask(litellm: LiteLLM) -> dict[str, list[str | None]] | None:
        deployments = litellm.get_model_info(model.pk)
        found = merge_deployments(deployments)
        if deployments and not found:
            raise UpstreamUnavailable(reason="garbage")
        return _differences(model, found[model.pk]) if found else None

    return execute_with_fallback(LOOK_SECONDS, ask, dict)


def refresh_model(actor: User | None, *, model: str) -> Report:
    """Take over what LiteLLM says of one model now; ``actor`` None is whoever is on the server.

    LiteLLM is asked before anything is locked: this waits for it, so no page calls it.

    Raises NotFound, Conflict (model_not_listed, model_unfit), UpstreamUnavailable.
    """
    if actor is not None:
        rbac.require(actor, rbac.Permission.INTEGRATION_SYNC)
    if not Model.objects.filter(pk=model).exists():
        raise NotFound
    deployments = LiteLLM(LOOK_SECONDS).get_model_info(model)
    if not deployments:
        raise Conflict(_("LiteLLM does not list this model now."), code="model_not_listed")
    wanted = merge_deployments(deployments)
    if flaw := _unreadable(deployments).get(model) or _flaw(model, wanted[model]):
        raise Conflict(_("What LiteLLM says of it does not fit: %(flaw)s") % {"flaw": flaw}, code="model_unfit")
    with transaction.atomic():
        if actor is not None:
            rbac.require_still(actor, rbac.Permission.INTEGRATION_SYNC)
        advisory_lock("litellm_sync.catalogue")
        row = Model.objects.select_for_update(no_key=True).get(pk=model)
        report = generate_sync_report({model: row}, wanted, {})
        _carry_out(report, {model: row}, wanted)
        if report.says_something:
            audit.record(actor, audit.Action.MODELS_SYNCED, row, **report.as_json())
    return report
