"""The forms of the catalogue and of subscribing."""

from typing import Any, Final, cast

from django import forms
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from litemaas.foundation.validators import MODEL_ID_MAX_LENGTH, sanitize_string
from subscriptions.models import SubscriptionStatus

JUSTIFICATION_LENGTH: Final = 1000
SORTS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "": (_("Name"), ("id",)),
    "input": (_("Input price"), (F("input_cost_per_token").asc(nulls_last=True), "id")),
    "output": (_("Output price"), (F("output_cost_per_token").asc(nulls_last=True), "id")),
    "context": (_("Longest context"), (F("context_length").desc(nulls_last=True), "id")),
}


class ModelFilter(forms.Form):
    """What of the catalogue to show; a choice that does not exist shows everything."""

    q = forms.CharField(label=_("Search"), required=False, widget=forms.TextInput({"type": "search"}))
    provider = forms.ChoiceField(label=_("Provider"), required=False)
    mine = forms.ChoiceField(label=_("Show"), required=False, choices=[("", _("All models")), ("1", _("My models"))])
    sort = forms.ChoiceField(
        label=_("Sort by"), required=False, choices=[(value, label) for value, (label, _order) in SORTS.items()]
    )

    def __init__(self, *args: Any, providers: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        provider = cast("forms.ChoiceField", self.fields["provider"])
        provider.choices = [("", _("All providers")), *((name, name) for name in providers)]

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of ``Model.objects.listed_for()`` that fit, in the order that was asked for."""
        self.is_valid()
        wanted = self.cleaned_data
        if text := wanted.get("q"):
            rows = rows.filter(Q(id__icontains=text) | Q(provider__icontains=text) | Q(description__icontains=text))
        if provider := wanted.get("provider"):
            rows = rows.filter(provider=provider)
        if wanted.get("mine"):
            rows = rows.filter(my_subscription__isnull=False)
        return rows.order_by(*SORTS[wanted.get("sort") or ""][1])


class SubscriptionFilter(forms.Form):
    """What of the subscriptions to show."""

    q = forms.CharField(label=_("Search"), required=False, widget=forms.TextInput({"type": "search"}))
    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("All")), *SubscriptionStatus.choices])

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows that fit."""
        self.is_valid()
        if text := self.cleaned_data.get("q"):
            rows = rows.filter(Q(model__id__icontains=text) | Q(model__provider__icontains=text))
        if status := self.cleaned_data.get("status"):
            rows = rows.filter(status=status)
        return rows


class SubscribeForm(forms.Form):
    """Subscribe to a model; the reason is for those who approve."""

    model = forms.CharField(max_length=MODEL_ID_MAX_LENGTH, strip=False, widget=forms.HiddenInput)
    justification = forms.CharField(
        label=_("What do you need it for?"),
        required=False,
        max_length=JUSTIFICATION_LENGTH,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("Whoever approves will read this."),
    )

    def clean_justification(self) -> str:
        """Text that can be stored and shown."""
        return sanitize_string(self.cleaned_data["justification"], max_length=JUSTIFICATION_LENGTH, multiline=True)


class CancelForm(forms.Form):
    """Nothing to fill in: sending it is the answer."""
