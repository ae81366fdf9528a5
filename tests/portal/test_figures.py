"""How figures, dates and charts are written."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from litemaas.portal.templatetags import portal
from usage.charts import column_chart, nice_ceiling


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


@pytest.mark.parametrize(
    ("highest", "top"), [("0", "0"), ("1", "1"), ("3", "4"), ("11", "20"), ("398", "400"), ("0.0031", "0.004")]
)
def test_axis_ends_at_a_round_figure(highest: str, top: str) -> None:
    assert nice_ceiling(Decimal(highest)) == Decimal(top)


def test_chart_marks_days_that_were_not_fetched() -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(5)]
    rows = [{"date": day, "requests": n} for n, day in enumerate(days)]
    chart = column_chart(rows, "requests", missing=[days[0], days[4]])
    assert [column.missing for column in chart.columns] == [True, False, False, False, False]
    assert chart.columns[0].words == "2026-01-01: not fetched"
    assert (chart.columns[4].top, chart.columns[4].height) == ("0.00", "100.00")
    assert chart.ticks == ["4", "2", "0"]
    assert chart.summary == "10 requests from 2026-01-01 to 2026-01-05; the most on 2026-01-05: 4."


def test_chart_of_nothing_is_a_chart() -> None:
    chart = column_chart([{"date": date(2026, 1, 1), "spend": Decimal(0)}], "spend")
    assert chart.is_empty
    assert chart.ticks == ["$0.01", "$0.0050", "$0.00"]
    assert column_chart([], "spend").columns == []
