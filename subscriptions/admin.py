"""The pages of the catalogue and of subscriptions."""

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin import YES_NO, ByUser
from accounts.admin_cells import cell, flag, goto, link
from accounts.admin_page import SECTION_ROWS, AdminPage, Section, Verb, listing
from accounts.admin_paging import About, Between, Choice
from accounts.models import User
from accounts.rbac import Permission
from subscriptions import services
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus

RESTRICTED: Final = ("warn", "lock", _("Needs approval"))
OPEN: Final = ("quiet", "lock-open", _("Open"))


class ReasonForm(forms.Form):
    """Words that the person will read."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("The person will read this."),
        max_length=services.LONGEST_WORDS,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class NoteForm(ReasonForm):
    """Words that may be left out."""

    reason = forms.CharField(
        label=_("Note"),
        help_text=_("The person will read this. It may be left empty."),
        required=False,
        max_length=services.LONGEST_WORDS,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


# --- Models ----------------------------------------------------------------------------------------------------------


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
    list_filter = (ByAvailability, ByRestriction, ByProvider, ByMode)
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

    @admin.display(description=_("In, 1 M tokens"), ordering="input_cost_per_token")
    def price_in(self, row: Model) -> SafeString:
        """USD for a million prompt tokens."""
        return cell("price", value=row.input_cost_per_million)

    @admin.display(description=_("Out, 1 M tokens"), ordering="output_cost_per_token")
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


# --- Subscriptions ---------------------------------------------------------------------------------------------------


class ByStatus(Choice):
    """Subscriptions by where they stand."""

    title, parameter_name, options = _("status"), "status", SubscriptionStatus.choices


def approve(actor: User, subscription: Subscription, *, reason: str) -> Any:
    """Let the person use the model."""
    return services.approve_subscription(actor, subscription_id=subscription.pk, reason=reason)


def deny(actor: User, subscription: Subscription, *, reason: str) -> Any:
    """Refuse, and say why."""
    return services.deny_subscription(actor, subscription_id=subscription.pk, reason=reason)


def is_pending(subscription: Subscription) -> bool:
    """Whether somebody has to decide."""
    return subscription.status == SubscriptionStatus.PENDING


@admin.register(Subscription)
class SubscriptionPage(AdminPage):
    """Who may use what."""

    reads = Permission.SUBSCRIPTIONS_READ
    title = _("Subscriptions")
    intro = _("Who may use which model. Those that are pending wait for you.")
    list_display = ("what", "person", "state", "justification_short", "created")
    list_filter = (ByStatus, ("created_at", Between), ByUser, ByModel)
    list_select_related = ("user", "model")
    search_fields = ("model__id", "user__username", "user__full_name")
    search_help_text = _("Model or user")
    ordering = ("-created_at",)
    sortable_by = ("what", "person", "created")
    facts = (
        (_("Subscription"), ("model_link", "person", "state", "justification", "reason", "created")),
        (_("Limits"), ("quota_requests", "used_requests", "quota_tokens", "used_tokens", "resets_at", "expires_at")),
    )
    verbs = (
        Verb(
            "approve",
            _("Approve"),
            "check_circle",
            Permission.SUBSCRIPTIONS_APPROVE,
            approve,
            _("The person may use the model at once, also with keys that have wished for it."),
            _("Approved: %(name)s."),
            fits=is_pending,
            form=NoteForm,
            bulk=True,
        ),
        Verb(
            "deny",
            _("Deny"),
            "cancel",
            Permission.SUBSCRIPTIONS_APPROVE,
            deny,
            _("The person cannot use the model and reads your reason. Subscribing again does not wash it off."),
            _("Denied: %(name)s."),
            fits=is_pending,
            form=ReasonForm,
            danger=True,
            bulk=True,
        ),
    )

    def name_of(self, row: Any) -> str:
        """Who and what."""
        return f"{row.user.display_name} → {row.model_id}"

    @admin.display(description=_("Model"), ordering="model")
    def what(self, row: Subscription) -> str:
        """The model."""
        return row.model_id

    @admin.display(description=_("Model"))
    def model_link(self, row: Subscription) -> Any:
        """The way to the model."""
        return link("subscriptions_model", row.model_id, row.model_id)

    @admin.display(description=_("User"), ordering="user__username")
    def person(self, row: Subscription) -> Any:
        """Who."""
        return link("accounts_user", row.user_id, row.user.display_name)

    @admin.display(description=_("Status"))
    def state(self, row: Subscription) -> SafeString:
        """Where it stands."""
        return cell("state", state=row.status)

    @admin.display(description=_("Why"))
    def justification_short(self, row: Subscription) -> SafeString:
        """What the person said."""
        return cell("words", value=row.justification)

    @admin.display(description=_("Since"), ordering="created_at")
    def created(self, row: Subscription) -> SafeString:
        """When the person asked."""
        return cell("moment", value=row.created_at)
