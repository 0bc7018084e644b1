"""Rows that a stage fetches where the hottest of its tables are held on chip.

Letters: m candidates of a sub-batch, T tables.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.accel.rows import RowDemand
from recfunnel.hardware.memory.checks import check


class HotRows(Value, RowDemand, frozen=True):
    """Hits by how many rows the static cache holds, on lines over the logarithm of the rows.

    Args:
        num_tables: T, of a candidate.
        curve: (rows held, share of lookups that hit), both rising; none at 0 rows, the last share
            beyond the last point.
        once: tables whose row is the same for all candidates of a query, and so is fetched once a
            sub-batch; 0 to T.
    """

    num_tables: int
    curve: tuple[tuple[float, float], ...]
    once: int = 0

    def __post_init__(self) -> None:
        if not self.curve or self.curve[0][0] < 1:
            raise StudyError("a curve of hits needs a point, the first at 1 row or more")
        for (rows, share), (more, higher) in pairwise(self.curve):
            if not (rows < more and share <= higher):
                raise StudyError(
                    f"a curve of hits must rise; it goes from {share:g} at {rows:g} rows to "
                    f"{higher:g} at {more:g}"
                )
        for _, share in self.curve:
            check("hit rate", share, (0.0, 1.0, ""))
        if not 0 <= self.once <= self.num_tables:
            raise StudyError(f"{self.once} of {self.num_tables} tables have one row a query")

    def hit_share(self, held_rows: ArrayLike) -> DoubleArray:
        """Share of lookups that so many rows answer."""
        held = np.asarray(held_rows, np.float64)
        rows, shares = np.array(self.curve).T
        places = np.concatenate([[0.0], np.log1p(rows)])
        return np.asarray(np.interp(np.log1p(held), places, np.concatenate([[0.0], shares])))

    def fetched(self, num_items: ArrayLike, held_rows: ArrayLike) -> DoubleArray:
        """Rows of each candidate's own that miss, and those all candidates share, once."""
        items = np.asarray(num_items, np.float64)
        missed = items * (self.num_tables - self.once) * (1 - self.hit_share(held_rows))
        return np.asarray(missed + self.once * np.minimum(items, 1.0))

    def from_ssd(self, num_items: ArrayLike) -> DoubleArray:
        """None: the tables lie in DRAM."""
        return np.zeros(np.shape(num_items))
