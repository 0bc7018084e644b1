"""A cache that holds no more than a stated number of bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Protocol

from recfunnel.core.errors import InvalidInput


class Sized(Protocol):
    """Anything that knows how much memory it takes, such as an array."""

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        ...


class BoundedCache:
    """Tables by key; the least recently used leave first. For one thread at a time.

    Args:
        limit_bytes: never exceeded; a table larger than that is not kept at all.

    Raises:
        InvalidInput: a negative limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise InvalidInput(f"the cache may hold {limit_bytes} bytes; give 0 or more")
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._tables: OrderedDict[Hashable, Any] = OrderedDict()

    def find(self, key: Hashable) -> Any | None:
        """The table under `key`, or None when it is not held."""
        if key in self._tables:
            self._tables.move_to_end(key)
        return self._tables.get(key)

    def keep(self, key: Hashable, table: Sized) -> None:
        """Hold a table in place of any older one of that key, as long as there is room."""
        older = self._tables.pop(key, None)
        if older is not None:
            self.held_bytes -= older.nbytes
        if table.nbytes <= self.limit_bytes:
            while self.held_bytes + table.nbytes > self.limit_bytes:
                _, oldest = self._tables.popitem(last=False)
                self.held_bytes -= oldest.nbytes
            self._tables[key] = table
            self.held_bytes += table.nbytes
