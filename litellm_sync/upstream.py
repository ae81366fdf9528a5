"""Asking LiteLLM whether it is there, around the circuit; how long the answer took is kept by who asks."""

import time
from typing import Final

from litellm_sync.client import LiteLLM
from litellm_sync.client.transport import configured
from litemaas.foundation.errors import DomainError

PROBE_SECONDS: Final = 3.0


def probe() -> int | None:
    """The milliseconds that LiteLLM took to answer, at least one; None if it did not. An answer closes the circuit."""
    started = time.monotonic()
    try:
        LiteLLM(PROBE_SECONDS).test_connection()
    except DomainError:
        return None
    return max(1, round((time.monotonic() - started) * 1000))


def circuit_state() -> str:
    """What this process's circuit is: closed, open or half-open; nothing where no LiteLLM is configured."""
    try:
        return configured().circuit.state
    except DomainError:
        return ""
