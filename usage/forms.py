"""The choices of the usage page, as they stand in its address."""

from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from usage.queries import DIMENSIONS, Question

# Value in the address -> words; what is a number are the last so many days.
RANGES: Final = (
    ("today", _("Today")),
    ("7", _("7 days")),
    ("30", _("30 days")),
    ("90", _("90 days")),
    ("month", _("This month")),
    ("last-month", _("Last month")),
)
DEFAULT_RANGE: Final = "30"
METRICS: Final = (
    ("spend", _("Spend")),
    ("requests", _("Requests")),
    ("total_tokens", _("Tokens")),
    ("failed_requests", _("Failed")),
)
SPLITS: Final = ("1",)
PARTS: Final = (
    ("model", _("By model")),
    ("api_key", _("By key")),
    ("team", _("By team")),
    ("provider", _("By provider")),
    ("user", _("By person")),
)
MOST_VALUES: Final = 50
EARLIEST: Final = date(2000, 1, 1)


def days_of(name: str, today: date) -> tuple[date, date]:
    """First and last day of a named range, both included."""
    if name == "month":
        return today.replace(day=1), today
    if name == "last-month":
        last = today.replace(day=1) - timedelta(days=1)
        return last.replace(day=1), last.replace(day=monthrange(last.year, last.month)[1])
    return today - timedelta(days=0 if name == "today" else int(name) - 1), today


class Repeated(forms.Field):
    """Any number of values of one name in the address; empty ones come from selects in which nothing was chosen."""

    widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> list[Any]:
        """Each value once, in the order of the address."""
        found = [one for one in dict.fromkeys(value or []) if one]
        if len(found) > MOST_VALUES:
            raise ValidationError(_("At most 50 values can be chosen."))
        return [self.one(text) for text in found]

    def one(self, text: str) -> Any:
        """A value as it is asked for."""
        if "\x00" in text:
            raise ValidationError(_("This contains a character that cannot be used."))
        return text


class RepeatedId(Repeated):
    """Ids of keys or teams."""

    def one(self, text: str) -> UUID:
        """Raises a ValidationError for what is no id."""
        try:
            return UUID(text)
        except ValueError:
            message = _("“%(value)s” is not an id. Choose from the list.")
            raise ValidationError(message, code="invalid", params={"value": text[:50]}) from None


class RepeatedPerson(Repeated):
    """People by id, as the page's own links name them, or by name, as people do."""

    def one(self, text: str) -> UUID:
        """Raises a ValidationError for names that nobody has."""
        try:
            return UUID(text)
        except ValueError:
            pass
        named = User.objects.annotate(name=Lower("username")).filter(name=super().one(text).lower())
        if (found := named.values_list("pk", flat=True).first()) is None:
            message = _("Nobody is called “%(value)s”. Write the name with which the person signs in.")
            raise ValidationError(message, code="invalid", params={"value": text[:50]})
        return found


def _day(label: Any) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": _("Write the date as YYYY-MM-DD.")},
        validators=[MinValueValidator(EARLIEST, _("Nothing is known of the time before %(limit_value)s."))],
    )


class UsageFilter(forms.Form):
    """Which days, what of them, and how it is shown. Two dates come before a named range."""

    range = forms.ChoiceField(label=_("Range"), required=False, choices=RANGES)
    # As the page called it once; such addresses are kept by people.
    days = forms.ChoiceField(label=_("Range"), required=False, choices=[(d, d) for d in ("7", "30", "90")])
    start = _day(_("From"))
    end = _day(_("To (included)"))
    model = Repeated(label=_("Model"), required=False)
    api_key = RepeatedId(label=_("Key"), required=False)
    team = RepeatedId(label=_("Team"), required=False)
    provider = Repeated(label=_("Provider"), required=False)
    user = RepeatedPerson(label=_("Person"), required=False)
    metric = forms.ChoiceField(label=_("Figure"), required=False, choices=METRICS)
    split = forms.ChoiceField(label=_("Trend"), required=False, choices=[(split, split) for split in SPLITS])
    by = forms.ChoiceField(label=_("Divided by"), required=False, choices=PARTS)

    def __init__(self, *args: Any, may_see_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_see_all:
            # Somebody who sees nobody else cannot ask who there is.
            del self.fields["user"]
        for name in ("range", "days", "metric", "split", "by"):
            self.fields[name].error_messages["invalid_choice"] = _("“%(value)s” is not one of the choices.")

    @property
    def chosen_range(self) -> str:
        """The named range, empty when two dates say it."""
        sent = self.cleaned_data
        if sent.get("start") or sent.get("end"):
            return ""
        return sent.get("range") or sent.get("days") or DEFAULT_RANGE

    def chosen(self, name: str, otherwise: str) -> str:
        """One of the choices of how it is shown."""
        return self.cleaned_data.get(name) or otherwise

    def wanted(self, whose: list[Any]) -> Mapping[str, Any]:
        """What ``Question.of`` is asked with; ``whose`` are the people if no other is named."""
        sent = self.cleaned_data
        start, end = sent.get("start"), sent.get("end")
        if name := self.chosen_range:
            start, end = days_of(name, datetime.now(UTC).date())
        filters = {name: sent.get(name) or [] for name in DIMENSIONS}
        filters["user"] = filters["user"] or whose
        return {"start": start, "end": end, **filters}

    def question(self, whose: list[Any]) -> Question:
        """The question; raises Invalid when the dates are in the wrong order or too far apart."""
        return Question.of(**self.wanted(whose))
