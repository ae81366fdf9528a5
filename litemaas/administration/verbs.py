"""The verbs that pages of lower apps offer without knowing them."""

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.db.models import Model
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_parts import Verb
from accounts.models import FULL_NAME_LENGTH, Role, User
from accounts.rbac import Permission
from apikeys.models import ApiKey, ApiKeySecret
from litellm_sync import integration, state
from litellm_sync.default_team import assign_user_to_default_team, migrate_orphaned_users_to_default_team, orphans
from litellm_sync.models import RunKind, SyncRun
from litellm_sync.state import Synced, SyncStatus
from litemaas.administration.catalogue import CONFIRM
from litemaas.administration.people import OFFBOARD
from teams.models import DEFAULT_TEAM_ID, Team
from teams.services import provision_user

NAMED: Final = 10


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
    """Send a row to LiteLLM again; where it counts as synced, our side wins over what was changed there by hand."""
    push_again = integration.retry_push if differs(row) else integration.resolve_conflicts
    return push_again(actor, kind=state.kind_of(row), object_id=row.pk)


def retry_key(actor: User, key: ApiKey) -> Any:
    """Send every secret of a key again that LiteLLM does not have as it should; where it has, all of them."""
    kind = state.kind_of(ApiKeySecret)
    if differs(key):
        waiting = [secret for secret in key.secrets.all() if differs(secret)]
        return [integration.retry_push(actor, kind=kind, object_id=secret.pk) for secret in waiting]
    return [integration.resolve_conflicts(actor, kind=kind, object_id=secret.pk) for secret in key.secrets.all()]


def migrate(actor: User, _team: Team) -> Any:
    """Queue the run that puts everybody without a team into the default team."""
    return integration.request_sync(actor, what=RunKind.ORPHANS)


def _lost(_actor: User, _team: Team) -> Iterable[Any]:
    """A dry run: how many they are, and the first by name."""
    number = migrate_orphaned_users_to_default_team(dry_run=True)
    yield ngettext("%(number)s person is in no team.", "%(number)s people are in no team.", number) % {"number": number}
    names = ", ".join(orphans().values_list("username", flat=True)[:NAMED])
    if names:
        yield gettext("The first of them: %(names)s") % {"names": names}


def may_take_in(team: Team) -> bool:
    """Whether this is the team that takes in people without one, and there are any."""
    return team.pk == DEFAULT_TEAM_ID and orphans().exists()


def assign(actor: User, row: User) -> Any:
    """Make somebody a member of the default team."""
    return assign_user_to_default_team(actor, user_id=row.pk)


def is_outside(row: User) -> bool:
    """Whether somebody is no member of the default team."""
    return not row.memberships.filter(team=DEFAULT_TEAM_ID).exists()


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
        _("What stands here is written to LiteLLM where it differs: at once, and by the workers until it agrees."),
        _("“%(name)s” is sent to LiteLLM again."),
        bulk=True,
    )


RETRY: Final = _retry(retry)
RETRY_KEY: Final = _retry(retry_key)
ASSIGN: Final = Verb(
    "assign",
    _("Put into the default team"),
    "group_add",
    Permission.TEAMS_ASSIGN,
    assign,
    _("Everybody belongs to the default team; LiteLLM follows within seconds."),
    _("“%(name)s” is a member of the default team."),
    fits=is_outside,
)
MIGRATE: Final = Verb(
    "migrate",
    _("Take in people without a team"),
    "group_add",
    Permission.TEAMS_ASSIGN,
    migrate,
    _("A worker makes them members of the default team, a hundred at a time. The run shows how far it is."),
    _("The run has been queued. The integration centre shows how far it is."),
    fits=may_take_in,
    preview=_lost,
)
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
        return (OFFBOARD, RETRY, ASSIGN)
    if model is SyncRun:
        return (CONFIRM,)
    if model is Team:
        return (RETRY, MIGRATE)
    return (RETRY,) if issubclass(model, Synced) else ()


def list_verbs(model: type[Model]) -> tuple[Verb, ...]:
    """What can be done from a list besides what its own app offers."""
    return (ADD_USER,) if model is User else ()
