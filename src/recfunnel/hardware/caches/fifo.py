"""First in, first out: the row that came in longest ago makes room, however often it was used.

A row that was the i-th to come in leaves with the (i + C)-th, so a cache needs no queue: it counts
the rows that came in, remembers at which count each row did, and holds a row while fewer than C
have come in since. Caches of several capacities are lanes of one vector and share a pass; FIFO is
no stack algorithm (a larger cache may hit less, Belady et al. 1969), so each lane is a simulation
of its own.

Only rows that some lane holds take memory: a row gets a slot when it comes in, and slots whose row
has left every lane are found again by a pointer that goes round.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import IntArray
from recfunnel.core.spec import Spec
from recfunnel.hardware.caches.base import CachePolicySpec, cache_policies
from recfunnel.hardware.caches.trace import Rows, RowTrace

MOST_LANES = 128
"""Capacities in one pass: the more, the less each costs."""

_MOST_COUNTS = 2**27
"""Rows times lanes of a pass, about; half a GiB."""

_PATIENCE = 8
"""Slots that are looked at for a free one before a new one is taken."""


@cache_policies.register
class Fifo(Spec, CachePolicySpec, frozen=True, tag="fifo"):
    """Evicts the row that came in longest ago."""

    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """(S,), up to 128 capacities a pass, fewer where they are large."""
        lanes = max(1, min(MOST_LANES, _MOST_COUNTS // int(capacities[-1])))
        groups = np.split(capacities, range(lanes, capacities.size, lanes))
        return np.concatenate([_Lanes(trace.num_rows, group).hits(trace) for group in groups])


class _Lanes:
    """Caches that share a pass, one a lane.

    Args:
        num_rows: R.
        capacities: (S,), rising.
    """

    def __init__(self, num_rows: int, capacities: IntArray) -> None:
        self._capacities = capacities.astype(np.uint32)
        self._num_in = np.zeros(capacities.size, np.uint32)
        self._slot_of = np.zeros(num_rows, np.uint32)
        self._places = np.zeros(2, np.int64)
        self._owner = np.zeros(0, np.uint32)
        self._leaves = np.zeros((0, capacities.size), np.uint32)
        self._grow_to(int(capacities[-1]) + _PATIENCE)

    def hits(self, trace: RowTrace) -> IntArray:
        """(S,), of caches that are empty now."""
        self._play(trace.rows[: trace.num_warm_up])
        before = self._num_in.astype(np.int64)
        self._play(trace.rows[trace.num_warm_up :])
        return trace.num_counted - (self._num_in - before)

    def _play(self, rows: Rows) -> None:
        start = 0
        while start < rows.size:
            start += _play(
                rows[start:],
                self._capacities,
                self._num_in,
                self._slot_of,
                self._owner,
                self._leaves,
                self._places,
            )
            if start < rows.size:
                self._grow_to(self._owner.size + self._owner.size // 4 + 1)

    def _grow_to(self, num_slots: int) -> None:
        more = num_slots - self._owner.size
        nobody = np.full(more, self._slot_of.size, np.uint32)
        self._owner = np.concatenate([self._owner, nobody])
        empty = np.zeros((more, self._num_in.size), np.uint32)
        self._leaves = np.concatenate([self._leaves, empty])


@njit(nogil=True, cache=True)
def _play(
    rows: Rows,
    capacities: Rows,
    num_in: Rows,
    slot_of: Rows,
    owner: Rows,
    leaves: Rows,
    places: IntArray,
) -> int:
    """Go on with S caches, one a lane, as far as there are slots.

    Args:
        rows: (L,), looked up next.
        capacities: (S,).
        num_in: (S,), kept at how many rows have come in, which are the misses.
        slot_of: (R,), kept at 1 + the slot of each row, 0 for none.
        owner: (slots,), kept at the row of each slot, R for none.
        leaves: (slots, S), kept at the count with which the slot's row leaves each lane.
        places: the slot looked at last for a free one, and how many slots are in use.

    Returns:
        Lookups done; fewer than L when more slots are needed.
    """
    num_lanes = np.uint64(capacities.size)
    nobody = np.uint32(slot_of.size)
    for i in range(rows.size):
        row = np.uint64(rows[i])
        if not slot_of[row]:
            free = _free_slot(num_in, leaves, places)
            if free < 0:
                return i
            if owner[free] != nobody:
                slot_of[owner[free]] = 0
            owner[free] = row
            slot_of[row] = free + 1
        slot = np.uint64(slot_of[row] - 1)
        # no branch, and the number of lanes is known only here: so this becomes vector code
        for lane in range(num_lanes):
            leave, count = leaves[slot, lane], num_in[lane]
            now = np.uint32(count + np.uint32(leave <= count))
            num_in[lane] = now
            leaves[slot, lane] = leave if leave > count else np.uint32(now + capacities[lane])
    return rows.size


@njit(nogil=True, cache=True)
def _free_slot(num_in: Rows, leaves: Rows, places: IntArray) -> int:
    """A slot whose row no lane holds; a new one when none is found soon; -1 when there is none."""
    for _ in range(min(_PATIENCE, places[1])):
        places[0] = (places[0] + 1) % places[1]
        held = False
        for lane in range(num_in.size):
            held |= leaves[places[0], lane] > num_in[lane]
        if not held:
            return int(places[0])
    if places[1] == leaves.shape[0]:
        return -1
    places[1] += 1
    return int(places[1]) - 1
