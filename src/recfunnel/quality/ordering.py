"""The order in which a model ranks the columns of each query.

Letters: J judged queries, C columns.
"""

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import FloatArray
from recfunnel.quality.judged import JudgedQueries
from recfunnel.quality.kernels import Ranks, invert, rank_type
from recfunnel.quality.threads import RowThreads

_QUERIES_A_SORT = 128
HIGH_HALF = np.uint64(0xFFFFFFFF00000000)
LOW_HALF = np.uint64(0x00000000FFFFFFFF)


def order_columns(judged: JudgedQueries, scores: FloatArray, threads: RowThreads) -> Ranks:
    """Each query's columns from best to worst: higher score first, then lower column.

    Args:
        judged: J queries.
        scores: float32 (Q, C), finite.
        threads: who sorts.

    Returns:
        (J, C); the excluded columns come last.
    """
    order = np.empty((len(judged), judged.num_columns), rank_type(judged.num_columns))

    def sort_rows(start: int, stop: int) -> None:
        for first in range(start, stop, _QUERIES_A_SORT):
            rows = np.arange(first, min(first + _QUERIES_A_SORT, stop))
            keys = sort_keys(scores[judged.queries[rows]])
            excluded = judged.excluded.take(rows)
            # No finite score has this high half, so nothing allowed comes after.
            keys[excluded.row_ids(), excluded.values] |= HIGH_HALF
            keys.sort(axis=1)
            order[rows] = keys & LOW_HALF

    threads.run(sort_rows, len(judged))
    return order


def places_of(order: Ranks, threads: RowThreads) -> Ranks:
    """(J, C), the place (0 is best) of each column in lists of columns (J, C)."""
    places = np.empty_like(order)
    threads.run(lambda start, stop: invert(order, start, stop, places), order.shape[0])
    return places


def sort_keys(scores: FloatArray) -> NDArray[np.uint64]:
    """Whole numbers that sort as the columns rank; sorting them is ten times a stable argsort.

    The high half falls as the score rises (the usual map of IEEE bits to an ordered integer,
    inverted), the low half is the column.

    Args:
        scores: float32 (N, C), finite; -0 equals 0.

    Returns:
        (N, C).
    """
    bits = (scores + np.float32(0)).view(np.uint32)
    falling = np.where(bits >> 31 == 1, bits, ~(bits | np.uint32(0x80000000)))
    columns = np.arange(scores.shape[1], dtype=np.uint64)
    keys: NDArray[np.uint64] = (falling.astype(np.uint64) << np.uint64(32)) | columns
    return keys
