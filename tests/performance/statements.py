"""The only place that counts the statements of an answer and asks PostgreSQL for them without anything around."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any, Final

import psycopg
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

REPEATS: Final = 30
SECONDS: Final = 1.5


@dataclass(frozen=True)
class Answered:
    """Status of an answer and the statements that it took."""

    status: int
    statements: Sequence[str]


@cache
def _client() -> Client:
    """One for all questions: with each anew, the middleware looks through all static files again."""
    return Client(raise_request_exception=False)


def ask(path: str, headers: Mapping[str, str], body: str = "") -> Answered:
    """Ask in this process, through every middleware; nothing is remembered from the question before.

    With a ``body`` it is sent by POST.
    """
    client = _client()
    client.cookies.clear()
    with CaptureQueriesContext(connection) as captured:
        sent: Any = {"headers": {"Host": "127.0.0.1", **headers}}
        answer: Any = client.post(path, body, "application/json", **sent) if body else client.get(path, **sent)
        answer.getvalue()
    return Answered(answer.status_code, [query["sql"] for query in captured.captured_queries])


def raw_milliseconds(database_url: str, statements: Sequence[str]) -> float:
    """What the same statements take through psycopg alone, all rows fetched: the median of some repeats."""
    reading = [statement for statement in statements if statement.lstrip("( ").startswith(("SELECT", "COPY"))]
    times: list[float] = []
    with psycopg.connect(database_url, autocommit=True) as raw, raw.cursor() as cursor:
        deadline = time.perf_counter() + SECONDS
        while len(times) < REPEATS and (not times or time.perf_counter() < deadline):
            started = time.perf_counter()
            for statement in reading:
                _read(cursor, statement)
            times.append((time.perf_counter() - started) * 1000)
    return median(times)


def _read(cursor: psycopg.Cursor[Any], statement: str) -> int:
    """Take everything; how many rows, or pieces of a file. The text holds its values, so psycopg reads no "%" in it."""
    if not statement.startswith("COPY"):
        return len(cursor.execute(statement.encode()).fetchall())
    with cursor.copy(statement.encode()) as copy:
        return sum(1 for _piece in copy)
