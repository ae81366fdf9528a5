"""Fixtures for every test: the cast, and a LiteLLM that is away unless a test asks for one."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations
from django.utils import translation

from litemaas.foundation import logs
from tests.cast import ada, ann, api, browser, eve, litellm, models, ro, running_emulator, subscribed

__all__ = ["ada", "ann", "api", "browser", "eve", "litellm", "models", "ro", "running_emulator", "subscribed"]

WITHOUT_TRUNCATE = ("accounts_auditevent", "accounts_auditseal")


@pytest.fixture(autouse=True)
def _no_request() -> None:
    """The audit log notes the request that is being served: what another test left would be noted here."""
    logs.clear()


@pytest.fixture(autouse=True)
def _in_english() -> None:
    """A page in another language leaves its thread in it, as it does in a web server, where each request chooses."""
    translation.activate("en")


@pytest.fixture(autouse=True)
def _no_litellm(settings: Any) -> None:
    """No test reaches a LiteLLM that it did not ask for."""
    settings.LITELLM_API_URL = settings.LITELLM_API_KEY = ""


@pytest.fixture(scope="session", autouse=True)
def _emptying() -> Iterator[None]:
    """Django empties every table by TRUNCATE after a test of real transactions, which the product refuses to all."""
    with pytest.MonkeyPatch.context() as patch:
        flush = DatabaseOperations.sql_flush

        def sql_flush(self: DatabaseOperations, *args: Any, **options: Any) -> list[str]:
            """The same, with the two triggers out of the way for as long."""
            off, on = (
                [f"ALTER TABLE {table} {word} TRIGGER {table}_no_truncate" for table in WITHOUT_TRUNCATE]
                for word in ("DISABLE", "ENABLE")
            )
            return [*off, *flush(self, *args, **options), *on]

        patch.setattr(DatabaseOperations, "sql_flush", sql_flush)
        yield
