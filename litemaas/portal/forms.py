"""The forms of the theme and language switches, of the profile, and of the filter over one's activity."""

from datetime import date, datetime, time, timedelta
from typing import Any, cast

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import FULL_NAME_LENGTH, TIME_ZONE_LENGTH, AuditQuerySet, User
from litemaas.foundation import preferences
from litemaas.portal.context import themes
from litemaas.portal.wording import CATEGORIES


class ThemeForm(forms.Form):
    """Light, dark or what the system says."""

    theme = forms.ChoiceField(choices=themes)


def _languages() -> list[tuple[str, str]]:
    return list(preferences.languages().items())


class LanguageForm(forms.Form):
    """One of the languages that there are."""

    language = forms.ChoiceField(choices=_languages)


class ProfileForm(forms.Form):
    """What one may change about oneself; whether a time zone exists is for the verb to say."""

    full_name = forms.CharField(
        label=_("Name"),
        required=False,
        max_length=FULL_NAME_LENGTH,
        help_text=_("How the portal calls you. Empty: your user name."),
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    language = forms.ChoiceField(label=_("Language"), required=False)
    time_zone = forms.CharField(
        label=_("Time zone"),
        required=False,
        max_length=TIME_ZONE_LENGTH,
        help_text=_("Type a city or a region, such as Europe/Berlin. Empty: UTC. Usage is counted by UTC days always."),
        widget=forms.TextInput({"list": "time-zones", "autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [("", _("As the browser says")), *_languages()]
        cast("forms.ChoiceField", self.fields["language"]).choices = offered

    @classmethod
    def of(cls, user: User) -> "ProfileForm":
        """The form filled with what is saved."""
        return cls(initial={name: getattr(user, name) for name in cls.base_fields})


class ActivityFilter(forms.Form):
    """Which of one's activity to show; days are those of the reader's time zone, both included."""

    category = forms.ChoiceField(label=_("About"), required=False, choices=[("", _("Everything")), *CATEGORIES.items()])
    start = forms.DateField(label=_("From"), required=False, widget=forms.DateInput({"type": "date"}))
    end = forms.DateField(label=_("To"), required=False, widget=forms.DateInput({"type": "date"}))

    def narrow(self, rows: AuditQuerySet) -> AuditQuerySet:
        """The entries that fit; what cannot be read is left out and said at its field."""
        self.is_valid()
        wanted = self.cleaned_data
        if category := wanted.get("category"):
            rows = rows.filter(category=category)
        if start := wanted.get("start"):
            rows = rows.filter(at__gte=_midnight(start))
        if (end := wanted.get("end")) and end < date.max:
            rows = rows.filter(at__lt=_midnight(end + timedelta(days=1)))
        return rows


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
