"""The pages of teams and memberships."""

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, goto, link, spend, sync
from accounts.admin_filters import BySync, ByUser
from accounts.admin_page import SECTION_ROWS, AdminPage, listing
from accounts.admin_paging import About, Choice
from accounts.admin_parts import Section
from accounts.rbac import Permission
from teams.models import Membership, MembershipRole, Team

LIMITS: Final = (_("Budget"), ("money", "budget_duration", "budget_resets_at", "tpm_limit", "rpm_limit"))
LITELLM: Final = (_("LiteLLM"), ("synced", "synced_at", "sync_requested_at", "sync_error", "sync_attempts"))


class ByTeam(About):
    """What belongs to one team."""

    title, parameter_name, target, name_column = _("team"), "team", Team, "name"


class ByMembershipRole(Choice):
    """Memberships by role."""

    title, parameter_name, options = _("role"), "role", MembershipRole.choices


@admin.register(Team)
class TeamPage(AdminPage):
    """Teams."""

    reads = Permission.TEAMS_READ
    title = _("Teams")
    intro = _("People who share a budget. Everybody who is in no other team is in the default team.")
    list_display = ("team", "members", "money", "models", "synced", "created")
    list_filter = (BySync,)
    search_fields = ("name", "description", "=id")
    search_help_text = _("Name, description or id")
    ordering = ("name",)
    sortable_by = ("team", "members", "money", "created")
    facts = (
        (_("Team"), ("name", "description", "members", "models", "created", "id", "more")),
        LIMITS,
        LITELLM,
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """With the number of members."""
        return Team.objects.visible_to(request.user).annotate(member_count=Count("memberships"))

    @admin.display(description=_("Team"), ordering="name")
    def team(self, row: Team) -> SafeString:
        """Name and what it is for."""
        return cell("two", first=row.name, second=row.description)

    @admin.display(description=_("Members"), ordering="member_count")
    def members(self, row: Any) -> SafeString:
        """How many, and the way to them."""
        return goto(listing("teams_membership", team=row.pk), cell("number", value=row.member_count))

    @admin.display(description=_("Spend"), ordering="spend")
    def money(self, row: Team) -> SafeString:
        """Spend against the budget."""
        return spend(row)

    @admin.display(description=_("Allowed models"))
    def models(self, row: Team) -> Any:
        """Which models its keys may use."""
        return ", ".join(row.allowed_models) or _("All")

    @admin.display(description=_("LiteLLM"))
    def synced(self, row: Team) -> SafeString:
        """Whether LiteLLM agrees."""
        return sync(row)

    @admin.display(description=_("Since"), ordering="created_at")
    def created(self, row: Team) -> SafeString:
        """When it was made."""
        return cell("day", value=row.created_at)

    @admin.display(description=_("More"))
    def more(self, row: Team) -> SafeString:
        """Where its usage is."""
        return goto(listing("usage_dailyusage", team=row.pk), _("Usage"))

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """Members, and the keys that are charged to the team."""
        members = row.memberships.select_related("user").order_by("-created_at")[:SECTION_ROWS]
        keys = row.api_keys.filter(deleted_at=None).select_related("user").prefetch_related("secrets")[:SECTION_ROWS]
        yield Section(
            _("Members"),
            (_("User"), _("Role"), _("Spend"), _("LiteLLM")),
            [[link("accounts_user", m.user_id, m.user), m.get_role_display(), spend(m), sync(m)] for m in members],
            _("Nobody is in this team."),
            listing("teams_membership", team=row.pk),
        )
        yield Section(
            _("API keys"),
            (_("Key"), _("Owner"), _("Status"), _("Spend")),
            [
                [
                    link("apikeys_apikey", key.pk, key.name),
                    link("accounts_user", key.user_id, key.user),
                    cell("key_states", key=key),
                    spend(key),
                ]
                for key in keys
            ],
            _("No key is charged to this team."),
            listing("apikeys_apikey", team=row.pk),
        )


@admin.register(Membership)
class MembershipPage(AdminPage):
    """Memberships."""

    reads = Permission.TEAMS_READ
    title = _("Memberships")
    intro = _("Who belongs to which team.")
    list_display = ("person", "in_team", "role", "money", "synced", "created")
    list_display_links = ("role",)
    list_filter = (ByMembershipRole, BySync, ByTeam, ByUser)
    list_select_related = ("user", "team")
    search_fields = ("user__username", "user__full_name", "team__name")
    search_help_text = _("User or team")
    ordering = ("-created_at",)
    sortable_by = ("person", "in_team", "money", "created")
    facts = (
        (_("Membership"), ("person", "in_team", "role", "created", "listed")),
        LIMITS,
        LITELLM,
    )

    @admin.display(description=_("User"), ordering="user__username")
    def person(self, row: Membership) -> Any:
        """Who."""
        return link("accounts_user", row.user_id, row.user)

    @admin.display(description=_("Team"), ordering="team__name")
    def in_team(self, row: Membership) -> Any:
        """In which team."""
        return link("teams_team", row.team_id, row.team)

    @admin.display(description=_("Spend"), ordering="spend")
    def money(self, row: Membership) -> SafeString:
        """Spend against the budget in the team."""
        return spend(row)

    @admin.display(description=_("LiteLLM"))
    def synced(self, row: Membership) -> SafeString:
        """Whether LiteLLM agrees."""
        return sync(row)

    @admin.display(description=_("Since"), ordering="created_at")
    def created(self, row: Membership) -> SafeString:
        """Since when."""
        return cell("day", value=row.created_at)
