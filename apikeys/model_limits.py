"""The part of a form that sets a key's limits per model, the same wherever a key is made or changed."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apikeys.models import KeyPolicy
from apikeys.policy import MODEL_LIMITS
from litemaas.foundation import validators
from litemaas.foundation.errors import DomainError

LABELS: Final[dict[str, Any]] = {
    "rpm_limit": _("%(model)s: requests per minute"),
    "tpm_limit": _("%(model)s: tokens per minute"),
}
# The verb's name for all of them together.
TOGETHER: Final = "model_limits"
Limits = Mapping[str, Mapping[str, int]]


def field_name(model: str, limit: str) -> str:
    """The form's field for one limit of one model; models may be called anything, fields may not."""
    return f"{limit}-{hashlib.sha256(model.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class OfOneModel:
    """The fields of one model."""

    model: str
    bounds: list[forms.BoundField]


def shown(models: Iterable[str], limits: Limits) -> dict[str, int | None]:
    """What the fields of ``models`` show."""
    return {field_name(model, limit): limits.get(model, {}).get(limit) for model in models for limit in MODEL_LIMITS}


class ModelLimitFields(forms.Form):
    """Two fields for each model that a key could have; those of models that it does not get stay empty."""

    limited_models: tuple[str, ...] = ()

    def add_model_limits(self, models: Iterable[str], limits: Limits, policy: KeyPolicy) -> None:
        """Add the fields, filled with what the key has."""
        self.limited_models = tuple(models)
        for model in self.limited_models:
            for limit in MODEL_LIMITS:
                self.fields[field_name(model, limit)] = forms.IntegerField(
                    label=LABELS[limit] % {"model": model},
                    required=False,
                    validators=[validators.validate_rate_limit],
                    help_text=_at_most(policy, limit),
                )
        self.initial.update(shown(self.limited_models, limits))

    @property
    def model_limit_fields(self) -> list[OfOneModel]:
        """All of them, model by model."""
        return [
            OfOneModel(model, [self[field_name(model, limit)] for limit in MODEL_LIMITS])
            for model in self.limited_models
        ]

    @property
    def plain_fields(self) -> list[forms.BoundField]:
        """The form's other fields."""
        names = self._names()
        return [bound for bound in self if bound.name not in names]

    @property
    def model_limits_need_a_look(self) -> bool:
        """Whether a model has a limit of its own, or one is wrong."""
        return any(bound.value() or bound.errors for one in self.model_limit_fields for bound in one.bounds)

    def _names(self) -> set[str]:
        return {field_name(model, limit) for model in self.limited_models for limit in MODEL_LIMITS}

    def clean(self) -> dict[str, Any]:
        """A limit that was typed for a model that the key does not get is no slip to be passed over."""
        cleaned = super().clean() or self.cleaned_data
        chosen: list[str] | None = cleaned.get("models")
        if chosen is None:  # which is an error of its own
            return cleaned
        for model in self.limited_models:
            for limit in MODEL_LIMITS:
                name = field_name(model, limit)
                if model not in chosen and cleaned.get(name) is not None and name in self.changed_data:
                    self.add_error(name, gettext("Choose this model too, or leave its limit empty."))
        return cleaned

    def field_of(self, error: DomainError) -> str | None:
        """The field that a verb's error belongs to: of the limits per model the one that it names."""
        about = error.details
        if about.get("field") == TOGETHER and "model" in about and "limit" in about:
            return field_name(about["model"], about["limit"])
        return about.get("field")

    def typed_limits(self, names: Collection[str]) -> dict[str, int | None]:
        """The limits per model among some fields; None is "no limit"."""
        return {name: self.cleaned_data[name] for name in self._names() & set(names)}


def merged(present: Limits, typed: Mapping[str, int | None], models: Iterable[str]) -> dict[str, dict[str, int]]:
    """The limits of ``models``: those that are there, with those that were typed in their place."""
    found: dict[str, dict[str, int]] = {}
    for model in models:
        figures = present.get(model, {})
        asked = {limit: typed.get(field_name(model, limit), figures.get(limit)) for limit in MODEL_LIMITS}
        named = {**figures, **asked}
        if kept := {limit: value for limit, value in named.items() if value is not None}:
            found[model] = kept
    return found


def is_one(name: str) -> bool:
    """Whether a field's name is that of a limit of one model."""
    return name.startswith(tuple(f"{limit}-" for limit in MODEL_LIMITS))


def _at_most(policy: KeyPolicy, limit: str) -> str:
    maximum = getattr(policy, f"maximum_{limit}")
    if maximum is None:
        return ""
    return gettext("At most %(maximum)s.") % {"maximum": number_format(maximum, force_grouping=True)}
