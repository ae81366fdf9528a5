"""The only place where users come into being: on purpose by `/user/new`, by the way through teams and updates."""

import re
import uuid
from functools import lru_cache
from typing import Final

from litellm_sync.emulator import durations, shapes
from litellm_sync.emulator.state import State
from litellm_sync.emulator.tables import Row

_WILDCARDS: Final = {"_": ".", "%": ".*"}


def add(state: State, user_id: str, fields: Row) -> Row:
    """Store a new user and return its row."""
    stamp = durations.stamp(durations.now())
    row = shapes.new_user(**fields | {"user_id": user_id, "created_at": stamp, "updated_at": stamp})
    return state.users.put(user_id, row)


def with_email(state: State, email: str) -> list[Row]:
    """Return who has an address in LiteLLM's eyes, oldest first: to it `a_b@` is taken where there is an `axb@`."""
    if _WILDCARDS.keys().isdisjoint(email):
        return state.users.where("user_email", email.lower())
    return [user for user in state.users if is_like(user["user_email"], email)]


def is_like(text: str | None, pattern: str) -> bool:
    """Return whether a text is as a pattern says, whatever its case: LiteLLM hands wildcards on to its database."""
    return _compiled(pattern).fullmatch(text or "") is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_WILDCARDS.get(sign, re.escape(sign)) for sign in pattern), re.IGNORECASE | re.DOTALL)


def find_or_add(state: State, member: Row) -> Row:
    """Return the user whom a team's entry means, by id or e-mail; an unknown one is created as `internal_user`."""
    user_id, email = member.get("user_id"), member.get("user_email")
    found = state.users.get(user_id)
    if found is None and not user_id and email:
        found = next(iter(state.users.where("user_email", email.lower())), None)
    if found is not None:
        return found
    return add(state, user_id or str(uuid.uuid4()), {"user_email": email, "user_role": "internal_user"})
