"""The triggers that keep the audit log and its seals: which there must be, and whether they are what they were."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

# What pg_trigger.tgtype is made of.
ROW, BEFORE, ON_INSERT, ON_DELETE, ON_UPDATE, ON_TRUNCATE = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True)
class Trigger:
    """A trigger as the migrations made it: when it fires, the function that it calls, and that function's text."""

    fires: int
    function: str
    text: str


REFUSAL: Final = (
    "accounts_auditevent_append_only",
    "BEGIN RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation'; END",
)
STAMP: Final = (
    "accounts_auditevent_stamp",
    "BEGIN NEW.transaction := pg_current_xact_id()::text::bigint; RETURN NEW; END",
)
WANTED: Final = {
    "accounts_auditevent": {
        "accounts_auditevent_append_only": Trigger(BEFORE | ROW | ON_DELETE | ON_UPDATE, *REFUSAL),
        "accounts_auditevent_no_truncate": Trigger(BEFORE | ON_TRUNCATE, *REFUSAL),
        "accounts_auditevent_stamp": Trigger(BEFORE | ROW | ON_INSERT, *STAMP),
    },
    "accounts_auditseal": {
        "accounts_auditseal_append_only": Trigger(BEFORE | ROW | ON_DELETE | ON_UPDATE, *REFUSAL),
        "accounts_auditseal_no_truncate": Trigger(BEFORE | ON_TRUNCATE, *REFUSAL),
    },
}
# Those that fire, always and for every row; the function by its text, as anybody may give another one its name.
PRESENT: Final = """
    SELECT one.tgname, one.tgtype, function.proname, function.prosrc
    FROM pg_trigger one JOIN pg_proc function ON function.oid = one.tgfoid
    JOIN pg_language language ON language.oid = function.prolang
    WHERE one.tgrelid = %s::regclass AND NOT one.tgisinternal AND one.tgenabled IN ('O', 'A')
    AND one.tgqual IS NULL AND one.tgattr = '' AND language.lanname = 'plpgsql'
"""
ANY: Final = """
    SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal
    UNION SELECT rulename FROM pg_rewrite WHERE ev_class = %s::regclass
"""


def faults() -> Iterator[tuple[str, str]]:
    """Code and words of each trigger that is missing or different, and of each that nobody has asked for."""
    for table, wanted in WANTED.items():
        present = {name: Trigger(fires, function, text) for name, fires, function, text in _rows(PRESENT, table)}
        for name, trigger in wanted.items():
            if name not in present:
                yield "trigger_missing", f"The trigger {name} on {table} is missing or switched off."
            elif _plain(present[name]) != trigger:
                yield "trigger_changed", f"The trigger {name} on {table} is not what it was."
        for name in sorted({name for (name,) in _rows(ANY, table, table)} - set(wanted)):
            yield "trigger_added", f"{name} on {table} is a trigger or rule that is not of this product."


def _plain(trigger: Trigger) -> Trigger:
    return Trigger(trigger.fires, trigger.function, " ".join(trigger.text.split()))


def _rows(statement: str, *values: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
