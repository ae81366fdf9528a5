"""What the tests of the synchronisation share: jobs that are carried out, and both emulated versions."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from procrastinate.contrib.django import app as jobs

from litellm_sync.client import transport
from litellm_sync.emulator.server import Emulator
from tests.cast import MASTER_KEY
from tests.races import real_transactions

__all__ = ["old_litellm", "real_transactions", "work"]


@pytest.fixture
def work() -> Callable[[], int]:
    """Carry out every queued job whose time has come or will come, in this thread; returns how many there were."""
    from procrastinate.contrib.django.models import ProcrastinateJob  # noqa: PLC0415 -- needs the app registry

    def run() -> int:
        done = 0
        for job in ProcrastinateJob.objects.filter(status="todo").order_by("id"):
            jobs.tasks[job.task_name](**job.args)
            done += 1
        with_rows = ProcrastinateJob.objects.filter(status="todo")
        with_rows._raw_delete(with_rows.db)
        return done

    return run


@pytest.fixture
def old_litellm(settings: Any) -> Iterator[Emulator]:
    """An emulator that behaves like 1.81.15."""
    with Emulator(master_key=MASTER_KEY, state=None, version="1.81.15") as emulator:
        settings.LITELLM_API_URL = settings.LITELLM_PUBLIC_URL = emulator.url
        settings.LITELLM_API_KEY = MASTER_KEY
        transport.shared.cache_clear()
        yield emulator
    transport.shared.cache_clear()
