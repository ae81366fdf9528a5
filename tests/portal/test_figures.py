"""How figures and dates are written."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from litemaas.portal.templatetags import portal


@pytest.mark.parametrize(
    ("value", "shown"),
    [(Decimal(0), "$0.00"), (Decimal("0.0012"), "&lt;$0.01"), (Decimal("1234.567"), "$1,234.57"), (12, "$12.00")],
)
def test_money_is_in_cents_and_its_title_exact(value: Any, shown: str) -> None:
    text = str(portal.money(value))
    assert f">{shown}<" in text
    assert f'value="{portal.plain(Decimal(value))}"' in text
    assert f'title="{portal.exactly(Decimal(value))} USD"' in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (9999, "9,999"), (12_345, "12.3 k"), (999_999, "1 M"), (7_773_121, "7.77 M"), (2_500_000_000, "2.5 G")],
)
def test_large_counts_are_short_and_their_title_exact(value: int, shown: str) -> None:
    text = str(portal.compact(value))
    assert f">{shown}<" in text
    assert f'title="{value:,}"' in text


@pytest.mark.parametrize(
    ("value", "shown"), [("2.5", "$2.50"), ("0.0375", "$0.0375"), ("15", "$15.00"), ("1200", "$1,200.00")]
)
def test_prices_keep_their_decimals(value: str, shown: str) -> None:
    assert f">{shown}<" in str(portal.per_million(Decimal(value)))


def test_what_is_unknown_is_a_dash() -> None:
    assert portal.money(None) == portal.number(None) == portal.compact(None) == portal.day(None) == portal.NOTHING
    assert portal.NOTHING in str(portal.per_million(None))


def test_change_says_nothing_about_a_rise_from_zero() -> None:
    assert portal.change(5, 0) == portal.NOTHING
    assert portal.change(Decimal(15), Decimal(10)) == "+50 %"
    assert portal.change(5, 10) == "\u221250 %"
    assert portal.change(5, 5) == "± 0 %"


def test_dates_have_a_hint() -> None:
    now = datetime.now(UTC)
    assert portal.relative(now - timedelta(days=3), now) == "3\xa0days ago"
    assert portal.relative(now + timedelta(hours=2), now) == "in 2\xa0hours"
    assert portal.relative(now, now) == "just now"
    assert portal.relative(now + timedelta(seconds=5), now) == "in a moment"
    assert f'title="{now:%Y-%m-%d %H:%M:%S} UTC"' in str(portal.moment(now))


@pytest.mark.parametrize(
    ("duration", "words"),
    [("1mo", "every month"), ("1d", "every day"), ("7d", "every 7 days"), ("12h", "every 12 hours")],
)
def test_periods_are_words(duration: str, words: str) -> None:
    assert portal.period(duration) == words
