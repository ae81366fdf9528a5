"""The one way in which something is limited to so many times in a while: counted in PostgreSQL, by every process alike.

Only what is limited is counted, so reading costs nothing here. The first event of a subject begins its period; what
comes after the period begins the next one. Count outside of transactions: what a refusal rolls back is not counted.
"""

import re
from collections.abc import Iterable, Mapping
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
    "validation_refusals_recorded": "1/1h",
    "validations": "120000/1m",
    "validations_key": "12000/1m",
    "validations_own": "600/1m",
    "validations_team": "120000/1m",
}

# Several at once are counted in the order of their names, so that nobody waits for somebody who waits for him. Outside
# of a transaction the count does not wait for the disk: many processes count on the same row, one after the other, and
# what a loss of power takes are a few counts of the last second.
COUNT: Final = """
    INSERT INTO foundation_ratecount AS kept (name, subject, count, ends_at)
    SELECT event.name, event.subject, 1, clock_timestamp() + event.seconds * interval '1 second'
    FROM unnest(%s::text[], %s::text[], %s::integer[]) AS event (name, subject, seconds),
        (SELECT set_config('synchronous_commit', coalesce(%s, current_setting('synchronous_commit')), true)) AS hurry
    ORDER BY event.name, event.subject
    ON CONFLICT (name, subject) DO UPDATE SET
        count = CASE WHEN kept.ends_at <= clock_timestamp() THEN 1 ELSE kept.count + 1 END,
        ends_at = CASE WHEN kept.ends_at <= clock_timestamp() THEN EXCLUDED.ends_at ELSE kept.ends_at END
    RETURNING name, count, greatest(1, ceil(extract(epoch FROM ends_at - clock_timestamp())))::integer
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
    return not _waits({name: subject})


def spend(name: str, subject: Any) -> None:
    """Count one event; raises RateLimited, with the seconds to wait, when it is beyond the limit."""
    spend_all({name: subject})


def spend_all(events: Mapping[str, Any]) -> None:
    """Count one event (limit -> subject) for each of several limits, in one statement.

    Raises RateLimited, with the longest time to wait, when it is beyond any of them.
    """
    if waits := _waits(events):
        name = max(waits, key=lambda found: waits[found])
        raise RateLimited(_("Too many requests of this kind. Try again later."), retry_after=waits[name], limit=name)


def _waits(events: Mapping[str, Any]) -> dict[str, int]:
    """Limit -> seconds to wait, of those that the event is beyond."""
    limits = {name: limit(name) for name in events}
    counted = [name for name, found in limits.items() if found.count is not None]
    if not counted:
        return {}
    subjects = [str(events[name])[:LONGEST_SUBJECT] for name in counted]
    seconds = [limits[name].seconds for name in counted]
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [counted, subjects, seconds, None if connection.in_atomic_block else "off"])
        rows = cursor.fetchall()
    return {name: wait for name, count, wait in rows if count > (limits[name].count or 0)}


def forget_old_counts() -> int:
    """Remove counts whose period is over. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM foundation_ratecount WHERE ends_at <= clock_timestamp()")
        return int(cursor.rowcount)
