"""Files of comma-separated values: written line by line, and harmless in a spreadsheet."""

import csv
from collections.abc import Iterable
from typing import Any, Final

# What a spreadsheet would take for the beginning of a formula (OWASP, CSV injection).
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


# The same as numbers of characters, which PostgreSQL compares many times as fast as it finds a pattern.
_NUMBERS: Final = ", ".join(str(ord(character)) for character in FORMULA)


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        """What csv.writer made of a row."""
        return text


_writer: Any = csv.writer(_Echo(), lineterminator="\r\n")  # RFC 4180


def line(cells: Iterable[Any]) -> str:
    """One row of a file."""
    return str(_writer.writerow(cells))


def harmless(value: Any) -> Any:
    """A value as it may stand in a spreadsheet: a text that looks like a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def harmless_sql(expression: str) -> str:
    """The same in SQL: ``expression`` is a column of ours, never anything that somebody typed."""
    return f"CASE WHEN ascii({expression}) IN ({_NUMBERS}) THEN '''' || {expression} ELSE {expression} END"
