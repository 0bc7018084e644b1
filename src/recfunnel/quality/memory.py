"""A cache that holds no more than a stated number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

from recfunnel.core.errors import InvalidInput


class BoundedCache:
    """Arrays by key; the least recently used leave first. For one thread at a time.

    Args:
        limit_bytes: never exceeded; an array larger than that is built anew at each request.

    Raises:
        InvalidInput: a negative limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise InvalidInput(f"the cache may hold {limit_bytes} bytes; give 0 or more")
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()

    def get(self, key: Hashable, build: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The array under `key`, built when it is not held."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key]
        array = build()
        if array.nbytes <= self.limit_bytes:
            self._make_room(array.nbytes)
            self._arrays[key] = array
            self.held_bytes += array.nbytes
        return array

    def __contains__(self, key: Hashable) -> bool:
        return key in self._arrays

    def _make_room(self, num_bytes: int) -> None:
        while self.held_bytes + num_bytes > self.limit_bytes:
            _, oldest = self._arrays.popitem(last=False)
            self.held_bytes -= oldest.nbytes
