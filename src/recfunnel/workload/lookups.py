"""Which rows of a table are looked up: a few often, most hardly ever, and not always the same.

Row ids are drawn by their popularity rank, one independent of the other: the row of rank r, from
1, has weight (r + shift) to the power of minus the exponent, which is Zipf's law, and Mandelbrot's
where there is a shift. Real traces repeat themselves more than that, and what is popular changes;
the second is modelled here, since it decides whether rows chosen yesterday serve today.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value

Ids = NDArray[np.uint32]

_AT_ONCE = 2**20
"""Random numbers drawn at once."""


class ZipfLookups(Value, frozen=True):
    """Lookups whose popularity follows Zipf's law.

    Args:
        num_rows: R, of the table, 1 to 2^32 - 1.
        exponent: at least 0; 0 makes all rows equal, catalogues are about 0.8 to 1.1.
        shift: at least 0; flattens the head, so that the best rows differ less.
        churn: share of rows that exchange their ranks at each change, 0 (never) to 1 (all).
        period: lookups between two changes, at least 1.
    """

    num_rows: int
    exponent: float = 0.9
    shift: float = 0.0
    churn: float = 0.0
    period: int = 1_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.num_rows < 2**32:
            raise StudyError(f"num_rows is {self.num_rows}, must be 1 to {2**32 - 1}")
        if not 0 <= self.exponent < np.inf:
            raise StudyError(f"the Zipf exponent is {self.exponent}, must be at least 0")
        if not 0 <= self.shift < np.inf:
            raise StudyError(f"the shift of ranks is {self.shift}, must be at least 0")
        if not 0 <= self.churn <= 1:
            raise StudyError(f"churn is {self.churn}, must be 0 to 1")
        if self.period < 1:
            raise StudyError(f"period is {self.period} lookups, must be at least 1")

    def ids(self, num_lookups: int, rng: np.random.Generator) -> Ids:
        """Draw lookups.

        Args:
            num_lookups: L.
            rng: two draws of the same generator state are the same.

        Returns:
            (L,), 0 to R - 1; while nothing has changed, id i has rank i + 1.
        """
        cumulative = _cumulative(self.num_rows, self.exponent, self.shift)
        guide = _guide(cumulative)
        ids = np.empty(num_lookups, np.uint32)
        row_of_rank = np.arange(self.num_rows, dtype=np.uint32)
        period = self.period if self.churn else max(1, num_lookups)
        for start in range(0, num_lookups, period):
            if start:
                self._change(row_of_rank, rng)
            for part in np.split(ids[start : start + period], range(_AT_ONCE, period, _AT_ONCE)):
                _invert(rng.random(part.size), cumulative, guide, part)
                if self.churn:
                    part[:] = row_of_rank[part]
        return ids

    def _change(self, row_of_rank: Ids, rng: np.random.Generator) -> None:
        """Let some rows exchange their ranks."""
        ranks = rng.choice(self.num_rows, round(self.churn * self.num_rows), replace=False)
        row_of_rank[ranks] = row_of_rank[rng.permutation(ranks)]


def _cumulative(num_rows: int, exponent: float, shift: float) -> DoubleArray:
    """(R,), probability of this rank or a better one; the last is 1."""
    ranks = np.arange(1, num_rows + 1, dtype=np.float64)
    total: DoubleArray = np.cumsum((ranks + shift) ** -exponent)
    total /= total[-1]
    return total


def _guide(cumulative: DoubleArray) -> Ids:
    """For each of R equal parts of 0 to 1, the first row a number in it can mean."""
    num_rows = cumulative.size
    edges = np.arange(num_rows, dtype=np.float64) / num_rows
    return np.searchsorted(cumulative, edges, side="right").astype(np.uint32)


@njit(nogil=True, cache=True)
def _invert(uniform: DoubleArray, cumulative: DoubleArray, guide: Ids, ids: Ids) -> None:
    """Write the first row whose cumulative probability is above each number.

    The guide says where to begin, so that a step takes no time that grows with R (Chen and Asau
    1974).
    """
    last = cumulative.size - 1
    for i in range(uniform.size):
        u = uniform[i]
        part = min(int(u * guide.size), last)
        row = np.int64(guide[part])
        # u * R rounds up to the next part now and then
        while row > 0 and cumulative[row - 1] > u:
            row -= 1
        while row < last and cumulative[row] <= u:
            row += 1
        ids[i] = row
