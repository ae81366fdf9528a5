"""One running product for all bad weather, on the emulator and on every real LiteLLM that is named."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import TARGETS, Product, running_product, wait_for
from tests.weather import Weather, weather_over


@pytest.fixture(scope="module", params=TARGETS)
def weather(request: pytest.FixtureRequest) -> Iterator[Weather]:
    """A LiteLLM whose weather a test decides."""
    with weather_over(request.param) as changing:
        yield changing


@pytest.fixture(scope="module")
def product(weather: Weather, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product in front of it, with a catalogue and alice's subscription to gpt-4o."""
    with running_product(weather.url, weather.master_key, tmp_path_factory.mktemp("product")) as running:
        alice = running.sign_in("alice")
        wait_for(lambda: alice("GET", "/models")["count"], what="the catalogue")
        alice("POST", "/subscriptions", 201, json={"model": "gpt-4o"})
        yield running


@pytest.fixture(autouse=True)
def _fair_weather_again(weather: Weather) -> Iterator[None]:
    yield
    weather.faults.clear()
