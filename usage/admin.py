"""The pages of the facts of usage and of the days that were fetched."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, goto, link
from accounts.admin_filters import ByUser
from accounts.admin_page import AdminPage, listing
from accounts.admin_paging import About, Between, Choice
from accounts.rbac import Permission
from apikeys.models import ApiKey
from subscriptions.models import Model
from teams.admin import ByTeam
from usage.models import DailyUsage, UsageDay


class ByKey(About):
    """What one key did, with all its secrets."""

    title, parameter_name, target, name_column = _("key"), "api_key", ApiKey, "name"


class ByModelName(About):
    """What was done with one model; names of models that are gone are good too."""

    title, parameter_name = _("model"), "model"


class ByProviderName(Choice):
    """Facts by provider."""

    title, parameter_name = _("provider"), "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The catalogue's providers: asking the facts would read them all."""
        found = Model.objects.order_by("provider").values_list("provider", flat=True).distinct()
        return [(provider, provider) for provider in found]


@admin.register(DailyUsage)
class DailyUsagePage(AdminPage):
    """What each secret did each day."""

    reads = Permission.USAGE_READ
    title = _("Daily usage")
    intro = _("What each secret did with each model on each day (UTC), as LiteLLM counted it.")
    empty = _("Nothing was used. Facts come with the synchronisation of usage.")
    audited = False
    list_display = ("day", "model", "person", "key", "all_requests", "failed", "tokens", "cost")
    list_filter = (("date", Between), ByProviderName, ByUser, ByKey, ByTeam, ByModelName)
    list_select_related = ("user", "api_key")
    search_fields = ("=model", "=token", "=user__username")
    search_help_text = _("Exact name of a model or user, or a token")
    ordering = ("-date",)
    sortable_by = ("day", "all_requests", "failed", "cost")
    facts = (
        (_("What"), ("day", "model", "provider", "person", "key", "team_link", "digest")),
        (_("Figures"), ("all_requests", "successful_requests", "failed", "cost")),
        (_("Tokens"), ("prompt_tokens", "completion_tokens", "cached_tokens")),
    )

    def name_of(self, row: Any) -> str:
        """Day and model."""
        return f"{row.date} {row.model}"

    @admin.display(description=_("Day"), ordering="date")
    def day(self, row: DailyUsage) -> SafeString:
        """The UTC day."""
        return cell("date", value=row.date)

    @admin.display(description=_("User"))
    def person(self, row: DailyUsage) -> Any:
        """Whose."""
        return link("accounts_user", row.user_id, row.user)

    @admin.display(description=_("Key"))
    def key(self, row: DailyUsage) -> Any:
        """With which key; one that was deleted has no page."""
        if row.api_key is None or row.api_key.deleted_at is not None:
            return row.api_key and row.api_key.name
        return link("apikeys_apikey", row.api_key_id, row.api_key.name)

    @admin.display(description=_("Team"))
    def team_link(self, row: DailyUsage) -> Any:
        """What it was charged to."""
        return link("teams_team", row.team_id, row.team)

    @admin.display(description=_("Requests"), ordering="requests")
    def all_requests(self, row: DailyUsage) -> SafeString:
        """All of them."""
        return cell("number", value=row.requests)

    @admin.display(description=_("Failed"), ordering="failed_requests")
    def failed(self, row: DailyUsage) -> SafeString:
        """Those that failed."""
        return cell("number", value=row.failed_requests)

    @admin.display(description=_("Tokens"))
    def tokens(self, row: DailyUsage) -> SafeString:
        """Prompts and completions."""
        return cell("number", value=row.prompt_tokens + row.completion_tokens)

    @admin.display(description=_("Spend"), ordering="spend")
    def cost(self, row: DailyUsage) -> SafeString:
        """In USD."""
        return cell("money", value=row.spend)

    @admin.display(description=_("Digest (LiteLLM's token)"))
    def digest(self, row: DailyUsage) -> SafeString:
        """Of the secret; never the secret."""
        return cell("digest", value=row.token)


@admin.register(UsageDay)
class UsageDayPage(AdminPage):
    """Days that were fetched."""

    reads = Permission.USAGE_READ
    title = _("Fetched days")
    intro = _(
        "Days (UTC) that were fetched from LiteLLM, with usage or without. A day that is not here is missing, not zero."
    )
    empty = _("No day was fetched yet. Synchronise the usage first.")
    audited = False
    list_display = ("day", "fetched", "facts_of_day")
    list_filter = (("date", Between),)
    ordering = ("-date",)
    facts = ((_("Day"), ("day", "fetched", "facts_of_day")),)

    @admin.display(description=_("Day"), ordering="date")
    def day(self, row: UsageDay) -> SafeString:
        """The UTC day."""
        return cell("date", value=row.date)

    @admin.display(description=_("Fetched"), ordering="fetched_at")
    def fetched(self, row: UsageDay) -> SafeString:
        """When it was last fetched."""
        return cell("moment", value=row.fetched_at)

    @admin.display(description=_("Facts"))
    def facts_of_day(self, row: UsageDay) -> SafeString:
        """The way to what it brought."""
        day = row.date.isoformat()
        return goto(listing("usage_dailyusage", date_from=day, date_to=day), _("Usage of this day"))
