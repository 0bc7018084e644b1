"""Scores through a top-k filter: what it passes on, and how long that takes.

Letters: Q queries, n candidates in the order they arrive, B bins.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.hardware.topk import kernel
from recfunnel.hardware.topk.bins import codes_of, edge_codes
from recfunnel.hardware.topk.filter import TopKFilter

_POLICY = {"global": kernel.GLOBAL, "quota": kernel.QUOTA, "running": kernel.RUNNING}
_OVERFLOW = {"spill": kernel.SPILL, "raise": kernel.RAISE, "drop": kernel.DROP}
_TRUNCATE = {
    "none": kernel.NONE,
    "arrival": kernel.ARRIVAL,
    "bins": kernel.BINS,
    "exact": kernel.EXACT,
}


@dataclass(frozen=True, eq=False, slots=True)
class FilterRun:
    """What a filter did with the scores of Q queries; every time is simulated.

    Args:
        passed: bool (Q, n), what it passed on; it leaves in the order it came.
        num_passed: int64 (Q,).
        fill_cycles: int64 (Q,), taking scores, hidden where the layer that makes them is no faster.
        walk_cycles: int64 (Q,), bins looked at from the top, one a cycle.
        drain_cycles: int64 (Q,), reading the buffer; what was spilled comes back at the same pace,
            if DRAM keeps up.
        sort_cycles: int64 (Q,), of an exact cut: merge passes over all that is left.
        stall_cycles: int64 (Q,), looking through a full buffer for what can go.
        high_water: int64 (Q,), most entries the buffer held.
        num_spilled: int64 (Q,), entries that went to DRAM.
        num_lost: int64 (Q,), scores that found no room, or had to leave theirs to better ones.
        num_below: int64 (Q,), not above the least score.
        num_outside: int64 (Q,), outside the range that the filter tells apart, held at its ends.
    """

    passed: BoolArray
    num_passed: IntArray
    fill_cycles: IntArray
    walk_cycles: IntArray
    drain_cycles: IntArray
    sort_cycles: IntArray
    stall_cycles: IntArray
    high_water: IntArray
    num_spilled: IntArray
    num_lost: IntArray
    num_below: IntArray
    num_outside: IntArray

    @property
    def cycles(self) -> IntArray:
        """(Q,), all phases one after another."""
        after: IntArray = self.walk_cycles + self.drain_cycles + self.sort_cycles
        return self.fill_cycles + self.stall_cycles + after


def filter_scores(
    topk: TopKFilter,
    scores: NDArray[np.floating[Any]],
    k: int,
    *,
    lengths: IntArray | None = None,
) -> FilterRun:
    """Let the scores of Q queries stream through a filter.

    Without a least score, a lossy buffer or a cut, and with policy `global` (or `running` of
    infinite margin), at least k are passed on and the exact best k are among them, whatever the
    scores: bins keep the order of scores, and whole bins are passed on.

    Args:
        topk: the filter.
        scores: float (Q, n), finite, higher is better.
        k: how many are wanted, 1 to n.
        lengths: int64 (Q,), 0 to n, how many of each row are candidates, from the left, where that
            differs; of a query with fewer than k all are wanted.

    Returns:
        What it did.

    Raises:
        StudyError: k is below 1 or above n, fewer candidates than sub-batches, a length outside
            its range, or a buffer that throws out what does not fit and cannot hold k.
        InvalidInput: scores of another shape, or one that is not finite.
    """
    check_scores(scores)
    num_queries, num_candidates = scores.shape
    check_k(k, num_candidates)
    _check_room(topk, k, num_candidates)
    if lengths is None:
        lengths = np.full(num_queries, num_candidates, np.int64)
    elif lengths.shape != (num_queries,) or lengths.min() < 0 or lengths.max() > num_candidates:
        raise StudyError(f"{num_queries} queries need a length of 0 to {num_candidates} each")
    codes = codes_of(scores, topk.score_bits, topk.low, topk.high)
    bins = bins_of(topk, codes)
    if topk.min_score is not None:
        bins[scores <= topk.min_score] = -1
    passed = np.empty(scores.shape, np.bool_)
    counted = np.empty((num_queries, len(kernel.COUNTS)), np.int64)
    kernel.stream(
        bins,
        codes,
        lengths,
        k,
        _POLICY[topk.policy],
        topk.sub_batches,
        topk.margin,
        topk.num_bins,
        topk.buffer_entries or num_candidates,
        _OVERFLOW[topk.overflow],
        _TRUNCATE[topk.truncate],
        topk.lanes,
        passed,
        counted,
    )
    offered = np.arange(num_candidates) < lengths[:, np.newaxis]
    outside = offered & ((scores < topk.low) | (scores >= topk.high))
    return FilterRun(
        passed=passed,
        num_below=np.count_nonzero((bins < 0) & offered, axis=1),
        num_outside=np.count_nonzero(outside, axis=1),
        **_counts(topk, counted),
    )


def bins_of(topk: TopKFilter, codes: NDArray[np.int32]) -> NDArray[np.int16]:
    """The bin of each score as the filter holds it, the shape of `codes`."""
    edges = edge_codes(np.array(topk.edges), topk.score_bits, topk.low, topk.high)
    return np.searchsorted(edges, codes, side="right").astype(np.int16)


def recall(passed: BoolArray, scores: NDArray[np.floating[Any]], k: int) -> DoubleArray:
    """Share of each query's exact best k that was passed on; of equals the first come count.

    Args:
        passed: (Q, n).
        scores: (Q, n).
        k: 1 to n.

    Returns:
        (Q,), 0 to 1.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    shares: DoubleArray = np.take_along_axis(passed, best, axis=1).mean(axis=1)
    return shares


