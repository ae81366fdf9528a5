"""What administrators can do to a person from the admin portal, as far as it concerns accounts alone."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.conf import settings
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import identities, people, rbac
from accounts.admin_parts import Text, Verb
from accounts.claims import SUBJECT_LENGTH
from accounts.models import Role, User
from accounts.rbac import Permission
from accounts.sessions import count_sign_ins
from litemaas.foundation import validators

LIMITS: Final = {
    "max_budget": _("Budget, USD"),
    "budget_duration": _("Budget period"),
    "tpm_limit": _("Tokens per minute"),
    "rpm_limit": _("Requests per minute"),
}


class ReasonForm(forms.Form):
    """Words for the audit log."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("It is kept in the audit log. It may be left empty."),
        required=False,
        max_length=people.LONGEST_REASON,
        widget=forms.TextInput({"autocomplete": "off"}),
    )


class RolesForm(forms.Form):
    """What somebody is; nothing is "user"."""

    roles = forms.MultipleChoiceField(
        label=_("Roles"),
        choices=Role.choices,
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=_("The strongest counts. Who has none is a user."),
    )


class LimitsForm(forms.Form):
    """The limits of one person."""

    max_budget = forms.DecimalField(
        label=LIMITS["max_budget"],
        required=False,
        validators=[validators.validate_budget],
        widget=forms.NumberInput({"min": "0", "step": "any"}),
    )
    budget_duration = forms.CharField(
        label=LIMITS["budget_duration"],
        required=False,
        max_length=10,
        validators=[validators.validate_budget_duration],
        help_text=_("After which time the budget starts again, such as 7d, 30d or 1mo."),
    )
    tpm_limit = forms.IntegerField(
        label=LIMITS["tpm_limit"], required=False, validators=[validators.validate_rate_limit]
    )
    rpm_limit = forms.IntegerField(
        label=LIMITS["rpm_limit"], required=False, validators=[validators.validate_rate_limit]
    )


class ManyLimitsForm(LimitsForm):
    """The same limits for many, who have different ones: what is left empty stays as each has it."""

    clear = forms.MultipleChoiceField(
        label=_("Remove these limits"),
        choices=list(LIMITS.items()),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )


def providers() -> list[tuple[str, str]]:
    """The sign-in services that there are."""
    return [(name, provider.label) for name, provider in settings.SIGN_IN_PROVIDERS.items()]


class LinkForm(forms.Form):
    """How a sign-in service knows somebody."""

    provider = forms.ChoiceField(label=_("Sign-in service"), choices=providers)
    subject = forms.CharField(
        label=_("Id of the person there"),
        help_text=_("Its own id for the person, which never changes: sub (OpenID Connect) or uid (OpenShift)."),
        max_length=SUBJECT_LENGTH,
        widget=forms.TextInput({"autocomplete": "off"}),
    )


class UnlinkForm(forms.Form):
    """One of the ways in which somebody is known; ``initial["known"]`` are all of them."""

    identity = forms.TypedChoiceField(label=_("Known as"), coerce=int, widget=forms.RadioSelect)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["identity"]
        field.choices = self.initial.get("known", [])


# --- What the verbs do -----------------------------------------------------------------------------------------------


def set_roles(actor: User, row: User, *, roles: list[str]) -> Any:
    """Let somebody have exactly these roles."""
    return identities.set_roles(actor, user_id=row.pk, roles=roles)


def set_limits(actor: User, row: User, **limits: Any) -> Any:
    """Let somebody have exactly these limits."""
    return people.set_limits(actor, user_id=row.pk, **limits)


def set_limits_of_many(actor: User, rows: list[User], *, clear: list[str], **limits: Any) -> list[people.Outcome]:
    """Set what was typed and remove what was ticked."""
    typed = {name: value for name, value in limits.items() if value not in (None, "")}
    wanted: dict[str, Any] = {**dict.fromkeys(clear), **typed}
    return people.set_limits_of_many(actor, ids=[row.pk for row in rows], **wanted)


def deactivate(actor: User, row: User, *, reason: str = "") -> Any:
    """Let somebody in no more."""
    return people.deactivate_user(actor, user_id=row.pk, reason=reason)


def reactivate(actor: User, row: User, *, reason: str = "") -> Any:
    """Let somebody in again."""
    return people.reactivate_user(actor, user_id=row.pk, reason=reason)


def link(actor: User, row: User, *, provider: str, subject: str) -> Any:
    """Let somebody in whom a sign-in service knows."""
    return identities.link_identity(actor, user_id=row.pk, provider=provider, subject=subject)


def unlink(actor: User, row: User, *, identity: int) -> Any:
    """Let nobody in so any more."""
    return identities.unlink_identity(actor, user_id=row.pk, identity_id=identity)


