"""The only place for what the lists of models and of subscriptions are narrowed to and sorted by, as the address says.

A filter that means nothing shows everything: an old link must not end on an error page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Final, cast

from django import forms
from django.db.models import F, Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from subscriptions.models import Availability, Facets, ModelQuerySet, SubscriptionQuerySet, SubscriptionStatus

PAGE: Final = "page"
FREE: Final = "free"
MINE: Final = "1"
OTHERS: Final = "0"
# USD for a million prompt tokens: small, middle, large and reasoning models lie between these.
PRICES: Final = ("0.1", "0.5", "1", "5", "20")
Order = tuple[Any, ...]
SORTS: Final[dict[str, tuple[Any, Order]]] = {
    "": (gettext_lazy("Name, A to Z"), ("id",)),
    "-name": (gettext_lazy("Name, Z to A"), ("-id",)),
    "provider": (gettext_lazy("Provider"), ("provider", "id")),
    "input": (gettext_lazy("Input price, lowest first"), (F("input_cost_per_token").asc(nulls_last=True), "id")),
    "-input": (gettext_lazy("Input price, highest first"), (F("input_cost_per_token").desc(nulls_last=True), "id")),
    "output": (gettext_lazy("Output price, lowest first"), (F("output_cost_per_token").asc(nulls_last=True), "id")),
    "-output": (gettext_lazy("Output price, highest first"), (F("output_cost_per_token").desc(nulls_last=True), "id")),
    "-context": (gettext_lazy("Context, longest first"), (F("context_length").desc(nulls_last=True), "id")),
    "context": (gettext_lazy("Context, shortest first"), (F("context_length").asc(nulls_last=True), "id")),
}
SUBSCRIPTION_SORTS: Final[dict[str, tuple[Any, Order]]] = {
    "": (gettext_lazy("Newest first"), ("-created_at", "id")),
    "created": (gettext_lazy("Oldest first"), ("created_at", "id")),
    "model": (gettext_lazy("Model, A to Z"), ("model_id", "id")),
    "-model": (gettext_lazy("Model, Z to A"), ("-model_id", "id")),
    "status": (gettext_lazy("Status"), ("status", "-created_at", "id")),
    "person": (gettext_lazy("Person"), ("user__username", "model_id")),
}


@dataclass(frozen=True)
class Chip:
    """A filter that is active, and the query that is left without it."""

    label: str
    words: str
    url: str


class KnownChoices(forms.MultipleChoiceField):
    """Several values; those that do not exist are left out, and the others still count."""

    widget = forms.CheckboxSelectMultiple

    def to_python(self, value: Any) -> list[str]:
        """The known ones."""
        return [one for one in super().to_python(value) if self.valid_value(one)]


def _labels(sorts: dict[str, tuple[Any, Order]]) -> list[tuple[str, Any]]:
    return [(value, label) for value, (label, _order) in sorts.items()]


class ListFilter(forms.Form):
    """What is common: which filters are active, and what the address is without empty ones."""

    shown_as_chips: ClassVar[tuple[str, ...]] = ()
    sorts: ClassVar[dict[str, tuple[Any, Order]]] = {}

    @property
    def wanted(self) -> dict[str, Any]:
        """The values that mean something."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    @property
    def query(self) -> str:
        """The address's query without empty and unknown values and without the page, beginning with a question mark."""
        return _written(self._chosen())

    def chips(self) -> list[Chip]:
        """The active filters, each with what is left without it."""
        found = []
        for name in self.shown_as_chips:
            for value, words in self._words(name):
                left = self._chosen()
                left.setlist(name, [one for one in left.getlist(name) if one != value])
                found.append(Chip(str(self.fields[name].label), str(words), _written(left)))
        return found

    def _words(self, name: str) -> list[tuple[str, Any]]:
        chosen = self.wanted.get(name)
        if not chosen:
            return []
        labels = dict(getattr(self.fields[name], "choices", ()))
        return [(one, labels.get(one, one)) for one in (chosen if isinstance(chosen, list) else [chosen])]

    def _chosen(self) -> QueryDict:
        chosen = QueryDict(mutable=True)
        for name, value in self.wanted.items():
            chosen.setlist(name, value if isinstance(value, list) else [value])
        return chosen

    def _order(self) -> Order:
        return self.sorts[self.wanted.get("sort", "")][1]


def _written(query: QueryDict) -> str:
    return f"?{query.urlencode()}"


