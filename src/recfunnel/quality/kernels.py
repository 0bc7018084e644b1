"""Compiled inner loops: ranks of relevant columns among the survivors of a funnel.

Letters: J judged queries, C columns, D depth (places of the front stage's list that are looked
at), K columns a stage read, V relevant columns. A *rank table* (J, C) holds the rank (0 is best)
that a model gives each column among all. A *pair table* (J, D) holds, at place i of one model's
list, the rank that another model gives the column there.

Ranks are distinct whole numbers, so ties are settled before and one narrow compare decides. All
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
def ranks_read(
    table: Ranks, is_pair: bool, columns: Ranks, query: int, num_read: int, buffer: Ranks
) -> Ranks:
    """Ranks of the `num_read` columns a stage reads of one query; may live in `buffer`."""
    if is_pair:
        return table[query, :num_read]
    for i in range(np.uint64(num_read)):
        buffer[i] = table[query, columns[query, i]]
    return buffer[:num_read]


@compiled
def narrow(
    table: Ranks,
    is_pair: bool,
    columns: Ranks,
    num_read: IntArray,
    keep: int,
    num_columns: int,
    start: int,
    stop: int,
    kept: Ranks,
    cutoffs: IntArray,
) -> None:
    """Keep the best columns of what a stage reads.

    Args:
        table: a rank table, or a pair table whose list `columns` begins.
        is_pair: which of the two.
        columns: (J, K), what the stage reads.
        num_read: (J,), how many of them count.
        keep: how many the stage keeps.
        num_columns: C.
        start: first query.
        stop: one after the last query.
        kept: (J, keep + 1), written from the left: the columns that stay, in the order read;
            the last place is for scratch.
        cutoffs: (J,), written: the largest rank that stays.
    """
    buffer = np.empty(columns.shape[1], table.dtype)
    for query in range(start, stop):
        row = ranks_read(table, is_pair, columns, query, num_read[query], buffer)
        last = cutoff(row, keep, num_columns)
        cutoffs[query] = last
        num_kept = np.uint64(0)
        # Every column is written and only a kept one moves on: a branch here would be guessed
        # wrong for a good part of the columns.
        for i in range(np.uint64(row.size)):
            kept[query, num_kept] = columns[query, i]
            num_kept += np.uint64(row[i] <= last)


@compiled
def narrow_by_share(
    table: Ranks,
    columns: Ranks,
    num_read: IntArray,
    share: int,
    num_runs: int,
    offsets: IntArray,
    relevant: IntArray,
    start: int,
    stop: int,
    kept: Ranks,
    num_kept: IntArray,
    alive: BoolArray,
) -> None:
    """Keep the best columns of each run that the columns 0 to C - 1 are cut into.

    Args:
        table: (J, C), a rank table.
        columns: (J, K), what the stage reads.
        num_read: (J,), how many of them count.
        share: how many each run keeps.
        num_runs: runs; run i begins at column floor(i C / runs).
        offsets: (J + 1,), each query's relevant columns.
        relevant: (V,), relevant columns.
        start: first query.
        stop: one after the last query.
        kept: (J, at least share * num_runs), written from the left, best first.
        num_kept: (J,), written.
        alive: (V,), written: whether a relevant column is kept.
    """
    num_columns = table.shape[1]
    stays = np.zeros(num_columns, np.bool_)
    for query in range(start, stop):
        read = columns[query, : num_read[query]]
        counts = np.zeros(num_runs, np.int64)
        total = 0
        for i in np.argsort(table[query][read]):
            column = np.int64(read[i])
            run = ((column + 1) * num_runs - 1) // num_columns
            if counts[run] < share:
                counts[run] += 1
                kept[query, total] = column
                stays[column] = True
                total += 1
        num_kept[query] = total
        for v in range(offsets[query], offsets[query + 1]):
            alive[v] = stays[relevant[v]]
        for i in range(total):
            stays[kept[query, i]] = False


@compiled
def rank_relevant(
    table: Ranks,
    is_pair: bool,
    columns: Ranks,
    num_read: IntArray,
    offsets: IntArray,
    relevant: Ranks,
    alive: BoolArray,
    depth: int,
    num_columns: int,
    start: int,
    stop: int,
    out: IntArray,
) -> None:
    """Rank each relevant column among the columns the last stage reads.

    Args:
        table: a rank table, or a pair table whose list `columns` begins.
        is_pair: which of the two.
        columns: (J, K), what the stage reads.
        num_read: (J,), how many of them count.
        offsets: (J + 1,), each query's relevant columns.
        relevant: (V,), rank of each among all columns.
        alive: (V,), whether it is among the columns read.
        depth: places of the answer that matter.
        num_columns: C.
        start: first query.
        stop: one after the last query.
        out: (V,), written: 1 to depth, or 0 for not shown.
    """
    buffer = np.empty(columns.shape[1], table.dtype)
    for query in range(start, stop):
        row = ranks_read(table, is_pair, columns, query, num_read[query], buffer)
        last = num_columns - 1
        if offsets[query + 1] - offsets[query] > FEW_RELEVANT:
            last = cutoff(row, depth, num_columns)
        for v in range(offsets[query], offsets[query + 1]):
            out[v] = 0
            if alive[v] and relevant[v] <= last:
                better = count_below(row, relevant[v])
                if better < depth:
                    out[v] = better + 1
