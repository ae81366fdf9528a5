"""Whether the catalogue makes sense with what hangs on it: what an administrator should look at, in five statements."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Window
from django.utils.translation import gettext_lazy as _

from apikeys.models import ApiKey, KeyModel, KeyStatus
from subscriptions.models import Availability, Model

EXAMPLES: Final = 5

# What it is, and the page of a row that it is about.
WORDS: Final[dict[str, tuple[Any, str]]] = {
    "unpriced": (_("Models without a price: using them costs nothing, so no budget stops it"), "subscriptions_model"),
    "gone": (_("Models that are gone and that people have subscribed to"), "subscriptions_model"),
    "gone_on_keys": (_("Models that are gone and that living keys have"), "subscriptions_model"),
    "idle_keys": (_("Active keys without a single model that they can use"), "apikeys_apikey"),
    "idle_links": (_("Active keys with a model that they cannot use"), "apikeys_apikey"),
}


@dataclass(frozen=True)
class Finding:
    """Something that does not fit together: how many rows, and id and name of the first."""

    number: int
    examples: list[list[str]]


def validate_model_integrity() -> dict[str, Any]:
    """What does not fit together, by its code (see WORDS), as JSON; what is all right is there too, with 0."""
    gone = Model.objects.filter(availability=Availability.UNAVAILABLE)
    active = ApiKey.objects.with_status(KeyStatus.ACTIVE)
    usable = KeyModel.objects.effective().filter(key=OuterRef("pk"))
    # By EXISTS: a NOT IN of very many links would be searched from its beginning for each of them.
    this_one = KeyModel.objects.effective().filter(pk=OuterRef("pk"))
    useless = KeyModel.objects.filter(~Exists(this_one), key=OuterRef("pk"))
    found = {
        "unpriced": _first(Model.objects.unpriced(), "id"),
        "gone": _first(gone.filter(Exists(Model.objects.active_subscriptions())), "id"),
        "gone_on_keys": _first(gone.filter(Exists(KeyModel.objects.alive().filter(model=OuterRef("pk")))), "id"),
        "idle_keys": _first(active.filter(~Exists(usable)), "name"),
        "idle_links": _first(active.filter(Exists(useless)), "name"),
    }
    return {code: asdict(finding) for code, finding in found.items()}


def _first(rows: QuerySet[Any], name: str) -> Finding:
    """All are counted in the statement that reads the first."""
    some = list(
        rows.order_by(name, "pk").annotate(total=Window(Count("pk"))).values_list("pk", F(name), "total")[:EXAMPLES]
    )
    return Finding(some[0][2] if some else 0, [[str(pk), words] for pk, words, _total in some])
