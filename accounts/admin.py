"""The page of people; what they did and how they signed in is beside it."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts import admin_access, admin_audit  # noqa: F401 -- their pages register themselves
from accounts.admin_cells import cell, flag, goto, happened, link, spend, sync
from accounts.admin_filters import ByActive, ByRole, BySync
from accounts.admin_page import SECTION_ROWS, AdminPage, listing
from accounts.admin_parts import Section
from accounts.admin_people import VERBS, roles_in_words
from accounts.models import AuditEvent, Role, User
from accounts.rbac import Permission
from litellm_sync.state import SyncStatus

ACTIVE: Final = ("good", "circle-check", _("Active"))
INACTIVE: Final = ("bad", "circle-x", _("Deactivated"))


@admin.register(User)
class UserPage(AdminPage):
    """People."""

    reads = Permission.USERS_READ
    title = _("Users")
    intro = _("Everybody who has signed in or was added.")
    empty = _("Nobody is here yet. People appear when they first sign in, or when you add them.")
    list_display = ("who", "role_names", "state", "money", "synced", "last_login_at", "created")
    list_filter = (ByRole, ByActive, BySync)
    search_fields = ("username", "full_name", "email", "=id")
    search_help_text = _("Name, e-mail or id")
    ordering = ("username",)
    sortable_by = ("who", "money", "last_login_at", "created")
    facts = (
        (
            _("Person"),
            ("username", "full_name", "email", "sources", "state", "last_login_at", "created", "id", "more"),
        ),
        (_("Budget"), ("money", "budget_duration", "budget_resets_at", "tpm_limit", "rpm_limit")),
        (_("LiteLLM"), ("synced", "synced_at", "sync_requested_at", "sync_error", "sync_attempts")),
    )

    verbs = VERBS

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the beginnings of words, which have an index, or by the id."""
        text = search_term.strip()
        if not text:
            return queryset, False
        people: Any = queryset
        return (people.filter(pk=text) if _is_id(text) else people.search(text)), False

    def refreshes(self, row: Any) -> bool:
        """While LiteLLM is still to refuse the keys of somebody who is deactivated."""
        return not row.is_active and row.api_keys.filter(secrets__sync_status=SyncStatus.PENDING).exists()

    def name_of(self, row: Any) -> str:
        """The name that people call each other by."""
        return str(row.username)

    @admin.display(description=_("Name"), ordering="username")
    def who(self, row: User) -> SafeString:
        """Name and e-mail."""
        return cell("two", first=row.display_name, second=row.email or row.username)

    @admin.display(description=_("Roles"))
    def role_names(self, row: User) -> str:
        """The roles in words."""
        return ", ".join(str(dict(Role.choices).get(role, role)) for role in row.roles)

    @admin.display(description=_("Roles"))
    def sources(self, row: User) -> str:
        """The roles with where they come from."""
        return ", ".join(roles_in_words(row))

    @admin.display(description=_("State"))
    def state(self, row: User) -> SafeString:
        """Whether the person may sign in."""
        return flag(row.is_active, ACTIVE, INACTIVE)

    @admin.display(description=_("Spend"), ordering="spend")
    def money(self, row: User) -> SafeString:
        """Spend against the budget."""
        return spend(row)

    @admin.display(description=_("LiteLLM"))
    def synced(self, row: User) -> SafeString:
        """Whether LiteLLM agrees."""
        return sync(row)

    @admin.display(description=_("Last sign-in"), ordering="last_login")
    def last_login_at(self, row: User) -> SafeString:
        """When the person last signed in."""
        return cell("moment", value=row.last_login)

    @admin.display(description=_("Since"), ordering="created_at")
    def created(self, row: User) -> SafeString:
        """When the person came."""
        return cell("day", value=row.created_at)

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """Memberships, subscriptions and keys are rows of upper apps, reached as data."""
        mine = {"user": row.pk}
        memberships = row.memberships.select_related("team").order_by("created_at")[:SECTION_ROWS]
        subscriptions = row.subscriptions.order_by("-created_at")[:SECTION_ROWS]
        keys = row.api_keys.filter(deleted_at=None).prefetch_related("secrets")[:SECTION_ROWS]
        yield Section(
            _("Teams"),
            (_("Team"), _("Role"), _("Given"), _("Spend"), _("LiteLLM")),
            [
                [link("teams_team", m.team_id, m.team), m.get_role_display(), _given(m), spend(m), sync(m)]
                for m in memberships
            ],
            _("In no team."),
            listing("teams_membership", **mine),
        )
        yield Section(
            _("Subscriptions"),
            (_("Model"), _("Status"), _("Since")),
            [
                [
                    link("subscriptions_subscription", s.pk, s.model_id),
                    cell("state", state=s.status),
                    cell("day", value=s.created_at),
                ]
                for s in subscriptions
            ],
            _("No subscriptions."),
            listing("subscriptions_subscription", **mine),
        )
        yield Section(
            _("API keys"),
            (_("Key"), _("Status"), _("Spend"), _("Last used")),
            [
                [
                    link("apikeys_apikey", key.pk, key.name),
                    cell("key_states", key=key),
                    spend(key),
                    cell("moment", value=key.last_used_at),
                ]
                for key in keys
            ],
            _("No keys."),
            listing("apikeys_apikey", **mine),
        )

        yield admin_access.signed_in_now(row)
        yield admin_access.tokens_of(row)
        yield _known_as(row)
        yield _activity(row)

    @admin.display(description=_("More"))
    def more(self, row: User) -> SafeString:
        """Where the person's traces are."""
        ways = (
            (listing("usage_dailyusage", user=row.pk), _("Usage")),
            (listing("accounts_auditevent", actor_id=row.pk), _("What this person did")),
            (listing("accounts_refreshfamily", user=row.pk), _("API sessions")),
        )
        return format_html_join(" · ", "{}", ((goto(url, words),) for url, words in ways))


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _given(membership: Any) -> Any:
    """Where a membership comes from."""
    if membership.by_hand and membership.by_provider:
        return _("here and by a group")
    return _("here") if membership.by_hand else _("by a group of the sign-in service")


def _known_as(row: User) -> Section:
    known = row.identities.order_by("created_at")[:SECTION_ROWS]
    return Section(
        _("Sign-in services"),
        (_("Service"), _("Known there as"), _("Last sign-in")),
        [
            [
                cell("two", first=one.provider, second=one.issuer),
                one.subject,
                cell("moment", value=one.last_sign_in_at),
            ]
            for one in known
        ],
        _("Linked to no sign-in service."),
    )


def _activity(row: User) -> Section:
    did = AuditEvent.objects.filter(actor_id=row.pk)[:SECTION_ROWS]
    return Section(
        _("What this person did"),
        (_("When"), _("What"), _("To what")),
        [[cell("moment", value=event.at), happened(event), event.target_name] for event in did],
        _("Nothing was recorded."),
        listing("accounts_auditevent", actor_id=row.pk),
    )
