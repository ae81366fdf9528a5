"""The pages of key hygiene: how many keys are untidy in which way, and what is done to many of them at once."""

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import Case, OuterRef, QuerySet, Subquery, Value, When
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, label, link
from accounts.admin_page import SECTION_ROWS, AdminPage, listing
from accounts.admin_paging import About, Choice
from accounts.admin_parts import Section, Verb
from accounts.models import User
from accounts.rbac import Permission
from apikeys import bulk
from apikeys.models import ApiKey
from apikeys.policy import LONGEST_REASON
from apikeys.risks import HYGIENE, hygiene, known_until, untidy
from apikeys.upkeep import BulkAction, BulkChange, BulkChangeKey, BulkStatus, Outcome

STATUS: Final = {
    BulkStatus.PLANNED: ("quiet", "clipboard-list", _("Planned, nothing done")),
    BulkStatus.RUNNING: ("info", "refresh-cw", _("Running")),
    BulkStatus.STOPPED: ("warn", "circle-pause", _("Stopped")),
    BulkStatus.DONE: ("good", "circle-check", _("Done")),
}
OUTCOMES: Final = {
    Outcome.WAITING: ("quiet", "clock", _("Waiting")),
    Outcome.DONE: ("good", "circle-check", _("Done")),
    Outcome.SKIPPED: ("info", "circle-minus", _("Skipped")),
    Outcome.FAILED: ("bad", "circle-x", _("Failed")),
}
# Code of an outcome or of a stop -> why.
REASONS: Final = {
    "by_hand": _("An administrator stopped it."),
    "changed_meanwhile": _("The key does not fit any more: it was used, changed or ended since the plan was made."),
    "internal_error": _("Something went wrong on our side; the log knows more."),
    "key_revoked": _("It was revoked meanwhile."),
    "not_authenticated": _("Whoever started it is not active any more."),
    "not_found": _("The key is gone."),
    "permission_denied": _("Whoever started it may not do this any more."),
}
ACTIONS: Final = [(BulkAction.BLOCK.value, _("Block them")), (BulkAction.REVOKE.value, _("Revoke them for ever"))]


