"""The only place that reads which identity providers there are: the settings SIGN_IN_PROVIDERS and SIGN_IN_<NAME>_…"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

OIDC: Final = "oidc"
OPENSHIFT: Final = "openshift"
KINDS: Final = (OIDC, OPENSHIFT)
# It stands in addresses; in names of variables "-" becomes "_".
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
SCOPES: Final = {OIDC: "openid profile email", OPENSHIFT: "user:info"}
RENEW_MINUTES: Final = 60


@dataclass(frozen=True)
class Provider:
    """One identity provider. ``roles`` and ``teams`` say what a group gives; ``issuer`` has no slash at its end."""

    name: str
    kind: str = OIDC
    label: str = ""
    issuer: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scopes: str = SCOPES[OIDC]
    ca_bundle: str = ""
    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    required_group: str = ""
    roles: dict[str, str] = field(default_factory=dict)
    teams: dict[str, str] = field(default_factory=dict)
    initial_admins: tuple[str, ...] = ()
    require_email: bool = True
    link_by_email: bool = False
    renew_minutes: int = RENEW_MINUTES

    @property
    def wants_groups(self) -> bool:
        """Whether anything depends on the groups of a person."""
        return bool(self.required_group or self.roles or self.teams)


def read(env: Any, names: list[str]) -> dict[str, Provider]:
    """Name -> provider, in the order of ``names``; what is wrong with them is for the system checks to say."""
    return {name: _read_one(env, name) for name in names}


def _read_one(env: Any, name: str) -> Provider:
    prefix = f"SIGN_IN_{name.upper().replace('-', '_')}_"
    kind = env.str(prefix + "TYPE", default=OIDC)
    return Provider(
        name=name,
        kind=kind,
        label=env.str(prefix + "LABEL", default=name.replace("-", " ").title()),
        issuer=env.str(prefix + "ISSUER", default="").rstrip("/"),
        client_id=env.str(prefix + "CLIENT_ID", default=""),
        client_secret=env.str(prefix + "CLIENT_SECRET", default=""),
        scopes=env.str(prefix + "SCOPES", default=SCOPES.get(kind, "")),
        ca_bundle=env.str(prefix + "CA_BUNDLE", default=""),
        username_claim=env.str(prefix + "USERNAME_CLAIM", default="preferred_username"),
        groups_claim=env.str(prefix + "GROUPS_CLAIM", default="groups"),
        required_group=env.str(prefix + "REQUIRED_GROUP", default=""),
        roles=mapping(env.str(prefix + "ROLES", default="")),
        teams=mapping(env.str(prefix + "TEAMS", default="")),
        initial_admins=tuple(env.list(prefix + "INITIAL_ADMINS", default=[])),
        require_email=env.bool(prefix + "REQUIRE_EMAIL", default=kind == OIDC),
        link_by_email=env.bool(prefix + "LINK_BY_EMAIL", default=False),
        renew_minutes=env.int(prefix + "RENEW_MINUTES", default=RENEW_MINUTES),
    )


def mapping(text: str) -> dict[str, str]:
    """``group=role,group=role``, or a JSON object where names hold commas; "" is the value of a flaw."""
    if text.lstrip().startswith("{"):
        try:
            return {str(group): str(value) for group, value in json.loads(text).items()}
        except ValueError:
            return {text: ""}
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    return {(group or value).strip(): value.strip() if group else "" for group, _sign, value in pairs}
