"""The pages of the audit log and of how people signed in."""

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import NOTHING, cell, flag, goto, happened, label, link
from accounts.admin_filters import ByUser
from accounts.admin_page import AdminPage, listing
from accounts.admin_paging import About, Between, Choice
from accounts.admin_parts import Section
from accounts.audit import Action
from accounts.audit_export import as_csv
from accounts.audit_proof import Standing
from accounts.audit_proof import standing as audit_standing
from accounts.enforcement import signed_in
from accounts.models import AuditEvent, FailedSignIn, RefreshFamily, User
from accounts.rbac import Permission
from accounts.wording import ACTIONS

SUCCEEDED: Final = ("good", "circle-check", _("Succeeded"))
FAILED: Final = ("bad", "circle-x", _("Failed"))


# --- The audit log ---------------------------------------------------------------------------------------------------


class ByAction(Choice):
    """One action of the vocabulary."""

    title, parameter_name, options = (
        _("action"),
        "action",
        [(action.value, ACTIONS.get(action.value, action.value)) for action in Action],
    )


class ByCategory(Choice):
    """What an action is about. Its actions are named, so that their index is used."""

    title, parameter_name = _("category"), "category"
    options = [(name, name) for name in sorted({action.value.partition(".")[0] for action in Action})]

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """By the actions of the category."""
        return queryset.filter(action__in=[action.value for action in Action if action.value.startswith(f"{value}.")])


CREDENTIALS: Final = {
    "session": _("Session of a browser"),
    "access_token": _("Sign-in to the API"),
    "personal_token": _("Personal access token"),
}


class BySuccess(Choice):
    """What succeeded, or what failed."""

    title, parameter_name, options = _("outcome"), "success", (("1", _("Succeeded")), ("0", _("Failed")))


class ByActor(About):
    """What one person did."""

    title, parameter_name, target, name_column = _("actor"), "actor_id", User, "username"


class ByTargetType(About):
    """What happened to things of one kind; links from their pages set it."""

    title, parameter_name = _("kind of thing"), "target_type"


class ByTarget(About):
    """What happened to one thing."""

    title, parameter_name = _("thing"), "target_id"


class ByCredential(About):
    """What was done with one session or token; the page of an entry leads here."""

    title, parameter_name = _("credential"), "credential"


def _trust(standing: Standing) -> SafeString:
    """Whether the entries are what they were, as a label."""
    if standing.result and not standing.result.success:
        return label("bad", "shield-alert", _("Not what was sealed"))
    if standing.stands_still:
        return label("warn", "hourglass", _("Sealing stands still"))
    if standing.sealed is None:
        return label("quiet", "hourglass", _("Not sealed yet"))
    return label("good", "shield-check", _("Sealed"))


