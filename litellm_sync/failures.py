"""Pushes that do not come to their end: which rows, of what kind, and why in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import BooleanField, CharField, F, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from apikeys.models import ApiKeySecret
from litellm_sync import state
from litellm_sync.state import Synced, SyncStatus
from litemaas.foundation.errors import Invalid
from teams.models import Membership, Team

# What passes by itself, in people's words; the pushes of a row that says this go on.
PASSING: Final = {
    "budget_begins_again": gettext_lazy(
        "LiteLLM is about to begin its budget again: spend is carried over after that."
    ),
    "circuit_open": gettext_lazy("LiteLLM was not asked: it had just failed five times in a row."),
    "claim_lost": gettext_lazy("Another process was at it."),
    "deadline": gettext_lazy("LiteLLM did not answer in time."),
    "garbage": gettext_lazy("What answers is not LiteLLM, or it is broken: see LITELLM_API_URL."),
    "http_429": gettext_lazy("LiteLLM is asked too much at once."),
    "not_as_sent": gettext_lazy("LiteLLM did not do what it said it had done."),
    "not_configured": gettext_lazy("LITELLM_API_URL or LITELLM_API_KEY is not set."),
    "not_litellm": gettext_lazy("Something else than LiteLLM answers: see LITELLM_API_URL."),
    "not_there_after_creation": gettext_lazy("LiteLLM did not keep what it was given."),
    "offer_may_arrive": gettext_lazy("It is done; an earlier call may still arrive, so it is looked at again."),
    "redirected": gettext_lazy("LiteLLM's address leads elsewhere: see LITELLM_API_URL."),
    "removal_may_arrive": gettext_lazy("LiteLLM may still take its owner out of the team, and would delete it then."),
    "spend_not_carried_over": gettext_lazy("Its last spend has still to be carried over to the new secret."),
    "spend_not_settled": gettext_lazy("LiteLLM may still write down what the old secret spent."),
    "still_there": gettext_lazy("LiteLLM says that it deleted the key, and still has it."),
    "timeout": gettext_lazy("LiteLLM did not answer in time."),
    "unauthorized": gettext_lazy("LiteLLM does not accept our master key: see LITELLM_API_KEY."),
    "unreachable": gettext_lazy("LiteLLM could not be reached."),
    "vanished": gettext_lazy("LiteLLM lost it while it was changed."),
}
# What does not pass by itself.
LASTING: Final = {
    "internal_error": gettext_lazy("A fault of ours. The log has it."),
    "left_in_litellm": gettext_lazy("LiteLLM refuses every call with it, but does not carry out the rest."),
    "needs_rotation": gettext_lazy(
        "LiteLLM has lost this key, and its secret is erased here: its owner has to rotate it."
    ),
    "secret_unreadable": gettext_lazy(
        "None of ENCRYPTION_KEYS opens its secret: put the key back that it was written with, or revoke it."
    ),
}
# Of a key that must not work and waits: what says nothing of whether it does.
HARMLESS: Final = frozenset({*PASSING, "internal_error", "left_in_litellm"})
# Tried so often although LiteLLM answers, something is wrong that does not pass.
MANY_ATTEMPTS: Final = 5
_PASSES: Final = Q(sync_error="") | Q(sync_error__in=PASSING) | Q(sync_error__startswith="http_5")
_IS_STUCK: Final = ~_PASSES | Q(sync_attempts__gte=MANY_ATTEMPTS)
# Refused; or waiting, but for something that nobody but a person can mend, such as a key that still works in LiteLLM
# although it must not: that is tried for ever and never counts as refused.
FAILING: Final = Q(sync_status=SyncStatus.FAILED) | (Q(sync_status=SyncStatus.PENDING) & _IS_STUCK)

KINDS: Final[dict[type[Synced], Any]] = {
    ApiKeySecret: gettext_lazy("Key"),
    Membership: gettext_lazy("Membership"),
    Team: gettext_lazy("Team"),
    User: gettext_lazy("Person"),
}
NAMES: Final[dict[type[Synced], Any]] = {
    ApiKeySecret: F("key__name"),
    Membership: Concat("user__username", Value(" · "), "team__name"),
    Team: F("name"),
    User: F("username"),
}


def what(kind: str) -> Any:
    """What a row of that kind is, in words."""
    return next(words for table, words in KINDS.items() if state.kind_of(table) == kind)


@dataclass(frozen=True)
class Failure:
    """A row that LiteLLM does not take. ``shown`` is the id of the row with a page: for a secret, that of its key."""

    kind: str
    id: str
    shown: str
    name: str
    status: str
    error: str
    attempts: int
    since: datetime | None
    next_at: datetime | None
    hidden: bool

    @property
    def what(self) -> Any:
        """What it is, in words."""
        return what(self.kind)

    @property
    def page(self) -> str:
        """The table whose row has a page, as ``app_model``: a secret is shown on its key's."""
        return "apikeys_apikey" if self.kind == state.kind_of(ApiKeySecret) else self.kind.replace(".", "_")

    @property
    def reason(self) -> str:
        """Why, in words."""
        return reason(self.error)

    @property
    def must_not_work(self) -> bool:
        """A key whose refusal LiteLLM does not carry out: it is tried for ever, and may work until then."""
        is_key = self.kind == state.kind_of(ApiKeySecret)
        return is_key and self.status == SyncStatus.PENDING and self.error not in HARMLESS


def reason(error: str) -> str:
    """What ``sync_error`` means, in words; what LiteLLM refused has no more than that."""
    if known := PASSING.get(error) or LASTING.get(error):
        return str(known)
    if error.startswith("http_"):
        words = _("LiteLLM answered with an error (%(status)s).")
        return words % {"status": error.removeprefix("http_")}
    return error or _("LiteLLM refused it.")


def failures(kind: str | None = None) -> QuerySet[Any, Any]:
    """Every such row of one table or of all, the longest first, as arguments of Failure; one statement.

    Raises Invalid (unknown_kind).
    """
    tables = [table for table in KINDS if kind in {None, state.kind_of(table)}]
    if not tables:
        message = _("What can be pushed again: %(kinds)s.") % {"kinds": ", ".join(map(state.kind_of, KINDS))}
        raise Invalid(message, code="unknown_kind", field="kind")
    parts = [_failing(table) for table in tables]
    return parts[0].union(*parts[1:], all=True).order_by("since", "row")


def _failing(table: type[Synced]) -> QuerySet[Any, Any]:
    is_key = table is ApiKeySecret
    hidden: Any = Q(key__deleted_at__isnull=False) if is_key else Value(value=False, output_field=BooleanField())
    rows = table._base_manager.filter(FAILING).order_by()
    return rows.annotate(
        table=Value(state.kind_of(table)),
        row=Cast("pk", CharField()),
        page=Cast("key_id" if is_key else "pk", CharField()),
        called=Cast(NAMES[table], CharField()),
        since=F("sync_requested_at"),
        hidden=hidden,
    ).values_list(
        *("table", "row", "page", "called", "sync_status", "sync_error"),
        *("sync_attempts", "since", "sync_next_at", "hidden"),
    )


def shown(rows: Any) -> list[Failure]:
    """Rows of ``failures()`` with their words."""
    return [Failure(*row) for row in rows]
