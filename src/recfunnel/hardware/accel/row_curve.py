"""How many rows sub-batches fetch, counted on a trace of lookups.

Letters: M sizes of sub-batches, C sizes of static caches, T tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.hardware.accel.rows import RowDemand
from recfunnel.hardware.caches.static import hottest_rows, lookups_of_rows
from recfunnel.hardware.caches.trace import RowTrace

NUM_CAPACITIES = 257
"""Sizes of static caches that are counted; between two of them a line is drawn."""


@dataclass(frozen=True, eq=False, slots=True)
class RowCurve(RowDemand):
    """Rows fetched by size of sub-batch and of static cache.

    Between sizes a line is drawn. A static cache's curve is convex, so between two caches the line
    is at or above what would be counted.

    Args:
        num_items: int64 (M,), rising, candidates of a sub-batch.
        held_rows: int64 (C,), rising from 0, rows that the static cache holds.
        fetched_rows: (M, C), mean of a sub-batch, each row once.
        dram_rows: rows that DRAM holds, hottest first; others lie on the SSD. None for all.
    """

    num_items: IntArray
    held_rows: IntArray
    fetched_rows: DoubleArray
    dram_rows: int | None = None

    def fetched(self, num_items: ArrayLike, held_rows: ArrayLike) -> DoubleArray:
        """Rows that are not in the static cache, each once a sub-batch.

        Raises:
            StudyError: a sub-batch larger than those counted.
        """
        items, held = np.broadcast_arrays(
            np.asarray(num_items, np.float64), np.asarray(held_rows, np.float64)
        )
        if items.size and items.max() > self.num_items[-1]:
            raise StudyError(
                f"rows of sub-batches of {self.num_items[0]} to {self.num_items[-1]} candidates "
                f"are known, {items.max():.0f} are asked for; count that size too"
            )
        row, right = _between(self.num_items.astype(np.float64), items)
        column, after = _between(self.held_rows.astype(np.float64), held)
        low, high = (
            self.fetched_rows[r, column] * (1 - after)
            + self.fetched_rows[r, np.minimum(column + 1, self.held_rows.size - 1)] * after
            for r in (row, np.minimum(row + 1, self.num_items.size - 1))
        )
        below = items / self.num_items[0]
        return np.asarray(np.where(below < 1, low * below, low * (1 - right) + high * right))

    def from_ssd(self, num_items: ArrayLike) -> DoubleArray:
        """Rows that DRAM does not hold."""
        if self.dram_rows is None:
            return np.zeros(np.shape(num_items))
        return self.fetched(num_items, self.dram_rows)


def row_curve(
    trace: RowTrace, num_items: Sequence[int], *, dram_rows: int | None = None
) -> RowCurve:
    """Count what sub-batches fetch behind static caches of any size.

    Rows are chosen on the trace's warm-up, those looked up most, and counted after it.

    Args:
        trace: lookups with a warm-up, T a candidate.
        num_items: candidates of a sub-batch, one or more sizes; those between are interpolated.
        dram_rows: rows that DRAM holds; None for all.

    Returns:
        The curve.

    Raises:
        StudyError: no size, one below 1, or a trace without warm-up.
    """
    sizes = np.unique(np.asarray(num_items, np.int64))
    if not sizes.size or sizes[0] < 1:
        raise StudyError(f"sub-batches of {list(num_items)} candidates; give 1 or more, each >= 1")
    order = hottest_rows(trace, trace.num_rows)
    held = np.unique(np.concatenate([[0], np.geomspace(1, order.size, NUM_CAPACITIES - 1)]).round())
    held_rows = held.astype(np.int64)
    num_candidates = trace.num_counted / trace.num_tables
    curves = []
    for size in sizes.tolist():
        part = trace.once_per_sub_batch(size)
        counts = lookups_of_rows(part.rows[part.num_warm_up :], part.num_rows)
        kept = np.concatenate([[0], np.cumsum(counts[order])])
        num_batches = max(num_candidates / size, 1.0)
        curves.append((counts.sum() - kept[held_rows]) / num_batches)
    return RowCurve(sizes, held_rows, np.stack(curves), dram_rows)


def _between(grid: DoubleArray, at: DoubleArray) -> tuple[IntArray, DoubleArray]:
    """The place of the grid at or before each number, and how far it is to the next, 0 to 1."""
    place = np.clip(np.searchsorted(grid, at, side="right") - 1, 0, grid.size - 1)
    after = np.minimum(place + 1, grid.size - 1)
    step = np.maximum(grid[after] - grid[place], 1.0)
    return place, np.clip((at - grid[place]) / step, 0.0, 1.0)
