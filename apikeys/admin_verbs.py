"""What administrators do to keys from the admin portal: the verbs with their forms and words."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin_parts import LABELS, Verb
from accounts.models import User
from accounts.rbac import Permission
from apikeys import endings, rotation, services
from apikeys import model_limits as per_model
from apikeys.edit_form import model_choices
from apikeys.models import ApiKey, KeyStatus
from apikeys.policy import BOUNDED, LONGEST_DESCRIPTION, LONGEST_REASON, get_policy
from apikeys.rotate_form import EndOldSecretForm
from litemaas.foundation import validators

EDITED: Final = ("name", "description", "budget_duration", "soft_budget", *BOUNDED, "expires_at")


class ReasonForm(forms.Form):
    """Words for the audit log."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("It is kept in the audit log. It may be left empty."),
        required=False,
        max_length=LONGEST_REASON,
    )


class EditKeyForm(per_model.ModelLimitFields):
    """A key as it is; ``initial["offered"]`` are the models that its owner could put on it.

    Of limits per model it has those of the models that the key has.
    """

    name = forms.CharField(label=_("Name"), max_length=100, validators=[validators.validate_key_name])
    description = forms.CharField(
        label=_("Description"), required=False, max_length=LONGEST_DESCRIPTION, widget=forms.Textarea({"rows": 2})
    )
    models = forms.MultipleChoiceField(label=_("Models"), widget=forms.CheckboxSelectMultiple)
    max_budget = forms.DecimalField(
        label=_("Budget in USD"), required=False, max_digits=20, decimal_places=10,
        validators=[validators.validate_budget], help_text=_("Empty is no limit, as far as the policy allows."),
    )  # fmt: skip
    budget_duration = forms.CharField(
        label=LABELS["budget_duration"], required=False, max_length=10,
        validators=[validators.validate_budget_duration],
        help_text=_("After which time the budget starts again, such as 7d, 30d or 1mo."),
    )  # fmt: skip
    soft_budget = forms.DecimalField(
        label=LABELS["soft_budget"], required=False, max_digits=20, decimal_places=10,
        validators=[validators.validate_budget],
    )  # fmt: skip
    tpm_limit = forms.IntegerField(
        label=LABELS["tpm_limit"], required=False, validators=[validators.validate_rate_limit]
    )
    rpm_limit = forms.IntegerField(
        label=LABELS["rpm_limit"], required=False, validators=[validators.validate_rate_limit]
    )
    max_parallel_requests = forms.IntegerField(
        label=LABELS["max_parallel_requests"], required=False, validators=[validators.validate_rate_limit]
    )
    expires_at = forms.DateTimeField(
        label=_("Expires"), required=False, help_text=_("Day and time, such as 2027-03-31 18:00. Empty is never.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["models"]
        field.choices = self.initial.get("offered", [])
        self.add_model_limits(self.initial.get("models", ()), self.initial.get("model_limits", {}), get_policy())


def as_it_is(key: ApiKey) -> dict[str, Any]:
    """What the form shows of a key."""
    shown = {name: _plain(getattr(key, name)) for name in EDITED}
    shown |= {"models": key.model_ids, "offered": model_choices(key), "model_limits": key.model_limits}
    return shown | per_model.shown(key.model_ids, key.model_limits)


def _plain(value: Any) -> Any:
    """An amount without the noughts of its column."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def edit(actor: User, key: ApiKey, **changes: Any) -> Any:
    """Change what was touched. The other limits per model are those of now: the page has locked the key."""
    if typed := {name: changes.pop(name) for name in list(changes) if per_model.is_one(name)}:
        now = services.reread(key)
        changes["model_limits"] = per_model.merged(now.model_limits, typed, changes.get("models", now.model_ids))
    return services.update_api_key(actor, key_id=key.pk, **changes)


def revoke(actor: User, key: ApiKey) -> Any:
    """End a key for ever."""
    return endings.revoke_api_key(actor, key_id=key.pk)


def block(actor: User, key: ApiKey, *, reason: str = "") -> Any:
    """Refuse a key until it is unblocked."""
    return endings.block_api_key(actor, key_id=key.pk, reason=reason)


def unblock(actor: User, key: ApiKey, *, reason: str = "") -> Any:
    """Let a blocked key work again."""
    return endings.unblock_api_key(actor, key_id=key.pk, reason=reason)


def end_old_secret(actor: User, key: ApiKey, *, force: bool = False) -> Any:
    """Let only the newest secret work."""
    return rotation.end_old_secret(actor, key_id=key.pk, force=force)


def what_would_work(_actor: User, key: ApiKey) -> Iterable[Any]:
    """Whether anything works when the old secret has ended."""
    if rotation.stage(key.secrets.all(), timezone.now()) in rotation.NOT_THERE:
        words = _("LiteLLM does not have the new secret %(new)s: without the old one nothing works.")
        yield words % {"new": key.masked}


def reset_spend(actor: User, key: ApiKey) -> Any:
    """Let a key begin its budget again."""
    return endings.reset_spend(actor, key_id=key.pk)


def delete(actor: User, key: ApiKey) -> Any:
    """Hide a revoked key."""
    return endings.delete_api_key(actor, key_id=key.pk)


VERBS: Final = (
    Verb(
        "edit",
        _("Edit"),
        "edit",
        Permission.APIKEYS_UPDATE,
        edit,
        _("Only what you change here is changed, within the key policy. The secret stays."),
        _("“%(name)s” is changed."),
        fits=lambda key: key.status != KeyStatus.REVOKED,
        form=EditKeyForm,
        initial=as_it_is,
    ),
    Verb(
        "block",
        _("Block"),
        "block",
        Permission.APIKEYS_BLOCK,
        block,
        _("Requests with this key are refused until somebody unblocks it."),
        _("“%(name)s” is blocked."),
        fits=lambda key: key.status == KeyStatus.ACTIVE,
        form=ReasonForm,
        bulk=True,
    ),
    Verb(
        "unblock",
        _("Unblock"),
        "lock_open",
        Permission.APIKEYS_BLOCK,
        unblock,
        _("Requests with this key are accepted again."),
        _("“%(name)s” works again."),
        fits=lambda key: key.status == KeyStatus.BLOCKED,
        form=ReasonForm,
        bulk=True,
    ),
    Verb(
        "end-old-secret",
        _("End the old secret"),
        "key_off",
        Permission.APIKEYS_REVOKE,
        end_old_secret,
        _("The key was rotated and two secrets work. The old one is refused from this moment."),
        _("The old secret of “%(name)s” has ended."),
        fits=lambda key: key.old_secret_valid_until is not None,
        form=EndOldSecretForm,
        preview=what_would_work,
        danger=True,
    ),
    Verb(
        "reset-spend",
        _("Reset spend"),
        "restart_alt",
        Permission.APIKEYS_RESET_SPEND,
        reset_spend,
        _("What was spent in this period no longer counts against the budget. The figures of usage stay."),
        _("The budget of “%(name)s” has begun again."),
        fits=lambda key: key.status != KeyStatus.REVOKED,
    ),
    Verb(
        "revoke",
        _("Revoke"),
        "delete_forever",
        Permission.APIKEYS_REVOKE,
        revoke,
        _("The key ends for ever: programs that use it stop working at once, and nobody can bring it back."),
        _("“%(name)s” is revoked."),
        fits=lambda key: key.status != KeyStatus.REVOKED,
        danger=True,
        bulk=True,
    ),
    Verb(
        "delete",
        _("Delete"),
        "delete",
        Permission.APIKEYS_DELETE,
        delete,
        _("The key disappears from all lists. What it used stays in the figures, its history in the audit log."),
        _("“%(name)s” is deleted."),
        fits=lambda key: key.status == KeyStatus.REVOKED,
        danger=True,
        ends=True,
        bulk=True,
    ),
)
