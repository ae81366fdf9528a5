"""The pages of what lets people in again: sessions of browsers, personal access tokens."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts import personal_tokens, sessions
from accounts.admin_cells import cell, label, link
from accounts.admin_filters import ByUser
from accounts.admin_page import SECTION_ROWS, AdminPage, listing
from accounts.admin_paging import Choice
from accounts.admin_parts import Section, Verb
from accounts.devices import device
from accounts.models import BrowserSession, PersonalToken, User
from accounts.rbac import Permission


def end_session(actor: User, row: BrowserSession) -> Any:
    """End somebody's session."""
    return sessions.end_sign_in_of(actor, row)


def revoke_token(actor: User, row: PersonalToken) -> Any:
    """Revoke somebody's token."""
    return personal_tokens.revoke_personal_token(actor, token_id=row.pk)


def is_live(row: BrowserSession) -> bool:
    """Whether there is something to end."""
    return row.ending(timezone.now()) is None


def is_usable(row: PersonalToken) -> bool:
    """Whether there is something to revoke."""
    return row.status == "active"


class ByState(Choice):
    """Sessions by whether they are good now."""

    title, parameter_name, options = _("state"), "state", (("live", _("Live")), ("over", _("Ended")))

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """By both lifetimes."""
        live = BrowserSession.objects.alive(timezone.now()).values("pk")
        return queryset.filter(pk__in=live) if value == "live" else queryset.exclude(pk__in=live)


def signed_in_now(row: User) -> Section:
    """Where somebody is signed in, for the page of the person."""
    kinds = {sessions.BROWSER: _("Browser"), sessions.API: _("Program")}
    tables = {sessions.BROWSER: "accounts_browsersession", sessions.API: "accounts_refreshfamily"}
    return Section(
        _("Signed in now"),
        (_("Where"), _("With"), _("Signed in"), _("Last used")),
        [
            [
                link(tables[one.kind], one.id, f"{one.device} · {one.address}" if one.address else one.device),
                kinds[one.kind],
                cell("moment", value=one.began_at),
                cell("moment", value=one.last_used_at),
            ]
            for one in sessions.sign_ins_of(row)[:SECTION_ROWS]
        ],
        _("Signed in nowhere."),
        listing("accounts_browsersession", user=row.pk),
    )


def tokens_of(row: User) -> Section:
    """The access tokens of somebody, for the page of the person."""
    return Section(
        _("Access tokens"),
        (_("Token"), _("May"), _("State"), _("Last used"), _("Good until")),
        [
            [
                link("accounts_personaltoken", one.pk, one.name),
                one.get_scope_display(),
                cell("state", state=one.status),
                cell("moment", value=one.last_used_at),
                cell("moment", value=one.expires_at),
            ]
            for one in row.personal_tokens.all()[:SECTION_ROWS]
        ],
        _("No access tokens."),
        listing("accounts_personaltoken", user=row.pk),
    )


@admin.register(BrowserSession)
class BrowserSessionPage(AdminPage):
    """Where people are signed in with a browser."""

    reads = Permission.AUDIT_READ
    title = _("Browser sessions")
    intro = _("Where people are signed in, and for a week where they were. What the browser shows is kept nowhere.")
    empty = _("Nobody has signed in with a browser.")
    audited = False
    list_display = ("began", "person", "state", "where", "used")
    list_filter = (ByState, ByUser)
    list_select_related = ("user",)
    search_fields = ("user__username", "=address")
    search_help_text = _("User or address")
    ordering = ("-seen_at",)
    facts = ((_("Session"), ("person", "state", "where", "began", "used", "program")),)
    verbs = (
        Verb(
            "end",
            _("End the session"),
            "logout",
            Permission.SESSIONS_END,
            end_session,
            _("The person is signed out there at once and can sign in again. To keep somebody out, deactivate them."),
            _("The session of %(name)s is ended."),
            fits=is_live,
            danger=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Of people; what a session keeps stays where it is."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.exclude(user=None).defer("data", "digest")

    def name_of(self, row: Any) -> str:
        """Whose."""
        return str(row.user)

    @admin.display(description=_("User"), ordering="user__username")
    def person(self, row: BrowserSession) -> Any:
        """Whose, with the way there."""
        return link("accounts_user", row.user_id, row.user)

    @admin.display(description=_("State"))
    def state(self, row: BrowserSession) -> SafeString:
        """Whether it is good, or why it ended."""
        ending = row.ending(timezone.now())
        return label("quiet", "circle-x", ending.label) if ending else label("good", "circle-check", _("Live"))

    @admin.display(description=_("Where"))
    def where(self, row: BrowserSession) -> SafeString:
        """Device and address."""
        return cell("two", first=device(row.agent), second=row.address)

    @admin.display(description=_("Signed in"), ordering="begun_at")
    def began(self, row: BrowserSession) -> SafeString:
        """When it began."""
        return cell("moment", value=row.begun_at)

    @admin.display(description=_("Last used"), ordering="seen_at")
    def used(self, row: BrowserSession) -> SafeString:
        """When it was used last."""
        return cell("moment", value=row.seen_at)

    @admin.display(description=_("What the browser says"))
    def program(self, row: BrowserSession) -> str:
        """The whole user agent."""
        return row.agent

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """A session has nothing that belongs to it."""
        return ()


@admin.register(PersonalToken)
class PersonalTokenPage(AdminPage):
    """What people's scripts come with."""

    reads = Permission.TOKENS_READ
    title = _("Access tokens")
    intro = _("What people's scripts show to the API. The tokens themselves are kept nowhere.")
    empty = _("Nobody has made an access token.")
    audited = False
    list_display = ("called", "person", "may", "state", "used", "until")
    list_filter = (ByUser,)
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "=last4")
    search_help_text = _("Name, user or the last four characters")
    ordering = ("-created_at",)
    facts = (
        (_("Token"), ("name", "person", "may", "state", "created_at", "until")),
        (_("Use"), ("used", "origin", "revoked_at")),
    )
    verbs = (
        Verb(
            "revoke",
            _("Revoke"),
            "delete_forever",
            Permission.TOKENS_REVOKE,
            revoke_token,
            _("Every script that uses it is refused from that moment. This cannot be undone."),
            _("“%(name)s” is revoked and refused from now on."),
            fits=is_usable,
            danger=True,
        ),
    )

    @admin.display(description=_("Token"), ordering="name")
    def called(self, row: PersonalToken) -> SafeString:
        """Name, and how its secret ends."""
        return cell("two", first=row.name, second=row.masked)

    @admin.display(description=_("User"), ordering="user__username")
    def person(self, row: PersonalToken) -> Any:
        """Whose, with the way there."""
        return link("accounts_user", row.user_id, row.user)

    @admin.display(description=_("State"))
    def state(self, row: PersonalToken) -> SafeString:
        """What it is good for now."""
        return cell("state", state=row.status)

    @admin.display(description=_("Last used"), ordering="last_used_at")
    def used(self, row: PersonalToken) -> SafeString:
        """When it was used last."""
        return cell("moment", value=row.last_used_at)

    @admin.display(description=_("May"), ordering="scope")
    def may(self, row: PersonalToken) -> str:
        """Its scope in words."""
        return str(row.get_scope_display())

    @admin.display(description=_("From"))
    def origin(self, row: PersonalToken) -> str:
        """The address of its last use."""
        return row.last_address

    @admin.display(description=_("Good until"), ordering="expires_at")
    def until(self, row: PersonalToken) -> SafeString:
        """When it ends by itself."""
        return cell("moment", value=row.expires_at)
