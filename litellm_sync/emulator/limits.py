"""The only place that enforces budgets and rate limits, and that resets budgets when their time has come."""

import time
from collections.abc import Iterator
from typing import Any

from litellm_sync.emulator import durations
from litellm_sync.emulator.access import Caller
from litellm_sync.emulator.errors import Refusal, refused
from litellm_sync.emulator.state import State
from litellm_sync.emulator.tables import Row, Table

_WINDOW_SECONDS = 60.0
_Limit = tuple[str, str, str, int]


def renew_budgets(state: State, caller: Caller) -> None:
    """Start a new budget period for the key, user and team of a call whose old one is over.

    LiteLLM does this by a job every few minutes; nobody can tell the difference but by waiting.
    """
    named = ((state.keys, caller.token), (state.users, caller.user_id), (state.teams, caller.team_id))
    for table, key in named:
        renew_budget(state, table, key)


def renew_budget(state: State, table: Table, key: str | None) -> None:
    """Start a new budget period for one row whose old one is over; LiteLLM's job passes over keys that have expired."""
    row = table.get(key)
    if key is None or row is None or not row["budget_reset_at"]:
        return
    moment = durations.now()
    if row.get("expires") and durations.parse_stamp(row["expires"]) <= moment:
        return
    if durations.parse_stamp(row["budget_reset_at"]) <= moment:
        reset = durations.next_reset(row["budget_duration"], moment, old=state.version.is_old)
        table.update(key, {"spend": 0.0, "budget_reset_at": durations.stamp(reset)})


def check_budgets(state: State, caller: Caller) -> None:
    """Raise ``budget_exceeded`` when the team, the user, the member or the key has spent what it may."""
    if caller.key is None:
        return
    team = state.teams.get(caller.team_id)
    # A team is refused only beyond its budget, a key already at it: so a budget of zero allows a team one call.
    if team and team["max_budget"] is not None and state.spent(state.teams, team["team_id"]) > team["max_budget"]:
        raise _over(state, f"Team={team['team_id']}", state.spent(state.teams, team["team_id"]), team["max_budget"])
    _check_user(state, caller)
    _check_member(state, caller)
    key = caller.key
    if key["max_budget"] is not None and _is_over(state, state.keys, caller.token, key["max_budget"]):
        name = state.version.pick(f"Key=key ({key['key_name']})", "")
        raise _over(state, name, state.spent(state.keys, caller.token), key["max_budget"])


def _check_user(state: State, caller: Caller) -> None:
    """A user's own budget holds for personal keys alone: a key with a team never asks for it."""
    user = caller.user
    if user is None or caller.team_id is not None or user["max_budget"] is None:
        return
    spent = state.spent(state.users, user["user_id"])
    if spent > user["max_budget"] or (spent == user["max_budget"] and not state.version.is_old):
        message = f"ExceededBudget: User={user['user_id']} over budget. Spend={spent}, Budget={user['max_budget']}"
        raise refused(state.version.over_budget, message, "budget_exceeded", state.version.unset)


def _check_member(state: State, caller: Caller) -> None:
    member = membership_key(caller.team_id, caller.user_id)
    membership = state.memberships.get(member)
    budget = (membership or {}).get("litellm_budget_table") or {}
    limit = budget.get("max_budget")
    if limit is not None and _is_over(state, state.memberships, member, limit):
        name = f"TeamMember={caller.user_id}:{caller.team_id}"
        raise _over(state, name, state.spent(state.memberships, member), limit)


def membership_key(team_id: str | None, user_id: str | None) -> str:
    """Return the id under which a membership is stored."""
    return f"{team_id}\n{user_id}"


def _is_over(state: State, table: Table, key: str, limit: float) -> bool:
    return state.spent(table, key) >= limit


def _over(state: State, name: str, spent: float, limit: float) -> Refusal:
    who = f"{name} " if name else ""
    message = f"Budget has been exceeded! {who}Current cost: {spent}, Max budget: {limit}"
    return refused(state.version.over_budget, message, "budget_exceeded", state.version.unset)


def check_rates(state: State, caller: Caller, model: str, prompt_tokens: int) -> None:
    """Count a request, or raise a 429 when a limit of requests or tokens a minute is used up."""
    limits = list(_limits(state, caller, model))
    for kind, name, unit, limit in limits:
        requests, tokens, ends = _window(state, kind, name)
        # New releases reserve the prompt's tokens before the call; old ones only look back.
        needed = max(1, state.version.pick(prompt_tokens, 1)) if unit == "tokens" else 1
        used = requests if unit == "requests" else tokens
        if used + needed > limit:
            raise _too_many(state, (kind, name, unit, limit), max(0, limit - int(used)), ends)
    for kind, name in {(kind, name) for kind, name, _, _ in limits}:
        _window(state, kind, name)[0] += 1


def count_tokens(state: State, caller: Caller, model: str, tokens: int) -> None:
    """Add the tokens of a finished call to the windows that limit them."""
    for kind, name in {(kind, name) for kind, name, _, _ in _limits(state, caller, model)}:
        _window(state, kind, name)[1] += tokens


def _limits(state: State, caller: Caller, model: str) -> Iterator[_Limit]:
    key = caller.key
    if key is None:
        return
    yield from _limits_of("api_key", caller.token, key)
    metadata: dict[str, Any] = key["metadata"] or {}
    per_model = {
        "rpm_limit": (metadata.get("model_rpm_limit") or {}).get(model),
        "tpm_limit": (metadata.get("model_tpm_limit") or {}).get(model),
    }
    yield from _limits_of("model_per_key", f"{caller.token}:{model}", per_model)
    if caller.user:
        yield from _limits_of("user", caller.user["user_id"], caller.user)
    team = state.teams.get(caller.team_id)
    if team:
        yield from _limits_of("team", team["team_id"], team)


def _limits_of(kind: str, name: str, row: Row) -> Iterator[_Limit]:
    for field, unit in (("rpm_limit", "requests"), ("tpm_limit", "tokens")):
        if row[field] is not None:
            yield kind, name, unit, row[field]


def _window(state: State, kind: str, name: str) -> list[float]:
    """Return requests, tokens and end of the running minute, which begins with its first request."""
    moment = time.time()
    window = state.windows.get((kind, name))
    if window is None or window[2] <= moment:
        window = state.windows[kind, name] = [0.0, 0.0, moment + _WINDOW_SECONDS]
    return window


def _too_many(state: State, limit: _Limit, remaining: int, ends: float) -> Refusal:
    kind, name, unit, most = limit
    resets = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ends))
    message = (
        f"Rate limit exceeded for {kind}: {name}. Limit type: {unit}. Current limit: {most}, Remaining: {remaining}. "
        f"Limit resets at: {resets}"
    )
    refusal = refused(429, message, state.version.pick("throttling_error", "None"), state.version.unset)
    refusal.headers["retry-after"] = "60"
    return refusal
