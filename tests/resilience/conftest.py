"""One running product for all bad weather; the weather is the emulator's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from litellm_sync.emulator.server import Emulator
from tests.cast import MASTER_KEY
from tests.e2e.conftest import Product, running_product, wait_for


@pytest.fixture(scope="module")
def weather() -> Iterator[Emulator]:
    """A LiteLLM whose weather a test decides."""
    with Emulator(master_key=MASTER_KEY, state=None) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def product(weather: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product in front of it, with a catalogue and alice's subscription to gpt-4o."""
    log: Path = tmp_path_factory.mktemp("product")
    with running_product(weather.url, MASTER_KEY, log) as running:
        alice = running.sign_in("alice")
        wait_for(lambda: alice("GET", "/models")["count"], what="the catalogue")
        alice("POST", "/subscriptions", 201, json={"model": "gpt-4o"})
        yield running


@pytest.fixture(autouse=True)
def _fair_weather_again(weather: Emulator) -> Iterator[None]:
    yield
    weather.faults.clear()
