"""The page of the key policy."""

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.admin_page import AdminPage
from accounts.admin_parts import Verb
from accounts.models import User
from accounts.rbac import Permission
from apikeys import policy
from apikeys.models import KeyPolicy

FIELDS: Final = [field.name for field in KeyPolicy._meta.fields if field.name not in {"id", "updated_at"}]
WORDS: Final = {
    "default_max_budget": _("Default budget, USD"),
    "default_budget_duration": _("Default budget period"),
    "default_tpm_limit": _("Default tokens per minute"),
    "default_rpm_limit": _("Default requests per minute"),
    "default_max_parallel_requests": _("Default parallel requests"),
    "default_expires_days": _("Default days until expiry"),
    "maximum_max_budget": _("Highest budget, USD"),
    "maximum_tpm_limit": _("Most tokens per minute"),
    "maximum_rpm_limit": _("Most requests per minute"),
    "maximum_max_parallel_requests": _("Most parallel requests"),
    "maximum_expires_days": _("Most days until expiry"),
    "minimum_budget_duration": _("Shortest budget period"),
    "default_grace_seconds": _("Default grace of a rotated secret, seconds"),
    "maximum_grace_seconds": _("Longest grace of a rotated secret, seconds"),
    "keys_per_user": _("Active keys a person"),
    "creations_per_hour": _("New keys a person and hour"),
}


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes no type at run time
    """The fields of the policy with its own bounds; it saves nothing."""

    class Meta:
        model = KeyPolicy
        fields = FIELDS
        labels = WORDS

    def _post_clean(self) -> None:
        """The verb checks, under its lock: a form that filled the row in would only check it twice."""


def change_policy(actor: User, row: KeyPolicy, **wanted: Any) -> Any:
    """Change what differs: a form that was sent unchanged changes nothing."""
    present = policy.get_policy()
    changes = {name: value for name, value in wanted.items() if value != getattr(present, name)}
    return policy.update_policy(actor, **changes) if changes else present


@admin.register(KeyPolicy)
class KeyPolicyPage(AdminPage):
    """One row, which is its own list."""

    reads = Permission.KEY_POLICY_READ
    title = _("Key policy")
    facts = (
        (_("What a key gets when its owner says nothing"), tuple(WORDS)[:6]),
        (_("What a key may have at most"), tuple(WORDS)[6:12]),
        (_("When a secret is replaced"), ("default_grace_seconds", "maximum_grace_seconds")),
        (_("How many keys"), ("keys_per_user", "creations_per_hour")),
    )
    verbs = (
        Verb(
            "edit",
            _("Change the policy"),
            "edit",
            Permission.KEY_POLICY_WRITE,
            change_policy,
            _("Empty is no bound. Keys that exist keep what they have; new ones and changes obey."),
            _("The policy is in force."),
            form=PolicyForm,
            initial=lambda row: {name: getattr(row, name) for name in FIELDS},
        ),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list is the row."""
        return self.change_view(request, "1")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> KeyPolicy | None:
        """The policy in force, also before anybody has changed it."""
        return policy.get_policy() if object_id == "1" else None

    def name_of(self, row: Any) -> str:
        """There is one."""
        return str(self.title)

    def label_of(self, name: str) -> Any:
        """The words of the form."""
        return WORDS.get(name) or super().label_of(name)
