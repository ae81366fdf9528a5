"""Off-boarding on the pages of people: the button, what it would do, what it has done and what still waits."""

from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Model
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, goto
from accounts.admin_page import listing
from accounts.admin_parts import Section, Text, Verb
from accounts.admin_people import ReasonForm
from accounts.models import Role, User
from accounts.rbac import Permission
from litemaas.people import offboarding
from litemaas.people.offboarding import Steps, Waiting


def offboard(actor: User, row: User, *, reason: str = "") -> Any:
    """End everything by which somebody could go on."""
    return offboarding.offboard_user(actor, user_id=row.pk, reason=reason)


def planned(actor: User, row: User) -> Iterable[Text]:
    """What would be done, step by step."""
    steps = offboarding.plan_offboarding(actor, user_id=row.pk).done
    return [f"{words}: {value}" for words, value in in_words(steps)] or [gettext("There is nothing left to do.")]


def in_words(steps: Steps) -> list[tuple[Text, str]]:
    """Each step that there is something to do in, with what it is about."""
    roles = ", ".join(str(Role(name).label) for name in steps.roles)
    yes = gettext("sign-ins are refused from now on") if steps.deactivate else ""
    said = (
        (_("Account deactivated"), yes),
        (_("Sign-ins ended"), str(steps.sign_ins or "")),
        (_("Access tokens revoked"), _named(steps.token_names, steps.tokens)),
        (_("Keys revoked for ever"), _named(steps.key_names, steps.keys)),
        (_("Subscriptions cancelled"), ", ".join(steps.subscriptions)),
        (_("Teams left"), ", ".join(steps.teams)),
        (_("Roles taken away"), roles),
    )
    return [(words, value) for words, value in said if value]


def _named(first: list[str], number: int) -> str:
    """Names, as many as are kept; older entries of the audit log hold none of tokens."""
    if not first:
        return str(number or "")
    names, more = ", ".join(first), number - len(first)
    if not more:
        return names
    said = ngettext("%(names)s and %(more)s more", "%(names)s and %(more)s more", more)
    return said % {"names": names, "more": more}


def _waits(waiting: Waiting) -> str:
    if waiting.is_nothing:
        return gettext("nothing: LiteLLM agrees with everything")
    said = []
    if waiting.keys:
        words = ngettext("%(number)s key", "%(number)s keys", waiting.keys)
        said.append(words % {"number": waiting.keys})
    if waiting.person:
        said.append(gettext("the person's limits and teams"))
    if waiting.failed:
        words = ngettext("%(number)s was refused", "%(number)s were refused", waiting.failed)
        said.append(words % {"number": waiting.failed})
    return ", ".join(said)


def sections_of(row: Model) -> list[Section]:
    """What was done to a person who has been off-boarded, and what LiteLLM has still to do."""
    event = offboarding.last_offboarding(row) if isinstance(row, User) else None
    if event is None or not isinstance(row, User):
        return []
    rows: list[list[Any]] = [[words, value] for words, value in in_words(Steps.recorded(event.details))]
    rows.append([gettext("Waits for LiteLLM"), _waits(offboarding.waiting(row))])
    rows.append(
        [gettext("When and by whom"), cell("two", first=event.actor_name, second=f"{event.at:%Y-%m-%d %H:%M} UTC")]
    )
    if event.details.get("reason"):
        rows.append([gettext("Reason"), event.details["reason"]])
    entries = goto(
        listing("accounts_auditevent", actor_id=event.actor_id or "", action=event.action), gettext("Audit log")
    )
    rows.append([gettext("All of it"), entries])
    return [Section(_("Off-boarding"), (_("What"), _("Which")), rows, "")]


OFFBOARD: Final = Verb(
    "offboard",
    _("Off-board"),
    "person_remove",
    Permission.USERS_OFFBOARD,
    offboard,
    _(
        "For somebody who leaves for good. Keys are revoked for ever and subscriptions cancelled: reactivating brings "
        "neither back. What was used stays in the figures."
    ),
    _("“%(name)s” is off-boarded."),
    form=ReasonForm,
    preview=planned,
    danger=True,
)
