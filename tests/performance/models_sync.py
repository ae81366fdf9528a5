"""``python -m tests.performance.models_sync``: what syncs of the catalogue take: first, nothing new, all prices new."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import django
import requests

from tests.performance.stage import MASTER_KEY, Stage, open_stage

MODELS = 500


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, flush=True)  # noqa: T201 -- a command's output


def main() -> int:
    """Print one line a sync; 1 when the number of calls or statements is not what is promised."""
    with open_stage(say) as stage:
        os.environ.update(stage.supervisor.environment | {"LOG_LEVEL": "ERROR"})
        django.setup()
        from django.core.management import call_command  # noqa: PLC0415 -- Django can be asked from here on only

        call_command("migrate", "--no-input", verbosity=0)
        own = len(_models(stage))
        for number in range(MODELS - own):
            _add(stage, number)
        return _measure(stage)


def _measure(stage: Stage) -> int:
    from litellm_sync.catalogue import sync_models  # noqa: PLC0415 -- as above
    from subscriptions.models import Model  # noqa: PLC0415 -- as above

    started = time.perf_counter()
    _models(stage)
    say(f"{'one bare GET of the same list':34}{(time.perf_counter() - started) * 1000:9.1f} ms")
    stage.litellm_calls()
    kept = [_timed(stage, f"first sync of {MODELS} models", sync_models)]
    kept += [_timed(stage, "sync with nothing changed", sync_models) for _turn in range(3)]
    Model.objects.update(input_cost_per_token=1)
    kept.append(_timed(stage, f"sync with {MODELS} new prices", sync_models))
    return int(not all(kept))


def _timed(stage: Stage, name: str, sync: Callable[[], Any]) -> bool:
    """One sync; whether it asked LiteLLM once and took as many statements as are promised."""
    from django.db import connection  # noqa: PLC0415 -- as above
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415 -- as above

    with CaptureQueriesContext(connection) as statements:
        started = time.perf_counter()
        report = sync()
        seconds = time.perf_counter() - started
    calls = sum(stage.litellm_calls().values())
    found = {what: len(report.as_json()[what]) for what in ("added", "changed", "hidden", "restored")}
    words = ", ".join(f"{what} {number}" for what, number in found.items() if number)
    figures = f"{seconds * 1000:9.1f} ms  {len(statements):3} statements  {calls} call"
    say(f"{name:34}{figures}  {words or f'unchanged {report.unchanged}'}")
    return calls == 1 and len(statements) <= 16


def _address(stage: Stage, path: str) -> str:
    return str(stage.supervisor.environment["LITELLM_API_URL"]) + path


def _models(stage: Stage) -> list[Any]:
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    found: list[Any] = requests.get(_address(stage, "/model/info"), headers=headers, timeout=30).json()["data"]
    return found


def _add(stage: Stage, number: int) -> None:
    name = f"vendor-{number % 17}/model-{number}"
    prices = {"input_cost_per_token": (number + 1) * 1e-8, "output_cost_per_token": (number + 1) * 4e-8}
    body = {
        "model_name": name,
        "litellm_params": {"model": f"openai/{name}", **prices},
        "model_info": {"id": f"id-{number}", "mode": "chat", "max_input_tokens": 1000 * (number + 1)},
    }
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    requests.post(_address(stage, "/model/new"), json=body, headers=headers, timeout=30).raise_for_status()


if __name__ == "__main__":
    sys.exit(main())
