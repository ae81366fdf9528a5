"""The only place that emulates the activity routes: sums by day, model, provider and key."""

from collections.abc import Callable
from datetime import date
from typing import Any, Final

from litellm_sync.emulator.call import Call, page_of
from litellm_sync.emulator.errors import detail
from litellm_sync.emulator.ledger import METRICS
from litellm_sync.emulator.tables import Row

_ZERO: Final[Row] = {
    "spend": 0.0,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "total_tokens": 0,
    "successful_requests": 0,
    "failed_requests": 0,
    "api_requests": 0,
}
_NEWER_ZERO: Final[Row] = {"flat_cost": 0.0, "ptu_hours": 0.0, "total_response_time_ms": 0, "timed_requests": 0}
_BREAKDOWNS: Final = {
    "models": "model",
    "model_groups": "model_group",
    "providers": "provider",
    "endpoints": "endpoint",
}
_TOTALS: Final = (
    *("spend", "prompt_tokens", "completion_tokens", "api_requests", "successful_requests"),
    *("failed_requests", "cache_read_input_tokens", "cache_creation_input_tokens"),
)
_UNKNOWN_KEY: Final = "unattributed"


def of_user(call: Call) -> Row:
    """`/user/daily/activity`: pages of rows, so a day may come in two parts and totals are those of the page."""
    return _in_pages(call, _rows_of_user(call), "user_id", call.page("page_size", 50, 1000))


def of_user_aggregated(call: Call) -> Row:
    """`/user/daily/activity/aggregated`: everything at once."""
    rows = _rows_of_user(call)
    return _answer(call, rows, "user_id", (1, 1))


def of_team(call: Call) -> Row:
    """`/team/daily/activity`: the same by team; a user sees its teams."""
    paging = call.page("page_size", 10, 1000)
    rows = [row for row in _rows(call) if row["team_id"]]
    wanted = call.query.get("team_ids")
    teams = set(wanted.split(",")) if wanted else None
    if not call.caller.is_admin:
        own = set((call.caller.user or {}).get("teams") or [])
        teams = own if teams is None else teams & own
    if teams is not None:
        rows = [row for row in rows if row["team_id"] in teams]
    return _in_pages(call, rows, "team_id", paging)


def _rows_of_user(call: Call) -> list[Row]:
    wanted = call.query.get("user_id")
    rows = _rows(call)
    if not call.caller.is_admin:
        if wanted not in {None, call.caller.user_id}:
            raise detail(403, "Non-admin users can only view their own spend data.")
        wanted = call.caller.user_id
    return rows if wanted is None else [row for row in rows if row["user_id"] == wanted]


def _rows(call: Call) -> list[Row]:
    """Return the rows of the asked days, newest day first, after the filters for model and key."""
    first, last = _days(call)
    days = sorted((day for day in call.state.activity.values_of("date") if first <= day <= last), reverse=True)
    rows = [row for day in days for row in call.state.activity.where("date", day)]
    filters = {name: call.query[name] for name in ("model", "api_key") if call.query.get(name)}
    return [row for row in rows if all(row[name] == value for name, value in filters.items())]


def _days(call: Call) -> tuple[str, str]:
    first, last = call.query.get("start_date"), call.query.get("end_date")
    if not first or not last:
        raise detail(400, "Please provide start_date and end_date")
    try:
        date.fromisoformat(first)
        date.fromisoformat(last)
    except ValueError:
        if call.version.is_old:
            return "~", ""
        raise detail(400, "start_date and end_date must be valid YYYY-MM-DD dates") from None
    return first, last


def _in_pages(call: Call, rows: list[Row], entity: str, paging: tuple[int, int]) -> Row:
    page, size = paging
    shown, pages = page_of(rows, page, size)
    return _answer(call, shown, entity, (page, pages))


def _answer(call: Call, rows: list[Row], entity: str, paging: tuple[int, int]) -> Row:
    results = [_day(call, group, day, entity) for day, group in _split(rows, "date").items()]
    totals = _sum(call, rows)
    page, pages = paging
    metadata: Row = {"total_tokens": totals["total_tokens"]} | {f"total_{name}": totals[name] for name in _TOTALS}
    metadata |= {"page": page, "total_pages": pages, "has_more": page < pages}
    return {"results": results, "metadata": metadata}


def _sum(call: Call, rows: list[Row]) -> Row:
    total = _ZERO | ({} if call.version.is_old else _NEWER_ZERO)
    summed: Row = {name: sum(row[name] for row in rows) for name in METRICS if name in total}
    return total | summed


def _day(call: Call, rows: list[Row], day: str, entity: str) -> Row:
    breakdown: Row = {"mcp_servers": {}}
    for name, field in _BREAKDOWNS.items():
        breakdown[name] = _grouped(call, rows, field, lambda _value: {})
    breakdown["api_keys"] = _by_key(call, rows)
    breakdown["entities"] = _grouped(call, rows, entity, lambda value: _entity(call, entity, value))
    return {"date": day, "metrics": _sum(call, rows), "breakdown": breakdown}


def _split(rows: list[Row], field: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[field], []).append(row)
    return groups


def _grouped(call: Call, rows: list[Row], field: str, describe: Callable[[str], Row]) -> Row:
    """Return sums by a field, each with its keys; calls without a value do not appear."""
    return {
        value: {"metrics": _sum(call, group), "metadata": describe(value), "api_key_breakdown": _by_key(call, group)}
        for value, group in _split(rows, field).items()
        if value
    }


def _by_key(call: Call, rows: list[Row]) -> Row:
    return {
        token or _UNKNOWN_KEY: {"metrics": _sum(call, group), "metadata": _key_facts(call, token)}
        for token, group in _split(rows, "api_key").items()
    }


def _key_facts(call: Call, token: str) -> Row:
    state = call.state
    key = state.keys.get(token)
    known = key or state.deleted_keys.get(token) or {}
    facts: Row = {"key_alias": known.get("key_alias"), "team_id": known.get("team_id")}
    if call.version.is_old:
        return facts
    user = state.users.get(known.get("user_id")) or {}
    newer: dict[str, Any] = {"user_id": known.get("user_id"), "user_email": user.get("user_email")}
    return facts | newer | {"key_exists": key is not None}


def _entity(call: Call, entity: str, value: str) -> Row:
    if entity == "team_id":
        team = call.state.teams.get(value) or {}
        return {"team_alias": team.get("team_alias")}
    user = call.state.users.get(value) or {}
    newer = {"user_email": user.get("user_email"), "user_alias": user.get("user_alias")}
    return call.version.pick(newer, {})
