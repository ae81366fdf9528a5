"""What every page of the admin portal is: reading by permission, doing by verbs, never saving by itself."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import label_for_field, lookup_field, quote, unquote
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from accounts import admin_shown, rbac
from accounts.admin_cells import NOTHING, cell, happened, label
from accounts.admin_paging import LongPaginator
from accounts.admin_parts import LABELS, ChosenVerb, Section, Text, Verb, telling
from accounts.models import AuditEvent
from accounts.rbac import Permission
from litellm_sync import state
from litemaas.foundation.errors import Conflict, DomainError, NotFound
from litemaas.foundation.forms import perform

READING: Final = ("GET", "HEAD")
FORM: Final = ("GET", "HEAD", "POST")
SECTION_ROWS: Final = 10
# Each row is a verb of its own; LiteLLM hears of it by the jobs, so that nobody waits for it with each.
MOST_AT_ONCE: Final = 100


class AdminPage(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """A list and a page for each row. There is no form that saves: rows change by verbs alone."""

    reads: ClassVar[Permission]
    title: ClassVar[Text]
    intro: ClassVar[Text] = ""
    empty: ClassVar[Text] = gettext_lazy("There is nothing here yet.")
    facts: ClassVar[tuple[tuple[Text, tuple[str, ...]], ...]] = ()
    verbs: ClassVar[tuple[Verb, ...]] = ()
    list_verbs: ClassVar[tuple[Verb, ...]] = ()
    list_links: ClassVar[tuple[tuple[str, Text, str], ...]] = ()
    audited: ClassVar[bool] = True

    action_form = ChosenVerb
    actions_selection_counter = True
    empty_value_display = NOTHING
    list_disable_select_all = True
    list_before_template = "admin/list_head.html"
    list_filter_sheet = False
    list_filter_submit = True
    list_fullwidth = True
    list_max_show_all = 0
    list_per_page = 25
    paginator = LongPaginator
    preserve_filters = False
    show_facets = ShowFacets.NEVER
    show_full_result_count = False

    # --- Who may -----------------------------------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Administrators of both kinds, by the permission to read this."""
        actor = request.user
        return rbac.check_permission(actor, Permission.ADMIN_READ) and rbac.check_permission(actor, self.reads)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As for reading."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: things come into being by verbs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: things change by verbs."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: things end by verbs."""
        return False

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: Any) -> None:
        """Never: a row that is saved here would reach neither the audit log nor LiteLLM."""
        raise NotImplementedError

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Never, as save_model()."""
        raise NotImplementedError

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Never, as save_model()."""
        raise NotImplementedError

    # --- Addresses ---------------------------------------------------------------------------------------------------

    def all_verbs(self) -> tuple[Verb, ...]:
        """What can be done to a row: the page's own verbs and those that upper layers add."""
        return (*self.verbs, *self.admin_site.verbs_for(self.model))

    def all_list_verbs(self) -> tuple[Verb, ...]:
        """What can be done from the list without choosing a row."""
        return (*self.list_verbs, *self.admin_site.list_verbs_for(self.model))

    def get_urls(self) -> list[URLPattern]:
        """The list, a page for each row, a page for each verb; nothing else of what Django's admin offers."""
        bulk = any(verb.bulk for verb in self.all_verbs())
        listing = self._page("", self.changelist_view, "changelist", methods=FORM if bulk else READING)
        return [
            listing,
            *(
                self._page(f"{verb.name}/", partial(self.list_verb_view, verb=verb), verb.name, verb)
                for verb in self.all_list_verbs()
            ),
            *(
                self._page(f"<path:object_id>/{verb.name}/", partial(self.verb_view, verb=verb), verb.name, verb)
                for verb in self.all_verbs()
            ),
            self._page("<path:object_id>/change/", self.change_view, "change"),
        ]

    def _page(
        self,
        route: str,
        view: Callable[..., HttpResponseBase],
        kind: str,
        verb: Verb | None = None,
        *,
        methods: tuple[str, ...] = READING,
    ) -> URLPattern:
        permission = verb.permission if verb else Permission.ADMIN_READ
        page = self.admin_site.page(view, permission, FORM if verb else methods)
        address: URLPattern = path(route, page, name=f"{self.opts.app_label}_{self.opts.model_name}_{kind}")
        return address

    def address(self, kind: str, row: Any = None) -> str:
        """The address of one of this page's own pages."""
        args = [] if row is None else [quote(row.pk)]
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{kind}", args=args)

    # --- The list ----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; a POST is a verb for many rows, and whoever may not is told so."""
        if request.method == "POST":
            self._require_bulk(request)
        context = {
            "title": self.title,
            "page_title": self.title,
            "intro": self.intro,
            "list_buttons": self._list_buttons(request),
            "list_links": self._list_links(request),
        }
        response: HttpResponse = super().changelist_view(request, context | (extra_context or {}))
        return response

    def _require_bulk(self, request: HttpRequest) -> None:
        wanted = request.POST.get("action")
        bulk = [verb for verb in self.all_verbs() if verb.bulk]
        chosen = [verb for verb in bulk if verb.name == wanted] or bulk
        for verb in chosen:
            rbac.require(request.user, verb.permission)

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., Any], str, Text]]:
        """The verbs for many rows that the reader may use."""
        return {
            verb.name: (_many(verb), verb.name, verb.label)
            for verb in self.all_verbs()
            if verb.bulk and rbac.check_permission(request.user, verb.permission)
        }

    def _list_buttons(self, request: HttpRequest) -> list[dict[str, Any]]:
        return [
            {"verb": verb, "url": self.address(verb.name)}
            for verb in self.all_list_verbs()
            if rbac.check_permission(request.user, verb.permission)
        ]

    def _list_links(self, request: HttpRequest) -> list[tuple[str, Text, str]]:
        query = f"?{request.GET.urlencode()}" if request.GET else ""
        return [(self.address(kind) + query, words, icon) for kind, words, icon in self.list_links]

    # --- One row -----------------------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Everything about one row, to read, with what can be done to it."""
        row = self._row(request, object_id)
        sections = [*self.admin_site.sections_for(row), *self.sections(request, row)]
        if self.audited:
            sections.append(self._audit_section(row))
        context = {
            "page_title": self.name_of(row),
            "row": row,
            "groups": self._groups(row),
            "sections": sections,
            "buttons": self._buttons(request, row),
            "refreshes": self.refreshes(row),
        }
        return self.render(request, "admin/detail.html", context)

    def _row(self, request: HttpRequest, object_id: str) -> Any:
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_view_permission(request, row):
            raise NotFound
        return row

    def refreshes(self, row: Any) -> bool:
        """Whether the page should be read again in a few seconds, because something goes on."""
        return False

    def name_of(self, row: Any) -> str:
        """What a row is called."""
        return str(row)

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """What belongs to the row; each section asks once."""
        return ()

    def _audit_section(self, row: Any) -> Section:
        about = {"target_type": self.opts.model_name, "target_id": str(row.pk)}
        events = AuditEvent.objects.filter(**about)[:SECTION_ROWS]
        rows = [
            [cell("moment", value=event.at), event.actor_name, happened(event), _outcome(event)] for event in events
        ]
        headers = (_("When"), _("Who"), _("What"), _("Outcome"))
        more = listing("accounts_auditevent", **about)
        return Section(_("History"), headers, rows, _("Nothing was recorded."), more)

    def _groups(self, row: Any) -> list[tuple[Text, list[tuple[str, Any]]]]:
        return [
            (title, [(self.label_of(name), self._fact(name, row)) for name in telling(names, row)])
            for title, names in self.facts
        ]

    def label_of(self, name: str) -> Text:
        """What a fact is called."""
        return LABELS.get(name) or label_for_field(name, self.model, self)

    def _fact(self, name: str, row: Any) -> Any:
        field, _attribute, value = lookup_field(name, row, self)
        if isinstance(value, SafeString):
            return value
        if field is not None and getattr(field, "flatchoices", None):
            value = dict(field.flatchoices).get(value, value)
        kinds: dict[type, str] = {datetime: "moment", dict: "json", Decimal: "plain"}
        return cell(kinds.get(type(value), "value"), value=value)

    def _buttons(self, request: HttpRequest, row: Any) -> list[dict[str, Any]]:
        return [
            {"verb": verb, "url": self.address(verb.name, row)}
            for verb in self.all_verbs()
            if rbac.check_permission(request.user, verb.permission) and verb.fits(row)
        ]

    # --- Verbs -------------------------------------------------------------------------------------------------------

    def verb_view(self, request: HttpRequest, object_id: str, *, verb: Verb) -> HttpResponse:
        """Ask once, naming the row; then do it."""
        row = self._row(request, object_id)
        if not verb.fits(row):
            raise Conflict(_("This does not fit the present state of “%(name)s”.") % {"name": self.name_of(row)})
        back = self.address("changelist") if verb.ends and request.method == "POST" else self.address("change", row)
        return self._verb_page(request, verb, partial(verb.perform, request.user, row), [row], back)

    def list_verb_view(self, request: HttpRequest, *, verb: Verb) -> HttpResponse:
        """A form that makes something, or starts something."""
        back = self.address("changelist")
        return self._verb_page(request, verb, partial(verb.perform, request.user), [], back)

    def _verb_page(
        self, request: HttpRequest, verb: Verb, carry_out: Callable[..., Any], rows: list[Any], back: str
    ) -> HttpResponse:
        initial = dict(verb.initial(rows[0])) if rows else {}
        form: Any = verb.form(request.POST if request.method == "POST" else None, initial=initial)
        if request.method == "POST" and (form.is_valid() or not form.fields):
            if initial:
                self._perform_touched(request, verb, carry_out, rows[0], form)
            else:
                perform(form, carry_out, **getattr(form, "cleaned_data", {}))
            if not form.errors:
                name = self.name_of(rows[0]) if rows else form.cleaned_data.get("name", "")
                messages.success(request, verb.done % {"name": name})
                return HttpResponseRedirect(back)
        context = {
            "page_title": verb.label,
            "verb": verb,
            "form": form,
            "names": [self.name_of(row) for row in rows],
            "as_shown": self._as_shown(request, verb, rows[0], initial) if initial else "",
            "preview": list(verb.preview(request.user, rows[0])) if rows else [],
            "back": back,
        }
        return self.render(request, "admin/verb.html", context, status=422 if form.errors else 200)

    def _perform_touched(
        self, request: HttpRequest, verb: Verb, carry_out: Callable[..., Any], row: Any, form: Any
    ) -> None:
        """Under a lock, or somebody could change the row between the look at it and the verb."""
        with transaction.atomic():
            now = self.model._base_manager.select_for_update(no_key=True).filter(pk=row.pk).first() or row
            seal, about = request.POST.get(admin_shown.FIELD, ""), self.address(verb.name, row)
            if new := admin_shown.touched(form, seal, verb.initial(now), about=about):
                perform(form, carry_out, **new)

    def _as_shown(self, request: HttpRequest, verb: Verb, row: Any, initial: dict[str, Any]) -> str:
        """Of a form that is shown again, what it showed first."""
        sent: str | None = request.POST.get(admin_shown.FIELD)
        return sent or admin_shown.sealed(initial, about=self.address(verb.name, row))

    def perform_many(self, request: HttpRequest, verb: Verb, rows: QuerySet[Any]) -> HttpResponse | None:
        """Ask once, naming the rows; then do it to each, and say which it could not be done to."""
        chosen = list(rows[: MOST_AT_ONCE + 1])
        if len(chosen) > MOST_AT_ONCE:
            raise Conflict(_("At most %(number)s at once.") % {"number": MOST_AT_ONCE})
        form: Any = (verb.many_form or verb.form)(request.POST if "confirmed" in request.POST else None)
        if "confirmed" in request.POST and (form.is_valid() or not form.fields):
            carry_out = self._together if verb.many else self._each
            with state.left_to_jobs():
                perform(form, carry_out, request, verb, chosen, getattr(form, "cleaned_data", {}))
            if not form.errors:
                return None
        context = {
            "page_title": verb.label,
            "verb": verb,
            "form": form,
            "names": [self.name_of(row) for row in chosen],
            "explain": verb.many_explain,
            "selected": [str(row.pk) for row in chosen],
            "back": self.address("changelist"),
        }
        return self.render(request, "admin/verb.html", context, status=422 if form.errors else 200)

    def _each(self, request: HttpRequest, verb: Verb, rows: list[Any], data: dict[str, Any]) -> None:
        done = 0
        for row in rows:
            try:
                verb.perform(request.user, row, **data)
            except DomainError as error:
                messages.error(request, _("%(name)s: %(reason)s") % {"name": row, "reason": error.message})
            else:
                done += 1
        _say_done(request, verb, done, len(rows))

    def _together(self, request: HttpRequest, verb: Verb, rows: list[Any], data: dict[str, Any]) -> None:
        names = {str(row.pk): row for row in rows}
        outcomes = list(verb.many(request.user, rows, **data)) if verb.many else []
        for outcome in outcomes:
            if not outcome.ok:
                words = _("%(name)s: %(reason)s") % {"name": names[outcome.id], "reason": outcome.message}
                messages.error(request, words)
        _say_done(request, verb, sum(outcome.ok for outcome in outcomes), len(rows))

    def render(self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        """One of our pages in the portal's frame."""
        shared = self.admin_site.each_context(request) | {
            "list_title": self.title,
            "list_url": self.address("changelist"),
        }
        request.current_app = self.admin_site.name
        whole = shared | {"title": context["page_title"], "opts": None} | context
        return TemplateResponse(request, template, whole, status=status)


def _outcome(event: AuditEvent) -> SafeString:
    if event.success:
        return label("good", "circle-check", _("Succeeded"))
    return label("bad", "circle-x", _("Failed"))


def _say_done(request: HttpRequest, verb: Verb, done: int, number: int) -> None:
    if done:
        words = _("“%(verb)s” was carried out for %(done)s of %(all)s.")
        messages.success(request, words % {"verb": verb.label, "done": done, "all": number})


def _many(verb: Verb) -> Callable[..., Any]:
    def act(page: AdminPage, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return page.perform_many(request, verb, rows)

    return act


def listing(name: str, **narrowed: Any) -> str:
    """The address of a list (``app_model``), narrowed by what its filters understand."""
    address = reverse(f"admin:{name}_changelist", query=narrowed or None)
    return str(address)
