"""What a provider says about a person, in one shape, whichever protocol it came by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from accounts.models import FULL_NAME_LENGTH
from litemaas.foundation.errors import PermissionDenied
from litemaas.foundation.providers import Provider

USERNAME_LENGTH = 150
SUBJECT_LENGTH = 255
EMAIL_LENGTH = 254
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Claims:
    """A person as a provider describes one; ``issuer`` and ``subject`` together are who it is for ever."""

    provider: str
    issuer: str
    subject: str
    username: str
    email: str = ""
    email_verified: bool = False
    full_name: str = ""
    groups: frozenset[str] = frozenset()


def from_openid(provider: Provider, facts: Mapping[str, Any]) -> Claims:
    """The claims of an ID token with those of the user-info endpoint.

    Raises PermissionDenied where something that the settings ask for is missing.
    """
    email = address(facts.get("email"))
    return Claims(
        provider=provider.name,
        issuer=provider.issuer,
        subject=text(facts.get("sub"), SUBJECT_LENGTH),
        username=text(at_path(facts, provider.username_claim), USERNAME_LENGTH) or email,
        email=email,
        # Some providers write booleans as text.
        email_verified=bool(email) and facts.get("email_verified") in (True, "true"),
        full_name=text(facts.get("name"), FULL_NAME_LENGTH),
        groups=_groups(provider, facts),
    )


def complete(provider: Provider, claims: Claims) -> Claims:
    """The same claims if nothing that is needed is missing, else PermissionDenied."""
    who = {"provider": provider.label}
    if not claims.subject:
        raise PermissionDenied(_("%(provider)s did not say who you are.") % who, code="subject_missing")
    if provider.require_email and not claims.email:
        raise PermissionDenied(_("%(provider)s did not tell your e-mail address.") % who, code="email_missing")
    if not claims.username:
        raise PermissionDenied(_("%(provider)s did not tell your user name.") % who, code="name_missing")
    return claims


def _groups(provider: Provider, facts: Mapping[str, Any]) -> frozenset[str]:
    """The groups; Entra leaves them out, and says where they would be, when somebody is in very many."""
    elsewhere = facts.get("_claim_names")
    if provider.wants_groups and isinstance(elsewhere, Mapping) and provider.groups_claim.split(".")[0] in elsewhere:
        who = {"provider": provider.label}
        message = _("%(provider)s did not tell your groups, because you are in too many.") % who
        raise PermissionDenied(message, code="groups_missing")
    return texts(at_path(facts, provider.groups_claim))


def at_path(facts: Mapping[str, Any], path: str) -> Any:
    """What stands under a name, or under a dotted path (``realm_access.roles``); None if there is nothing.

    The whole path is tried as a name first: some providers have names with dots.
    """
    if path in facts:
        return facts[path]
    found: Any = facts
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def texts(value: Any) -> frozenset[str]:
    """A list of texts, or one text, as a set; whatever else is among them is left out."""
    values = value if isinstance(value, list) else [value]
    return frozenset(one for one in values if isinstance(one, str) and one)


def text(value: Any, longest: int) -> str:
    """A text that fits into its column and holds no control character, else ""."""
    if not isinstance(value, str) or CONTROL.search(value) or len(value.strip()) > longest:
        return ""
    return value.strip()


def address(value: Any) -> str:
    """An e-mail address, else ""."""
    found = text(value, EMAIL_LENGTH)
    try:
        validate_email(found)
    except ValidationError:
        return ""
    return found
