"""Rows of users and items by the keys that clients know."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.serve.wire import Key

UNKNOWN = -1
"""Row of a key that is not there."""


class Keys:
    """Looks rows up; keys may stay mapped from a file.

    Args:
        what: `user` or `item`, for messages.
        keys: (N,) integers or text, each once; None where rows are only numbered, from 0.
        num_rows: N.
    """

    def __init__(self, what: str, keys: NDArray[Any] | None, num_rows: int) -> None:
        self.what, self._keys, self._num_rows = what, keys, num_rows
        self.is_text = keys is not None and keys.dtype.kind == "U"
        self._order: IntArray | None = None
        self._sorted: NDArray[Any] | None = None
        if keys is not None and not _rises(keys):
            self._order = np.argsort(keys, kind="stable")
            self._sorted = keys[self._order]

    def __len__(self) -> int:
        return self._num_rows

    def row(self, key: Key) -> int:
        """Row of a key; `UNKNOWN` where there is none.

        Raises:
            InvalidInput: the key is text where keys are numbers, or the other way round.
        """
        return int(self.rows([key])[0])

    def rows(self, keys: Sequence[Key]) -> IntArray:
        """Int64 (n,), row of each key; `UNKNOWN` where there is none.

        Raises:
            InvalidInput: a key is text where keys are numbers, or the other way round.
        """
        if not keys:
            return np.zeros(0, np.int64)
        asked = self._array(keys)
        if self._keys is None:
            inside = (asked >= 0) & (asked < self._num_rows)
            return np.where(inside, asked, UNKNOWN)
        known = self._keys if self._sorted is None else self._sorted
        places = np.minimum(np.searchsorted(known, asked), self._num_rows - 1)
        rows = places if self._order is None else self._order[places]
        return np.where(known[places] == asked, rows, UNKNOWN)

    def of_rows(self, rows: IntArray) -> list[Key]:
        """Keys of rows, as plain numbers or text."""
        found: list[Key] = (rows if self._keys is None else self._keys[rows]).tolist()
        return found

    def _array(self, keys: Sequence[Key]) -> NDArray[Any]:
        wanted: type = str if self.is_text else int
        if set(map(type, keys)) != {wanted}:
            wrong = next(key for key in keys if type(key) is not wanted)
            raise InvalidInput(
                f"{self.what} {wrong!r} is {'text' if isinstance(wrong, str) else 'a number'}, "
                f"{self.what}s of this plan are called by {'text' if self.is_text else 'numbers'}"
            )
        try:
            return np.array(keys, np.str_ if self.is_text else np.int64)
        except OverflowError as error:
            raise InvalidInput(f"a key of the {self.what}s is beyond 64 bits") from error


def _rises(keys: NDArray[Any]) -> bool:
    return bool((keys[1:] > keys[:-1]).all())
