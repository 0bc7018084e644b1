"""Belady: the row whose next lookup is farthest in the future makes room; no policy hits more.

The trace is known, so this is a bound to hold other policies against, not a cache to build. The
row just looked up is always held, as a cache that cannot be bypassed must.

Every row that is held has one next lookup, at a time of its own, so the contents of a cache are a
set of times: the lookup at time t hits when t is in the set. The set is a tree of 64-ary words, in
which the latest time is found level by level. Rows that are never looked up again are only counted;
they make room first, and which of them does changes nothing.

A larger cache holds all that a smaller one holds (Mattson et al. 1970), so caches of several
capacities share one pass: each keeps only what the next smaller one does not hold, and what one
evicts is offered to the next.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.spec import Spec
from recfunnel.hardware.caches.base import CachePolicySpec, cache_policies
from recfunnel.hardware.caches.trace import Rows, RowTrace

Words = NDArray[np.uint64]
Labels = NDArray[np.uint8]
Number = int | np.int64

MOST_TOGETHER = 32
"""Capacities in one pass; each needs a bit a lookup."""


@cache_policies.register
class Belady(Spec, CachePolicySpec, frozen=True, tag="belady"):
    """Evicts the row whose next lookup is farthest in the future."""

    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """(S,), up to 32 capacities a pass."""
        next_lookup = np.empty(trace.rows.size, np.uint32)
        _find_next(trace.rows, np.full(trace.num_rows, trace.rows.size, np.uint32), next_lookup)
        groups = np.split(capacities, range(MOST_TOGETHER, capacities.size, MOST_TOGETHER))
        return np.concatenate([_hits(next_lookup, trace.num_warm_up, group) for group in groups])


def _hits(next_lookup: Rows, num_warm_up: int, capacities: IntArray) -> IntArray:
    num_lookups, num_caches = next_lookup.size, capacities.size
    hits = np.zeros(num_caches, np.int64)
    levels = [np.zeros((num_caches, (num_lookups >> 6 * k) + 1), np.uint64) for k in range(1, 5)]
    _play(
        next_lookup,
        num_warm_up,
        np.diff(capacities, prepend=0),
        np.full(num_lookups, num_caches, np.uint8),
        levels[0],
        levels[1],
        levels[2],
        levels[3],
        hits,
    )
    return np.cumsum(hits)


@njit(nogil=True, cache=True)
def _find_next(rows: Rows, upcoming: Rows, next_lookup: Rows) -> None:
    """Write the time of each lookup's row's next lookup; `upcoming` is L for every row."""
    for now in range(rows.size - 1, -1, -1):
        next_lookup[now] = upcoming[rows[now]]
        upcoming[rows[now]] = now


@njit(nogil=True, cache=True)
def _play(
    next_lookup: Rows,
    num_warm_up: int,
    room: IntArray,
    label: Labels,
    level0: Words,
    level1: Words,
    level2: Words,
    level3: Words,
    hits: IntArray,
) -> None:
    """Several capacities; part s is what cache s holds and cache s - 1 does not.

    Args:
        next_lookup: (L,), L where there is none.
        num_warm_up: lookups not counted.
        room: (S,), free places of each part; changed.
        label: (L,) of S, kept at the part that holds the row looked up at each time.
        level0: zeros (S, words), a bit a lookup: the times in each part.
        level1: zeros, a bit a word of `level0` that is not zero.
        level2: zeros, a bit a word of `level1`.
        level3: zeros, a bit a word of `level2`.
        hits: (S,), written: hits in each part.
    """
    never, num_parts = np.int64(next_lookup.size), room.size
    num_over = np.zeros(num_parts, np.int64)  # rows held that are never looked up again
    for now in range(next_lookup.size):
        found = np.int64(label[now])
        if found < num_parts:
            _remove(level0, level1, level2, level3, found, now)
            room[found] += 1
            hits[found] += now >= num_warm_up
        offered = np.int64(next_lookup[now])
        for part in range(num_parts):
            if room[part]:
                room[part] -= 1
                victim = np.int64(-1)
            elif num_over[part]:
                num_over[part] -= 1
                victim = never
            else:
                victim = _latest(level0, level1, level2, level3, part)
                if part and victim < offered:
                    continue
                _remove(level0, level1, level2, level3, part, victim)
            if offered == never:
                num_over[part] += 1
            else:
                _insert(level0, level1, level2, level3, part, offered)
                label[offered] = part
            offered = victim
            if victim < 0:
                break
        if 0 <= offered < never:
            label[offered] = num_parts


@njit(nogil=True, cache=True)
def _insert(
    level0: Words, level1: Words, level2: Words, level3: Words, part: Number, time: Number
) -> None:
    one, low, six = np.uint64(1), np.uint64(63), np.uint64(6)
    place = np.uint64(time)
    for level in (level0, level1, level2, level3):
        before = level[part, place >> six]
        level[part, place >> six] = before | (one << (place & low))
        if before:
            return
        place >>= six


@njit(nogil=True, cache=True)
def _remove(
    level0: Words, level1: Words, level2: Words, level3: Words, part: Number, time: Number
) -> None:
    one, low, six = np.uint64(1), np.uint64(63), np.uint64(6)
    place = np.uint64(time)
    for level in (level0, level1, level2, level3):
        left = level[part, place >> six] ^ (one << (place & low))
        level[part, place >> six] = left
        if left:
            return
        place >>= six


@njit(nogil=True, cache=True)
def _latest(level0: Words, level1: Words, level2: Words, level3: Words, part: Number) -> np.int64:
    """The latest time in a part that is not empty."""
    six = np.uint64(6)
    place = np.uint64(level3.shape[1] - 1)
    while not level3[part, place]:
        place -= np.uint64(1)
    for level in (level3, level2, level1, level0):
        place = (place << six) | _top_bit(level[part, place])
    return np.int64(place)


@njit(nogil=True, cache=True, inline="always")
def _top_bit(word: np.uint64) -> np.uint64:
    """Place of the highest set bit: all below it are set, then counted."""
    for shift in (1, 2, 4, 8, 16, 32):
        word |= word >> np.uint64(shift)
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((word * np.uint64(0x0101010101010101)) >> np.uint64(56)) - np.uint64(1)
