"""The form above the list of keys: which of them to show, in which order."""

from typing import Any, Final, cast

from django import forms
from django.db.models import Exists, F, OuterRef
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyModel, KeyStatus
from apikeys.risks import gravest_first
from litellm_sync.state import SyncStatus
from subscriptions.models import Model
from teams.models import Team

SORTS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "": (_("Newest first"), ("-created_at", "id")),
    "name": (_("Name"), ("name", "id")),
    "spend": (_("Highest spend"), ("-spend", "id")),
    "expires": (_("Expires first"), (F("expires_at").asc(nulls_last=True), "id")),
    "used": (_("Last used"), (F("last_used_at").desc(nulls_last=True), "id")),
}
ATTENTION: Final = "attention"
EXPIRING: Final = "expiring"
SHOWN: Final = [("", _("All")), *KeyStatus.choices, (EXPIRING, _("Expires soon")), (ATTENTION, _("Needs attention"))]


class KeyFilter(forms.Form):
    """What of the keys to show; a choice that does not exist shows everything."""

    q = forms.CharField(label=_("Search"), required=False, widget=forms.TextInput({"type": "search"}))
    person = forms.CharField(label=_("Person"), required=False, widget=forms.TextInput({"type": "search"}))
    status = forms.ChoiceField(label=_("Status"), required=False, choices=SHOWN)
    model = forms.ChoiceField(label=_("Model"), required=False)
    team = forms.ChoiceField(label=_("Team"), required=False)
    sync = forms.ChoiceField(label=_("LiteLLM"), required=False, choices=[("", _("Any state")), *SyncStatus.choices])
    sort = forms.ChoiceField(
        label=_("Sort by"), required=False, choices=[(value, label) for value, (label, _order) in SORTS.items()]
    )

    def __init__(self, *args: Any, user: User, everybody: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Whether there is one, for each model and team: joining all keys would take long where there are many.
        links, keys = KeyModel.objects.filter(model=OuterRef("pk")), ApiKey.objects.filter(team=OuterRef("pk"))
        if not everybody:
            links, keys = links.filter(key__user=user), keys.filter(user=user)
            del self.fields["person"]
        names = Model.objects.filter(Exists(links)).order_by("pk").values_list("pk", flat=True)
        self._offer("model", gettext("All models"), [(name, name) for name in names])
        offered = Team.objects.filter(Exists(keys)).order_by("name", "pk").values_list("pk", "name")
        self._offer("team", gettext("All teams"), [(str(pk), name) for pk, name in offered])
        if len(offered) < len(("one", "other")):
            del self.fields["team"]

    def _offer(self, name: str, everything: str, choices: list[tuple[str, Any]]) -> None:
        cast("forms.ChoiceField", self.fields[name]).choices = [("", everything), *choices]

    @property
    def more(self) -> list[forms.BoundField]:
        """What few people need, and so is folded away."""
        return [self[name] for name in ("team", "sync") if name in self.fields]

    @property
    def uses_more(self) -> bool:
        """Whether something of that is set."""
        return any(bound.value() for bound in self.more)

    def narrow(self, rows: ApiKeyQuerySet) -> ApiKeyQuerySet:
        """The rows that fit, in the order that was asked for."""
        self.is_valid()
        wanted = self.cleaned_data
        if text := wanted.get("q"):
            rows = rows.search(text)
        if person := wanted.get("person"):
            rows = rows.of_owner(person)
        if status := wanted.get("status"):
            rows = _with_status(rows, status)
        if sync := wanted.get("sync"):
            rows = rows.with_sync_status(sync)
        if model := wanted.get("model"):
            rows = rows.filter(links__model=model)
        if team := wanted.get("team"):
            rows = rows.filter(team=team)
        if status == ATTENTION and not wanted.get("sort"):
            return gravest_first(rows)
        return rows.order_by(*SORTS[wanted.get("sort") or ""][1])


def _with_status(rows: ApiKeyQuerySet, status: str) -> ApiKeyQuerySet:
    if status == ATTENTION:
        return rows.needing_attention()
    return rows.expiring_soon() if status == EXPIRING else rows.with_status(status)
