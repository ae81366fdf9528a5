"""What a job carries and what is measured of it, in a real worker of Procrastinate."""

import threading
from collections.abc import Iterator
from typing import Any

import procrastinate
import pytest
import structlog
from procrastinate.testing import InMemoryConnector
from prometheus_client import REGISTRY

from litellm_sync import state
from litemaas.foundation import jobs, logs


@pytest.fixture(autouse=True)
def _no_context() -> Iterator[None]:
    logs.clear()
    yield
    logs.clear()


class Worker:
    """An app whose tasks note in which context and thread they were run."""

    def __init__(self) -> None:
        self.app = procrastinate.App(connector=InMemoryConnector())
        self.seen: dict[str, dict[str, Any]] = {}
        self.threads: set[int] = set()
        self.app.task(name="tests.in_a_thread")(self._in_a_thread)
        self.app.task(name="tests.in_the_loop")(self._in_the_loop)
        self.app.task(name="tests.broken")(self._broken)

    def _in_a_thread(self, *, about: str, **_later: Any) -> None:
        self.threads.add(threading.get_ident())
        self.seen[about] = structlog.contextvars.get_contextvars()
        structlog.contextvars.bind_contextvars(left_behind=about)

    async def _in_the_loop(self, *, about: str, **_later: Any) -> None:
        self.seen[about] = structlog.contextvars.get_contextvars()

    def _broken(self, *, about: str, **_later: Any) -> None:
        self._in_a_thread(about=about)
        raise ZeroDivisionError

    def defer(self, name: str, about: str) -> int:
        """Queue a job as the product does; returns its id."""
        return self.app.configure_task(name, task_kwargs=jobs.arguments()).defer(about=about)

    def work(self, concurrency: int = 1) -> None:
        """Carry everything out."""
        self.app.run_worker(
            wait=False,
            concurrency=concurrency,
            install_signal_handlers=False,
            listen_notify=False,
            worker_middleware=[jobs.observe],
        )


@pytest.fixture
def worker() -> Worker:
    """A worker without a database."""
    return Worker()


@pytest.mark.parametrize("name", ["tests.in_a_thread", "tests.in_the_loop"])
def test_a_job_knows_itself_and_the_request_that_asked_for_it(worker: Worker, name: str) -> None:
    logs.bind_request("request-1", address="192.0.2.1")
    number = worker.defer(name, "asked")
    logs.clear()
    other = worker.defer(name, "by the clock")
    worker.work()
    # Not the address: it is what the request came from, and the job comes from nowhere.
    assert worker.seen["asked"] == {"job_id": number, "task": name, "request_id": "request-1"}
    assert worker.seen["by the clock"] == {"job_id": other, "task": name}


def test_nothing_of_a_job_is_left_for_the_next(worker: Worker) -> None:
    for turn in range(12):
        logs.bind_request(f"request-{turn}")
        worker.defer("tests.broken" if turn % 3 == 0 else "tests.in_a_thread", str(turn))
    logs.clear()
    worker.work(concurrency=4)
    assert len(worker.seen) == 12
    for about, context in worker.seen.items():
        assert set(context) == {"job_id", "task", "request_id"}
        assert context["request_id"] == f"request-{about}"
    assert threading.get_ident() not in worker.threads
    assert structlog.contextvars.get_contextvars() == {}


def test_an_id_that_is_not_ours_does_not_reach_the_log(worker: Worker) -> None:
    worker.app.configure_task("tests.in_a_thread", task_kwargs={"request_id": "a\nb"}).defer(about="odd")
    worker.work()
    assert worker.seen["odd"]["request_id"] != "a\nb"


def count(task: str, outcome: str) -> float:
    """How many jobs were measured."""
    return REGISTRY.get_sample_value("litemaas_job_seconds_count", {"task": task, "outcome": outcome}) or 0.0


def test_every_job_is_measured_with_its_outcome(worker: Worker) -> None:
    names = [("tests.in_a_thread", "done"), ("tests.broken", "failed"), ("tests.in_the_loop", "done")]
    before = [count(*name) for name in names]
    for name, _outcome in names:
        worker.defer(name, name)
    worker.work()
    assert [count(*name) for name in names] == [number + 1 for number in before]


@pytest.mark.django_db
def test_what_is_queued_in_a_request_carries_its_id() -> None:
    from procrastinate.contrib.django.models import ProcrastinateJob  # noqa: PLC0415 -- needs the app registry

    logs.bind_request("request-9")
    state.job(state.PUSH_TASK).defer(kind="accounts.user", object_id="1")
    payloads: list[dict[str, Any]] = [{"kind": "accounts.user", "object_id": str(number)} for number in (2, 3)]
    state.job(state.PUSH_TASK).batch_defer(*payloads)
    logs.clear()
    state.job(state.PUSH_TASK).defer(kind="accounts.user", object_id="4")
    found = ProcrastinateJob.objects.order_by("id").values_list("args", flat=True)
    assert [(args["object_id"], args.get("request_id")) for args in found] == [
        ("1", "request-9"),
        ("2", "request-9"),
        ("3", "request-9"),
        ("4", None),
    ]


def test_the_workers_of_the_product_are_observed(settings: Any) -> None:
    assert settings.PROCRASTINATE_WORKER_DEFAULTS["worker_middleware"] == [jobs.observe]
