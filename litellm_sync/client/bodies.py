"""What LiteLLM is told: the body of each call that changes something, by LiteLLM's names.

A field that is left out stays as it is; None is null, which clears. A type without None is that of a field whose null
LiteLLM refuses or ignores, or of something new, which has nothing to be cleared. Amounts are USD in floats, as LiteLLM
keeps them. tests/contract/test_bodies.py asks both releases whether they know these names.
"""

from collections.abc import Container, Mapping
from typing import Literal, Required, TypedDict, TypeVar, cast

Body = TypeVar("Body", bound=Mapping[str, object])


def only(body: Body, names: Container[str]) -> Body:
    """Those fields of a body that are named; of a kind of body in which no field is required.

    The one cast: a part of such a body is one too, which nobody can see in a comprehension.
    """
    return cast("Body", {name: value for name, value in body.items() if name in names})


class NewLimits(TypedDict, total=False):
    """What something new is limited to: USD a period, and figures a minute. What is left out is not limited."""

    max_budget: float
    budget_duration: str
    tpm_limit: int
    rpm_limit: int


class Limits(TypedDict, total=False):
    """What something that is there is limited to from now on."""

    max_budget: float | None
    budget_duration: str | None
    tpm_limit: int | None
    rpm_limit: int | None


# --- Users -----------------------------------------------------------------------------------------------------------


class NewUser(NewLimits, total=False):
    """A person; nobody is an administrator of LiteLLM by us. Teams that LiteLLM does not know are dropped silently."""

    user_id: Required[str]
    user_alias: Required[str]
    user_email: str
    user_role: Required[Literal["internal_user"]]
    teams: Required[list[str]]


class UserCreation(NewUser):
    """/user/new, which makes a key too unless it is told not to."""

    auto_create_key: Literal[False]


class UserChanges(Limits, total=False):
    """What of a person changes."""

    user_email: str
    user_role: Literal["internal_user"]


class UserUpdate(UserChanges):
    """/user/update."""

    user_id: str


# --- Teams -----------------------------------------------------------------------------------------------------------


class NewTeam(NewLimits):
    """/team/new; no models are every model."""

    team_id: str
    team_alias: str
    models: list[str]


class TeamChanges(Limits, total=False):
    """What of a team changes; 1.81 follows ``blocked`` at once here, and only after a minute by its own calls."""

    blocked: bool
    team_alias: str
    models: list[str]


class TeamUpdate(TeamChanges):
    """/team/update."""

    team_id: str


class Member(TypedDict):
    """Somebody in a team; administrators of teams need a licence."""

    role: Literal["user"]
    user_id: str


class NewMember(TypedDict):
    """/team/member_add."""

    team_id: str
    member: Member


class FormerMember(TypedDict):
    """/team/member_delete."""

    team_id: str
    user_id: str


# --- Keys ------------------------------------------------------------------------------------------------------------


class NewKey(NewLimits, total=False):
    """/key/generate, with a secret of ours. ``models`` is never empty: that is every model. ``spend`` is USD."""

    key: Required[str]
    key_type: Required[Literal["llm_api"]]
    key_alias: Required[str]
    user_id: Required[str]
    team_id: Required[str]
    models: Required[list[str]]
    blocked: Required[bool]
    metadata: Required[Mapping[str, object]]
    max_parallel_requests: int
    duration: str
    spend: float


class KeyChanges(Limits, total=False):
    """What of a key changes; ``metadata`` is replaced as a whole, and the ``duration`` of -1 is for ever.

    Blocking is not among it: it has calls of its own, which come first or last. Access groups, aliases and router
    settings are only ever taken away, by what is empty.
    """

    access_group_ids: list[str]
    aliases: Mapping[str, str]
    router_settings: Mapping[str, object]
    key_alias: str
    user_id: str
    team_id: str
    models: list[str]
    allowed_routes: list[str]
    metadata: Mapping[str, object]
    max_parallel_requests: int | None
    duration: str
    spend: float


class KeyUpdate(KeyChanges):
    """/key/update."""

    key: str


class NamedKey(TypedDict):
    """/key/block and /key/unblock."""

    key: str


class FormerKeys(TypedDict):
    """/key/delete."""

    keys: list[str]
