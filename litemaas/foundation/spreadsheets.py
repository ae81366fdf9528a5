"""Files of comma-separated values: written line by line, and harmless in a spreadsheet."""

import csv
from collections.abc import Iterable
from typing import Any, Final

# What a spreadsheet would take for the beginning of a formula (OWASP, CSV injection).
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


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
