"""The only place that says in what the emulated versions of LiteLLM differ."""

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

NEWEST = "1.109.1"
OLDEST = "1.81.15"


@dataclass(frozen=True)
class Version:
    """One release of LiteLLM, as the contract tests saw it behave."""

    number: str
    is_old: bool
    denied: int
    """Status when a key, team or user may not use a model."""
    over_budget: int
    expired: int
    unset: str | None
    """What stands for a missing ``type`` or ``param``: old releases write the text "None"."""
    bad_request: str
    """``type`` of most refusals of a management route."""

    def pick(self, new: T, old: T) -> T:
        """Return the behaviour of this release out of the two."""
        return old if self.is_old else new


_KNOWN = {
    NEWEST: Version(
        NEWEST,
        is_old=False,
        denied=403,
        over_budget=422,
        expired=401,
        unset=None,
        bad_request="invalid_request_error",
    ),
    OLDEST: Version(
        OLDEST,
        is_old=True,
        denied=401,
        over_budget=400,
        expired=400,
        unset="None",
        bad_request="internal_server_error",
    ),
}


def version_named(number: str) -> Version:
    """Return the release with that number; raise ``ValueError`` for one that no contract test has seen."""
    if number not in _KNOWN:
        raise ValueError(f"unknown LiteLLM version {number}: choose one of {', '.join(_KNOWN)}")
    return _KNOWN[number]
