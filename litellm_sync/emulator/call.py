"""The only place that describes a request as the handlers see it, and checks the fields of its body."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from litellm_sync.emulator import durations
from litellm_sync.emulator.access import Caller
from litellm_sync.emulator.errors import invalid, missing, refused
from litellm_sync.emulator.state import State
from litellm_sync.emulator.tables import Row
from litellm_sync.emulator.versions import Version

_LISTS: Final = ("models", "teams", "keys", "key_aliases", "user_ids", "team_ids", "members_with_roles")
_NUMBERS: Final = ("spend", "max_budget", "max_budget_in_team", "tpm_limit", "rpm_limit", "max_parallel_requests")
_AT_LEAST_ZERO: Final = ("tpm_limit", "rpm_limit", "max_parallel_requests")
_TEXTS: Final = ("user_id", "user_email", "user_alias", "team_id", "team_alias", "key", "key_alias", "budget_duration")
_FLOATS: Final = ("spend", "max_budget", "max_budget_in_team")


@dataclass(frozen=True)
class Call:
    """A request after authentication."""

    state: State
    caller: Caller
    path: str
    query: dict[str, str]
    body: Row
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> Version:
        """The release that is emulated."""
        return self.state.version

    def page(self, size_name: str, default: int, most: int) -> tuple[int, int]:
        """Return page number and page size of the query; raise the 422 of a size beyond the maximum."""
        page = self._whole_number("page", 1, None)
        return page, self._whole_number(size_name, default, most)

    def _whole_number(self, name: str, default: int, most: int | None) -> int:
        text = self.query.get(name, str(default))
        if not text.lstrip("-").isdigit():
            message = "Input should be a valid integer, unable to parse string as an integer"
            raise invalid({"type": "int_parsing", "loc": ["query", name], "msg": message})
        number = int(text)
        if number < 1:
            message = "Input should be greater than or equal to 1"
            raise invalid({"type": "greater_than_equal", "loc": ["query", name], "msg": message})
        if most is not None and number > most:
            message = f"Input should be less than or equal to {most}"
            raise invalid({"type": "less_than_equal", "loc": ["query", name], "msg": message})
        return number

    def require(self, *names: str) -> None:
        """Raise a 422 that names the fields which the body lacks."""
        absent = [missing("body", name) for name in names if name not in self.body]
        if absent:
            raise invalid(*absent)

    def check_types(self) -> None:
        """Raise a 422 for fields of the wrong type, as LiteLLM's validation does before anything else."""
        wrong = [entry for name in self.body for entry in self._type_errors(name, self.body[name])]
        if wrong:
            raise invalid(*sorted(wrong, key=lambda entry: entry["type"] != "list_type"))
        for name in _FLOATS:
            if isinstance(self.body.get(name), int):
                self.body[name] = float(self.body[name])

    def _type_errors(self, name: str, value: Any) -> Iterable[Row]:
        if value is None:
            return
        place = ["body", name]
        if name in _LISTS and not isinstance(value, list):
            yield {"type": "list_type", "loc": place, "msg": "Input should be a valid list"}
        elif name in _NUMBERS and isinstance(value, str):
            message = "Input should be a valid number, unable to parse string as a number"
            yield {"type": "float_parsing", "loc": place, "msg": message}
        elif name in _TEXTS and not isinstance(value, str):
            yield {"type": "string_type", "loc": place, "msg": "Input should be a valid string"}
        elif name in _AT_LEAST_ZERO and value < 0 and not self.version.is_old:
            message = "Input should be greater than or equal to 0"
            yield {"type": "greater_than_equal", "loc": place, "msg": message}

    def check_budget(self) -> None:
        """Raise the 400 of a negative or endless budget (users are never checked)."""
        budget = self.body.get("max_budget")
        if budget is not None and (budget < 0 or not math.isfinite(budget)):
            text = self.version.pick("must be a non-negative finite number", "cannot be negative")
            raise self.bad_request(f"{{'error': 'max_budget {text}. Received: {budget}'}}")

    def check_not_null(self, names: Iterable[str], status: HTTPStatus) -> None:
        """Raise the refusal of a null where the database wants a value."""
        for name in names:
            if name in self.body and self.body[name] is None:
                message = f"`data.{name}`: A value is required but not set"
                raise self.crossed(message) if status is HTTPStatus.BAD_REQUEST else self.server_error(message)

    def reset_time(self) -> str | None:
        """Return when the budget of the body resets; raise the refusal of a duration that LiteLLM does not take."""
        duration = self.body.get("budget_duration")
        if duration is None:
            return None
        try:
            return durations.stamp(durations.next_reset(duration, durations.now(), old=self.version.is_old))
        except durations.InvalidDurationError as error:
            if self.version.is_old:
                raise self.server_error(str(error)) from error
            hint = "Use a format like '1h', '24h', '7d', or '30d'."
            text = f"""{{'error': "Invalid budget_duration '{duration}'. {hint}"}}"""
            raise self.bad_request(text) from error

    def server_error(self, message: str) -> Exception:
        """Return the 500 of a management route; old releases begin its message with what the status says."""
        prefix = self.version.pick("", "Internal Server Error, ")
        return refused(500, prefix + message, "internal_server_error", self.version.unset)

    def crossed(self, message: str) -> Exception:
        """Return the 400 of a fault inside LiteLLM that old releases take for one of authentication."""
        prefix = self.version.pick("", "Authentication Error, ")
        return self.bad_request(prefix + message, old_kind="auth_error")

    def bad_request(self, message: str, status: int = 400, old_kind: str | None = None) -> Exception:
        """Return the usual refusal of a management route."""
        kind = old_kind if old_kind and self.version.is_old else self.version.bad_request
        return refused(status, message, kind, self.version.unset)


def chosen(body: Row, names: Iterable[str]) -> Row:
    """Return those fields of a body that are there and not null."""
    return {name: body[name] for name in names if body.get(name) is not None}


def page_of(rows: list[Any], page: int, size: int) -> tuple[list[Any], int]:
    """Return the rows of one page, and how many pages there are."""
    return rows[(page - 1) * size : page * size], -(-len(rows) // size)


def sort_by_id(call: Call, rows: list[Row], name: str) -> None:
    """Sort by the column ``name`` where that is asked for; other orders than by this one are not emulated."""
    if call.query.get("sort_by") == name:
        rows.sort(key=lambda row: str(row[name]), reverse=call.query.get("sort_order") == "desc")
