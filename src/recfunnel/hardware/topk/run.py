"""Scores through a top-k filter: what it passes on, and how long that takes.

Letters: Q queries, n candidates in the order they arrive, B bins.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.hardware.topk import kernel
from recfunnel.hardware.topk.bins import codes_of, edge_codes
from recfunnel.hardware.topk.filter import TopKFilter

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
        share_outside: of all scores, outside the range that the filter tells apart.
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
    share_outside: float

    @property
    def cycles(self) -> IntArray:
        """(Q,), all phases one after another."""
        after: IntArray = self.walk_cycles + self.drain_cycles + self.sort_cycles
        return self.fill_cycles + self.stall_cycles + after


def filter_scores(topk: TopKFilter, scores: NDArray[np.floating[Any]], k: int) -> FilterRun:
    """Let the scores of Q queries stream through a filter.

    Without a least score, a lossy buffer or a cut, and with policy `global` (or `running` of
    infinite margin), at least k are passed on and the exact best k are among them, whatever the
    scores: bins keep the order of scores, and whole bins are passed on.

    Args:
        topk: the filter.
        scores: float (Q, n), finite, higher is better.
        k: how many are wanted, 1 to n.

    Returns:
        What it did.

    Raises:
        StudyError: k is below 1 or above n, fewer candidates than sub-batches, or a buffer that
            throws out what does not fit and cannot hold k.
        InvalidInput: scores of another shape, or one that is not finite.
    """
    check_scores(scores)
    num_queries, num_candidates = scores.shape
    _check_k(topk, k, num_candidates)
    codes = codes_of(scores, topk.score_bits, topk.low, topk.high)
    edges = edge_codes(np.array(topk.edges), topk.score_bits, topk.low, topk.high)
    bins = np.searchsorted(edges, codes, side="right").astype(np.int16)
    if topk.min_score is not None:
        bins[scores <= topk.min_score] = -1
    runs = _run_ends(topk, num_candidates)
    ends = runs[-1:] if topk.policy == "global" else runs
    passed = np.empty(scores.shape, np.bool_)
    counted = np.empty((num_queries, len(kernel.COUNTS)), np.int64)
    kernel.stream(
        bins,
        codes,
        ends,
        _targets(topk, k, ends),
        topk.policy == "quota",
        k,
        topk.num_bins,
        topk.buffer_entries or num_candidates,
        _OVERFLOW[topk.overflow],
        _TRUNCATE[topk.truncate],
        0,
        num_queries,
        passed,
        counted,
    )
    found = dict(zip(kernel.COUNTS, counted.T, strict=True))
    fill = int(np.sum(-(-np.diff(runs, prepend=0) // topk.lanes)))
    return FilterRun(
        passed=passed,
        num_passed=found["passed"],
        fill_cycles=np.full(num_queries, fill, np.int64),
        walk_cycles=found["walked"],
        drain_cycles=_by_lanes(found["drained" if topk.drain == "scan" else "kept"], topk),
        sort_cycles=_by_lanes(found["sorted"], topk),
        stall_cycles=_by_lanes(found["scanned"], topk),
        high_water=found["high_water"],
        num_spilled=found["spilled"],
        num_lost=found["lost"],
        num_below=np.count_nonzero(bins < 0, axis=1),
        share_outside=float(np.mean((scores < topk.low) | (scores >= topk.high))),
    )


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


def _check_k(topk: TopKFilter, k: int, num_candidates: int) -> None:
    if not 1 <= k <= num_candidates:
        raise StudyError(
            f"a filter that keeps {k} of {num_candidates} candidates; "
            f"k must be between 1 and {num_candidates}"
        )
    if topk.sub_batches > num_candidates:
        raise StudyError(f"{num_candidates} candidates cannot come in {topk.sub_batches} runs")
    wanted = math.ceil(k / topk.sub_batches) if topk.policy == "quota" else k
    if topk.overflow == "raise" and (topk.buffer_entries or num_candidates) < wanted:
        raise StudyError(
            f"a buffer of {topk.buffer_entries} entries cannot hold the {wanted} that are wanted; "
            "make it larger or let it spill"
        )


def _run_ends(topk: TopKFilter, num_candidates: int) -> IntArray:
    """One after the last candidate of each sub-batch, cut as a pipeline cuts its columns."""
    numbers = np.arange(1, topk.sub_batches + 1, dtype=np.int64)
    return numbers * num_candidates // topk.sub_batches


def _targets(topk: TopKFilter, k: int, ends: IntArray) -> IntArray:
    """How many each phase walks to."""
    if topk.policy == "global":
        return np.array([k], np.int64)
    if topk.policy == "quota":
        return np.full(ends.size, -(-k // topk.sub_batches), np.int64)
    share = np.minimum(topk.margin * ends / ends[-1], 1.0)
    # k s / n is often whole; rounding must not make it one more.
    targets: IntArray = np.maximum(np.ceil(k * share - 1e-9), 1).astype(np.int64)
    return targets


def _by_lanes(entries: IntArray, topk: TopKFilter) -> IntArray:
    quotient: IntArray = -(-entries // topk.lanes)
    return quotient
