"""The choices of the usage page."""

from typing import Final

from django import forms
from django.utils.translation import gettext_lazy as _

RANGES: Final = (7, 30, 90)
DEFAULT_RANGE: Final = 30
METRICS: Final = (("spend", _("Spend")), ("requests", _("Requests")))


class UsageFilter(forms.Form):
    """How many days, and which figure the chart shows; nonsense is the default."""

    days = forms.TypedChoiceField(required=False, choices=[(days, days) for days in RANGES], coerce=int)
    metric = forms.ChoiceField(required=False, choices=METRICS)

    def chosen(self) -> tuple[int, str]:
        """The range in days and the metric."""
        self.is_valid()
        return self.cleaned_data.get("days") or DEFAULT_RANGE, self.cleaned_data.get("metric") or METRICS[0][0]
