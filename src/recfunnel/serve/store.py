"""Where the features of those who ask come from."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recfunnel.core.arrays import IntArray, Ragged
from recfunnel.core.features import Features
from recfunnel.serve.keys import UNKNOWN, Keys
from recfunnel.serve.wire import Key


@dataclass(frozen=True, eq=False, slots=True)
class Context:
    """What is known of one who asks.

    Args:
        features: of 1 row.
        seen: int64, rows of items met before, rising.
    """

    features: Features
    seen: IntArray


class ContextStore(Protocol):
    """Finds contexts by key, somewhere in memory or behind a network."""

    async def find(self, user: Key) -> Context | None:
        """What is known of a user; None where nothing is.

        Raises:
            InvalidInput: a key of the wrong type.
            StorageError: the store cannot be reached.
        """
        ...


class EmbeddedStore:
    """Contexts in this process's memory, or mapped from files.

    Args:
        keys: of U users.
        features: of U rows.
        seen: U rows of item rows, rising.
    """

    def __init__(self, keys: Keys, features: Features, seen: Ragged) -> None:
        self._keys, self._features, self._seen = keys, features, seen

    def __len__(self) -> int:
        return len(self._keys)

    async def find(self, user: Key) -> Context | None:
        """What is known of a user; None where nothing is."""
        row = self._keys.row(user)
        if row == UNKNOWN:
            return None
        return Context(self._features.row(row), np.asarray(self._seen.row(row)))
