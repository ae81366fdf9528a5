"""Fixtures for every test: the cast, and a LiteLLM that is away unless a test asks for one."""

from typing import Any

import pytest
from django.db import connection

from litemaas.foundation import logs
from tests.cast import ada, ann, api, browser, eve, litellm, models, ro, running_emulator, subscribed

__all__ = ["ada", "ann", "api", "browser", "eve", "litellm", "models", "ro", "running_emulator", "subscribed"]


@pytest.fixture(autouse=True)
def _no_request() -> None:
    """The audit log notes the request that is being served: what another test left would be noted here."""
    logs.clear()


@pytest.fixture(autouse=True)
def _no_litellm(settings: Any) -> None:
    """No test reaches a LiteLLM that it did not ask for."""
    settings.LITELLM_API_URL = settings.LITELLM_API_KEY = ""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Django empties every table by TRUNCATE after a test of real transactions, which the product refuses to all."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in ("accounts_auditevent", "accounts_auditseal"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_truncate")
