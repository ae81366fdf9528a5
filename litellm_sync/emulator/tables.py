"""The only place where rows are kept in memory: tables with indexes that remember what changed, in its order."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Row = dict[str, Any]
Indexer = Callable[[Row], Any]


class Table:
    """Rows by id. Change a row only through :meth:`update`, or indexes and storage miss it."""

    def __init__(self, name: str, indexes: Mapping[str, Indexer] | None = None) -> None:
        self.name = name
        self.rows: dict[str, Row] = {}
        self.changed: dict[str, None] = {}
        self._indexers = dict(indexes or {})
        self._indexes: dict[str, dict[Any, dict[str, None]]] = {field: {} for field in self._indexers}

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, key: object) -> bool:
        return key in self.rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def get(self, key: object) -> Row | None:
        """Return the row with this id, or None."""
        return self.rows.get(key) if isinstance(key, str) else None

    def put(self, key: str, row: Row) -> Row:
        """Store a new row, or another one in place of the old."""
        self._unlink(key)
        self.rows[key] = row
        for field, indexer in self._indexers.items():
            self._indexes[field].setdefault(indexer(row), {})[key] = None
        self.changed[key] = None
        return row

    def update(self, key: str, changes: Mapping[str, Any]) -> Row:
        """Change some fields of a row and return the row."""
        row = self.rows[key]
        if not self._indexers.keys() & changes.keys():
            row.update(changes)
            self.changed[key] = None
            return row
        return self.put(key, {**row, **changes})

    def remove(self, key: str) -> Row:
        """Forget a row and return it."""
        self._unlink(key)
        self.changed[key] = None
        return self.rows.pop(key)

    def where(self, field: str, value: object) -> list[Row]:
        """Return the rows whose indexed field has this value, oldest first."""
        return [self.rows[key] for key in self._indexes[field].get(value, ())]

    def values_of(self, field: str) -> list[Any]:
        """Return the values that an indexed field has."""
        return list(self._indexes[field])

    def clear(self) -> None:
        """Forget every row."""
        self.changed.update(dict.fromkeys(self.rows))
        self.rows.clear()
        for index in self._indexes.values():
            index.clear()

    def load(self, rows: Mapping[str, Row]) -> None:
        """Take over rows that storage already has."""
        for key, row in rows.items():
            self.put(key, row)
        self.changed.clear()

    def _unlink(self, key: str) -> None:
        row = self.rows.get(key)
        if row is None:
            return
        for field, indexer in self._indexers.items():
            value = indexer(row)
            index = self._indexes[field]
            index[value].pop(key, None)
            if not index[value]:
                del index[value]
