"""The only place that turns figures into drawings: SVG's geometry in per cent, coloured by the stylesheet's tokens."""

from usage.charts.axis import NAMES, Band, Chart, Slot, in_words, share
from usage.charts.bars import OTHERS, SERIES, column_chart, stacked_chart
from usage.charts.heat import Heat, heat_map
from usage.charts.lines import line_chart, spark_line

__all__ = [
    "NAMES",
    "OTHERS",
    "SERIES",
    "Band",
    "Chart",
    "Heat",
    "Slot",
    "column_chart",
    "heat_map",
    "in_words",
    "line_chart",
    "share",
    "spark_line",
    "stacked_chart",
]
