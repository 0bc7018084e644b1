"""S3-FIFO: three FIFO queues, a small one that most rows pass through once (Yang et al. 2023).

A row comes into the *small* queue. When it reaches the end of it, it moves on to the *main* queue
if it was used often enough meanwhile, and is evicted otherwise; the *ghost* queue remembers the ids
of such rows, and a row that comes in while remembered goes to the main queue at once. At the end of
the main queue a row that was used goes back to its beginning with one use less; one that was not
is evicted. A hit moves nothing.

Where descriptions differ, this follows its authors' library, libCacheSim: two uses move a row on
(the paper: more than one of at most three), until the cache is full for the first time rows that
the small queue has no place for go to the main queue, and the main queue may outgrow its share
while the small one is below its own.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.hardware.caches.base import CachePolicySpec, cache_policies
from recfunnel.hardware.caches.trace import Rows, RowTrace

Marks = NDArray[np.uint8]

_NOWHERE, _SMALL, _MAIN, _GHOST = 0, 1, 2, 3
_MOST_USES = 3


@cache_policies.register
class S3Fifo(Spec, CachePolicySpec, frozen=True, tag="s3fifo"):
    """Evicts early what is not used twice, and otherwise in order.

    Args:
        small_share: of the capacity for the small queue, above 0 and below 1; at least one row.
        ghost_share: rows remembered, as a share of the capacity; 0 or more.
        uses_to_stay: uses in the small queue that move a row to the main queue, at least 1.
    """

    small_share: float = 0.1
    ghost_share: float = 0.9
    uses_to_stay: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.small_share < 1:
            raise StudyError(f"s3fifo's small_share is {self.small_share}, must be in (0, 1)")
        if not 0 <= self.ghost_share < np.inf:
            raise StudyError(f"s3fifo's ghost_share is {self.ghost_share}, must be at least 0")
        if self.uses_to_stay < 1:
            raise StudyError(f"s3fifo's uses_to_stay is {self.uses_to_stay}, must be at least 1")

    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """(S,), a pass each."""
        return np.array([self._hits(trace, int(capacity)) for capacity in capacities], np.int64)

    def _hits(self, trace: RowTrace, capacity: int) -> int:
        small = max(1, int(capacity * self.small_share))
        links = np.arange(trace.num_rows + 4, dtype=np.uint32)
        return int(
            _play(
                trace.rows,
                trace.num_warm_up,
                small,
                capacity - small,
                int(capacity * self.ghost_share),
                self.uses_to_stay,
                np.zeros(trace.num_rows, np.uint8),
                np.zeros(trace.num_rows, np.uint8),
                links,
                links.copy(),
            )
        )


@njit(nogil=True, cache=True)
def _play(
    rows: Rows,
    num_warm_up: int,
    small_rows: int,
    main_rows: int,
    ghost_rows: int,
    uses_to_stay: int,
    queue: Marks,
    uses: Marks,
    before: Rows,
    after: Rows,
) -> int:
    """One capacity; queues are rings, whose oldest row comes after the node that stands for them.

    Args:
        rows: (L,).
        num_warm_up: lookups not counted.
        small_rows: places of the small queue.
        main_rows: places of the main queue.
        ghost_rows: rows remembered.
        uses_to_stay: see `S3Fifo`.
        queue: zeros (R,), kept at the queue each row is in.
        uses: zeros (R,), kept at the hits of each row that still count.
        before: (R + 4,), 0, 1, ...: every node alone; node R + q stands for queue q.
        after: likewise.

    Returns:
        Hits.
    """
    sizes = np.zeros(4, np.int64)
    hits = 0
    was_full = False
    enough = max(uses_to_stay, _MOST_USES)
    for i in range(rows.size):
        row = rows[i]
        where = queue[row]
        if where in (_SMALL, _MAIN):
            hits += i >= num_warm_up
            uses[row] = min(uses[row] + 1, enough)
            continue
        if where == _GHOST:
            _leave(row, queue, sizes, before, after)
        while sizes[_SMALL] + sizes[_MAIN] == small_rows + main_rows:
            was_full = True
            if sizes[_MAIN] > main_rows or not sizes[_SMALL]:
                _evict_main(queue, uses, sizes, before, after)
            else:
                _evict_small(uses_to_stay, ghost_rows, queue, uses, sizes, before, after)
        goes_to_main = where == _GHOST or (not was_full and sizes[_SMALL] >= small_rows)
        uses[row] = 0
        _enter(row, _MAIN if goes_to_main else _SMALL, queue, sizes, before, after)
    return hits


@njit(nogil=True, cache=True)
def _evict_small(
    uses_to_stay: int,
    ghost_rows: int,
    queue: Marks,
    uses: Marks,
    sizes: IntArray,
    before: Rows,
    after: Rows,
) -> None:
    """Move used rows on until one is evicted, or none is left."""
    ring = queue.size + _SMALL
    while sizes[_SMALL]:
        row = after[ring]
        _leave(row, queue, sizes, before, after)
        if uses[row] >= uses_to_stay:
            uses[row] = 0
            _enter(row, _MAIN, queue, sizes, before, after)
            continue
        if ghost_rows:
            if sizes[_GHOST] == ghost_rows:
                _leave(after[queue.size + _GHOST], queue, sizes, before, after)
            _enter(row, _GHOST, queue, sizes, before, after)
        return


@njit(nogil=True, cache=True)
def _evict_main(queue: Marks, uses: Marks, sizes: IntArray, before: Rows, after: Rows) -> None:
    """Send used rows back to the beginning until one is evicted."""
    ring = queue.size + _MAIN
    while True:
        row = after[ring]
        _leave(row, queue, sizes, before, after)
        if not uses[row]:
            return
        uses[row] = min(uses[row], _MOST_USES) - 1
        _enter(row, _MAIN, queue, sizes, before, after)


@njit(nogil=True, cache=True)
def _leave(row: int, queue: Marks, sizes: IntArray, before: Rows, after: Rows) -> None:
    """Take a row out of its queue."""
    sizes[queue[row]] -= 1
    queue[row] = _NOWHERE
    after[before[row]] = after[row]
    before[after[row]] = before[row]


@njit(nogil=True, cache=True)
def _enter(row: int, which: int, queue: Marks, sizes: IntArray, before: Rows, after: Rows) -> None:
    """Put a row at the beginning of a queue, behind all that came before it."""
    ring = queue.size + which
    last = before[ring]
    before[row] = last
    after[row] = ring
    after[last] = row
    before[ring] = row
    queue[row] = which
    sizes[which] += 1