class ByHygiene(Choice):
    """Keys that somebody should tidy up."""

    title, parameter_name = _("hygiene"), "hygiene"
    options = tuple(HYGIENE.items())

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Of keys that work."""
        rows: Any = queryset
        return untidy(rows, value)


class PlanForm(forms.Form):
    """Which keys, and what is to be done to them."""

    which = forms.ChoiceField(label=_("Which keys"), choices=tuple(HYGIENE.items()), widget=forms.RadioSelect)
    action = forms.ChoiceField(
        label=_("What is done to each"), choices=ACTIONS, initial=BulkAction.BLOCK.value, widget=forms.RadioSelect
    )
    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("It is kept in the audit log. It may be left empty."),
        required=False,
        max_length=LONGEST_REASON,
    )


def plan(actor: User, *, action: str, which: str, reason: str = "") -> Any:
    """Choose and freeze the keys."""
    return bulk.plan_bulk_change(actor, action=action, which=which, reason=reason)


def start(actor: User, change: BulkChange) -> Any:
    """Carry it out."""
    return bulk.start_bulk_change(actor, change_id=change.pk)


def stop(actor: User, change: BulkChange) -> Any:
    """Do nothing more."""
    return bulk.stop_bulk_change(actor, change_id=change.pk)


def foreseen(actor: User, change: BulkChange) -> Iterable[Any]:
    """What carrying it out means."""
    waiting = change.rows.waiting().count()
    words = gettext("%(action)s: %(number)s of %(total)s keys are waiting for it.")
    yield words % {"action": change.get_action_display(), "number": waiting, "total": change.total}
    yield gettext("Chosen by: %(which)s") % {"which": HYGIENE[change.which]}
    if change.reason:
        yield gettext("Reason: %(reason)s") % {"reason": change.reason}
    if as_of := known_until():
        words = gettext("What keys spent and when they were used is known up to %(time)s.")
        yield words % {"time": f"{as_of:%Y-%m-%d %H:%M} UTC"}
    else:
        yield gettext("LiteLLM's figures were never fetched: nobody knows what keys spent and which were used.")


@admin.register(BulkChange)
class BulkChangePage(AdminPage):
    """Key hygiene."""

    reads = Permission.APIKEYS_READ
    title = _("Key hygiene")
    intro = _("Keys that work and that somebody should tidy up, and what was done to many at once.")
    empty = _("Nothing was done to many keys yet.")
    list_before_template = "admin/hygiene_head.html"
    list_display = ("when", "what", "chosen_by", "state", "progress", "requester")
    ordering = ("-created_at",)
    sortable_by = ("when",)
    facts = (
        (_("Bulk change"), ("what", "chosen_by", "state", "progress", "stopped_because", "reason")),
        (_("Who and when"), ("requester", "when", "started_at", "finished_at")),
    )
    verbs = (
        Verb(
            "start",
            _("Carry out"),
            "play_arrow",
            Permission.APIKEYS_BULK,
            start,
            _(
                "A worker does it key by key, as you and by the rules for one key. A key that does not fit any more is "
                "left alone. You can leave the page and stop it at any time; what is done stays done."
            ),
            _("It is being carried out."),
            fits=lambda change: change.status in {BulkStatus.PLANNED, BulkStatus.STOPPED},
            preview=foreseen,
            danger=True,
        ),
        Verb(
            "stop",
            _("Stop"),
            "stop_circle",
            Permission.APIKEYS_BULK,
            stop,
            _("No further key is changed. What is done stays done, and it can be carried on later."),
            _("It is stopped."),
            fits=lambda change: change.status == BulkStatus.RUNNING,
        ),
    )
    list_verbs = (
        Verb(
            "plan",
            _("Plan a bulk change"),
            "checklist",
            Permission.APIKEYS_BULK,
            plan,
            _("Nothing is changed yet: the keys are chosen and listed, and you decide when you have seen them."),
            _("It is planned, and nothing is changed. Open the plan to see its keys, and to carry it out."),
            form=PlanForm,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[BulkChange]:
        """With how far each is, and the name of who asked."""
        name = User.objects.filter(pk=OuterRef("requested_by")).values("username")
        return BulkChange.objects.with_progress().annotate(requester_name=Subquery(name))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the figures above the list."""
        keys = listing("apikeys_apikey")
        figures = [(HYGIENE[way], number, f"{keys}?hygiene={way}") for way, number in hygiene().items()]
        context: dict[str, Any] = {"hygiene": figures, "known_until": known_until()}
        return super().changelist_view(request, context | (extra_context or {}))

    def name_of(self, row: Any) -> str:
        """What, to which keys, when."""
        return f"{row.get_action_display()} · {HYGIENE[row.which]} · {row.created_at:%Y-%m-%d %H:%M}"

    def refreshes(self, row: Any) -> bool:
        """The page of one that goes on shows it."""
        return bool(row.status == BulkStatus.RUNNING)

    @admin.display(description=_("Planned"), ordering="created_at")
    def when(self, row: BulkChange) -> SafeString:
        """When it was planned."""
        return cell("moment", value=row.created_at)

    @admin.display(description=_("What"))
    def what(self, row: BulkChange) -> str:
        """What is done to each."""
        return row.get_action_display()

    @admin.display(description=_("Chosen by"))
    def chosen_by(self, row: BulkChange) -> str:
        """Which keys; and how many more there were."""
        if row.matching <= row.total:
            return str(HYGIENE[row.which])
        words = gettext("%(which)s (the oldest %(total)s of %(matching)s)")
        return words % {"which": HYGIENE[row.which], "total": row.total, "matching": row.matching}

    @admin.display(description=_("Status"))
    def state(self, row: BulkChange) -> SafeString:
        """Where it stands."""
        return label(*STATUS[BulkStatus(row.status)])

    @admin.display(description=_("Progress"))
    def progress(self, row: Any) -> SafeString:
        """How far it is."""
        return cell("progress", done=row.total - row.waiting, total=row.total, going=row.status == BulkStatus.RUNNING)

    @admin.display(description=_("Stopped because"))
    def stopped_because(self, row: BulkChange) -> Any:
        """Why it goes on no more."""
        return REASONS.get(row.error, row.error)

    @admin.display(description=_("By"))
    def requester(self, row: Any) -> Any:
        """In whose name."""
        return link("accounts_user", row.requested_by, row.requester_name or row.requested_by)

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """How many came to what, and the first keys: those that went wrong before the others."""
        found = row.rows.outcomes()
        keys = listing("apikeys_bulkchangekey", change=row.pk)
        counts = [
            [label(*OUTCOMES[outcome]), cell("number", value=found[outcome])] for outcome in Outcome if outcome in found
        ]
        yield Section(_("What became of the keys"), (_("Outcome"), _("Keys")), counts, "")
        gravity = Case(When(outcome=Outcome.FAILED, then=0), When(outcome=Outcome.SKIPPED, then=1), default=Value(2))
        first = row.rows.select_related("key__user").order_by(gravity, "pk")[:SECTION_ROWS]
        rows = [[_key(one), one.key.user.username, _outcome(one), REASONS.get(one.code, one.code)] for one in first]
        headers = (_("Key"), _("Owner"), _("Outcome"), _("Why"))
        yield Section(_("Keys"), headers, rows, "", keys)


