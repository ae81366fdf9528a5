"""The page of keys; that of the key policy is beside it."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, goto, link, spend, sync
from accounts.admin_filters import ByUser
from accounts.admin_page import AdminPage, listing
from accounts.admin_paging import Between, Choice
from accounts.admin_parts import Section, Verb
from accounts.models import User
from accounts.rbac import Permission
from apikeys import admin_policy  # noqa: F401 -- the page of the policy registers itself
from apikeys.admin_bulk import ByHygiene
from apikeys.admin_verbs import VERBS
from apikeys.models import ApiKey, KeyStatus
from apikeys.risks import RISKS, risk
from litellm_sync.state import SyncStatus
from subscriptions.admin_models import ByModel
from teams.admin import LIMITS, ByTeam


class ByStatus(Choice):
    """Keys by what they are now."""

    title, parameter_name, options = _("status"), "status", KeyStatus.choices

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Expired is what the clock says."""
        rows: Any = queryset
        found: QuerySet[Any] = rows.with_status(value)
        return found


class ByRisk(Choice):
    """Keys that somebody should look at."""

    title, parameter_name = _("risk"), "risk"
    options = tuple(RISKS.items())

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Of keys that work: one that has ended is no risk."""
        rows: Any = queryset
        found: QuerySet[Any] = rows.alive().filter(risk(value))
        return found


class BySecretSync(Choice):
    """Keys by whether LiteLLM agrees with their secrets."""

    title, parameter_name = _("synchronisation"), "sync"
    options = SyncStatus.choices

    def narrow(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """As the key shows it: the worst of its secrets."""
        rows: Any = queryset
        found: QuerySet[Any] = rows.with_sync_status(value)
        return found


class ByLinkedModel(ByModel):
    """Keys that wish for one model."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Through the links."""
        return queryset.filter(links__model=self.value()) if self.value() else queryset


@admin.register(ApiKey)
class ApiKeyPage(AdminPage):
    """Everybody's keys."""

    reads = Permission.APIKEYS_READ
    title = _("API keys")
    intro = _("Everybody's keys. Secrets are shown to their owners once, and kept nowhere.")
    empty = _("Nobody has made a key yet.")
    list_display = ("key", "owner", "states", "money", "models", "used", "expires")
    list_filter = (ByStatus, ByHygiene, ByRisk, BySecretSync, ("created_at", Between), ByUser, ByTeam, ByLinkedModel)
    search_fields = ("name",)  # that there is a search; what it finds says get_search_results()
    search_help_text = _("Name, owner, e-mail, id, or the last four characters")
    ordering = ("-created_at",)
    sortable_by = ("key", "owner", "money", "used", "expires")
    facts = (
        (_("Key"), ("name", "masked", "states", "owner", "in_team", "description", "created", "used", "id", "more")),
        (_("What it may use"), ("models_linked", "usable")),
        LIMITS,
        (_("Further limits"), ("soft_budget", "max_parallel_requests", "model_limits", "expires", "revoked_at")),
    )
    verbs = VERBS

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """With what a row shows; deleted keys are hidden from everybody."""
        return ApiKey.objects.visible_to(request.user).for_display().with_usability()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """What the portal and the API find."""
        rows: Any = queryset
        return rows.search(search_term), False

    @admin.display(description=_("Key"), ordering="name")
    def key(self, row: ApiKey) -> SafeString:
        """Name and masked secret."""
        return cell("two", first=row.name, second=row.masked, mono=True)

    @admin.display(description=_("Secret"))
    def masked(self, row: ApiKey) -> SafeString:
        """What may be shown of it."""
        return format_html("<code>{}</code>", row.masked)

    @admin.display(description=_("Owner"), ordering="user__username")
    def owner(self, row: ApiKey) -> Any:
        """Whose."""
        return link("accounts_user", row.user_id, row.user)

    @admin.display(description=_("Team"))
    def in_team(self, row: ApiKey) -> Any:
        """What it is charged to."""
        return link("teams_team", row.team_id, row.team)

    @admin.display(description=_("Status"))
    def states(self, row: ApiKey) -> SafeString:
        """What is to be said about it."""
        return cell("key_states", key=row)

    @admin.display(description=_("Spend"), ordering="spend")
    def money(self, row: ApiKey) -> SafeString:
        """Spend against the budget."""
        return spend(row)

    @admin.display(description=_("Models"))
    def models(self, row: ApiKey) -> SafeString:
        """One, and how many more."""
        return cell("some", names=row.model_ids[:1], more=max(0, len(row.model_ids) - 1), every=row.model_ids)

    @admin.display(description=_("Wished for"))
    def models_linked(self, row: ApiKey) -> SafeString:
        """All of them, with the way to each."""
        return cell("row", items=[link("subscriptions_model", name, name) for name in row.model_ids])

    @admin.display(description=_("Usable now"))
    def usable(self, row: ApiKey) -> str:
        """What subscriptions, availability and the team leave of them."""
        return ", ".join(row.links.effective().order_by("model_id").values_list("model_id", flat=True))

    @admin.display(description=_("Last used"), ordering="last_used_at")
    def used(self, row: ApiKey) -> SafeString:
        """When it was last used."""
        return cell("moment", value=row.last_used_at)

    @admin.display(description=_("Expires"), ordering="expires_at")
    def expires(self, row: ApiKey) -> SafeString:
        """When it ends by itself."""
        return cell("day", value=row.expires_at)

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: ApiKey) -> SafeString:
        """When it was made."""
        return cell("day", value=row.created_at)

    @admin.display(description=_("More"))
    def more(self, row: ApiKey) -> SafeString:
        """Where its usage is."""
        return goto(listing("usage_dailyusage", api_key=row.pk), _("Usage"))

    def _perform_touched(
        self, request: HttpRequest, verb: Verb, carry_out: Callable[..., Any], row: Any, form: Any
    ) -> None:
        """First the owner, then the key, as the verbs lock them: else two could wait for each other."""
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).filter(pk=row.user_id).first()
            super()._perform_touched(request, verb, carry_out, row, form)

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """Its secrets: never more of one than its digest and the last four characters."""
        secrets = sorted(row.secrets.all(), key=lambda secret: secret.created_at, reverse=True)
        yield Section(
            _("Secrets"),
            (_("Secret"), _("Digest (LiteLLM's token)"), _("LiteLLM"), _("Reason"), _("Made"), _("Valid until")),
            [
                [
                    format_html("<code>{}</code>", secret),
                    cell("digest", value=secret.digest),
                    cell("row", items=[sync(secret), render_to_string("apikeys/_proof.html", {"secret": secret})]),
                    secret.sync_error,
                    cell("moment", value=secret.created_at),
                    cell("moment", value=secret.valid_until),
                ]
                for secret in secrets
            ],
            _("No secrets."),
        )
