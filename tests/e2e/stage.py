"""The only place that sets the stage for a browser: a running product full of life, and bad weather on request."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import requests

from litellm_sync.emulator.server import Emulator
from tests.cast import MASTER_KEY
from tests.e2e.conftest import ROOT, Product, running_product, wait_for

MODELS: Final = Path(__file__).with_name("models.json")
NOT_SHOWN: Final = ("always-fails", "always-rate-limited")
GONE: Final = "gemma-3-27b"
# Whose sessions the pages need, so that nobody signs in hundreds of times.
ANONYMOUS: Final = ""


@dataclass
class Stage:
    """The product, what the scene made, and the emulator behind."""

    product: Product
    emulator: Emulator
    keys: dict[str, str]
    subscriptions: dict[str, str]
    rows: dict[str, str]

    @property
    def url(self) -> str:
        """Where the pages are."""
        return self.product.url

    def path(self, template: str) -> str:
        """An address with the ids of the scene: ``{key[alice]}``, ``{subscription[gpt-4o]}``."""
        return template.format(key=self.keys, subscription=self.subscriptions, row=self.rows)

    @contextmanager
    def litellm_away(self) -> Iterator[None]:
        """LiteLLM answers nobody, and the product has noticed."""
        self.emulator.faults.add("down")
        try:
            self._wait_for_outage(began=True)
            yield
        finally:
            self.emulator.faults.clear()
            self._wait_for_outage(began=False)

    def _wait_for_outage(self, *, began: bool) -> None:
        with psycopg.connect(self.product.database_url, autocommit=True) as database:

            def noticed() -> bool:
                row = database.execute("SELECT down_since FROM litellm_sync_upstream").fetchone()
                return (row is not None and row[0] is not None) is began

            wait_for(noticed, what="the outage to be noticed")

    @contextmanager
    def database_away(self) -> Iterator[None]:
        """PostgreSQL refuses the product. Its worker gives up over that, and is there again afterwards."""
        name = self.product.database_url.rpartition("/")[2].partition("?")[0]
        elsewhere = self.product.database_url.replace(f"/{name}", "/postgres")
        with psycopg.connect(elsewhere, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            try:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                yield
            finally:
                admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        self.product.worker.start_again()
        wait_for(lambda: requests.get(f"{self.url}/healthz/ready", timeout=30).ok, what="readiness")

    @contextmanager
    def table_lost(self, table: str) -> Iterator[None]:
        """A table is missing, which is a fault of ours: whoever asks it gets a 500."""
        with psycopg.connect(self.product.database_url, autocommit=True) as database:
            database.execute(f"ALTER TABLE {table} RENAME TO {table}_lost")
            try:
                yield
            finally:
                database.execute(f"ALTER TABLE {table}_lost RENAME TO {table}")


@contextmanager
def set_stage(log: Path, **settings: str) -> Iterator[Stage]:
    """Everything from nothing, in about fifteen seconds; it ends with the block."""
    made: dict[str, Any] = {}
    with Emulator(master_key=MASTER_KEY, state=None, config=MODELS) as emulator:
        for name in NOT_SHOWN:
            emulator.state.models.remove(f"model-{name}")

        def scene(env: dict[str, str]) -> None:
            made.update(_make_scene(env))
            emulator.state.models.remove(f"model-{GONE}")

        # Pages are looked at for minutes; figures that change meanwhile would only make pictures differ.
        settings = {"USAGE_SYNC_SECONDS": "5"} | settings
        with running_product(emulator.url, MASTER_KEY, log, prepare=scene, settings=settings) as product:
            stage = Stage(product, emulator, made["keys"], made["subscriptions"], made["rows"])
            _wait_until_settled(stage)
            _break_keys(stage)
            _refuse_again(stage)
            yield stage


def _make_scene(env: dict[str, str]) -> dict[str, Any]:
    code = "import json; from tests.e2e import scene; print(json.dumps(scene.main()))"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    quiet = env | {"LOG_LEVEL": "ERROR"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _wait_until_settled(stage: Stage) -> None:
    """People and memberships are pushed, the catalogue is the emulator's."""
    started = time.monotonic()
    with psycopg.connect(stage.product.database_url, autocommit=True) as database:

        def waiting() -> int:
            counts = "SELECT count(*) FROM {} WHERE sync_status = 'pending'"
            tables = ("accounts_user", "teams_membership", "teams_team")
            return sum((database.execute(counts.format(table)).fetchone() or (0,))[0] for table in tables)

        wait_for(lambda: waiting() == 0, seconds=120, what=f"agreement with LiteLLM since {started}")
        gone = "SELECT 1 FROM subscriptions_model WHERE id = %s AND availability = 'unavailable'"
        wait_for(lambda: database.execute(gone, [GONE]).fetchone(), seconds=120, what="the first sync of models")


def _refuse_again(stage: Stage) -> None:
    """A success after a refusal to hide models leaves nothing to confirm: the refusal is newer than all."""
    newest = "UPDATE litellm_sync_syncrun SET created_at = now() + interval '1 hour' WHERE report->>'code' = %s"
    with psycopg.connect(stage.product.database_url, autocommit=True) as database:
        database.execute(newest, ["mass_disappearance"])


def _break_keys(stage: Stage) -> None:
    """One key that LiteLLM refuses and one that waits for it: after the workers have pushed what there was."""
    secrets = "UPDATE apikeys_apikeysecret SET sync_status = {}, sync_error = {}, {} WHERE key_id = %s"
    with psycopg.connect(stage.product.database_url, autocommit=True) as database:
        refused = secrets.format("'failed'", "'needs_rotation'", "sync_next_at = NULL")
        database.execute(refused, [stage.keys["failed"]])
        # Somebody holds it for long, so that no worker takes it up while it is looked at.
        held = "push_lease_until = now() + interval '30 days', sync_next_at = now() + interval '30 days'"
        database.execute(secrets.format("'pending'", "'timeout'", held), [stage.keys["pending"]])
