"""Fixtures of the contract tests: every test runs against the emulator and against each real LiteLLM that is named.

LITELLM_REAL_URLS holds the URLs of real proxies, separated by commas, LITELLM_REAL_KEY their master key.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from litellm_sync.emulator.server import Emulator
from tests.contract.proxy import NEWEST, OLDEST, Proxy

MASTER_KEY = "sk-litellm-master-key"


def _real_proxies() -> list[Proxy]:
    urls = [url.strip().rstrip("/") for url in os.environ.get("LITELLM_REAL_URLS", "").split(",") if url.strip()]
    key = os.environ.get("LITELLM_REAL_KEY", MASTER_KEY)
    return [Proxy(url, key, _version_of(url, key)) for url in urls]


def _version_of(url: str, key: str) -> str:
    """Return what the proxy says of itself: newer ones only to those who have a key."""
    for path in ("/health/readiness/details", "/health/readiness"):
        answer = requests.get(url + path, headers={"Authorization": f"Bearer {key}"}, timeout=10)
        if answer.ok and "litellm_version" in answer.json():
            return str(answer.json()["litellm_version"])
    pytest.fail(f"{url} does not tell its version", pytrace=False)


def _targets() -> list[Any]:
    emulated = [pytest.param(version, id=f"emulator-{version}") for version in (NEWEST, OLDEST)]
    real = [pytest.param(proxy, id=f"real-{proxy.version}", marks=pytest.mark.real) for proxy in _real_proxies()]
    return emulated + real


@pytest.fixture(scope="session", params=_targets())
def litellm(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    if isinstance(request.param, Proxy):
        yield request.param
        request.param.close()
        return
    with Emulator(master_key=MASTER_KEY, version=request.param) as emulator:
        proxy = Proxy(emulator.url, MASTER_KEY, request.param)
        yield proxy
        proxy.close()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(master_key=MASTER_KEY) as started:
        yield started


@pytest.fixture
def emulated(emulator: Emulator) -> Iterator[Proxy]:
    proxy = Proxy(emulator.url, MASTER_KEY, NEWEST)
    yield proxy
    proxy.close()
