"""The verbs that pages of lower apps offer without knowing them."""

from typing import Any, Final

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from accounts.admin_parts import Verb
from accounts.models import FULL_NAME_LENGTH, Role, User
from accounts.rbac import Permission
from apikeys.models import ApiKey, ApiKeySecret
from litellm_sync import integration, state
from litellm_sync.models import SyncRun
from litellm_sync.state import Synced, SyncStatus
from litemaas.administration.catalogue import CONFIRM
from litemaas.administration.people import OFFBOARD
from teams.services import provision_user


class UserForm(forms.Form):
    """A person who has not signed in yet."""

    username = forms.CharField(label=_("User name"), max_length=150)
    email = forms.EmailField(label=_("E-mail"), required=False)
    full_name = forms.CharField(label=_("Full name"), required=False, max_length=FULL_NAME_LENGTH)
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.USER)
    password = forms.CharField(
        label=_("Password"),
        help_text=_("Only where people sign in with passwords. Leave it empty otherwise."),
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean_password(self) -> str | None:
        """Empty means that nobody can sign in with a password."""
        password = self.cleaned_data["password"] or None
        if password:
            validate_password(password)
        return password


def add_user(actor: User, *, role: str, **person: Any) -> Any:
    """Make a person, a member of the default team."""
    return provision_user(actor, roles=[Role(role)], **person)


def retry(actor: User, row: Synced) -> Any:
    """Send a row to LiteLLM again."""
    return integration.retry_push(actor, kind=state.kind_of(row), object_id=row.pk)


def retry_key(actor: User, key: ApiKey) -> Any:
    """Send every secret of a key again that LiteLLM does not have as it should."""
    return [
        integration.retry_push(actor, kind=state.kind_of(ApiKeySecret), object_id=secret.pk)
        for secret in key.secrets.all()
        if secret.sync_status != SyncStatus.SYNCED
    ]


def differs(row: Any) -> bool:
    """Whether LiteLLM does not agree yet."""
    return bool(row.sync_status != SyncStatus.SYNCED)


def _retry(perform: Any) -> Verb:
    return Verb(
        "retry",
        _("Send to LiteLLM again"),
        "cloud_sync",
        Permission.INTEGRATION_SYNC,
        perform,
        _("LiteLLM is asked at once, and again by the workers until it agrees."),
        _("“%(name)s” is sent to LiteLLM again."),
        fits=differs,
        bulk=True,
    )


RETRY: Final = _retry(retry)
RETRY_KEY: Final = _retry(retry_key)
ADD_USER: Final = Verb(
    "add",
    _("Add a user"),
    "person_add",
    Permission.USERS_CREATE,
    add_user,
    _("The person becomes a member of the default team, here and in LiteLLM."),
    _("The user was added."),
    form=UserForm,
)


def row_verbs(model: type[Model]) -> tuple[Verb, ...]:
    """What can be done to a row besides what its own app offers."""
    if model is ApiKey:
        return (RETRY_KEY,)
    if model is User:
        return (OFFBOARD, RETRY)
    if model is SyncRun:
        return (CONFIRM,)
    return (RETRY,) if issubclass(model, Synced) else ()


def list_verbs(model: type[Model]) -> tuple[Verb, ...]:
    """What can be done from a list besides what its own app offers."""
    return (ADD_USER,) if model is User else ()
