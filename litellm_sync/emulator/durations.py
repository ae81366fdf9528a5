"""The only place that knows when LiteLLM's budgets reset and keys expire.

Durations are rounded to the calendar in UTC, with LiteLLM's own quirks: `30d` ends on the first of the next month, `7d`
on the next Monday, and anything from `24h` upwards in hours ends at the next midnight (plus the rest of the hours).
"""

import re
from datetime import UTC, datetime, timedelta

_WORDS = {"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAYS_TO_MONDAY = 7
_DAYS_TO_NEXT_MONTH = 30
_HOURS_A_DAY = 24


class InvalidDurationError(ValueError):
    """A text that LiteLLM does not take as a duration."""


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Return the time as LiteLLM's database gives it back: milliseconds, `Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "000Z")


def parse_stamp(text: str) -> datetime:
    """Return the time that :func:`stamp` wrote."""
    return datetime.fromisoformat(text)


def expiry(duration: str, start: datetime) -> datetime:
    """Return when a key with this ``duration`` expires; months keep their day."""
    match = re.match(r"(\d+)(mo|[smhdw])", duration)
    if not match:
        raise InvalidDurationError("Invalid duration format")
    value, unit = int(match[1]), match[2]
    if unit == "mo":
        return _months_later(start, value)
    return start + timedelta(seconds=value * _SECONDS[unit])


def next_reset(duration: str, moment: datetime, *, old: bool = False) -> datetime:
    """Return when a budget of this ``budget_duration`` resets next.

    Old releases know neither the words nor weeks and take what they do not know for "until midnight".
    """
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match = re.match(r"(\d+)([a-z]+)", duration if old else _WORDS.get(duration.strip().lower(), duration))
    value, unit = (int(match[1]), match[2]) if match else (0, "")
    if unit == "w" and not old:
        value, unit = value * 7, "d"
    if unit == "mo":
        if value != 1:
            raise InvalidDurationError("Monthly resets currently only support 1 month intervals")
        return _first_of_next_month(midnight)
    if unit not in _SECONDS or unit == "w":
        if not old:
            raise InvalidDurationError(duration)
        return midnight + timedelta(days=1)
    if value == 0:
        if not old:
            raise InvalidDurationError(duration)
        return moment
    return _days(midnight, value) if unit == "d" else _clock(moment, midnight, value, unit)


def _days(midnight: datetime, value: int) -> datetime:
    if value == _DAYS_TO_MONDAY:
        return midnight + timedelta(days=7 - midnight.weekday())
    if value == _DAYS_TO_NEXT_MONTH:
        return _first_of_next_month(midnight)
    return midnight + timedelta(days=value)


def _clock(moment: datetime, midnight: datetime, value: int, unit: str) -> datetime:
    """Return the next multiple of the value on the clock; what passes midnight keeps only its rest."""
    if unit == "h":
        hours = _next_multiple(moment.hour, value)
        return midnight + timedelta(days=hours >= _HOURS_A_DAY, hours=hours % _HOURS_A_DAY)
    if unit == "m":
        return moment.replace(minute=0, second=0, microsecond=0) + timedelta(
            minutes=_next_multiple(moment.minute, value)
        )
    return moment.replace(second=0, microsecond=0) + timedelta(seconds=_next_multiple(moment.second, value))


def _next_multiple(current: int, step: int) -> int:
    return current - current % step + step


def _first_of_next_month(moment: datetime) -> datetime:
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=1)


def _months_later(start: datetime, months: int) -> datetime:
    year, month = divmod(start.month - 1 + months, 12)
    first = start.replace(year=start.year + year, month=month + 1, day=1)
    last_day = (_first_of_next_month(first) - timedelta(days=1)).day
    return first.replace(day=min(start.day, last_day))
