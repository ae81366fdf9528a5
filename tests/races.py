"""Several people at the same moment: threads with connections and transactions of their own."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection

Result = TypeVar("Result")

QUEUE = "procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers"


@pytest.fixture
def real_transactions(transactional_db: None) -> Iterator[None]:
    """Rows that other threads see. Django empties its own tables afterwards; the job queue's are not Django's."""
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {QUEUE} RESTART IDENTITY CASCADE")


def at_once(number: int, act: Callable[[int], Result]) -> list[Result]:
    """``act(0)`` … ``act(number - 1)``, each in a thread of its own, all let go at the same moment."""
    start = threading.Barrier(number)

    def perform(turn: int) -> Result:
        try:
            start.wait(timeout=60)
            return act(turn)
        finally:
            connection.close()

    connection.close()  # this thread waits only: its connection is for the others
    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(perform, range(number)))


def wait_for_a_lock() -> None:
    """Return as soon as some connection to this database waits for another's lock; fails after a minute."""
    deadline = time.monotonic() + 60
    question = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(question)
            if cursor.fetchone()[0]:
                return
    pytest.fail("nobody waits")
