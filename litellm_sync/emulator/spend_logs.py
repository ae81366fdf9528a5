"""The only place that emulates the spend log: `/spend/logs`, one entry a model call, and the report made of it."""

from datetime import datetime
from typing import Any, Final

from litellm_sync.emulator.access import digest
from litellm_sync.emulator.call import Call, page_of
from litellm_sync.emulator.errors import detail, enterprise, refused
from litellm_sync.emulator.tables import Row

_TIME: Final = "%Y-%m-%d %H:%M:%S"


def raw(call: Call) -> list[Row]:
    """`/spend/logs`: every entry of a request, a key (hash or secret) or a user, without pages."""
    query, logs = call.query, call.state.logs
    if not call.caller.is_admin:
        return logs.where("user", call.caller.user_id)
    if "request_id" in query:
        entry = logs.get(query["request_id"])
        return [entry] if entry else []
    if "api_key" in query:
        return logs.where("api_key", digest(query["api_key"]))
    if "user_id" in query:
        return logs.where("user", query["user_id"])
    return list(logs)


def in_pages(call: Call) -> Row:
    """`/spend/logs/ui` and `/spend/logs/v2`: pages of entries between two times, newest first."""
    page, size = call.page("page_size", 50, 100)
    first, last = _times(call)
    found = [row for row in reversed(_candidates(call)) if first <= row["startTime"][:19] <= last]
    status = call.query.get("status_filter")
    if status:
        found = [row for row in found if row["status"] == status]
    rows, pages = page_of(found, page, size)
    data: list[Any] = rows
    return {"data": data, "total": len(found), "page": page, "page_size": size, "total_pages": pages}


def report(_call: Call) -> Row:
    """`/global/spend/report`: nothing without a licence."""
    raise detail(400, enterprise("/spend/report endpoint {}"))


def _candidates(call: Call) -> list[Row]:
    query, logs = call.query, call.state.logs
    rows = logs.where("api_key", query["api_key"]) if "api_key" in query else list(logs)
    wanted = {"user": query.get("user_id"), "team_id": query.get("team_id")}
    return [row for row in rows if all(value is None or row[name] == value for name, value in wanted.items())]


def _times(call: Call) -> tuple[str, str]:
    first, last = call.query.get("start_date"), call.query.get("end_date")
    if not first or not last:
        raise refused(400, "Start date and end date are required", "bad_request", call.version.unset)
    return _time(call, first), _time(call, last)


def _time(call: Call, text: str) -> str:
    try:
        return datetime.strptime(text, _TIME).isoformat()  # noqa: DTZ007 -- LiteLLM takes it for UTC, and only compares
    except ValueError:
        message = f"Invalid date format: {text}. Expected: 'YYYY-MM-DD HH:MM:SS'"
        raise call.bad_request(message) from None
