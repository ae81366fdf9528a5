"""The only place that writes the emulator's rows to disk.

A thread writes what changed every few milliseconds, so that answers never wait for the disk and a killed process loses
at most its last moment.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from litellm_sync.emulator.tables import Table

_FLUSH_SECONDS = 0.05
_SCHEMA = "CREATE TABLE IF NOT EXISTS rows (kind TEXT, id TEXT, data TEXT, PRIMARY KEY (kind, id))"

# Keeps the row's place, so that a restart finds the rows in the order in which they were made.
_UPSERT = "INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data"


class Storage:
    """A SQLite file that follows the tables."""

    def __init__(self, folder: Path, tables: Iterable[Table], lock: threading.RLock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._tables = list(tables)
        self._lock = lock
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._database = sqlite3.connect(folder / "emulator.sqlite3", check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        # Enough to survive a killed process; only a crash of the whole machine could lose more.
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(_SCHEMA)
        self._thread = threading.Thread(target=self._follow, name="emulator-storage", daemon=True)

    def start(self) -> None:
        """Load what an earlier run left, then follow the tables."""
        for table in self._tables:
            found = self._database.execute("SELECT id, data FROM rows WHERE kind = ? ORDER BY rowid", (table.name,))
            table.load({key: json.loads(data) for key, data in found})
        self._thread.start()

    def flush(self) -> None:
        """Write everything that changed since the last time."""
        with self._writing:
            with self._lock:
                batch = [change for table in self._tables for change in _changes(table)]
            if not batch:
                return
            with self._database:
                gone = [(kind, key) for kind, key, data in batch if data is None]
                self._database.executemany("DELETE FROM rows WHERE kind = ? AND id = ?", gone)
                kept = [change for change in batch if change[2] is not None]
                self._database.executemany(_UPSERT, kept)

    def close(self) -> None:
        """Write the rest and let go of the file."""
        self._stopping.set()
        self._thread.join()
        self.flush()
        self._database.close()

    def _follow(self) -> None:
        wait: Callable[[float], bool] = self._stopping.wait
        while not wait(_FLUSH_SECONDS):
            self.flush()


def _changes(table: Table) -> list[tuple[str, str, str | None]]:
    changed, table.changed = table.changed, {}
    return [(table.name, key, json.dumps(table.rows[key]) if key in table else None) for key in changed]