class ModelFilter(ListFilter):
    """What of the catalogue to show."""

    sorts = SORTS
    shown_as_chips = ("q", "provider", "capability", "mode", "max_input_cost", "availability", "mine")

    q = forms.CharField(label=gettext_lazy("Search"), required=False, widget=forms.TextInput({"type": "search"}))
    provider = KnownChoices(label=gettext_lazy("Provider"), required=False)
    capability = KnownChoices(label=gettext_lazy("Can do"), required=False)
    mode = forms.ChoiceField(label=gettext_lazy("Kind"), required=False)
    max_input_cost = forms.ChoiceField(label=gettext_lazy("Input price / 1 M"), required=False)
    availability = forms.ChoiceField(
        label=gettext_lazy("Availability"), required=False, choices=[("", gettext_lazy("Any")), *Availability.choices]
    )
    mine = forms.ChoiceField(
        label=gettext_lazy("Show"),
        required=False,
        choices=[
            ("", gettext_lazy("All models")),
            (MINE, gettext_lazy("My models")),
            (OTHERS, gettext_lazy("Not subscribed")),
        ],
    )
    sort = forms.ChoiceField(label=gettext_lazy("Sort by"), required=False, choices=_labels(SORTS))

    def __init__(self, *args: Any, facets: Facets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer("provider", [(name, name) for name in facets.providers])
        self._offer("capability", [(name, name.replace("_", " ")) for name in facets.capabilities])
        self._offer("mode", [("", _("All")), *((name, name.replace("_", " ")) for name in facets.modes)])
        prices = [(price, _("up to $%(price)s") % {"price": f"{Decimal(price):.2f}"}) for price in PRICES]
        self._offer("max_input_cost", [("", _("Any")), (FREE, _("Free")), *prices])

    def _offer(self, name: str, choices: list[tuple[str, Any]]) -> None:
        cast("forms.ChoiceField", self.fields[name]).choices = choices

    def narrow(self, rows: ModelQuerySet) -> ModelQuerySet:
        """The rows of ``Model.objects.listed_for()`` that fit, in the order that was asked for."""
        wanted = self.wanted
        steps: dict[str, Callable[[ModelQuerySet, Any], QuerySet[Any]]] = {
            "q": lambda rows, text: rows.mentioning(text),
            "provider": lambda rows, names: rows.filter(provider__in=names),
            "capability": lambda rows, names: rows.able_to(names),
            "mode": lambda rows, mode: rows.filter(mode=mode),
            "max_input_cost": lambda rows, price: (
                rows.free() if price == FREE else rows.costing_at_most(Decimal(price))
            ),
            "availability": lambda rows, availability: rows.filter(availability=availability),
            "mine": lambda rows, mine: rows.subscribed(yes=mine == MINE),
        }
        for name in wanted.keys() & steps.keys():
            rows = cast("ModelQuerySet", steps[name](rows, wanted[name]))
        return rows.order_by(*self._order())


class SubscriptionFilter(ListFilter):
    """What of the subscriptions to show; whose, is another question and stands in ``of``."""

    sorts = SUBSCRIPTION_SORTS
    shown_as_chips = ("q", "status", "provider")

    q = forms.CharField(label=gettext_lazy("Search"), required=False, widget=forms.TextInput({"type": "search"}))
    status = forms.ChoiceField(
        label=gettext_lazy("Status"),
        required=False,
        choices=[("", gettext_lazy("All")), *SubscriptionStatus.choices],
    )
    provider = forms.ChoiceField(label=gettext_lazy("Provider"), required=False)
    sort = forms.ChoiceField(label=gettext_lazy("Sort by"), required=False)
    of = forms.ChoiceField(required=False, choices=[("", ""), ("everybody", "")], widget=forms.HiddenInput)

    def __init__(self, *args: Any, providers: list[str], everybody: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        provider, sort = (cast("forms.ChoiceField", self.fields[name]) for name in ("provider", "sort"))
        provider.choices = [("", _("All")), *((name, name) for name in providers)]
        sort.choices = [
            (value, label) for value, label in _labels(SUBSCRIPTION_SORTS) if everybody or value != "person"
        ]
        if not everybody:
            del self.fields["of"]

    def narrow(self, rows: SubscriptionQuerySet) -> SubscriptionQuerySet:
        """The rows that fit, in the order that was asked for."""
        wanted = self.wanted
        if text := wanted.get("q"):
            person = Q(user__username__icontains=text) | Q(user__full_name__icontains=text)
            rows = rows.filter(Q(model__id__icontains=text) | Q(model__provider__icontains=text) | person)
        if status := wanted.get("status"):
            rows = rows.filter(status=status)
        if provider := wanted.get("provider"):
            rows = rows.filter(model__provider=provider)
        return rows.order_by(*self._order())
