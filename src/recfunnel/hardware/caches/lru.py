"""Least recently used: the row whose last lookup is longest ago makes room.

A cache of C rows holds the C rows looked up last, so it hits when fewer than C other rows were
looked up since the row itself: when its *stack distance*, those rows and itself, is at most C
(Mattson et al. 1970). One pass that finds distances therefore counts the hits of every capacity.

Here a distance is a count of bits. Each lookup has a bit in the order of time, set while it is the
newest of its row; the distance is the number of set bits from the row's last lookup on. Bits are
counted in words, blocks and superblocks as far as needed, and only rows within the largest
capacity are kept: when the bits are used up, those rows move to the front and the rest is
forgotten. One capacity alone needs no counting: the oldest lookup whose row is held only ever
moves on.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.spec import Spec
from recfunnel.hardware.caches.base import CachePolicySpec, cache_policies
from recfunnel.hardware.caches.trace import Rows, RowTrace

Words = NDArray[np.uint64]
Counts = NDArray[np.int32]

FEW_CAPACITIES = 3
"""Up to so many, a pass each is faster than one that finds distances (four times as fast)."""

_BLOCK = 2**12
_SUPERBLOCK = 2**18


@cache_policies.register
class Lru(Spec, CachePolicySpec, frozen=True, tag="lru"):
    """Evicts the row whose last lookup is longest ago."""

    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """(S,), by stack distances, or one by one where there are few."""
        if capacities.size <= FEW_CAPACITIES:
            return np.array([lru_hits(trace, int(capacity)) for capacity in capacities], np.int64)
        return np.cumsum(stack_distances(trace, int(capacities[-1])))[capacities]


def lru_hits(trace: RowTrace, capacity: int) -> int:
    """Hits of one cache that holds `capacity` rows."""
    last = np.zeros(trace.num_rows, np.uint32)
    newest = np.zeros(trace.rows.size, np.bool_)
    return int(_play_one(trace.rows, capacity, trace.num_warm_up, last, newest))


def stack_distances(trace: RowTrace, most: int) -> IntArray:
    """How many counted lookups have each stack distance.

    Args:
        trace: the lookups.
        most: largest distance of interest, at least 1.

    Returns:
        (most + 1,); entry d counts distance d, and 0 is never one. Rows looked up for the first
        time, and distances above `most`, are left out.
    """
    num_slots = max(_BLOCK, -(-4 * most // _BLOCK) * _BLOCK)
    counts = np.zeros(most + 1, np.int64)
    _play(
        trace.rows,
        trace.num_warm_up,
        most,
        np.zeros(trace.num_rows, np.uint32),
        np.zeros(num_slots, np.uint32),
        np.zeros(num_slots // 64, np.uint64),
        np.zeros(num_slots // _BLOCK, np.int32),
        np.zeros(-(-num_slots // _SUPERBLOCK), np.int32),
        counts,
    )
    return counts


@njit(nogil=True, cache=True)
def _play_one(
    rows: Rows, capacity: int, num_warm_up: int, last: Rows, newest: NDArray[np.bool_]
) -> int:
    """One capacity.

    Args:
        rows: (L,).
        capacity: rows held.
        num_warm_up: lookups not counted.
        last: zeros (rows,), kept at 1 + the time of each row's last lookup.
        newest: False (L,), kept at whether a lookup is the newest of its row.

    Returns:
        Hits.
    """
    hits = 0
    num_held = 0
    oldest = 0
    for now in range(rows.size):
        row = rows[now]
        before = last[row]
        newest[now] = True
        last[row] = now + 1
        if before > oldest:
            hits += now >= num_warm_up
            newest[before - 1] = False
        elif num_held < capacity:
            num_held += 1
        else:
            while not newest[oldest]:
                oldest += 1
            oldest += 1
    return hits


@njit(nogil=True, cache=True, inline="always")
def _num_set(word: np.uint64) -> np.uint64:
    """Set bits of a word; the compiler turns this into one instruction."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(nogil=True, cache=True)
def _play(
    rows: Rows,
    num_warm_up: int,
    most: int,
    last: Rows,
    holder: Rows,
    words: Words,
    blocks: Counts,
    superblocks: Counts,
    counts: IntArray,
) -> None:
    """All capacities up to `most`.

    Args:
        rows: (L,).
        num_warm_up: lookups not counted.
        most: largest distance that is kept.
        last: zeros (rows,), kept at 1 + the slot of each row's last lookup; 0 where forgotten.
        holder: (slots,), kept at the row of each slot's lookup.
        words: zeros, a bit a slot: whether its lookup is the newest of its row.
        blocks: zeros, set bits of each 64 words.
        superblocks: zeros, set bits of each 64 blocks.
        counts: (most + 1,), written: lookups of each distance.
    """
    one, low = np.uint64(1), np.uint64(63)
    six, twelve, eighteen = np.uint64(6), np.uint64(12), np.uint64(18)
    now = np.uint64(0)
    for i in range(rows.size):
        row = rows[i]
        if last[row]:
            slot = np.uint64(last[row] - 1)
            word, block, superblock = slot >> six, slot >> twelve, slot >> eighteen
            bits = words[word]
            distance = np.int64(_num_set(bits >> (slot & low)))
            for k in range(word + one, min((block + one) << six, (now >> six) + one)):
                distance += np.int64(_num_set(words[k]))
            for k in range(block + one, min((superblock + one) << six, (now >> twelve) + one)):
                distance += blocks[k]
            for k in range(superblock + one, np.uint64(superblocks.size)):
                distance += superblocks[k]
            if distance <= most and i >= num_warm_up:
                counts[distance] += 1
            words[word] = bits ^ (one << (slot & low))
            blocks[block] -= 1
            superblocks[superblock] -= 1
        words[now >> six] |= one << (now & low)
        blocks[now >> twelve] += 1
        superblocks[now >> eighteen] += 1
        holder[now] = row
        now += one
        last[row] = now
        if now == np.uint64(holder.size):
            now = _move_to_front(most, last, holder, words, blocks, superblocks)


@njit(nogil=True, cache=True)
def _move_to_front(
    most: int, last: Rows, holder: Rows, words: Words, blocks: Counts, superblocks: Counts
) -> np.uint64:
    """Keep the newest `most` rows in the first slots, in order; returns the first free slot."""
    num_forgotten = max(0, superblocks.sum() - most)
    num_kept = 0
    for slot in range(holder.size):
        if not (words[slot >> 6] >> np.uint64(slot & 63)) & np.uint64(1):
            continue
        row = holder[slot]
        if num_forgotten:
            num_forgotten -= 1
            last[row] = 0
        else:
            holder[num_kept] = row
            num_kept += 1
            last[row] = num_kept
    words[:] = 0
    blocks[:] = 0
    superblocks[:] = 0
    for slot in range(num_kept):
        words[slot >> 6] |= np.uint64(1) << np.uint64(slot & 63)
        blocks[slot >> 12] += 1
        superblocks[slot >> 18] += 1
    return np.uint64(num_kept)