def check_scores(scores: NDArray[np.floating[Any]]) -> None:
    """Refuse what is no table of scores.

    Raises:
        InvalidInput: not (Q, n), no numbers with a point, empty, or one that is not finite.
    """
    if scores.ndim != 2 or not scores.size:
        raise InvalidInput(f"scores have shape {scores.shape}, not (queries, candidates)")
    if scores.dtype.kind != "f":
        raise InvalidInput(f"scores are {scores.dtype}; a filter reads floating point")
    if not np.isfinite(scores).all():
        query, column = np.argwhere(~np.isfinite(scores))[0]
        raise InvalidInput(
            f"query {query} has score {scores[query, column]} at {column}; scores must be finite"
        )


def check_k(k: int, num_candidates: int) -> None:
    """Refuse to keep none, or more than there are.

    Raises:
        StudyError: k is below 1 or above the number of candidates.
    """
    if not 1 <= k <= num_candidates:
        raise StudyError(
            f"a filter that keeps {k} of {num_candidates} candidates; "
            f"k must be between 1 and {num_candidates}"
        )


def _check_room(topk: TopKFilter, k: int, num_candidates: int) -> None:
    if topk.sub_batches > num_candidates:
        raise StudyError(f"{num_candidates} candidates cannot come in {topk.sub_batches} runs")
    wanted = -(-k // topk.sub_batches) if topk.policy == "quota" else k
    if topk.overflow == "raise" and (topk.buffer_entries or num_candidates) < wanted:
        raise StudyError(
            f"a buffer of {topk.buffer_entries} entries cannot hold the {wanted} that are wanted; "
            "make it larger or let it spill"
        )


def _counts(topk: TopKFilter, counted: IntArray) -> dict[str, IntArray]:
    """What the loop counted, entries as cycles."""
    found = dict(zip(kernel.COUNTS, counted.T, strict=True))
    read = found["drained" if topk.drain == "scan" else "kept"]
    return {
        "num_passed": found["passed"],
        "fill_cycles": found["filled"],
        "walk_cycles": found["walked"],
        "drain_cycles": -(-read // topk.lanes),
        "sort_cycles": -(-found["sorted"] // topk.lanes),
        "stall_cycles": -(-found["scanned"] // topk.lanes),
        "high_water": found["high_water"],
        "num_spilled": found["spilled"],
        "num_lost": found["lost"],
    }
