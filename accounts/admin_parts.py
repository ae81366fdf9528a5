"""What pages of the admin portal are declared with: verbs, sections, the words of columns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy

from accounts.rbac import Permission
from litellm_sync.state import SyncStatus

Text = Any  # str or a lazy translation
# Columns that many tables share, in words; the others are called as their models or methods say.
LABELS: Final[dict[str, Text]] = {
    "budget_duration": gettext_lazy("Budget period"),
    "budget_resets_at": gettext_lazy("Next reset"),
    "created_at": gettext_lazy("Since"),
    "description": gettext_lazy("Description"),
    "email": gettext_lazy("E-mail"),
    "full_name": gettext_lazy("Full name"),
    "id": gettext_lazy("Id"),
    "name": gettext_lazy("Name"),
    "max_output_tokens": gettext_lazy("Longest answer"),
    "max_parallel_requests": gettext_lazy("Parallel requests"),
    "model_limits": gettext_lazy("Limits per model"),
    "revoked_at": gettext_lazy("Ended"),
    "rpm_limit": gettext_lazy("Requests per minute"),
    "soft_budget": gettext_lazy("Warning from, USD"),
    "sync_attempts": gettext_lazy("Attempts"),
    "sync_error": gettext_lazy("Reason"),
    "sync_requested_at": gettext_lazy("Waiting since"),
    "synced_at": gettext_lazy("Last agreed"),
    "tpm_limit": gettext_lazy("Tokens per minute"),
    "updated_at": gettext_lazy("Last change"),
    "username": gettext_lazy("User name"),
}


def telling(names: Iterable[str], row: Any) -> list[str]:
    """The facts that say something about a row as it stands: what LiteLLM has does not wait, whenever it was asked."""
    waits = getattr(row, "sync_status", None) == SyncStatus.PENDING
    return [name for name in names if waits or name != "sync_requested_at"]


def no_fields(row: Any) -> dict[str, Any]:
    """What a form that edits nothing starts with."""
    return {}


def always(row: Any) -> bool:
    """A verb that fits each row."""
    return True


def nothing(actor: Any, row: Any) -> Iterable[Text]:
    """A verb about which everything is said already."""
    return ()


@dataclass(frozen=True)
class Verb:
    """Something that can be done from a page: who may, what it says, and the service function that does it.

    ``perform`` gets the actor, the row (not for verbs of a whole list) and the form's cleaned data by keyword.
    ``done`` is said afterwards and may name the row by ``%(name)s``. ``preview`` says, line by line, what it means for
    this row. ``ends`` is for what takes the row out of the portal. For many rows ``perform`` is called for each, unless
    ``many`` does it to all at once and returns what became of each (``id``, ``ok``, ``message``), after another form
    where ``many_form`` names one.
    """

    name: str
    label: Text
    icon: str
    permission: Permission
    perform: Callable[..., Any]
    explain: Text
    done: Text
    fits: Callable[[Any], bool] = always
    form: type[forms.BaseForm] = forms.Form
    initial: Callable[[Any], Mapping[str, Any]] = no_fields
    preview: Callable[[Any, Any], Iterable[Text]] = nothing
    danger: bool = False
    ends: bool = False
    bulk: bool = False
    many: Callable[..., Iterable[Any]] | None = None
    many_form: type[forms.BaseForm] | None = None
    many_explain: Text = ""


@dataclass(frozen=True)
class Section:
    """A table on the page of one row: what belongs to it, the newest first, and the way to all of it."""

    title: Text
    headers: tuple[Text, ...]
    rows: list[list[Any]]
    empty: Text
    more: str = ""


class ChosenVerb(forms.Form):
    """Which verb for the chosen rows; its names are Django's."""

    action = forms.ChoiceField(label=gettext_lazy("For the chosen rows"), widget=forms.Select({"x-model": "action"}))
    select_across = forms.BooleanField(
        label="", required=False, initial=0, widget=forms.HiddenInput({"class": "select-across"})
    )
