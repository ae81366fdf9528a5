"""The forms that make, block and revoke a key, and how the policy's bounds are put into words."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from django import forms
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from apikeys.model_limits import ModelLimitFields, merged
from apikeys.models import KeyPolicy
from apikeys.policy import BOUNDED, LONGEST_DESCRIPTION, LONGEST_REASON
from litemaas.foundation import validators
from subscriptions.models import Availability, Subscription
from teams.models import Team

PERIODS: Final = {
    "1h": _("Every hour"),
    "12h": _("Every 12 hours"),
    "1d": _("Every day"),
    "7d": _("Every 7 days"),
    "30d": _("Every 30 days"),
    "1mo": _("Every month"),
}
ALWAYS_ALLOWED: Final = ("7d", "30d")
EXPIRY_DAYS: Final = (30, 90, 365)
NEVER: Final = "never"
ON_A_DATE: Final = "date"
WHAT_NAMES_ARE_FOR: Final = _("What you will recognise it by, such as the program that will use it.")
WHICH_MODELS: Final = _("Those that you have subscribed to and that are available now.")


class ConfirmForm(forms.Form):
    """Nothing to fill in: sending it is the answer."""


class BlockForm(forms.Form):
    """Why a key is blocked or unblocked; its owner reads it in the history."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        widget=forms.TextInput({"autocomplete": "off"}),
        help_text=_("The owner of the key reads it in the history."),
    )