@admin.register(AuditEvent)
class AuditEventPage(AdminPage):
    """Who did what to what."""

    reads = Permission.AUDIT_READ
    title = _("Audit log")
    intro = _("Who did what to what, when and from where. Nothing here can be changed or removed.")
    empty = _("Nothing was recorded.")
    audited = False
    list_display = ("when", "who", "what", "thing", "outcome", "address")
    list_filter = (ByAction, ByCategory, BySuccess, ("at", Between), ByActor, ByTargetType, ByTarget, ByCredential)
    search_fields = ("actor_name__istartswith", "target_name__istartswith", "=target_id", "=request_id")
    search_help_text = _("Beginning of a name, or an id")
    ordering = ("-id",)
    sortable_by = ("when",)
    list_links = (("export", _("Download as CSV"), "download"),)
    list_before_template = "admin/audit_head.html"
    facts = (
        (_("What happened"), ("when", "what", "category", "outcome")),
        (_("Who and what"), ("who", "thing", "target_type", "target_id")),
        (_("Request"), ("request_id", "address", "came_with")),
    )

    def get_urls(self) -> list[URLPattern]:
        """Also the download."""
        return [self._page("export/", self.export, "export"), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """What the list would show, all of it, as CSV."""
        rows = self.get_changelist_instance(request).get_queryset(request)
        return as_csv(request, signed_in(request), rows, narrowed=request.GET.dict())

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Above the entries stands whether they can be trusted."""
        standing = audit_standing()
        failed = standing.result if standing.result and not standing.result.success else None
        context = {
            "standing": standing,
            "trust": _trust(standing),
            "finding": self.address("change", failed) if failed else "",
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def name_of(self, row: Any) -> str:
        """What happened, in short."""
        return f"{ACTIONS.get(row.action, row.action)} {row.target_name}".strip()

    @admin.display(description=_("When"), ordering="id")
    def when(self, row: AuditEvent) -> SafeString:
        """When; ids rise with time, and have the index."""
        return cell("moment", value=row.at)

    @admin.display(description=_("Who"))
    def who(self, row: AuditEvent) -> Any:
        """The actor, with the way to the person where it is one."""
        return link("accounts_user", row.actor_id, row.actor_name) if row.actor_id else row.actor_name

    @admin.display(description=_("What"))
    def what(self, row: AuditEvent) -> SafeString:
        """The action in words."""
        return happened(row)

    @admin.display(description=_("To what"))
    def thing(self, row: AuditEvent) -> SafeString:
        """The target by the name that it had then."""
        return cell("two", first=row.target_name or NOTHING, second=row.target_type)

    @admin.display(description=_("Outcome"))
    def outcome(self, row: AuditEvent) -> SafeString:
        """Whether it succeeded."""
        return flag(row.success, SUCCEEDED, FAILED)

    @admin.display(description=_("Came with"))
    def came_with(self, row: AuditEvent) -> SafeString | str:
        """The session or token, and the way to all that was done with it."""
        if not row.credential:
            return NOTHING
        kind, _slash, number = row.credential.partition("/")
        address = listing("accounts_auditevent", credential=row.credential)
        return cell("two", first=goto(address, CREDENTIALS.get(kind, kind)), second=number)

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """What else was recorded."""
        rows = [[name, cell("recorded", value=value)] for name, value in row.details.items()]
        yield Section(_("Details"), (_("What"), _("Value")), rows, _("Nothing else was recorded."))


# --- How people signed in --------------------------------------------------------------------------------------------


@admin.register(FailedSignIn)
class FailedSignInPage(AdminPage):
    """Wrong passwords."""

    reads = Permission.AUDIT_READ
    title = _("Failed sign-ins")
    intro = _("Wrong passwords of the last minutes; too many of them stop an account or an address for a while.")
    empty = _("Nobody has mistyped a password lately.")
    audited = False
    list_display = ("when", "account", "address")
    list_filter = (("at", Between),)
    search_fields = ("account__istartswith", "=address")
    search_help_text = _("Account or address")
    ordering = ("-at",)
    facts = ((_("Failed sign-in"), ("when", "account", "address")),)

    @admin.display(description=_("When"), ordering="at")
    def when(self, row: FailedSignIn) -> SafeString:
        """When it was tried."""
        return cell("moment", value=row.at)


class BySession(Choice):
    """Sessions by what they are good for now."""

    title, parameter_name = _("state"), "state"
    options = (("live", _("Live")), ("expired", _("Expired")), ("revoked", _("Ended")))

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """A session that was ended stays ended."""
        if value == "revoked":
            return queryset.exclude(revoked_at=None)
        past = {"expires_at__lte": timezone.now()} if value == "expired" else {"expires_at__gt": timezone.now()}
        return queryset.filter(revoked_at=None, **past)


@admin.register(RefreshFamily)
class RefreshFamilyPage(AdminPage):
    """Sessions of programs."""

    reads = Permission.AUDIT_READ
    title = _("API sessions")
    intro = _("Each sign-in to the API, with all tokens that came from it. The tokens themselves are kept nowhere.")
    empty = _("Nobody has signed in to the API.")
    audited = False
    list_display = ("when", "person", "state", "until")
    list_filter = (BySession, ByUser)
    list_select_related = ("user",)
    search_fields = ("user__username",)
    search_help_text = _("User")
    ordering = ("-created_at",)
    facts = ((_("Session"), ("person", "state", "when", "until", "revoked_at")),)

    def name_of(self, row: Any) -> str:
        """Whose."""
        return str(row.user)

    @admin.display(description=_("Signed in"), ordering="created_at")
    def when(self, row: RefreshFamily) -> SafeString:
        """When it began."""
        return cell("moment", value=row.created_at)

    @admin.display(description=_("User"), ordering="user__username")
    def person(self, row: RefreshFamily) -> Any:
        """Whose."""
        return link("accounts_user", row.user_id, row.user)

    @admin.display(description=_("State"))
    def state(self, row: RefreshFamily) -> SafeString:
        """What it is good for now."""
        if row.revoked_at:
            return label("quiet", "circle-x", _("Ended"))
        if row.expires_at <= timezone.now():
            return label("quiet", "timer", _("Expired"))
        return label("good", "circle-check", _("Live"))

    @admin.display(description=_("Good until"), ordering="expires_at")
    def until(self, row: RefreshFamily) -> SafeString:
        """When it ends by itself."""
        return cell("moment", value=row.expires_at)
