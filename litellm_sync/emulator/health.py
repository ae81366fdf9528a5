"""The only place that emulates LiteLLM's health routes."""

from typing import Any

from litellm_sync.emulator.call import Call


def alive(_call: Call) -> str:
    """`/health/liveness`: a bare text."""
    return "I'm alive!"


def ready(call: Call) -> dict[str, Any]:
    """`/health/readiness`: the database's state; old releases tell their version too."""
    if call.version.is_old:
        return {"status": "connected", "db": "connected", "cache": None, "litellm_version": call.version.number}
    return {"status": "healthy", "db": "connected"}


def details(call: Call) -> dict[str, Any]:
    """`/health/readiness/details`: the same with the version."""
    return {"status": "healthy", "db": "connected", "cache": None, "litellm_version": call.version.number}
