"""Compiled inner loops: ranks of relevant columns among the survivors of a funnel.

Letters: J judged queries, C columns, D depth (places of the front stage's list that are looked
at), V relevant columns. A *pair table* (J, D) holds, at place i of the front model's list, the
rank (0 is best) that another model gives the column there among all columns.

Ranks are distinct whole numbers, so ties are settled before and one narrow compare decides. The
largest value of the array's type is no rank: it marks a place that no longer takes part. All
loops release the interpreter lock and work on rows `start:stop`, so threads share the queries.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, IntArray

Ranks = NDArray[Any]
"""uint16 or uint32, as `rank_type` says."""

F = TypeVar("F", bound=Callable[..., Any])

FEW_RELEVANT = 16
"""Up to so many relevant columns a query, ranking them all is cheaper than first finding which
of them reach the list."""


def compiled(function: F) -> F:
    """Compile on first call, without the interpreter lock; the machine code is kept on disk."""
    return cast(F, njit(nogil=True, cache=True)(function))


def rank_type(num_columns: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest type that holds every rank, every count and the mark."""
    return np.uint16 if num_columns < np.iinfo(np.uint16).max else np.uint32


@compiled
def invert(order: Ranks, start: int, stop: int, out: Ranks) -> None:
    """Turn lists of columns (J, C) into the place of each column (J, C)."""
    for query in range(start, stop):
        for place in range(order.shape[1]):
            out[query, order[query, place]] = place


@compiled
def gather_pair(order: Ranks, ranks: Ranks, start: int, stop: int, out: Ranks) -> None:
    """Fill a pair table (J, D): another model's ranks in the order of the front's list."""
    for query in range(start, stop):
        for place in range(out.shape[1]):
            out[query, place] = ranks[query, order[query, place]]


@compiled
def count_below(row: Ranks, bound: Any) -> int:
    """Entries of `row` below `bound`, a number of the same type."""
    total = np.int64(0)
    # Unsigned indices and a 16-bit sum keep the loop in narrow vector lanes, measured 10 times
    # faster than a plain sum. A block of 32768 cannot overflow.
    for first in range(0, row.size, 32768):
        block = row[first : first + 32768]
        part = np.uint16(0)
        for i in range(np.uint64(block.size)):
            part = np.uint16(part + np.uint16(block[i] < bound))
        total += np.int64(part)
    return int(total)


@compiled
def cutoff(row: Ranks, keep: int, num_columns: int) -> int:
    """The largest rank among the best `keep` entries of `row`; C - 1 when there are fewer."""
    bound = np.empty(1, row.dtype)
    low, high = 0, num_columns - 1
    while low < high:
        middle = (low + high) // 2
        bound[0] = middle + 1
        if count_below(row, bound[0]) >= keep:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def living(pair: Ranks, alive: BoolArray, query: int, num: int) -> Ranks:
    """The first `num` ranks of a query, marked where `alive` (J, D) is false; (0, 0) is all."""
    if alive.shape[0] == 0:
        return pair[query, :num]
    row = pair[query, :num].copy()
    mark = np.iinfo(pair.dtype).max
    for place in range(num):
        if not alive[query, place]:
            row[place] = mark
    return row


@compiled
def narrow(
    pair: Ranks,
    alive: BoolArray,
    num_places: IntArray,
    keep: int,
    num_columns: int,
    start: int,
    stop: int,
    out: BoolArray,
) -> None:
    """Keep the best `keep` living places of each query, as the pair table ranks them.

    Args:
        pair: (J, D).
        alive: (J, D), places still in; (0, 0) means all.
        num_places: (J,), places of the front's list that its stage kept.
        keep: of this stage.
        num_columns: C.
        start: first query.
        stop: one after the last query.
        out: (J, D), written: the places that stay.
    """
    for query in range(start, stop):
        row = living(pair, alive, query, num_places[query])
        last = cutoff(row, keep, num_columns)
        for place in range(row.size):
            out[query, place] = row[place] <= last


@compiled
def rank_relevant(
    pair: Ranks,
    alive: BoolArray,
    num_places: IntArray,
    offsets: IntArray,
    front_places: Ranks,
    depth: int,
    num_columns: int,
    start: int,
    stop: int,
    out: IntArray,
) -> None:
    """Rank each relevant column among the living places of its query.

    Args:
        pair: (J, D), of the last stage's model.
        alive: (J, D), places still in; (0, 0) means all.
        num_places: (J,), places of the front's list that its stage kept.
        offsets: (J + 1,), each query's relevant columns.
        front_places: (V,), place of each relevant column in the front's list.
        depth: places of the answer that matter.
        num_columns: C.
        start: first query.
        stop: one after the last query.
        out: (V,), written: 1 to depth, or 0 for not shown.
    """
    for query in range(start, stop):
        row = living(pair, alive, query, num_places[query])
        last = num_columns - 1
        if offsets[query + 1] - offsets[query] > FEW_RELEVANT:
            last = cutoff(row, depth, num_columns)
        for v in range(offsets[query], offsets[query + 1]):
            out[v] = 0
            place = np.int64(front_places[v])
            # A marked place holds a number above every rank, so it fails this test too.
            if place < row.size and row[place] <= last:
                better = count_below(row, row[place])
                if better < depth:
                    out[v] = better + 1
