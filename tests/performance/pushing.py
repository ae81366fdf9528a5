"""How quickly people and keys come into LiteLLM, beside the same calls made bare; and what one waits for a key.

``python -m tests.performance.pushing --people 5000 --keys 20000`` brings PostgreSQL and the emulator (5 ms an answer)
itself.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import quantiles
from typing import Any, Final
from uuid import uuid4

import django
import requests

from tests.performance.stage import MASTER_KEY, Stage, open_stage

BARE: Final = 300
WISHES: Final = 100
HANGING: Final = 3
HANGS_SECONDS: Final = 30
CHUNK: Final = 1000
MODEL: Final = "gpt-4o"


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, flush=True)  # noqa: T201 -- a command's output


def main() -> int:
    """Measure; 1 where something was left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance.pushing", description=__doc__)
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--keys", type=int, default=20_000)
    asked = parser.parse_args()
    with open_stage(say) as stage:
        os.environ.update(stage.supervisor.environment | {"LOG_LEVEL": "CRITICAL"})
        django.setup()
        from django.core.management import call_command  # noqa: PLC0415 -- needs the settings

        call_command("migrate", "--no-input", verbosity=0)
        _load(asked.people, asked.keys)
        bare = _bare(stage)
        left = _push(stage, "users", asked.people, bare["users"]) + _push(stage, "keys", asked.keys, bare["keys"])
        _wishes(stage)
        return int(left > 0)


def _load(people: int, keys: int) -> None:
    """Rows as the verbs leave them, waiting for LiteLLM."""
    from django.db import connection  # noqa: PLC0415 -- models can be imported from here on only

    from accounts.models import User  # noqa: PLC0415 -- as above
    from apikeys.models import ApiKey, ApiKeySecret, KeyModel  # noqa: PLC0415 -- as above
    from litemaas.foundation.crypto import new_api_key_secret, secret_digest  # noqa: PLC0415 -- as above
    from subscriptions.models import Model, Subscription  # noqa: PLC0415 -- as above
    from teams.models import DEFAULT_TEAM_ID, Membership  # noqa: PLC0415 -- as above
    from teams.services import ensure_default_team  # noqa: PLC0415 -- as above

    ensure_default_team()
    Model.objects.create(id=MODEL, provider="openai", mode="chat")
    users = User.objects.bulk_create([User(username=f"u{n}") for n in range(people)], batch_size=CHUNK)
    Membership.objects.bulk_create([Membership(user=user, team_id=DEFAULT_TEAM_ID) for user in users], batch_size=CHUNK)
    Subscription.objects.bulk_create(
        [Subscription(user=user, model_id=MODEL, status="active") for user in users], batch_size=CHUNK
    )
    made = [ApiKey(user=users[n % people], team_id=DEFAULT_TEAM_ID, name=f"k{n}") for n in range(keys)]
    ApiKey.objects.bulk_create(made, batch_size=CHUNK)
    KeyModel.objects.bulk_create([KeyModel(key=key, model_id=MODEL) for key in made], batch_size=CHUNK)
    plain = ((key, new_api_key_secret()) for key in made)
    secrets = [ApiKeySecret(key=k, digest=secret_digest(s), last4=s[-4:], pending_secret=s) for k, s in plain]
    ApiKeySecret.objects.bulk_create(secrets, batch_size=CHUNK)
    with connection.cursor() as cursor:  # what autovacuum does within a minute; without it the tables pass for empty
        cursor.execute("ANALYZE")


# --- Whole tables ----------------------------------------------------------------------------------------------------


def _push(stage: Stage, what: str, number: int, bare: float) -> int:
    """One run of the integration centre. Returns how many rows did not come to their end."""
    from litellm_sync import integration  # noqa: PLC0415 -- as above
    from litellm_sync.models import SyncRun  # noqa: PLC0415 -- as above

    run = integration.request_sync(None, what=what)
    stage.litellm_calls()
    began = time.monotonic()
    integration.perform(str(run.pk))
    seconds, calls = time.monotonic() - began, sum(stage.litellm_calls().values())
    run = SyncRun.objects.get(pk=run.pk)
    rate = number / seconds
    say(
        f"{number:,} {what} in {seconds:.0f} s: {rate:.0f} a second, {calls / number:.1f} calls each, {run.status}; "
        f"bare and one after the other {bare:.0f} a second ({rate / bare:.2f}x)"
    )
    return int(run.report.get("failed", 1)) + int(run.report.get("waiting", 1))


def _bare(stage: Stage) -> dict[str, float]:
    """Objects a second by one loop that looks, creates and looks again, as a push does, and does nothing else."""
    url = stage.supervisor.environment["LITELLM_API_URL"]
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {MASTER_KEY}"

    def person() -> None:
        number = str(uuid4())
        session.get(f"{url}/user/info", params={"user_id": number}, timeout=10)
        session.post(f"{url}/user/new", json={"user_id": number, "auto_create_key": False}, timeout=10)
        session.get(f"{url}/user/info", params={"user_id": number}, timeout=10)

    def key() -> None:
        secret = f"sk-bare-{uuid4().hex}"
        session.get(f"{url}/key/info", params={"key": secret}, timeout=10)
        session.post(f"{url}/key/generate", json={"key": secret, "models": [MODEL]}, timeout=10)
        session.get(f"{url}/key/info", params={"key": secret}, timeout=10)

    return {"users": _rate(person), "keys": _rate(key)}


def _rate(make: Callable[[], None]) -> float:
    began = time.monotonic()
    for _number in range(BARE):
        make()
    return BARE / (time.monotonic() - began)


# --- One wish --------------------------------------------------------------------------------------------------------


def _wishes(stage: Stage) -> None:
    """What somebody waits for a new key, for another secret of it, and for a key while LiteLLM hangs."""
    from accounts.models import User  # noqa: PLC0415 -- as above
    from apikeys.rotation import rotate_api_key  # noqa: PLC0415 -- as above
    from apikeys.services import IssuedKey, create_api_key  # noqa: PLC0415 -- as above

    people = list(User.objects.order_by("pk")[:WISHES])
    issued: list[IssuedKey] = []

    def create(who: User) -> None:
        issued.append(create_api_key(who, name="notebook", models=[MODEL]))

    def rotate(one: IssuedKey) -> None:
        rotate_api_key(one.key.user, key_id=one.key.pk)

    _tell("a new key", _timed(create, people))
    _tell("another secret", _timed(rotate, list(issued)))
    faults = f"{stage.supervisor.environment['LITELLM_API_URL']}/emulator/faults"
    requests.post(faults, json={"mode": "slow", "seconds": HANGS_SECONDS}, timeout=10).raise_for_status()
    waited = _timed(create, people[:HANGING])
    requests.delete(faults, timeout=10).raise_for_status()
    say(f"a new key while LiteLLM hangs for {HANGS_SECONDS} s: {', '.join(f'{one / 1000:.1f} s' for one in waited)}")


def _timed(wish: Callable[[Any], None], of: list[Any]) -> list[float]:
    """Milliseconds of each wish."""
    milliseconds = []
    for one in of:
        began = time.monotonic()
        wish(one)
        milliseconds.append((time.monotonic() - began) * 1000)
    return milliseconds


def _tell(name: str, milliseconds: list[float]) -> None:
    cuts = quantiles(milliseconds, n=100)
    rate = 1000 * len(milliseconds) / sum(milliseconds)
    say(f"{name}, one after the other: {rate:.0f} a second, {cuts[49]:.0f} ms (p50), {cuts[98]:.0f} ms (p99)")


if __name__ == "__main__":
    sys.exit(main())
