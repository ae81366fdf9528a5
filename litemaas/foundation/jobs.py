"""Around every job of a worker: what is measured of it, and what its log lines carry."""

import time
from typing import Any

import structlog
from procrastinate.job_context import JobContext
from procrastinate.middleware import AsyncCallNext
from procrastinate.worker import Worker
from prometheus_client import Histogram

from litemaas.foundation import logs

seconds = Histogram("litemaas_job_seconds", "Jobs of the workers", ["task", "outcome"])

# The argument of a job that says in which request it was asked for; tasks take it among what they do not know.
REQUEST_ID = "request_id"


def arguments() -> dict[str, Any]:
    """What each job that is queued now carries besides what it is about: the request or job that asks for it."""
    found = logs.request_id()
    return {REQUEST_ID: found} if found else {}


async def observe(call_next: AsyncCallNext, context: JobContext, worker: Worker) -> Any:
    """Run a job within its context. Threads get a copy of it, and the next job of the same worker starts without."""
    job = context.job
    asked_in = job.task_kwargs.get(REQUEST_ID)
    about = {"request_id": logs.accept_request_id(str(asked_in))} if asked_in else {}
    outcome, started = "failed", time.perf_counter()
    with structlog.contextvars.bound_contextvars(job_id=job.id, task=job.task_name, **about):
        try:
            result = await call_next()
            outcome = "done"
        finally:
            seconds.labels(job.task_name, outcome).observe(time.perf_counter() - started)
    return result
