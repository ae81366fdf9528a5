"""The page of synchronisations: how far one is, and what it found in words."""

from collections.abc import Iterable, Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, label, link
from accounts.admin_page import AdminPage
from accounts.admin_paging import Between, Choice
from accounts.admin_parts import Section, Verb
from accounts.models import User
from accounts.rbac import Permission
from litellm_sync import admin_drift, failures, integration  # noqa: F401 -- the page of differences registers itself
from litellm_sync.models import UNFINISHED, RunKind, RunStatus, SyncRun
from litellm_sync.reports import FIELDS, LISTS, STATUS, WORDS, Found, counts, findings


class ByKind(Choice):
    """Runs by what is synchronised."""

    title, parameter_name, options = _("kind"), "kind", RunKind.choices


class ByRunStatus(Choice):
    """Runs by where they stand."""

    title, parameter_name, options = _("status"), "status", RunStatus.choices


class KindForm(forms.Form):
    """What is to be synchronised."""

    what = forms.ChoiceField(label=_("What"), choices=RunKind.choices, initial=RunKind.MODELS, widget=forms.RadioSelect)


def request_run(actor: User, *, what: str) -> Any:
    """Queue a run."""
    return integration.request_sync(actor, what=what)


@admin.register(SyncRun)
class SyncRunPage(AdminPage):
    """Synchronisations with LiteLLM."""

    reads = Permission.INTEGRATION_READ
    title = _("Sync runs")
    intro = _("Each synchronisation with LiteLLM: who asked for it, how far it is, what it found.")
    empty = _("Nothing was synchronised yet.")
    list_display = ("when", "kind", "state", "progress", "found", "requester", "took")
    list_filter = (ByKind, ByRunStatus, ("created_at", Between))
    ordering = ("-created_at",)
    sortable_by = ("when",)
    facts = (
        (_("Run"), ("kind", "state", "progress", "when", "took", "requester", "error")),
        (_("What it found"), ("found",)),
    )
    list_verbs = (
        Verb(
            "start",
            _("Synchronise now"),
            "sync",
            Permission.INTEGRATION_SYNC,
            request_run,
            _("It is queued at once; a worker carries it out."),
            _("The synchronisation has been queued."),
            form=KindForm,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncRun]:
        """With the name of who asked."""
        name = User.objects.filter(pk=OuterRef("requested_by")).values("username")
        return SyncRun.objects.annotate(requester_name=Subquery(name))

    def name_of(self, row: Any) -> str:
        """Kind and time."""
        return f"{row.get_kind_display()} {row.created_at:%Y-%m-%d %H:%M}"

    def refreshes(self, row: Any) -> bool:
        """The page of a run that goes on shows it."""
        return row.status in UNFINISHED

    @admin.display(description=_("Asked for"), ordering="created_at")
    def when(self, row: SyncRun) -> SafeString:
        """When it was asked for."""
        return cell("moment", value=row.created_at)

    @admin.display(description=_("Status"))
    def state(self, row: SyncRun) -> SafeString:
        """Where it stands."""
        return label(*STATUS[RunStatus(row.status)])

    @admin.display(description=_("Progress"))
    def progress(self, row: SyncRun) -> SafeString:
        """How far it is."""
        return cell("progress", done=row.done, total=row.total, going=row.status in UNFINISHED)

    @admin.display(description=_("Found"))
    def found(self, row: SyncRun) -> SafeString:
        """What it found, or why it failed."""
        return cell("found", counts=counts(row), error=row.error)

    @admin.display(description=_("By"))
    def requester(self, row: Any) -> Any:
        """Who asked; nobody means the clock. A step says what it is a step of."""
        if row.parent_id is not None:
            return link("litellm_sync_syncrun", row.parent_id, RunKind.ALL.label)
        if row.requested_by is None:
            return gettext("Schedule")
        return link("accounts_user", row.requested_by, row.requester_name or row.requested_by)

    @admin.display(description=_("Took"))
    def took(self, row: SyncRun) -> str:
        """Seconds from beginning to end."""
        if row.started_at is None or row.finished_at is None:
            return ""
        return gettext("%(seconds)s s") % {"seconds": f"{(row.finished_at - row.started_at).total_seconds():.1f}"}

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """What changed, old and new; and the models by name."""
        if row.kind == RunKind.ALL:
            yield _steps(row)
        if named := row.report.get("named"):
            refused = [[failures.what(one["kind"]), one["name"], failures.reason(one["reason"])] for one in named]
            yield Section(_("The first that LiteLLM refused"), (_("Kind"), _("Name"), _("Reason")), refused, "")
        changed = row.report.get("changed")
        if changed and isinstance(changed, dict):
            headers = (_("Model"), _("What"), _("Old"), _("New"))
            yield Section(WORDS["changed"], headers, list(_changes(changed)), "")
        for name in LISTS:
            models = row.report.get(name)
            if models and isinstance(models, list):  # runs of before counted what these name
                rows = [[_model(model, exists=True)] for model in models]
                yield Section(WORDS[name], (_("Model"),), rows, "")
        skipped = row.report.get("skipped")
        if skipped and isinstance(skipped, dict | list):
            # Runs of before have no reasons.
            reasons = skipped.items() if isinstance(skipped, dict) else ((name, "") for name in skipped)
            yield Section(WORDS["skipped"], (_("Model"), _("Reason")), [list(pair) for pair in reasons], "")
        if found := findings(row):
            rows = [[one.words, cell("number", value=one.number), some(one)] for one in found]
            yield Section(_("What does not fit together"), (_("What"), _("How many"), _("For example")), rows, "")


def _steps(row: SyncRun) -> Section:
    """The runs of a run of everything."""
    headers = (_("What"), _("Status"), _("Progress"), _("Found"))
    rows = [
        [
            link("litellm_sync_syncrun", step.pk, step.get_kind_display()),
            label(*STATUS[RunStatus(step.status)]),
            cell("progress", done=step.done, total=step.total, going=step.status in UNFINISHED),
            cell("found", counts=counts(step), error=step.error),
        ]
        for step in row.steps.order_by("created_at")
    ]
    return Section(_("Steps"), headers, rows, _("No step has begun yet."))


def _model(name: str, *, exists: bool) -> Any:
    return link("subscriptions_model", name, name) if exists else name


def some(found: Found) -> SafeString:
    """The first rows that a finding is about, as links."""
    return cell("row", items=[link(found.page, pk, name) for pk, name in found.examples])


def _changes(changed: dict[str, dict[str, list[Any]]]) -> Iterator[list[Any]]:
    for model, fields in changed.items():
        for name, (old, new) in fields.items():
            yield [
                _model(model, exists=True),
                FIELDS.get(name, name),
                cell("value", value=old),
                cell("value", value=new),
            ]
