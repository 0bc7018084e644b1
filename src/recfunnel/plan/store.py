"""Estimates that outlive a plan, so that another target re-uses what it can.

Quality depends on the scores only; capacity on profiles, queries and service level, not on the
load; a tail on the load too. Each is stored under the content it depends on.
"""

from pathlib import Path

from recfunnel.core.errors import StorageError
from recfunnel.core.results import Estimate
from recfunnel.core.storage import read_json, write_json

Row = tuple[float, float, int]


class EstimateStore:
    """Estimates by name, in one file for each content they depend on.

    Args:
        folder: where files lie; None keeps everything in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._tables: dict[str, dict[str, Row]] = {}
        self._changed: set[str] = set()

    def get(self, table: str, name: str) -> Estimate | None:
        """What was stored, or None.

        Raises:
            StorageError: the file is damaged.
        """
        row = self._table(table).get(name)
        return None if row is None else Estimate(mean=row[0], stderr=row[1], num_samples=row[2])

    def put(self, table: str, name: str, estimate: Estimate) -> None:
        """Keep one; `save` makes it last."""
        self._table(table)[name] = (estimate.mean, estimate.stderr, estimate.num_samples)
        self._changed.add(table)

    def save(self) -> None:
        """Write the tables that changed, each whole or not at all.

        Raises:
            StorageError: no space, no permission.
        """
        if self._folder is not None:
            for table in sorted(self._changed):
                write_json(self._folder / f"{table}.json", self._tables[table])
        self._changed.clear()

    def _table(self, table: str) -> dict[str, Row]:
        if table not in self._tables:
            self._tables[table] = self._read(table)
        return self._tables[table]

    def _read(self, table: str) -> dict[str, Row]:
        file = None if self._folder is None else self._folder / f"{table}.json"
        if file is None or not file.exists():
            return {}
        try:
            return read_json(file, dict[str, Row])
        except StorageError as error:
            raise StorageError(f"{error}; delete {file.name} and plan again") from error
