"""The only place that holds what the emulated proxy knows: its rows, its counters and the lock in front of them."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from litellm_sync.emulator.storage import Storage
from litellm_sync.emulator.tables import Row, Table
from litellm_sync.emulator.versions import Version

ADMIN_ID = "default_user_id"
"""The user whom LiteLLM takes for the owner of the master key."""


class State:
    """Everything that a restart with the same folder keeps, and the counters that it does not."""

    def __init__(self, version: Version, catalogue: list[Row], folder: Path | None, spend_delay: float) -> None:
        self.version = version
        self.lock = threading.RLock()
        self.users = Table("user", {"user_email": lambda row: (row["user_email"] or "").lower()})
        self.teams = Table("team")
        self.keys = Table("key", {name: _field(name) for name in ("user_id", "team_id", "key_alias")})
        self.deleted_keys = Table("deleted_key")
        self.access_groups = Table("access_group")
        self.memberships = Table("membership", {name: _field(name) for name in ("user_id", "team_id")})
        self.models = Table("model", {"model_name": _field("model_name")})
        self.logs = Table("log", {name: _field(name) for name in ("api_key", "user")})
        self.activity = Table("activity", {"date": _field("date")})
        self.used_keys: set[str] = set()
        self.lingering_keys: dict[str, tuple[float, Row]] = {}
        self.late_blocks: dict[str, tuple[float, bool]] = {}
        self.windows: dict[tuple[str, str], list[float]] = {}
        self._catalogue = catalogue
        self._spend_delay = spend_delay
        self._pending: deque[tuple[float, Callable[[], None]]] = deque()
        self._unsettled: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._storage = Storage(folder, self.tables(), self.lock) if folder else None
        if self._storage:
            self._storage.start()
        self._add_catalogue()

    def tables(self) -> Iterator[Table]:
        """Yield every table, for storage and reset."""
        yield from (self.users, self.teams, self.keys, self.deleted_keys, self.access_groups)
        yield from (self.memberships, self.models, self.logs, self.activity)

    def reset(self) -> None:
        """Forget everything but the models of the configuration."""
        with self.lock:
            for table in self.tables():
                table.clear()
            for memory in (self.windows, self.used_keys, self.lingering_keys, self.late_blocks):
                memory.clear()
            self._pending.clear()
            self._unsettled.clear()
            self._add_catalogue()

    def close(self) -> None:
        """Book what is still on its way and write everything to disk."""
        with self.lock:
            self._settle(float("inf"))
        if self._storage:
            self._storage.close()

    def spent(self, table: Table, key: str) -> float:
        """Return what a row has spent, including what its figure does not show yet."""
        row = table.get(key)
        shown: float = row["spend"] if row else 0.0
        return shown + self._unsettled.get((table.name, key), 0.0)

    def book(self, spender: dict[str, tuple[Table, str]], cost: float, show: Callable[[], None]) -> None:
        """Charge a cost to rows at once, and let figures and activity follow after the spend delay."""

        def settle() -> None:
            for table, key in spender.values():
                self._unsettled[table.name, key] -= cost
                add_spend(table, key, cost)
            show()

        for table, key in spender.values():
            self._unsettled[table.name, key] += cost
        self._pending.append((time.monotonic() + self._spend_delay, settle))
        self.settle()

    def settle(self) -> None:
        """Show what is due; every request begins with it."""
        if self._pending:
            self._settle(time.monotonic())

    def _settle(self, until: float) -> None:
        while self._pending and self._pending[0][0] <= until:
            self._pending.popleft()[1]()

    def _add_catalogue(self) -> None:
        for model in self._catalogue:
            self.models.put(model["model_info"]["id"], model)


def add_spend(table: Table, key: str, cost: float) -> None:
    """Add a cost to a row that may be gone meanwhile."""
    row = table.get(key)
    if row is not None:
        spent = {"spend": row["spend"] + cost}
        if "total_spend" in row:
            spent["total_spend"] = row["total_spend"] + cost
        table.update(key, spent)


def _field(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]
