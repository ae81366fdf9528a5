"""The jobs: each loads what its id names and calls a service."""

from typing import Any

from django.utils import timezone
from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.jobs import Status

from accounts import audit_proof, audit_seal, sessions
from accounts import services as accounts
from litellm_sync import alerts, integration, proof, runs, state, versions
from litellm_sync import push as pushes
from litellm_sync.client.transport import give_connection_back
from litemaas.foundation import rate_limits

# Also for a job that a worker died over: nobody else will finish it, and its row re-queues itself.
STALLED_SECONDS = 120


@app.task(name=state.PUSH_TASK)
def push(*, kind: str, object_id: str, immediate: bool = False, **_later: Any) -> None:
    """Make LiteLLM agree with one row. Called directly, in the web process, for the immediate try."""
    limit = pushes.IMMEDIATE_SECONDS if immediate else pushes.JOB_SECONDS
    try:
        pushes.push(kind, object_id, limit=limit)
    finally:
        if not immediate:
            give_connection_back()


@app.task(name=runs.RUN_TASK)
def run(*, run_id: str, **_later: Any) -> None:
    """Carry a run of synchronisation out."""
    try:
        integration.perform(run_id)
    finally:
        give_connection_back()


@app.periodic(cron="* * * * * */5")  # croniter puts the seconds last
@app.task(name="litellm_sync.tick", queueing_lock="litellm_sync.tick")
def tick(timestamp: int, **_later: Any) -> None:
    """Every five seconds: notice outages and their end, queue what is due."""
    try:
        integration.tick(timezone.now())
    finally:
        give_connection_back()


@app.periodic(cron="* * * * * */15")
@app.task(name="litellm_sync.watch", queueing_lock="litellm_sync.watch")
def watch(timestamp: int, **_later: Any) -> None:
    """Every quarter of a minute: which release LiteLLM is, and what somebody should be woken for."""
    try:
        versions.look(timezone.now())
        alerts.watch(timezone.now())
    finally:
        give_connection_back()


@app.periodic(cron="* * * * *")
@app.task(name="litellm_sync.tidy", queueing_lock="litellm_sync.tidy", pass_context=True)
async def tidy(context: JobContext, /, timestamp: int, **_later: Any) -> None:
    """Every minute: finish the jobs of workers that died, forget what no longer counts."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        await manager.finish_job(job, status=Status.FAILED, delete_job=True)


@app.periodic(cron="* * * * * */10")
@app.task(name="litellm_sync.prove", queueing_lock="litellm_sync.prove")
def prove(timestamp: int, **_later: Any) -> None:
    """Every ten seconds: whether LiteLLM refuses what must not work."""
    try:
        now = timezone.now()
        proof.note_waiting(now)
        proof.prove_due(now)
    finally:
        give_connection_back()


@app.periodic(cron="*/15 * * * *")
@app.task(name="litellm_sync.note_ended", queueing_lock="litellm_sync.note_ended")
def note_ended(timestamp: int, **_later: Any) -> None:
    """Every quarter of an hour: which ends nobody has looked at."""
    try:
        proof.note_ended(timezone.now())
    finally:
        give_connection_back()


@app.periodic(cron="*/15 * * * *")
@app.task(name="accounts.forget_old_failures", queueing_lock="accounts.forget_old_failures")
def forget_old_failures(timestamp: int, **_later: Any) -> None:
    """Every quarter of an hour: failed sign-ins and counts that no longer matter, sessions, tokens and runs of long
    ago."""
    try:
        accounts.forget_old_failures()
        sessions.forget_old_sign_ins()
        rate_limits.forget_old_counts()
        runs.forget_old_runs(timezone.now())
    finally:
        give_connection_back()


@app.periodic(cron="* * * * *")
@app.task(name="accounts.seal_audit", queueing_lock="accounts.seal_audit")
def seal_audit(timestamp: int, **_later: Any) -> None:
    """Every minute: seal what is complete of the audit log."""
    try:
        audit_seal.seal_audit()
    finally:
        give_connection_back()


@app.periodic(cron="23 3 * * *")
@app.task(name="accounts.verify_audit", queueing_lock="accounts.verify_audit")
def verify_audit(timestamp: int, **_later: Any) -> None:
    """Every night: whether the audit log is what was sealed."""
    try:
        audit_seal.seal_audit()  # after a time without a worker, nothing is late that only waited for one
        audit_proof.verify_audit()
    finally:
        give_connection_back()
