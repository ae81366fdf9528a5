"""The form that changes a key: it sends only what the person changed since the page was shown."""

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apikeys.forms import NEVER as NEVER_EXPIRES
from apikeys.forms import PERIODS, KeyFields, expiry, expiry_bounds, expiry_presets, figure, period_bounds, periods
from apikeys.model_limits import merged
from apikeys.models import ApiKey, KeyPolicy
from apikeys.policy import BOUNDED
from subscriptions.models import Availability, Subscription

AS_IT_IS: Final = "keep"
WHAT_IS_TAKEN_OFF: Final = _("What you take off stops working with this key at once. Its own limits go with it.")
# What the verb takes as it stands in the form; None and empty mean "no limit".
PLAIN: Final = ("name", "description", "models", "budget_duration", "soft_budget", *BOUNDED)


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
        offered = model_choices(key)
        self._offer("models", offered)
        self._offer("budget_duration", _period_choices(key, policy))
        self._offer("expires_at", _expiry_choices(key, policy))
        for name in BOUNDED:
            self.fields[name].help_text = edit_bounds(policy, name)
        self.fields["budget_duration"].help_text = period_bounds(policy)
        self.fields["expires_at"].help_text = expiry_bounds(policy)
        self.add_model_limits((model for model, _label in offered), key.model_limits, policy)
        for field in self.fields.values():
            field.show_hidden_initial = True

    def changes(self) -> dict[str, Any]:
        """What the verb takes: only what the person changed; None is "no limit"."""
        touched = set(self.changed_data)
        changes = {name: self.cleaned_data[name] for name in PLAIN if name in touched}
        choice = self.cleaned_data["expires_at"] or AS_IT_IS
        # A date that was changed counts only where a date was chosen.
        if choice != AS_IT_IS:
            changes["expires_at"] = expiry(choice, self.cleaned_data["expires_on"])
        if typed := self.typed_limits(touched):
            changes["model_limits"] = merged(self.key.model_limits, typed, self.cleaned_data["models"])
        return changes


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
