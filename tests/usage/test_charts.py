"""The drawings: round axes, days that were not fetched, every figure also as words and as a table."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from litemaas.portal.templatetags.portal import money
from usage.charts import OTHERS, SERIES, axis, column_chart, heat_map, in_words, line_chart, share, spark_line
from usage.charts.bars import stacked_chart

FIRST = date(2026, 1, 1)


def rows(*values: Any, metric: str = "requests", first: date = FIRST) -> list[dict[str, Any]]:
    """A row a day."""
    return [{"date": first + timedelta(days=n), metric: value} for n, value in enumerate(values)]


def per_cent(text: str) -> float:
    """A coordinate as a number."""
    return float(text.removesuffix("%"))


# --- Axes and words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("highest", "metric", "marks"),
    [
        ("0", "requests", ["0", "1", "2"]),
        ("3", "requests", ["0", "1", "2", "3"]),
        ("11", "requests", ["0", "5", "10", "15"]),
        ("398", "requests", ["0", "100", "200", "300", "400"]),
        ("2300000", "total_tokens", ["0", "1 M", "2 M", "3 M"]),
        ("90000", "total_tokens", ["0", "25 k", "50 k", "75 k", "100 k"]),
        ("0", "spend", ["$0", "$0.0001", "$0.0002"]),
        ("0.0031", "spend", ["$0", "$0.001", "$0.002", "$0.003", "$0.004"]),
        ("9.2", "spend", ["$0", "$2.50", "$5.00", "$7.50", "$10.00"]),
        ("15.2", "spend", ["$0", "$5", "$10", "$15", "$20"]),
        ("4321", "spend", ["$0", "$2,000", "$4,000", "$6,000"]),
    ],
)
def test_axes_have_round_marks_with_units(highest: str, metric: str, marks: list[str]) -> None:
    found = axis.ticks(axis.scale(Decimal(highest), metric), metric)
    assert [tick.label for tick in reversed(found)] == marks
    assert (found[0].place, found[-1].place) == ("0.00%", "100.00%")


@given(st.decimals(min_value=0, max_value=10**15, places=10), st.sampled_from(list(axis.NAMES)))
def test_an_axis_holds_its_highest_value_in_few_equal_steps(highest: Decimal, metric: str) -> None:
    marks = axis.scale(highest, metric)
    assert marks[-1] >= highest
    assert 3 <= len(marks) <= 6
    assert {b - a for a, b in pairwise(marks)} == {marks[1]}


@pytest.mark.parametrize("count", [1, 2, 7, 30, 31, 90, 92, 366])
def test_dates_do_not_overlap(count: int) -> None:
    found = axis.date_ticks([FIRST + timedelta(days=n) for n in range(count)])
    assert found[0].label == "01-01"
    assert 1 <= len(found) <= 8
    # A label is 40 pixels wide; a telephone leaves 240, and there every second one goes.
    major = [per_cent(tick.place) for tick in found if not tick.minor]
    assert all(b - a >= 100 * 40 / 240 for a, b in pairwise(major))


@pytest.mark.parametrize(
    ("value", "metric", "words"),
    [
        ("407.785", "spend", "$407.78"),
        ("407.7867", "spend", "$407.79"),
        ("0.0016", "spend", "$0.0016"),
        ("0.00001", "spend", "less than $0.0001"),
        ("0", "spend", "$0.00"),
        ("1234567", "total_tokens", "1,234,567"),
        ("100", "requests", "100"),
    ],
)
def test_values_in_words_are_rounded_not_cut_off(value: str, metric: str, words: str) -> None:
    assert in_words(Decimal(value), metric) == words


def test_the_sentence_says_the_same_amount_as_the_figures_in_every_language() -> None:
    for language in ("en", "de"):
        with override(language):
            for amount in (Decimal("407.785"), Decimal("407.7867"), Decimal("1234.5"), Decimal(0)):
                assert f">{in_words(amount, 'spend')}<" in money(amount)


def test_share_of_nothing_is_nothing() -> None:
    assert [int(value) for value in (share(1, 4), share(0, 0), share(7, 5), share(-1, 5))] == [25, 0, 100, 0]


# --- Columns ---------------------------------------------------------------------------------------------------------


def test_trap_32_days_that_were_not_fetched_are_gaps_and_not_zero() -> None:
    found = rows(0, 1, 0, 3, 4)
    days = [row["date"] for row in found]
    for chart in (column_chart(found, "requests", missing=[days[0], days[4]]),
                  line_chart(found, "requests", missing=[days[0], days[4]])):  # fmt: skip
        assert [slot.missing for slot in chart.slots] == [True, False, False, False, False]
        assert chart.has_gaps
        assert [slot.words for slot in chart.slots[:3:2]] == ["2026-01-01: not fetched", "2026-01-03: 0"]
        assert [slot.cells[1] for slot in chart.slots] == ["Not fetched", "1", "0", "3", "4"]
        assert chart.summary == "8 requests from 2026-01-01 to 2026-01-05; the most on 2026-01-05: 4."
    heat = heat_map(found, "requests", missing=[days[0]])
    assert [cell.level for cell in heat.cells] == [None, 1, 0, 3, 4]
    assert heat.has_gaps


def test_columns_are_as_high_as_their_values_and_something_is_never_nothing() -> None:
    chart = column_chart(rows(400, 0, 100, 1), "requests")
    heights = [[per_cent(block.height) for block in slot.blocks] for slot in chart.slots]
    assert heights == [[100], [], [25], [1]]
    assert [block.top for block in chart.slots[2].blocks] == ["75.00%"]
    assert [tick.label for tick in chart.ticks] == ["400", "300", "200", "100", "0"]


def test_chart_of_nothing_is_a_chart() -> None:
    chart = column_chart(rows(0), "requests")
    assert chart.is_empty
    assert chart.summary == "Nothing was used in these days."
    # What is used may be free.
    assert column_chart(rows(Decimal(0), metric="spend"), "spend").summary == "Spend: $0.00"
    assert column_chart([], "spend").slots == []


def test_stacked_columns_add_up_to_the_day_whatever_was_left_out() -> None:
    whole = rows(10, 20, 0)
    days = [row["date"] for row in whole]
    chart = stacked_chart(whole, "requests", [("a", {days[0]: 4, days[1]: 20}), ("b", {days[0]: 5})])
    assert [(band.series, band.name) for band in chart.legend] == [("s1", "a"), ("s2", "b"), ("s0", "Others")]
    assert [[block.series for block in slot.blocks] for slot in chart.slots] == [["s1", "s2", "s0"], ["s1"], []]
    for slot, row in zip(chart.slots, whole, strict=True):
        assert sum(per_cent(block.height) for block in slot.blocks) == pytest.approx(row["requests"] * 5, abs=0.1)
    assert chart.head == ["Day", "Requests", "a", "b", "Others"]
    assert chart.slots[0].cells == ["2026-01-01", "10", "4", "5", "1"]
    assert chart.slots[0].words == "2026-01-01: 10\na: 4\nb: 5\nOthers: 1"
    assert stacked_chart(whole, "requests", [("all", {days[0]: 10, days[1]: 20})]).legend[-1].series == SERIES[0]


def test_the_ninth_part_has_no_colour_of_its_own() -> None:
    whole = rows(9)
    parts = [(f"m{n}", {FIRST: 1}) for n in range(9)]
    chart = stacked_chart(whole, "requests", parts)
    assert [band.series for band in chart.legend] == [*SERIES, OTHERS]
    assert chart.slots[0].cells[-1] == "1"


# --- Lines -----------------------------------------------------------------------------------------------------------


def test_a_line_is_interrupted_where_nothing_is_known() -> None:
    found = rows(1, 2, 0, 4)
    chart = line_chart(found, "requests", missing=[found[2]["date"]])
    assert [points for _series, points in chart.lines] == ["125.00,75.00 375.00,50.00", "750.00,0.00 1000.00,0.00"]
    assert chart.areas[0].startswith("125.00,100.00 125.00,75.00")
    assert [slot.dot for slot in chart.slots] == ["75.00%", "50.00%", "", "0.00%"]


def test_the_period_before_lies_behind_and_is_in_the_table() -> None:
    before = rows(8, 0, first=FIRST - timedelta(days=2))
    chart = line_chart(rows(2, 4), "requests", before=before)
    assert [series for series, _points in chart.lines] == ["before", "s1"]
    assert [band.name for band in chart.legend] == ["This period", "The period before"]
    assert chart.ticks[0].label == "8"
    assert chart.slots[0].cells == ["2026-01-01", "2", "2025-12-30", "8"]
    assert chart.slots[0].words == "2026-01-01: 2\n2025-12-30: 8"
    assert len(chart.head) == 4


def test_sparks_have_no_words() -> None:
    assert spark_line([0, 2]) == ["25.00,24.00 75.00,0.00"]
    assert spark_line([0, 2, None, 2]) == ["12.50,24.00 37.50,0.00", "75.00,0.00 100.00,0.00"]
    assert spark_line([None]) == spark_line([]) == []
    assert spark_line([0]) == ["0.00,24.00 100.00,24.00"]


# --- Calendar --------------------------------------------------------------------------------------------------------


def test_a_calendar_has_a_column_for_each_week_and_says_what_the_weekdays_are_like() -> None:
    monday = date(2026, 2, 2)
    heat = heat_map(rows(*[10, 8, 8, 8, 8, 1, 0] * 5, first=monday), "requests")
    assert len(heat.cells) == 35
    assert {per_cent(cell.left) for cell in heat.cells} == {0, 20, 40, 60, 80}
    assert [cell.level for cell in heat.cells[:7]] == [4, 4, 4, 4, 4, 1, 0]
    assert heat.cells[0].words == "Monday, 2026-02-02: 10"
    assert heat.cells[0].cells == ["2026-02-02", "Monday", "10"]
    assert heat.summary == "On average the most on Monday (10), the least on Sunday (0)."
    assert [tick.label for tick in heat.months] == ["Feb", "Mar"]
    assert [words for _level, words in heat.limits] == ["0", "2.5", "5", "7.5", "10"]


@pytest.mark.parametrize(("weeks", "size"), [(5, "few"), (13, ""), (52, "many")])
def test_a_calendar_of_nothing_is_one_too(weeks: int, size: str) -> None:
    heat = heat_map(rows(*[Decimal(0)] * weeks * 7, metric="spend", first=date(2026, 2, 2)), "spend")
    assert (heat.summary, heat.size) == ("Nothing was used in these days.", size)
    assert {cell.level for cell in heat.cells} == {0}
