"""The only place that imitates the memory of old releases, which go on accepting keys for up to a minute."""

import time
from typing import Final

from litellm_sync.emulator.state import State
from litellm_sync.emulator.tables import Row

_SECONDS: Final = 60.0


def keep_key(state: State, key: Row) -> None:
    """Let a key that was used lately work on, though its user or team is being deleted."""
    if state.version.is_old and key["token"] in state.used_keys:
        state.lingering_keys[key["token"]] = (time.monotonic() + _SECONDS, key)


def keep_team(state: State, team_id: str) -> None:
    """Let a team that has keys go on as it was, though it is being blocked or unblocked."""
    if state.version.is_old and state.keys.where("team_id", team_id):
        team = state.teams.rows[team_id]
        state.late_blocks[team_id] = (time.monotonic() + _SECONDS, is_blocked(state, team))


def renew_team(state: State, team_id: str) -> None:
    """Let a team be what it is from now on: an update of it renews the memory."""
    state.late_blocks.pop(team_id, None)


def find_key(state: State, token: str) -> Row | None:
    """Return a key that exists or is still remembered."""
    key = state.keys.get(token)
    if key is not None:
        state.used_keys.add(token)
        return key
    until, remembered = state.lingering_keys.get(token, (0.0, None))
    return remembered if until > time.monotonic() else None


def is_blocked(state: State, team: Row) -> bool:
    """Return whether a team's keys are refused by now."""
    until, was_blocked = state.late_blocks.get(team["team_id"], (0.0, False))
    return was_blocked if until > time.monotonic() else bool(team["blocked"])
