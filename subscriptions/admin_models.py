"""The page of the catalogue."""

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import admin
from django.db.models import Count, Exists, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, flag, goto, link
from accounts.admin_filters import YES_NO
from accounts.admin_page import SECTION_ROWS, AdminPage, listing
from accounts.admin_paging import About, Choice
from accounts.admin_parts import Section, Verb
from accounts.models import User
from accounts.rbac import Permission
from subscriptions import services
from subscriptions.models import Availability, Model, SubscriptionStatus

RESTRICTED: Final = ("warn", "lock", _("Needs approval"))
OPEN: Final = ("quiet", "lock-open", _("Open"))


class ByModel(About):
    """What belongs to one model."""

    title, parameter_name, target = _("model"), "model", Model


class ByAvailability(Choice):
    """Models that LiteLLM lists, or no longer does."""

    title, parameter_name, options = _("availability"), "availability", Availability.choices


class ByRestriction(Choice):
    """Models that need approval, or do not."""

    title, parameter_name, options = _("needs approval"), "restricted", YES_NO


class ByMode(Choice):
    """Models by what they do."""

    title, parameter_name = _("mode"), "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The modes that there are."""
        found = Model.objects.order_by("mode").values_list("mode", flat=True).distinct()
        return [(mode, mode.replace("_", " ")) for mode in found]


class ByProvider(Choice):
    """Models by who offers them."""

    title, parameter_name = _("provider"), "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The providers that there are."""
        found = Model.objects.order_by("provider").values_list("provider", flat=True).distinct()
        return [(provider, provider) for provider in found]


class ByProblem(Choice):
    """Models that somebody should look at."""

    title, parameter_name = _("problem"), "problem"
    options = (("unpriced", _("Without a price")), ("gone", _("Gone, with subscribers")))

    def narrow(self, queryset: QuerySet[Model], value: Any) -> QuerySet[Model]:
        """By what no column says."""
        if value == "unpriced":
            return queryset.filter(pk__in=Model.objects.unpriced().values("pk"))
        return queryset.filter(Exists(Model.objects.active_subscriptions()), availability=Availability.UNAVAILABLE)


def restrict(actor: User, model: Model) -> Any:
    """New subscriptions need approval."""
    return services.set_model_restricted(actor, model_id=model.pk, restricted=True)


def lift_restriction(actor: User, model: Model) -> Any:
    """New subscriptions are active at once."""
    return services.set_model_restricted(actor, model_id=model.pk, restricted=False)


@admin.register(Model)
class ModelPage(AdminPage):
    """The catalogue."""

    reads = Permission.MODELS_READ
    title = _("Models")
    intro = _("What LiteLLM offers, brought here by the synchronisation.")
    empty = _("There are no models yet. Synchronise them from LiteLLM first.")
    list_display = ("name", "kind", "available", "access", "price_in", "price_out", "context", "subscribers")
    list_filter = (ByAvailability, ByRestriction, ByProvider, ByMode, ByProblem)
    search_fields = ("id", "provider", "description")
    search_help_text = _("Name, provider or description")
    ordering = ("id",)
    sortable_by = ("name", "price_in", "price_out", "context", "subscribers")
    facts = (
        (_("Model"), ("id", "provider", "mode", "description", "abilities", "available", "access", "more")),
        (_("Size and price"), ("context", "max_output_tokens", "price_in", "price_out")),
        (_("Catalogue"), ("subscribers", "created_at", "updated_at")),
    )
    verbs = (
        Verb(
            "restrict",
            _("Require approval"),
            "lock",
            Permission.MODELS_WRITE,
            restrict,
            _("From now on an administrator decides about each new subscription. Present ones stay as they are."),
            _("“%(name)s” needs approval now."),
            fits=lambda model: not model.restricted,
            bulk=True,
        ),
        Verb(
            "open",
            _("Open to everybody"),
            "lock_open",
            Permission.MODELS_WRITE,
            lift_restriction,
            _("From now on subscriptions are active at once. Those that wait for approval go on waiting."),
            _("“%(name)s” is open to everybody now."),
            fits=lambda model: model.restricted,
            bulk=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """With the number of people who may use each."""
        active = Q(subscriptions__status=SubscriptionStatus.ACTIVE)
        return Model.objects.annotate(subscriber_count=Count("subscriptions", filter=active))

    @admin.display(description=_("Model"), ordering="id")
    def name(self, row: Model) -> SafeString:
        """Name and provider."""
        return cell("two", first=row.pk, second=row.provider)

    @admin.display(description=_("Mode"))
    def kind(self, row: Model) -> str:
        """What it does."""
        return row.mode.replace("_", " ")

    @admin.display(description=_("Availability"))
    def available(self, row: Model) -> SafeString:
        """Whether LiteLLM lists it."""
        return cell("state", state=row.availability)

    @admin.display(description=_("Access"))
    def access(self, row: Model) -> SafeString:
        """Whether it needs approval."""
        return flag(row.restricted, RESTRICTED, OPEN)

    @admin.display(description=_("In, 1 M"), ordering="input_cost_per_token")
    def price_in(self, row: Model) -> SafeString:
        """USD for a million prompt tokens."""
        return cell("price", value=row.input_cost_per_million)

    @admin.display(description=_("Out, 1 M"), ordering="output_cost_per_token")
    def price_out(self, row: Model) -> SafeString:
        """USD for a million completion tokens."""
        return cell("price", value=row.output_cost_per_million)

    @admin.display(description=_("Context"), ordering="context_length")
    def context(self, row: Model) -> SafeString:
        """The length of its context in tokens."""
        return cell("number", value=row.context_length)

    @admin.display(description=_("Subscribers"), ordering="subscriber_count")
    def subscribers(self, row: Any) -> SafeString:
        """How many people may use it, and the way to them."""
        return goto(listing("subscriptions_subscription", model=row.pk), cell("number", value=row.subscriber_count))

    @admin.display(description=_("Capabilities"))
    def abilities(self, row: Model) -> str:
        """What else it can do."""
        return ", ".join(name.replace("_", " ") for name in row.capabilities)

    @admin.display(description=_("More"))
    def more(self, row: Model) -> SafeString:
        """The keys that wish for it, and its usage."""
        keys = goto(listing("apikeys_apikey", model=row.pk), _("Keys"))
        return cell("row", items=[keys, goto(listing("usage_dailyusage", model=row.pk), _("Usage"))])

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """Who wants to use it."""
        latest = row.subscriptions.select_related("user")[:SECTION_ROWS]
        yield Section(
            _("Subscriptions"),
            (_("User"), _("Status"), _("Since"), ""),
            [
                [
                    link("accounts_user", s.user_id, s.user),
                    cell("state", state=s.status),
                    cell("day", value=s.created_at),
                    link("subscriptions_subscription", s.pk, _("Details")),
                ]
                for s in latest
            ],
            _("Nobody has subscribed."),
            listing("subscriptions_subscription", model=row.pk),
        )
