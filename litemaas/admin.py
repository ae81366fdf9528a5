"""The page of jobs: what the workers have to do, are doing, and could not do."""

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob

from accounts.admin_cells import cell, label
from accounts.admin_page import SECTION_ROWS, AdminPage
from accounts.admin_paging import Choice
from accounts.admin_parts import Section
from accounts.rbac import Permission

STATUS: Final = {
    "todo": ("info", "clock", _("Waiting")),
    "doing": ("info", "refresh-cw", _("Running")),
    "succeeded": ("good", "circle-check", _("Done")),
    "failed": ("bad", "circle-x", _("Failed")),
    "cancelled": ("quiet", "ban", _("Cancelled")),
    "aborted": ("quiet", "ban", _("Aborted")),
}
EVENTS: Final = {
    "deferred": _("Queued"),
    "started": _("Started"),
    "deferred_for_retry": _("Queued again"),
    "failed": _("Failed"),
    "succeeded": _("Done"),
    "cancelled": _("Cancelled"),
    "abort_requested": _("Asked to abort"),
    "aborted": _("Aborted"),
    "scheduled": _("Scheduled"),
}


class ByStatus(Choice):
    """Jobs by where they stand."""

    title, parameter_name = _("status"), "status"
    options = [(name, words) for name, (_tone, _icon, words) in STATUS.items()]


class ByTask(Choice):
    """Jobs by what they do."""

    title, parameter_name = _("task"), "task_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The tasks that the product has."""
        from procrastinate.contrib.django import app  # noqa: PLC0415 -- the app is there once Django is ready

        return [(name, name) for name in sorted(app.tasks) if not name.startswith("builtin:")]


@admin.register(ProcrastinateJob)
class JobPage(AdminPage):
    """Jobs, read only: the rows that they are about say when they are tried again, and have a button for it."""

    reads = Permission.INTEGRATION_READ
    title = _("Jobs")
    intro = _(
        "What the workers have to do, are doing, and could not do. Jobs that are done are removed. "
        "They are only shown: what one is about is tried again by itself, and its own page has a button for that."
    )
    empty = _("There is nothing to do.")
    audited = False
    list_display = ("number", "task", "state", "arguments", "attempts", "due")
    list_filter = (ByStatus, ByTask)
    search_fields = ("=id", "task_name")
    search_help_text = _("Number or task")
    ordering = ("-id",)
    sortable_by = ("number", "due")
    facts = (
        (_("Job"), ("number", "task", "state", "arguments", "due", "attempts", "priority")),
        (_("Queue"), ("queue_name", "lock", "queueing_lock", "abort_requested", "worker_id")),
    )

    def name_of(self, row: Any) -> str:
        """Number and task."""
        return f"{row.pk} {row.task_name}"

    @admin.display(description=_("Number"), ordering="id")
    def number(self, row: Any) -> str:
        """Its number."""
        return str(row.pk)

    @admin.display(description=_("Task"))
    def task(self, row: Any) -> str:
        """What it does."""
        return str(row.task_name)

    @admin.display(description=_("Status"))
    def state(self, row: Any) -> SafeString:
        """Where it stands."""
        return label(*STATUS.get(row.status, ("quiet", "circle-question-mark", row.status)))

    @admin.display(description=_("Arguments"))
    def arguments(self, row: Any) -> SafeString:
        """Ids; never data."""
        return cell("pairs", pairs=row.args)

    @admin.display(description=_("Due"), ordering="scheduled_at")
    def due(self, row: Any) -> SafeString:
        """When it may be carried out; nothing means at once."""
        return cell("moment", value=row.scheduled_at)

    @admin.display(description=_("Worker"))
    def worker_id(self, row: Any) -> Any:
        """Who is at it."""
        return row.worker_id

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """What happened to it."""
        events = ProcrastinateEvent.objects.filter(job=row.pk).order_by("-at")[:SECTION_ROWS]
        rows = [[cell("moment", value=event.at), EVENTS.get(event.type, event.type)] for event in events]
        yield Section(_("Events"), (_("When"), _("What")), rows, _("Nothing has happened to it yet."))
