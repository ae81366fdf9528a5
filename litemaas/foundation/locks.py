"""Locks on things that have no row of their own, held in PostgreSQL, so that every process respects them."""

from django.db import connection


def advisory_lock(name: str) -> None:
    """Wait until nobody else holds the lock of that name; it ends with the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
