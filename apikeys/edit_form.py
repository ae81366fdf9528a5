"""The form that changes a key: it sends only what the person changed since the page was shown."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apikeys.forms import NEVER as NEVER_EXPIRES
from apikeys.forms import PERIODS, KeyFields, expiry, expiry_bounds, expiry_presets, figure, period_bounds, periods
from apikeys.models import ApiKey, KeyPolicy
from apikeys.policy import BOUNDED, MODEL_LIMITS
from litemaas.foundation import validators
from subscriptions.models import Availability, Subscription

AS_IT_IS: Final = "keep"
WHAT_IS_TAKEN_OFF: Final = _("What you take off stops working with this key at once. Its own limits go with it.")
# What the verb takes as it stands in the form; None and empty mean "no limit".
PLAIN: Final = ("name", "description", "models", "budget_duration", "soft_budget", *BOUNDED)
PER_MODEL: Final[dict[str, Any]] = {
    "rpm_limit": _("%(model)s: requests per minute"),
    "tpm_limit": _("%(model)s: tokens per minute"),
}


class EditForm(KeyFields):
    """A key as it is. What the page showed is sent along hidden, so that only what was changed on it is changed."""

    def __init__(self, data: Mapping[str, Any] | None, *, key: ApiKey, policy: KeyPolicy) -> None:
        shown = {name: getattr(key, name) for name in PLAIN if name != "models"}
        for name in ("max_budget", "soft_budget"):
            if shown[name] is not None:
                shown[name] = f"{shown[name].normalize():f}"
        super().__init__(data, initial={**shown, "models": key.model_ids, "expires_at": AS_IT_IS})
        self.key = key
        self.fields["models"].help_text = WHAT_IS_TAKEN_OFF
        self._offer("models", model_choices(key))
        self._offer("budget_duration", _period_choices(key, policy))
        self._offer("expires_at", _expiry_choices(key, policy))
        for name in BOUNDED:
            self.fields[name].help_text = edit_bounds(policy, name)
        self.fields["budget_duration"].help_text = period_bounds(policy)
        self.fields["expires_at"].help_text = expiry_bounds(policy)
        self.model_fields = self._add_model_limits()
        for field in self.fields.values():
            field.show_hidden_initial = True

    def _add_model_limits(self) -> list[tuple[str, dict[str, str]]]:
        """Two fields for each model of the key; returns which."""
        added = []
        for model in self.key.model_ids:
            names = {limit: f"{limit}-{hashlib.sha256(model.encode()).hexdigest()[:12]}" for limit in MODEL_LIMITS}
            added.append((model, names))
            for limit, name in names.items():
                self.fields[name] = forms.IntegerField(
                    label=PER_MODEL[limit] % {"model": model},
                    required=False,
                    validators=[validators.validate_rate_limit],
                )
                self.initial[name] = self.key.model_limits.get(model, {}).get(limit)
        return added

    @property
    def model_limit_fields(self) -> list[forms.BoundField]:
        """The limits of each model of the key."""
        return [self[name] for _model, names in self.model_fields for name in names.values()]

    @property
    def model_limits_need_a_look(self) -> bool:
        """Whether a model has a limit of its own, or one is wrong."""
        return any(bound.value() or bound.errors for bound in self.model_limit_fields)

    def changes(self) -> dict[str, Any]:
        """What the verb takes: only what the person changed; None is "no limit"."""
        touched = set(self.changed_data)
        changes = {name: self.cleaned_data[name] for name in PLAIN if name in touched}
        choice = self.cleaned_data["expires_at"] or AS_IT_IS
        # A date that was changed counts only where a date was chosen.
        if choice != AS_IT_IS:
            changes["expires_at"] = expiry(choice, self.cleaned_data["expires_on"])
        if touched & {name for _model, names in self.model_fields for name in names.values()}:
            changes["model_limits"] = self._model_limits(touched, set(self.cleaned_data["models"]))
        return changes

    def _model_limits(self, touched: set[str], models: set[str]) -> dict[str, dict[str, int]]:
        """The key's limits of models with those that were touched; models that are taken off have none."""
        limits = {model: dict(figures) for model, figures in self.key.model_limits.items() if model in models}
        for model, names in self.model_fields:
            for limit, name in names.items():
                if name in touched and model in models:
                    limits.setdefault(model, {})[limit] = self.cleaned_data[name]
        kept = {model: {k: v for k, v in figures.items() if v is not None} for model, figures in limits.items()}
        return {model: figures for model, figures in kept.items() if figures}


def model_choices(key: ApiKey) -> list[tuple[str, Any]]:
    """What its owner could put on a key, and what is on this one, also where it does not work at the moment."""
    active = Subscription.objects.active().filter(user=key.user_id, model__availability=Availability.AVAILABLE)
    usable = set(active.values_list("model_id", flat=True))
    if key.team.allowed_models:
        usable &= set(key.team.allowed_models)
    not_now = gettext("%(model)s (not usable now)")
    offered = sorted(usable | set(key.model_ids))
    return [(model, model if model in usable else not_now % {"model": model}) for model in offered]


def _period_choices(key: ApiKey, policy: KeyPolicy) -> list[tuple[str, Any]]:
    """Never, what the policy allows, and what the key has."""
    allowed = periods(policy)
    present = key.budget_duration
    if present and present not in dict(allowed):
        allowed.append((present, PERIODS.get(present, present)))
    return [("", gettext("Never")), *allowed]


def _expiry_choices(key: ApiKey, policy: KeyPolicy) -> list[tuple[str, Any]]:
    """As it is, the presets, never where the policy allows that."""
    present = gettext("never") if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M} UTC"
    shown = [(AS_IT_IS, gettext("As it is: %(time)s") % {"time": present}), *expiry_presets(policy)]
    if policy.maximum_expires_days is None and key.expires_at is not None:
        shown.append((NEVER_EXPIRES, gettext("Never")))
    return shown


def edit_bounds(policy: KeyPolicy, name: str) -> str:
    """What an empty field of a key that exists means, and what is allowed at most."""
    maximum = getattr(policy, f"maximum_{name}")
    if maximum is None:
        return gettext("Empty means no limit.")
    return gettext("At most %(maximum)s; it cannot be empty.") % {"maximum": figure(maximum)}
