"""What files for spreadsheets may not do."""

from decimal import Decimal
from typing import Any

import pytest

from litemaas.foundation import spreadsheets


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_trap_19_a_text_that_looks_like_a_formula_is_text(begin: str) -> None:
    assert spreadsheets.harmless(f"{begin}1+1") == f"'{begin}1+1"


@pytest.mark.parametrize("value", ["a=1", "", "'=1", -5, Decimal("-0.5"), None])
def test_everything_else_stays_as_it_is(value: Any) -> None:
    assert spreadsheets.harmless(value) == value


def test_a_line_is_quoted_where_it_must_be() -> None:
    assert spreadsheets.line(["a,b", 'c"d', "e\nf", 1, None]) == '"a,b","c""d","e\nf",1,\r\n'
