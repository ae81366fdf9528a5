"""How long a comparison with LiteLLM takes and what it needs in memory, and how soon a revoked key is refused.

``python -m tests.performance.comparison --keys 10000`` brings PostgreSQL and the emulator (5 ms an answer) itself.
"""

import argparse
import os
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from statistics import quantiles
from typing import Any, Final

import django
import requests

from tests.performance.stage import MASTER_KEY, Stage, open_stage

OWNERS: Final = 200
THREADS: Final = 8
REVOCATIONS: Final = 200
MODEL: Final = "gpt-4o"
HEADERS: Final = {"Authorization": f"Bearer {MASTER_KEY}"}


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, flush=True)  # noqa: T201 -- a command's output


def main() -> int:
    """Measure; 1 where something was found that is not there, or a revoked key was not refused."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.comparison", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    number = parser.parse_args().keys
    with open_stage(say) as stage:
        os.environ.update(stage.supervisor.environment | {"LOG_LEVEL": "ERROR"})
        django.setup()
        from django.core.management import call_command  # noqa: PLC0415 -- needs the settings

        call_command("migrate", "--no-input", verbosity=0)
        _load(stage, number)
        return int(_compare(stage, number) + _revoke(stage) > 0)


def _load(stage: Stage, number: int) -> None:
    """People with keys, here by rows and there by the emulator's own routes, as pushes would have made them."""
    from accounts.models import Role  # noqa: PLC0415 -- models can be imported from here on only
    from apikeys.models import ApiKey, ApiKeySecret, KeyModel  # noqa: PLC0415 -- as above
    from litellm_sync import state  # noqa: PLC0415 -- as above
    from litellm_sync.push import push  # noqa: PLC0415 -- as above
    from litemaas.foundation.crypto import new_api_key_secret, secret_digest  # noqa: PLC0415 -- as above
    from subscriptions.models import Model  # noqa: PLC0415 -- as above
    from subscriptions.services import create_subscription  # noqa: PLC0415 -- as above
    from teams.models import DEFAULT_TEAM_ID  # noqa: PLC0415 -- as above
    from teams.services import provision_user  # noqa: PLC0415 -- as above

    Model.objects.create(id=MODEL, provider="openai", mode="chat")
    people = [provision_user(None, username=f"u{n}", roles=[Role.USER]) for n in range(OWNERS)]
    for person in people:
        create_subscription(person, model=MODEL)
    keys = [ApiKey(user=people[n % OWNERS], team_id=DEFAULT_TEAM_ID, name=f"k{n}") for n in range(number)]
    ApiKey.objects.bulk_create(keys, batch_size=1000)
    KeyModel.objects.bulk_create([KeyModel(key=key, model_id=MODEL) for key in keys], batch_size=1000)
    plain = [new_api_key_secret() for _key in keys]
    rows = [
        ApiKeySecret(key=key, digest=secret_digest(secret), last4=secret[-4:], sync_status="synced")
        for key, secret in zip(keys, plain, strict=True)
    ]
    ApiKeySecret.objects.bulk_create(rows, batch_size=1000)
    for model in state.synced_models():
        for pk in list(model._base_manager.filter(sync_status="pending").values_list("pk", flat=True)):
            push(state.kind_of(model), str(pk), limit=10)
        model._base_manager.update(synced_at="2026-01-01T00:00Z")
    bodies = [
        {
            "key": secret,
            "key_type": "llm_api",
            "key_alias": row.alias,
            "user_id": str(row.key.user_id),
            "team_id": str(DEFAULT_TEAM_ID),
            "models": [MODEL],
        }
        for row, secret in zip(rows, plain, strict=True)
    ]
    url = f"{stage.supervisor.environment['LITELLM_API_URL']}/key/generate"
    session = requests.Session()
    with ThreadPoolExecutor(THREADS) as threads:
        for answer in threads.map(lambda body: session.post(url, json=body, headers=HEADERS, timeout=60), bodies):
            answer.raise_for_status()


def _compare(stage: Stage, number: int) -> int:
    """Once for the time, once for the memory, which costs time to follow. Returns how much was found."""
    from litellm_sync import reconcile  # noqa: PLC0415 -- as above
    from litellm_sync.models import RunStatus, SyncRun  # noqa: PLC0415 -- as above
    from litellm_sync.runs import Run  # noqa: PLC0415 -- as above

    found = 0
    for follow in (False, True):
        run = SyncRun.objects.create(kind="reconcile", status=RunStatus.RUNNING)
        stage.litellm_calls()
        if follow:
            tracemalloc.start()
        began, worked = time.monotonic(), time.process_time()
        report: dict[str, Any] = reconcile.reconcile(Run(run))
        own, seconds = time.process_time() - worked, time.monotonic() - began
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        SyncRun.objects.filter(pk=run.pk).update(status=RunStatus.DONE)
        found += sum(report[kind] for kind in ("alive", "missing", "different", "unknown"))
        calls = sum(stage.litellm_calls().values())
        memory = f", at most {peak / 1e6:.1f} MB of Python's memory at once (followed, so slower)" if follow else ""
        say(
            f"{number:,} keys, {OWNERS} people: "
            f"{report['compared']:,} compared in {seconds:.1f} s, {own:.1f} s of it our own work, {calls} calls{memory}"
        )
    return found


def _revoke(stage: Stage) -> int:
    """From the wish to a model call that is refused, one key after the other. Returns how many were not."""
    from apikeys.endings import revoke_api_key  # noqa: PLC0415 -- as above
    from apikeys.models import ApiKey  # noqa: PLC0415 -- as above
    from apikeys.services import create_api_key  # noqa: PLC0415 -- as above

    url = f"{stage.supervisor.environment['LITELLM_API_URL']}/chat/completions"
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    taken, milliseconds = 0, []
    session = requests.Session()
    for key in ApiKey.objects.select_related("user")[:REVOCATIONS]:
        revoke_api_key(key.user, key_id=key.pk)
        issued = create_api_key(key.user, name="to be revoked", models=[MODEL])
        bearer = {"Authorization": f"Bearer {issued.secret}"}
        works = session.post(url, json=body, headers=bearer, timeout=10).status_code == HTTPStatus.OK
        began = time.monotonic()
        revoke_api_key(key.user, key_id=issued.key.pk)
        refused = session.post(url, json=body, headers=bearer, timeout=10).status_code == HTTPStatus.UNAUTHORIZED
        milliseconds.append((time.monotonic() - began) * 1000)
        taken += not (works and refused)
    cuts = quantiles(milliseconds, n=100)
    say(
        f"{REVOCATIONS} keys revoked: refused after {cuts[49]:.0f} ms (p50), {cuts[98]:.0f} ms (p99), "
        "the refused call included"
    )
    return taken


if __name__ == "__main__":
    sys.exit(main())
