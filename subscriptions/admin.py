"""The page of subscriptions; that of the catalogue is beside it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, link
from accounts.admin_filters import ByUser
from accounts.admin_page import AdminPage
from accounts.admin_paging import Between, Choice
from accounts.admin_parts import Verb
from accounts.models import User
from accounts.rbac import Permission
from subscriptions import services
from subscriptions.admin_models import ByModel
from subscriptions.models import Subscription, SubscriptionStatus


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
