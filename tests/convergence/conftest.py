"""A product whose time, jobs and deaths are the machine's, in front of a LiteLLM whose weather is."""

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profiles

from litellm_sync import push, state
from litellm_sync.client import transport
from litellm_sync.emulator import durations
from tests.convergence.moments import Clock, Moments
from tests.convergence.world import Stage
from tests.e2e.conftest import REAL
from tests.races import real_transactions
from tests.weather import weather_over

__all__ = ["real_transactions"]

COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
# The same sequences in each run, shown as they are: to look for shorter ones takes many times as long.
STEADY: dict[str, Any] = {"derandomize": True, "database": None, "phases": [Phase.generate], **COMMON}
profiles.register_profile("ci", max_examples=12, stateful_step_count=30, **STEADY)
profiles.register_profile("real", max_examples=3, stateful_step_count=20, **STEADY)
profiles.register_profile(
    "soak", max_examples=24, stateful_step_count=40, database=None, phases=[Phase.generate], **COMMON
)
profiles.register_profile("nightly", max_examples=400, stateful_step_count=50, **COMMON)


def profile(*, real: bool) -> profiles:
    """How long the machine runs: HYPOTHESIS_PROFILE says so, but a real LiteLLM is slow."""
    return profiles.get_profile("real" if real else os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(
    params=[
        pytest.param(("emulator", "1.109.1"), id="emulator-1.109.1"),
        pytest.param(("emulator", "1.81.15"), id="emulator-1.81.15"),
        *(pytest.param((url, ""), id=url, marks=pytest.mark.real) for url in REAL),
    ]
)
def stage(
    request: pytest.FixtureRequest, real_transactions: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """Everything that the machine needs."""
    target, version = request.param
    clock, moments = Clock(), Moments()
    monkeypatch.setattr(timezone, "now", clock.now)
    for name, module in list(sys.modules.items()):
        if name.startswith("litellm_sync.") and getattr(module, "time", None) is time and "emulator" not in name:
            monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(durations, "now", clock.now)
    monkeypatch.setattr(transport.Transport, "call", moments.around(transport.Transport.call))
    for outcome in ("settle", "postpone", "refuse"):
        monkeypatch.setattr(state, outcome, moments.before(getattr(state, outcome)))
    monkeypatch.setattr(push, "ROUNDS", 3)
    settings.LITELLM_DEFAULT_TEAM_LISTED_MEMBERS = 2
    settings.LITELLM_SPEND_SETTLES_SECONDS = 30
    with weather_over(target, version=version) as weather:
        settings.LITELLM_API_URL = settings.LITELLM_PUBLIC_URL = weather.url
        settings.LITELLM_API_KEY = weather.master_key
        yield Stage(weather.url, weather.master_key, clock, moments, is_real=target != "emulator", version=version)
    transport.shared.cache_clear()
