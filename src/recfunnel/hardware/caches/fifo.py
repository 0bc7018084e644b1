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

LANES = 16
"""Capacities in one pass: a cache line of 32-bit counts a slot."""

_PATIENCE = 8
"""Slots that are looked at for a free one before a new one is taken."""


@cache_policies.register
class Fifo(Spec, CachePolicySpec, frozen=True, tag="fifo"):
    """Evicts the row that came in longest ago."""

    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """(S,), 16 capacities a pass."""
        groups = np.split(capacities, range(LANES, capacities.size, LANES))
        return np.concatenate([_hits(trace, group) for group in groups])


def _hits(trace: RowTrace, capacities: IntArray) -> IntArray:
    num_slots = min(trace.num_rows, int(capacities.sum())) + 1
    num_in = np.zeros(capacities.size, np.uint32)
    state = (
        capacities.astype(np.uint32),
        num_in,
        np.zeros(trace.num_rows, np.uint32),
        np.full(num_slots, trace.num_rows, np.uint32),
        np.zeros((num_slots, capacities.size), np.uint32),
        np.array([0, min(num_slots, int(capacities[-1]) + _PATIENCE)]),
    )
    _play(trace.rows[: trace.num_warm_up], *state)
    before = num_in.astype(np.int64)
    _play(trace.rows[trace.num_warm_up :], *state)
    return trace.num_counted - (num_in - before)


@njit(nogil=True, cache=True)
def _play(
    rows: Rows,
    capacities: Rows,
    num_in: Rows,
    slot_of: Rows,
    owner: Rows,
    leaves: Rows,
    places: IntArray,
) -> None:
    """Go on with S caches, one a lane.

    Args:
        rows: (L,), looked up next.
        capacities: (S,).
        num_in: (S,), kept at how many rows have come in, which are the misses.
        slot_of: (rows,), kept at 1 + the slot of each row, 0 for none.
        owner: (slots,), kept at the row of each slot, the number of rows for none.
        leaves: (slots, S), kept at the count with which the slot's row leaves each lane.
        places: the slot looked at last for a free one, and how many slots are in use.
    """
    num_lanes = np.uint64(capacities.size)
    nobody = np.uint32(slot_of.size)
    for i in range(rows.size):
        row = np.uint64(rows[i])
        if not slot_of[row]:
            free = _free_slot(num_in, owner, leaves, places)
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


@njit(nogil=True, cache=True)
def _free_slot(num_in: Rows, owner: Rows, leaves: Rows, places: IntArray) -> int:
    """A slot whose row no lane holds; there is one more slot than all lanes can hold rows."""
    num_looked_at = 0
    while True:
        slot = int(places[0]) + 1
        if slot >= places[1]:
            slot = 0
        places[0] = slot
        held = False
        for lane in range(num_in.size):
            held |= leaves[slot, lane] > num_in[lane]
        if not held:
            return slot
        num_looked_at += 1
        if num_looked_at >= _PATIENCE and places[1] < owner.size:
            places[1] += 1
            return int(places[1]) - 1
