"""How many rows a sub-batch has to fetch: those that no cache holds, each once.

Letters: m candidates of a sub-batch, T tables.
"""

from abc import abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Value
from recfunnel.hardware.memory.checks import check


class RowDemand:
    """Role: tells what one stage's sub-batches fetch, as means."""

    __slots__ = ()

    @abstractmethod
    def fetched(self, num_items: ArrayLike, held_rows: ArrayLike) -> DoubleArray:
        """Rows that are not in the static cache, each once a sub-batch.

        Args:
            num_items: m.
            held_rows: rows that the static cache holds.

        Returns:
            Of the shape both broadcast to; at most m T.
        """

    @abstractmethod
    def from_ssd(self, num_items: ArrayLike) -> DoubleArray:
        """Of those, how many lie on the SSD."""


class RowRates(Value, RowDemand, frozen=True):
    """Constant rates, whatever the cache and the sub-batch.

    Args:
        num_tables: T.
        hit_rate: share of the different rows that the static cache holds, 0 to 1.
        different: different rows of a sub-batch for each of its lookups, above 0 to 1.
        ssd_share: of the rows fetched, how many lie on the SSD.
    """

    num_tables: int
    hit_rate: float = 0.0
    different: float = 1.0
    ssd_share: float = 0.0

    def __post_init__(self) -> None:
        check("hit rate", self.hit_rate, (0.0, 1.0, ""))
        check("share of different rows", self.different, (1e-9, 1.0, ""))
        check("share of rows on the SSD", self.ssd_share, (0.0, 1.0, ""))

    def fetched(self, num_items: ArrayLike, held_rows: ArrayLike) -> DoubleArray:
        """Lookups times what is different of them times what misses."""
        share = self.num_tables * self.different * (1 - self.hit_rate)
        return np.asarray(np.multiply(num_items, share) + np.multiply(held_rows, 0.0))

    def from_ssd(self, num_items: ArrayLike) -> DoubleArray:
        """A share of what is fetched."""
        return np.asarray(self.fetched(num_items, 0) * self.ssd_share)
