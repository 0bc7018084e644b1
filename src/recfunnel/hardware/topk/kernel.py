"""Compiled loop of the filter: one query's scores stream through it.

Letters: Q queries, n candidates, B bins. A phase ends in a walk over the bins.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, IntArray

F = TypeVar("F", bound=Callable[..., Any])

SPILL, RAISE, DROP = 0, 1, 2
NONE, ARRIVAL, BINS, EXACT = 0, 1, 2, 3

GLOBAL, QUOTA, RUNNING = 0, 1, 2

COUNTS = (
    *("filled", "walked", "drained", "kept", "passed", "sorted"),
    *("scanned", "high_water", "spilled", "lost"),
)
"""Columns of what the loop counts, one row a query. `filled`: cycles of taking scores; `drained`:
buffer entries; `kept`: those of them at or above the threshold; `sorted`: entries times merge
passes over them; `scanned`: entries looked at to make room."""

FILLED, WALKED, DRAINED, KEPT, PASSED, SORTED, SCANNED, HIGH_WATER, SPILLED, LOST = range(10)


def compiled(function: F) -> F:
    """Compile on first call, without the interpreter lock; the machine code is kept on disk."""
    return cast(F, njit(nogil=True, cache=True)(function))


@compiled
def stream(
    bins: NDArray[np.int16],
    codes: NDArray[np.int32],
    lengths: IntArray,
    wanted: int,
    policy: int,
    sub_batches: int,
    margin: float,
    num_bins: int,
    room: int,
    overflow: int,
    truncate: int,
    lanes: int,
    passed: BoolArray,
    counted: IntArray,
) -> None:
    """Let each query's scores stream through the filter.

    Args:
        bins: (Q, n), bin of each score; -1 for one that is not to be buffered.
        codes: (Q, n), the scores as the filter holds them.
        lengths: (Q,), how many of each row are candidates, from the left.
        wanted: k; all of a query that has fewer.
        policy: GLOBAL, QUOTA or RUNNING.
        sub_batches: runs, cut as a pipeline cuts its columns.
        margin: of RUNNING.
        num_bins: B.
        room: entries of the buffer.
        overflow: SPILL, RAISE or DROP.
        truncate: NONE, ARRIVAL, BINS or EXACT.
        lanes: scores taken a cycle.
        passed: (Q, n), written.
        counted: (Q, 10), written: `COUNTS`.
    """
    counters = np.zeros(num_bins, np.int64)
    buffer = np.empty(bins.shape[1], np.int64)
    for query in range(bins.shape[0]):
        row, row_codes = bins[query], codes[query]
        counts, goes = counted[query], passed[query]
        counts[:] = 0
        goes[:] = False
        counters[:] = 0
        length = lengths[query]
        k = min(wanted, length)
        first, held = 0, 0
        for part in range(sub_batches):
            end = (part + 1) * length // sub_batches
            counts[FILLED] += -(-(end - first) // lanes)
            target, limit = k, k
            if policy == QUOTA:
                counters[:] = 0
                target = limit = -(-k // sub_batches)
            elif policy == RUNNING:
                target = _so_far(k, margin * end / max(length, 1))
                limit = k - counts[PASSED]
            held = _fill(row, first, end, target, counters, buffer, held, room, overflow, counts)
            first = end
            if policy == GLOBAL and part + 1 < sub_batches:
                continue
            threshold = _walk(counters, target, counts)
            counts[PASSED] += _pass(
                row, row_codes, buffer, held, threshold, limit, truncate, goes, counts
            )
            held = 0


@compiled
def _so_far(k: int, share: float) -> int:
    """What a carried threshold walks to after so large a share of the candidates."""
    if share >= 1.0:
        return k
    # k * share is often whole; rounding must not make it one more.
    return max(1, int(np.ceil(k * share - 1e-9)))


@compiled
def _fill(
    row: NDArray[np.int16],
    first: int,
    end: int,
    target: int,
    counters: IntArray,
    buffer: IntArray,
    held: int,
    room: int,
    overflow: int,
    counts: IntArray,
) -> int:
    """Count and buffer a run's scores; returns how many are buffered, spilled ones included."""
    threshold, at_least = 0, counters.sum()
    for i in range(first, end):
        b = row[i]
        if b < 0:
            continue
        if overflow == RAISE:
            while at_least - counters[threshold] >= target:
                at_least -= counters[threshold]
                threshold += 1
            if b < threshold:
                continue
        if held >= room:
            if overflow == SPILL:
                counts[SPILLED] += 1
            elif overflow == DROP:
                counts[LOST] += 1
                continue
            else:
                counts[SCANNED] += held
                held = _keep_from(row, buffer, held, threshold)
                if held >= room:
                    lowest = _last_of_lowest(row, buffer, held)
                    counts[LOST] += 1
                    if row[buffer[lowest]] >= b:
                        continue
                    counters[row[buffer[lowest]]] -= 1
                    at_least -= 1
                    for j in range(lowest, held - 1):
                        buffer[j] = buffer[j + 1]
                    held -= 1
        counters[b] += 1
        at_least += 1
        buffer[held] = i
        held += 1
        counts[HIGH_WATER] = max(counts[HIGH_WATER], min(held, room))
    return held


@compiled
def _keep_from(row: NDArray[np.int16], buffer: IntArray, held: int, threshold: int) -> int:
    """Throw out what is below the threshold; returns how many stay."""
    kept = 0
    for j in range(held):
        if row[buffer[j]] >= threshold:
            buffer[kept] = buffer[j]
            kept += 1
    return kept


@compiled
def _last_of_lowest(row: NDArray[np.int16], buffer: IntArray, held: int) -> int:
    """Place of the entry that came last among those of the lowest bin."""
    lowest = 0
    for j in range(held):
        if row[buffer[j]] <= row[buffer[lowest]]:
            lowest = j
    return lowest


@compiled
def _walk(counters: IntArray, target: int, counts: IntArray) -> int:
    """The bin at which the count from the top reaches the target; 0 where it never does."""
    reached = 0
    for b in range(counters.size - 1, -1, -1):
        counts[WALKED] += 1
        reached += counters[b]
        if reached >= target:
            return b
    return 0


@compiled
def _pass(
    row: NDArray[np.int16],
    codes: NDArray[np.int32],
    buffer: IntArray,
    held: int,
    threshold: int,
    limit: int,
    truncate: int,
    goes: BoolArray,
    counts: IntArray,
) -> int:
    """Mark what is passed on; returns how many."""
    counts[DRAINED] += held
    kept = _keep_from(row, buffer, held, threshold)
    counts[KEPT] += kept
    if truncate == NONE or kept <= limit:
        for j in range(kept):
            goes[buffer[j]] = True
        return kept
    if truncate == EXACT:
        passes = 0
        while (1 << passes) < kept:
            passes += 1
        counts[SORTED] += kept * passes
        order = np.argsort(-codes[buffer[:kept]], kind="mergesort")
        for j in order[:limit]:
            goes[buffer[j]] = True
        return limit
    left = limit
    if truncate == BINS:
        for j in range(kept):
            if row[buffer[j]] > threshold:
                goes[buffer[j]] = True
                left -= 1
    for j in range(kept):
        if left > 0 and not goes[buffer[j]]:
            goes[buffer[j]] = True
            left -= 1
    return limit