class KeyFields(ModelLimitFields):
    """What a key has, whether it is made or changed; the two forms say what empty means and what is on offer."""

    name = forms.CharField(
        label=_("Name"),
        max_length=validators.NAME_MAX_LENGTH,
        validators=[validators.validate_key_name],
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    # Several lines: a field of one line would lose their breaks, and so change what nobody touched.
    description = forms.CharField(
        label=_("Description"), required=False, max_length=LONGEST_DESCRIPTION, widget=forms.Textarea({"rows": 2})
    )
    models = forms.MultipleChoiceField(
        label=_("Models"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one model.")},
    )
    max_budget = forms.DecimalField(
        label=_("Budget in USD"),
        required=False,
        validators=[validators.validate_budget],
        widget=forms.NumberInput({"min": "0", "step": "any"}),
    )
    soft_budget = forms.DecimalField(
        label=_("Warn from, in USD"),
        required=False,
        validators=[validators.validate_budget],
        widget=forms.NumberInput({"min": "0", "step": "any"}),
        help_text=_("From this spend on the key shows a warning; nothing is refused."),
    )
    budget_duration = forms.ChoiceField(label=_("Budget starts again"), required=False)
    tpm_limit = forms.IntegerField(
        label=_("Tokens per minute"), required=False, validators=[validators.validate_rate_limit]
    )
    rpm_limit = forms.IntegerField(
        label=_("Requests per minute"), required=False, validators=[validators.validate_rate_limit]
    )
    max_parallel_requests = forms.IntegerField(
        label=_("Requests at the same time"), required=False, validators=[validators.validate_rate_limit]
    )
    expires_at = forms.ChoiceField(label=_("Expires"), required=False)
    expires_on = forms.DateField(
        label=_("Expiry date"),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text=_("For “On a date”: the key works until the end of this day (UTC)."),
    )

    LIMITS = (BOUNDED[0], "budget_duration", "soft_budget", *BOUNDED[1:], "expires_at", "expires_on")

    def _offer(self, name: str, choices: list[tuple[str, Any]]) -> None:
        cast("forms.ChoiceField", self.fields[name]).choices = choices

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """What most people leave as it is."""
        return [self[name] for name in self.LIMITS]

    def clean(self) -> dict[str, Any]:
        """A date is needed only by those who chose to name one."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("expires_at") == ON_A_DATE and not cleaned.get("expires_on") and "expires_on" not in self.errors:
            self.add_error("expires_on", gettext("Name the date."))
        return cleaned


class KeyForm(KeyFields):
    """A new key. A limit that is left empty is left out, so that the policy's default applies to it."""

    team = forms.ModelChoiceField(
        Team.objects.none(), label=_("Team"), required=False, help_text=_("Whose budget the key is charged to.")
    )
    field_order = ("name", "description", "models", "team")

    def __init__(self, *args: Any, user: User, policy: KeyPolicy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policy = policy
        self.fields["name"].help_text = WHAT_NAMES_ARE_FOR
        self.fields["models"].help_text = WHICH_MODELS
        usable = Subscription.objects.active().filter(user=user, model__availability=Availability.AVAILABLE)
        models = list(usable.order_by("model").values_list("model_id", flat=True))
        self._offer("models", [(model, model) for model in models])
        self._offer("budget_duration", _new_periods(policy))
        self._offer("expires_at", _new_expiries(policy))
        for name in BOUNDED:
            self.fields[name].help_text = default_bounds(policy, name)
        self.fields["budget_duration"].help_text = period_bounds(policy)
        self.fields["expires_at"].help_text = expiry_bounds(policy)
        teams = Team.objects.filter(memberships__user=user)
        if len(teams) > 1:
            cast("forms.ModelChoiceField[Team]", self.fields["team"]).queryset = teams
        else:
            del self.fields["team"]
        self.add_model_limits(models, {}, policy)

    @property
    def has_models(self) -> bool:
        """Whether there is anything that a key could be for."""
        return bool(cast("forms.MultipleChoiceField", self.fields["models"]).choices)

    @property
    def limits_need_a_look(self) -> bool:
        """Whether something was filled in there or is wrong there."""
        return self.is_bound and any(self.errors.get(name) or self[name].value() for name in self.LIMITS)

    def wish(self) -> dict[str, Any]:
        """What the verb takes: only the limits that were filled in."""
        amounts = ("soft_budget", *BOUNDED)
        filled = {name: self.cleaned_data[name] for name in amounts if self.cleaned_data[name] is not None}
        if duration := self.cleaned_data["budget_duration"]:
            filled["budget_duration"] = None if duration == NEVER else duration
        if choice := self.cleaned_data["expires_at"]:
            filled["expires_at"] = expiry(choice, self.cleaned_data["expires_on"])
        if limits := merged({}, self.typed_limits(self.fields), self.cleaned_data["models"]):
            filled["model_limits"] = limits
        team = self.cleaned_data.get("team")
        kept = {name: self.cleaned_data[name] for name in ("name", "description", "models")}
        return {**kept, "team": team.pk if team else None, **filled}


# --- What the forms of a new key and of an edit share ----------------------------------------------------------------


def expiry(choice: str, day: date | None) -> datetime | None:
    """The moment that a choice of ``expiry_presets()`` means, None for never."""
    if choice == NEVER:
        return None
    if choice == ON_A_DATE and day:
        return datetime.combine(day, time(23, 59, 59), UTC)
    return timezone.now() + timedelta(days=int(choice))


def periods(policy: KeyPolicy) -> list[tuple[str, Any]]:
    """The periods that the policy allows."""
    shortest = validators.duration_seconds(policy.minimum_budget_duration)
    return [
        (period, label)
        for period, label in PERIODS.items()
        if period in ALWAYS_ALLOWED or validators.duration_seconds(period) >= shortest
    ]


def expiry_presets(policy: KeyPolicy) -> list[tuple[str, Any]]:
    """The days that the policy allows, and "on a date"."""
    longest = policy.maximum_expires_days
    presets = [(str(days), _in_days(days)) for days in EXPIRY_DAYS if longest is None or days <= longest]
    return [*presets, (ON_A_DATE, gettext("On a date"))]


def _new_periods(policy: KeyPolicy) -> list[tuple[str, Any]]:
    """For a new key; empty is the policy's default."""
    default = policy.default_budget_duration
    if not default:
        return [("", gettext("Never")), *periods(policy)]
    shown = gettext("As set by the policy: %(period)s") % {"period": PERIODS.get(default, default)}
    return [("", shown), *periods(policy), (NEVER, gettext("Never"))]


def _new_expiries(policy: KeyPolicy) -> list[tuple[str, Any]]:
    """For a new key; empty is the policy's default."""
    longest = policy.maximum_expires_days
    default = longest if policy.default_expires_days is None else policy.default_expires_days
    if default is None:
        return [("", gettext("Never")), *expiry_presets(policy)]
    shown = gettext("As set by the policy: %(time)s") % {"time": _in_days(default)}
    never = [] if longest is not None else [(NEVER, gettext("Never"))]
    return [("", shown), *expiry_presets(policy), *never]


def _in_days(days: int) -> str:
    return ngettext("In %(days)d day", "In %(days)d days", days) % {"days": days}


def default_bounds(policy: KeyPolicy, name: str) -> str:
    """What an empty field of a new key means, and what is allowed at most."""
    maximum = getattr(policy, f"maximum_{name}")
    default = getattr(policy, f"default_{name}")
    default = maximum if default is None else default
    empty = gettext("no limit") if default is None else figure(default)
    words = gettext("Left empty: %(default)s.") % {"default": empty}
    if maximum is None:
        return words
    return f"{words} {gettext('At most %(maximum)s.') % {'maximum': figure(maximum)}}"


def period_bounds(policy: KeyPolicy) -> str:
    """What a budget period is for, and the shortest one."""
    shortest = policy.minimum_budget_duration
    words = gettext("When what was spent is counted from zero again.")
    return (
        f"{words} {gettext('The shortest period allowed: “%(period)s”.') % {'period': PERIODS.get(shortest, shortest)}}"
    )


def expiry_bounds(policy: KeyPolicy) -> str:
    """How long a key may live."""
    days = policy.maximum_expires_days
    if days is None:
        return ""
    words = ngettext("A key may live %(days)d day at most.", "A key may live %(days)d days at most.", days)
    return words % {"days": days}


def figure(value: Decimal | int) -> str:
    """A limit with thousands separators; cents where it has no more decimals."""
    if isinstance(value, Decimal):
        value = value.quantize(Decimal("0.01")) if value == value.quantize(Decimal("0.01")) else value.normalize()
    return str(number_format(value, force_grouping=True))