def _key(row: BulkChangeKey) -> Any:
    """A deleted key has no page."""
    return row.key.name if row.key.deleted_at else link("apikeys_apikey", row.key_id, row.key.name)


def _outcome(row: BulkChangeKey) -> SafeString:
    return label(*OUTCOMES[Outcome(row.outcome)])


class ByChange(About):
    """The keys of one bulk change."""

    title, parameter_name = _("bulk change"), "change"


class ByOutcome(Choice):
    """Keys by what became of them."""

    title, parameter_name, options = _("outcome"), "outcome", Outcome.choices


@admin.register(BulkChangeKey)
class BulkChangeKeyPage(AdminPage):
    """The keys of bulk changes."""

    reads = Permission.APIKEYS_READ
    audited = False
    title = _("Keys of bulk changes")
    intro = _("What was done, or will be done, to each key.")
    empty = _("Nothing was done to many keys yet.")
    list_display = ("key_name", "owner", "used", "expires", "outcome_shown", "why", "when")
    list_filter = (ByOutcome, ByChange)
    list_select_related = ("key__user",)
    search_fields = ("key__name",)  # that there is a search; what it finds says get_search_results()
    search_help_text = _("Name, owner, e-mail, id, or the last four characters")
    ordering = ("id",)
    sortable_by = ()
    facts = ((_("Key"), ("name", "owner", "used", "expires", "outcome_shown", "why", "when")),)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The keys that the list of keys would find."""
        found: Any = ApiKey.objects.search(search_term)
        return (queryset.filter(key__in=found) if search_term.strip() else queryset), False

    def name_of(self, row: Any) -> str:
        """The key."""
        return str(row.key.name)

    @admin.display(description=_("Key"))
    def key_name(self, row: BulkChangeKey) -> str:
        """Without its page: the first column of a list leads to the row's own."""
        return str(row.key.name)

    @admin.display(description=_("Key"))
    def name(self, row: BulkChangeKey) -> Any:
        """With its page."""
        return _key(row)

    @admin.display(description=_("Owner"))
    def owner(self, row: BulkChangeKey) -> Any:
        """Whose."""
        return link("accounts_user", row.key.user_id, row.key.user)

    @admin.display(description=_("Last used"))
    def used(self, row: BulkChangeKey) -> SafeString:
        """When the key was last used."""
        return cell("moment", value=row.key.last_used_at)

    @admin.display(description=_("Expires"))
    def expires(self, row: BulkChangeKey) -> SafeString:
        """When it ends by itself."""
        return cell("day", value=row.key.expires_at)

    @admin.display(description=_("Outcome"))
    def outcome_shown(self, row: BulkChangeKey) -> SafeString:
        """What became of it."""
        return _outcome(row)

    @admin.display(description=_("Why"))
    def why(self, row: BulkChangeKey) -> Any:
        """Why nothing was done to it."""
        return REASONS.get(row.code, row.code)

    @admin.display(description=_("Done"))
    def when(self, row: BulkChangeKey) -> SafeString:
        """When."""
        return cell("moment", value=row.done_at)