def _known(row: User) -> dict[str, Any]:
    """What the form chooses from; the only one is chosen already."""
    known = [(one.pk, str(one)) for one in row.identities.order_by("created_at", "pk")]
    return {"known": known, "identity": known[0][0] if len(known) == 1 else None}


# --- What the pages say before ---------------------------------------------------------------------------------------


def roles_in_words(row: User) -> list[str]:
    """Each role with where it comes from."""
    hand, both = gettext("%(role)s (by hand)"), gettext("%(role)s (by hand and by the sign-in service)")
    provider, plain = gettext("%(role)s (by the sign-in service)"), "%(role)s"
    said = []
    for name in row.roles:
        given = name in row.provider_roles
        form = both if given and name in row.hand_roles else provider if given else hand
        words = plain if rbac.strongest([name]) is Role.USER and not given else form
        said.append(words % {"role": Role(name).label})
    return said


def _roles_now(_actor: User, row: User) -> Iterable[Text]:
    given = [Role(name).label for name in row.provider_roles]
    if given:
        words = gettext("The sign-in service gives: %(roles)s. It can be taken away only there, by leaving the group.")
        yield words % {"roles": ", ".join(map(str, given))}


def _no_service(_actor: User, _row: User) -> Iterable[Text]:
    if not settings.SIGN_IN_PROVIDERS:
        yield gettext("No sign-in service is set up for this portal.")


def _what_ends(_actor: User, row: User) -> Iterable[Text]:
    """Keys are rows of an upper app, reached as data."""
    keys: Any = row.api_keys.alive()
    number, ends = keys.filter(status="active").count(), count_sign_ins(row)
    yield ngettext("%(number)s key is blocked.", "%(number)s keys are blocked.", number) % {"number": number}
    yield ngettext("%(number)s sign-in ends.", "%(number)s sign-ins end.", ends) % {"number": ends}


def _limits_of(row: User) -> dict[str, Any]:
    amount: Decimal | None = row.max_budget
    shown = None if amount is None else f"{amount.normalize():f}"
    return {name: getattr(row, name) for name in LIMITS} | {"max_budget": shown}


VERBS: Final = (
    Verb(
        "roles",
        _("Change roles"),
        "admin_panel_settings",
        Permission.USERS_GRANT,
        set_roles,
        _("It counts at once, also where the person is signed in already."),
        _("The roles of “%(name)s” are as you wished."),
        form=RolesForm,
        initial=lambda row: {"roles": row.roles},
        preview=_roles_now,
    ),
    Verb(
        "limits",
        _("Set limits"),
        "speed",
        Permission.USERS_UPDATE,
        set_limits,
        _("For all keys of the person together, in LiteLLM. Empty is no limit."),
        _("The limits of “%(name)s” are as you wished."),
        form=LimitsForm,
        initial=_limits_of,
        bulk=True,
        many=set_limits_of_many,
        many_form=ManyLimitsForm,
        many_explain=_("For all keys of each person together, in LiteLLM. What you leave empty stays as each has it."),
    ),
    Verb(
        "link",
        _("Link to a sign-in service"),
        "link",
        Permission.USERS_LINK,
        link,
        _(
            "Whoever the service knows by this id gets in as this person. Needed for people who were added here, "
            "and where the service has given somebody a new id."
        ),
        _("“%(name)s” can sign in through the service."),
        form=LinkForm,
        preview=_no_service,
    ),
    Verb(
        "unlink",
        _("Unlink from a sign-in service"),
        "link_off",
        Permission.USERS_LINK,
        unlink,
        _(
            "Whoever the service knows by this id gets in as this person no more, and sign-ins end. "
            "Keys and access tokens stay."
        ),
        _("“%(name)s” is unlinked from the service."),
        fits=lambda row: row.identities.exists(),
        form=UnlinkForm,
        initial=_known,
        danger=True,
    ),
    Verb(
        "deactivate",
        _("Deactivate"),
        "person_off",
        Permission.USERS_DEACTIVATE,
        deactivate,
        _(
            "The person gets in no more, sign-ins end, and LiteLLM refuses the keys. "
            "Nothing is lost: reactivating lets all of it work again but the sign-ins."
        ),
        _("“%(name)s” is deactivated."),
        fits=lambda row: row.is_active,
        form=ReasonForm,
        preview=_what_ends,
        danger=True,
        bulk=True,
    ),
    Verb(
        "reactivate",
        _("Reactivate"),
        "how_to_reg",
        Permission.USERS_DEACTIVATE,
        reactivate,
        _("The person gets in again. Keys that worked before work again; what was blocked by hand stays blocked."),
        _("“%(name)s” is active again."),
        fits=lambda row: not row.is_active,
        form=ReasonForm,
        bulk=True,
    ),
)
