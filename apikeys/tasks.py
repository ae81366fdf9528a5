"""The jobs about keys: each loads what its id names and calls a verb."""

from typing import Any

from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app

from apikeys import bulk, notices


@app.task(name=bulk.TASK)
def carry_out_bulk_change(*, change_id: str, **_later: Any) -> None:
    """Do a part of a bulk change; what is left is queued again."""
    try:
        bulk.carry_out(change_id)
    finally:
        _give_connection_back()


@app.periodic(cron="* * * * *")
@app.task(name="apikeys.resume_bulk_changes", queueing_lock="apikeys.resume_bulk_changes")
def resume_bulk_changes(timestamp: int, **_later: Any) -> None:
    """Every minute: go on with bulk changes that a worker died over."""
    try:
        bulk.resume()
    finally:
        _give_connection_back()


@app.periodic(cron="*/5 * * * *")
@app.task(name="apikeys.tell_of_expiry", queueing_lock="apikeys.tell_of_expiry")
def tell_of_expiry(timestamp: int, **_later: Any) -> None:
    """Every five minutes: tell owners of keys that expire soon, and try mails again that could not be sent."""
    try:
        notices.announce(timezone.now())
        notices.send_due(timezone.now())
    finally:
        _give_connection_back()


def _give_connection_back() -> None:
    """To the pool; a test's own transaction keeps it."""
    if not connection.in_atomic_block:
        connection.close()
