"""The only place that says what to do after a sign-in through a provider that did not work."""

from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from litemaas.foundation.errors import DomainError


@dataclass(frozen=True)
class Refusal:
    """How a failure is told; what happened is the error's own message. ``retry`` and ``switch`` are ways out."""

    title: Any
    advice: Any
    icon: str = "octagon-alert"
    tone: str = "bad"
    retry: bool = True
    switch: bool = False


ACCOUNT = _("Ask an administrator of this portal, or sign in with another account.")
REFUSALS: Final = {
    "account_deactivated": Refusal(
        _("Your account is deactivated"),
        _("Your keys are blocked as well. If this is a mistake, ask an administrator of this portal to reactivate it."),
        icon="user-x",
        retry=False,
        switch=True,
    ),
    "email_missing": Refusal(
        _("Your e-mail address is missing"),
        _("Add an address to your account there. If it has one, an administrator has to let %(provider)s tell it."),
        icon="mail",
        tone="warn",
        switch=True,
    ),
    "group_required": Refusal(
        _("You are not in the group that may use this portal"),
        _("Ask whoever manages the groups at %(provider)s to add you, then sign in again."),
        icon="lock",
        tone="info",
        switch=True,
    ),
    "groups_missing": Refusal(
        _("Your groups are missing"),
        _("An administrator has to have %(provider)s send only the groups that this portal needs."),
        icon="users",
        tone="warn",
        retry=False,
    ),
    "identity_taken": Refusal(_("This account belongs to somebody else"), ACCOUNT, icon="user-x", switch=True),
    "name_missing": Refusal(
        _("Your user name is missing"),
        _("An administrator of this portal has to choose which name of yours %(provider)s shall tell."),
        icon="user-x",
        tone="warn",
        switch=True,
    ),
    "provider_refused": Refusal(
        _("%(provider)s and this portal do not understand each other"),
        _("Trying again changes nothing. Tell an administrator of this portal, and quote the request below."),
        icon="plug",
    ),
    "provider_unavailable": Refusal(
        _("%(provider)s does not answer"),
        _("Try again in a minute. Your keys go on working meanwhile."),
        icon="unplug",
    ),
    "sign_in_code_refused": Refusal(
        _("This sign-in has been used already"),
        _("This happens when a page is reloaded or opened from the history. Sign in again."),
        icon="history",
        tone="warn",
    ),
    "sign_in_denied": Refusal(
        _("You were not signed in"),
        _("Either you cancelled, or %(provider)s does not let this account use the portal."),
        icon="ban",
        tone="info",
        switch=True,
    ),
    "sign_in_expired": Refusal(
        _("The sign-in took too long"),
        _("Nothing is wrong with your account. Sign in again."),
        icon="hourglass",
        tone="warn",
    ),
    "sign_in_not_verified": Refusal(
        _("The sign-in could not be verified"),
        _("You are not signed in. Try again; if it happens again, tell an administrator and quote the request below."),
        icon="shield-alert",
    ),
    "sign_in_unknown": Refusal(
        _("This sign-in was not begun here"),
        _("Perhaps it was used already, began in another browser, or cookies are off. Sign in again from here."),
        icon="cookie",
        tone="warn",
    ),
    "subject_missing": Refusal(
        _("%(provider)s did not say who you are"),
        _("Trying again changes nothing. Tell an administrator of this portal, and quote the request below."),
        icon="user-x",
        retry=False,
    ),
    "username_taken": Refusal(
        _("This user name is taken"),
        _("If that account is yours, an administrator of this portal can link it to %(provider)s."),
        icon="users",
        tone="warn",
        retry=False,
        switch=True,
    ),
}
OTHER: Final = Refusal(_("You are not signed in"), _("Sign in again. If it happens again, tell an administrator."))


def sign_in_failure(error: DomainError, provider: str) -> Refusal:
    """The words for an error, with the provider's name in them."""
    found = REFUSALS.get(error.code, OTHER)
    who = {"provider": provider}
    return Refusal(found.title % who, found.advice % who, found.icon, found.tone, found.retry, found.switch)
