"""Least frequently used: the row with the fewest lookups since it came in makes room.

A row that comes in again starts at one; of several with the fewest lookups, the one whose last
lookup is longest ago leaves. Rows of one frequency form a list in the order of their last lookup,
and the smallest frequency is known without search (Shah, Mitra, Matani 2010): a step takes the
same time whatever the capacity. Since counts begin anew with each stay, this is no stack algorithm;
every capacity is a pass.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import IntArray
from recfunnel.core.spec import Spec
from recfunnel.hardware.caches.base import CachePolicySpec, cache_policies
from recfunnel.hardware.caches.trace import Rows, RowTrace


@cache_policies.register
class Lfu(Spec, CachePolicySpec, frozen=True, tag="lfu"):
    """Evicts the row with the fewest lookups since it came in; the least recent of equals."""

    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """(S,), a pass each."""
        most = _most_lookups(trace.rows, np.zeros(trace.num_rows, np.uint32))
        return np.array([_hits(trace, int(capacity), most) for capacity in capacities], np.int64)


def _hits(trace: RowTrace, capacity: int, most: int) -> int:
    num_nodes = trace.num_rows + most + 2
    links = np.arange(num_nodes, dtype=np.uint32)
    return int(
        _play(
            trace.rows,
            trace.num_warm_up,
            capacity,
            np.zeros(trace.num_rows, np.uint32),
            links,
            links.copy(),
        )
    )


@njit(nogil=True, cache=True)
def _most_lookups(rows: Rows, counts: Rows) -> int:
    """Lookups of the row that has most; `counts` is zeros."""
    for i in range(rows.size):
        counts[rows[i]] += 1
    return int(counts.max())


@njit(nogil=True, cache=True)
def _play(
    rows: Rows, num_warm_up: int, capacity: int, frequency: Rows, before: Rows, after: Rows
) -> int:
    """One capacity; lists are rings whose first node stands for the list itself.

    Args:
        rows: (L,).
        num_warm_up: lookups not counted.
        capacity: rows held.
        frequency: zeros (R,), kept at the lookups of each row since it came in; 0 when not held.
        before: (R + F,), 0, 1, ...: every node alone; kept at the node before each; node R + f
            stands for the list of frequency f.
        after: likewise, the node after each.

    Returns:
        Hits.
    """
    first_list = frequency.size
    hits = 0
    num_held = 0
    fewest = np.int64(1)
    for i in range(rows.size):
        row = rows[i]
        times = np.int64(frequency[row])
        if times:
            hits += i >= num_warm_up
            _take(row, before, after)
            ring = first_list + times
            if times == fewest and after[ring] == ring:
                fewest = times + 1
        else:
            if num_held == capacity:
                victim = after[first_list + fewest]
                _take(victim, before, after)
                frequency[victim] = 0
            else:
                num_held += 1
            fewest = np.int64(1)
        frequency[row] = times + 1
        _append(row, first_list + times + 1, before, after)
    return hits


@njit(nogil=True, cache=True)
def _take(node: int, before: Rows, after: Rows) -> None:
    """Take a node out of its ring."""
    after[before[node]] = after[node]
    before[after[node]] = before[node]


@njit(nogil=True, cache=True)
def _append(node: int, ring: int | np.int64, before: Rows, after: Rows) -> None:
    """Put a node at the end of a ring."""
    last = before[ring]
    before[node] = last
    after[node] = ring
    after[last] = node
    before[ring] = node
