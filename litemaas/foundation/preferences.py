"""The only place that says which languages and time zones there are, and how a reader's choice is kept."""

from datetime import UTC, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.conf import settings
from django.http import HttpResponse

# The regions that people know; the rest of the database are old names and offsets whose sign is the wrong way round.
REGIONS: Final = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)
YEAR: Final = timedelta(days=365)


def languages() -> dict[str, str]:
    """Code -> name in the language itself."""
    return {code: str(name) for code, name in settings.LANGUAGES}


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """Every time zone that can be chosen, sorted."""
    return tuple(sorted(name for name in available_timezones() if name == "UTC" or name.split("/")[0] in REGIONS))


@lru_cache(maxsize=1)
def _by_lower_name() -> dict[str, str]:
    return {name.lower(): name for name in zone_names()}


def zone_called(typed: str) -> str | None:
    """The name of the zone that somebody typed, whatever its case and with spaces; None when there is none."""
    return _by_lower_name().get(typed.strip().lower().replace(" ", "_"))


def zone(name: str) -> tzinfo:
    """The zone of a name that was valid once; UTC when it is empty or this machine does not know it any more."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def remember_language(response: HttpResponse, code: str) -> None:
    """Keep the language for pages that know nobody: sign-in, and errors without a database; empty forgets it."""
    if code:
        keep(response, settings.LANGUAGE_COOKIE_NAME, code)
    else:
        forget(response, settings.LANGUAGE_COOKIE_NAME)


def keep(response: HttpResponse, name: str, value: str) -> None:
    """A cookie for a year, which no script reads and no other site sends."""
    secure: bool = settings.SESSION_COOKIE_SECURE
    response.set_cookie(name, value, max_age=YEAR, httponly=True, samesite="Lax", secure=secure)


def forget(response: HttpResponse, name: str) -> None:
    """Take such a cookie away."""
    response.delete_cookie(name, samesite="Lax")
