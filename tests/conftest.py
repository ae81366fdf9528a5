"""Fixtures for every test: the cast, and a LiteLLM that is away unless a test asks for one."""

from typing import Any

import pytest

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
