"""The one way in which something is limited to so many times in a while: counted in PostgreSQL, by every process alike.

Only what is limited is counted, so reading costs nothing here. The first event of a subject begins its period; what
comes after the period begins the next one. Count outside of transactions: what a refusal rolls back is not counted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from litemaas.foundation.errors import RateLimited

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
WRITTEN: Final = re.compile(r"(?P<count>\d{1,9})/(?P<number>\d{1,4})(?P<unit>[smhd])")
OFF: Final = "off"
LONGEST_SUBJECT: Final = 200
EVERYBODY: Final = "everybody"

# What is limited unless RATE_LIMITS says otherwise; docs/settings.md explains each.
SHIPPED: Final = {
    "access_changes": "600/1h",
    "audit_exports": "60/1h",
    "bulk_decisions": "600/1h",
    "key_rotations": "60/1h",
    "password_account": "5/15m",
    "password_address": "100/15m",
    "password_refusals_recorded": "1/15m",
    "profile_changes": "600/1h",
    "refused_tokens": "1000/15m",
    "session_confirmations": "120/5m",
    "sign_in_starts": "3000/5m",
    "subscription_requests": "600/1h",
    "tokens_issued": "600/1h",
    "tokens_issued_address": "6000/1h",
    "unknown_callbacks": "60/15m",
    "unknown_callbacks_recorded": "200/1h",
    "usage_exports": "120/1h",
}

COUNT: Final = """
    INSERT INTO foundation_ratecount AS kept (name, subject, count, ends_at)
    VALUES (%s, %s, 1, clock_timestamp() + %s * interval '1 second')
    ON CONFLICT (name, subject) DO UPDATE SET
        count = CASE WHEN kept.ends_at <= clock_timestamp() THEN 1 ELSE kept.count + 1 END,
        ends_at = CASE WHEN kept.ends_at <= clock_timestamp() THEN EXCLUDED.ends_at ELSE kept.ends_at END
    RETURNING count, greatest(1, ceil(extract(epoch FROM ends_at - clock_timestamp())))::integer
"""


@dataclass(frozen=True)
class Limit:
    """At most ``count`` times within ``seconds``; a ``count`` of None is no limit."""

    count: int | None
    seconds: int = 0


def read(changed: Iterable[str]) -> dict[str, Limit | None]:
    """Name -> limit, as shipped and as changed by ``name=count/period``; None is what the system checks refuse."""
    shipped: dict[str, Limit | None] = {name: _limit(text) for name, text in SHIPPED.items()}
    pairs = [text.split("=", 1) for text in changed]
    wanted = {pair[0].strip(): pair[-1].strip() for pair in pairs}
    return shipped | {name: _limit(text) if name in SHIPPED else None for name, text in wanted.items()}


def _limit(text: str) -> Limit | None:
    if text == OFF:
        return Limit(None)
    found = WRITTEN.fullmatch(text)
    seconds = int(found["number"]) * UNITS[found["unit"]] if found else 0
    return Limit(int(found["count"]), seconds) if found and seconds and int(found["count"]) else None


def limit(name: str) -> Limit:
    """The limit of that name; the system checks have seen that there is one."""
    return cast("Limit", settings.RATE_LIMITS[name])


def allows(name: str, subject: Any) -> bool:
    """Count one event, and say whether it is still within the limit."""
    return _wait(name, subject) == 0


def spend(name: str, subject: Any) -> None:
    """Count one event; raises RateLimited, with the seconds to wait, when it is beyond the limit."""
    if seconds := _wait(name, subject):
        raise RateLimited(_("Too many requests of this kind. Try again later."), retry_after=seconds, limit=name)


def _wait(name: str, subject: Any) -> int:
    allowed = limit(name)
    if allowed.count is None:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [name, str(subject)[:LONGEST_SUBJECT], allowed.seconds])
        count, seconds = cursor.fetchone()
    return int(seconds) if count > allowed.count else 0


def forget_old_counts() -> int:
    """Remove counts whose period is over. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM foundation_ratecount WHERE ends_at <= clock_timestamp()")
        return int(cursor.rowcount)
