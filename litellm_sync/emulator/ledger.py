"""The only place that writes down model calls: spend, spend log and daily activity."""

import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from litellm_sync.emulator import durations, limits
from litellm_sync.emulator.access import Caller
from litellm_sync.emulator.state import ADMIN_ID, State
from litellm_sync.emulator.tables import Row, Table

METRICS = (
    *("spend", "prompt_tokens", "completion_tokens", "total_tokens", "successful_requests", "failed_requests"),
    *("api_requests", "total_response_time_ms", "timed_requests"),
)
_KEYS = ("date", "user_id", "api_key", "team_id", "model", "model_group", "provider", "endpoint")


@dataclass(frozen=True)
class Usage:
    """One model call, or a sum of calls, as the activity routes count it."""

    user_id: str
    api_key: str
    model: str
    model_group: str = ""
    provider: str = ""
    endpoint: str = ""
    team_id: str = ""
    spend: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    date: str = field(default_factory=lambda: durations.now().date().isoformat())


@dataclass(frozen=True)
class Logged:
    """What the spend log says about a call beyond its usage."""

    call_type: str
    model_id: str = ""
    request_id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4()}")
    end_user: str = ""


def record(state: State, caller: Caller | None, usage: Usage, logged: Logged) -> None:
    """Charge a call and write it down once the spend delay is over."""
    stamp = durations.stamp(durations.now())

    def show() -> None:
        add_activity(state, usage)
        row = _log_row(usage, logged, stamp)
        state.logs.put(row["request_id"], row)
        if caller and caller.key and usage.spend and state.keys.get(caller.token):
            state.keys.update(caller.token, {"last_active": stamp})

    state.book(_spenders(state, caller) if usage.spend else {}, usage.spend, show)


def _spenders(state: State, caller: Caller | None) -> dict[str, tuple[Table, str]]:
    if caller is None:
        return {}
    user_id, team_id = caller.user_id, caller.team_id
    spenders = {"key": (state.keys, caller.token)} if caller.key else {}
    if user_id:
        spenders["user"] = (state.users, user_id)
    if team_id:
        spenders["team"] = (state.teams, team_id)
        spenders["member"] = (state.memberships, limits.membership_key(team_id, user_id))
    return spenders


def add_activity(state: State, usage: Usage) -> None:
    """Add a call, or a sum of calls, to its row of the day."""
    facts = asdict(usage)
    facts |= {
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "api_requests": usage.successful_requests + usage.failed_requests,
        "total_response_time_ms": usage.successful_requests,
        "timed_requests": usage.successful_requests,
    }
    key = json.dumps([facts[name] for name in _KEYS])
    row = state.activity.get(key)
    if row is None:
        state.activity.put(key, facts)
    else:
        state.activity.update(key, {name: row[name] + facts[name] for name in METRICS})


def _log_row(usage: Usage, logged: Logged, stamp: str) -> Row:
    status = "success" if usage.successful_requests else "failure"
    metadata: dict[str, Any] = {"user_api_key": usage.api_key, "user_api_key_user_id": usage.user_id or None}
    return {
        "request_id": logged.request_id,
        "call_type": logged.call_type,
        "api_key": usage.api_key,
        "spend": usage.spend,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "startTime": stamp,
        "endTime": stamp,
        "model": usage.model,
        "model_id": logged.model_id,
        "model_group": usage.model_group,
        "custom_llm_provider": usage.provider,
        "user": usage.user_id,
        "metadata": metadata,
        "team_id": usage.team_id,
        "end_user": logged.end_user,
        "messages": {},
        "response": {},
        "status": status,
    }


def caller_facts(caller: Caller) -> Row:
    """Return whom a call is counted for: the pseudo user for the master key."""
    user_id = ADMIN_ID if caller.key is None else caller.user_id or ""
    return {"user_id": user_id, "api_key": caller.token, "team_id": caller.team_id or ""}
