"""What the bench says is what it saw: also where the original is quicker, and what COPY takes."""

import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo

from tests.performance import report, statements
from tests.performance.load import Load
from tests.performance.measure import Row
from tests.performance.questions import Original


def seen(connections: int, per_second: int) -> Load:
    """So many answers in one second."""
    return Load(connections, per_second, 1, p50=1, p95=1, p99=1, errors=0, cpu=0)


def test_what_is_behind_the_original_is_marked_and_named() -> None:
    bare = Row("bare", "", loads=[seen(1, 1000), seen(32, 1000)])
    mixed = Row("my keys", "token", loads=[seen(1, 80), seen(32, 103)], original=Original(76, 206))
    ahead = Row("audit", "token", loads=[seen(1, 52), seen(32, 10)], original=Original(26))
    lines = [line for line in report.lines([mixed, ahead], bare) if line.rstrip().endswith(("x", "<--"))]
    assert [line.split()[-2:] for line in lines] == [["76.00", "1.05x"], ["0.50x", "<--"], ["26.00", "2.00x"]]
    assert [*report.behind([mixed, ahead])][1:] == ["  my keys (token): 50% at 32"]
    assert [*report.behind([ahead])][1:] == ["  nothing that was measured"]


@pytest.mark.django_db
def test_files_are_asked_for_as_they_are_sent() -> None:
    connection.ensure_connection()
    known = connection.connection.info
    url = make_conninfo(known.dsn, password=known.password)
    # PostgreSQL sleeps at least as long as it is told: once for the question, once for the file.
    asked = ["SELECT pg_sleep(0.05)", "COPY (SELECT 1, pg_sleep(0.05)) TO STDOUT (FORMAT csv)"]
    assert statements.raw_milliseconds(url, asked) >= 100
