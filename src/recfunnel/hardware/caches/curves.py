"""What a cache misses with every amount of memory, and the best split of it into two kinds.

Letters: B units of memory.

Rows pinned in a static part never pass the dynamic part, so the dynamic part sees only the other
lookups: for each size of the static part it is played anew on those.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.hardware.caches.base import CachePolicySpec, count_hits
from recfunnel.hardware.caches.static import hottest_rows
from recfunnel.hardware.caches.trace import RowTrace


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in units, and the rows that fit.

    Args:
        num_units: B, at least 1.
        unit_bytes: at least 1.
        row_bytes: of one row as it is kept, at least 1.
    """

    num_units: int
    unit_bytes: int
    row_bytes: int

    def __post_init__(self) -> None:
        for name in ("num_units", "unit_bytes", "row_bytes"):
            if getattr(self, name) < 1:
                raise StudyError(f"{name} of a memory is {getattr(self, name)}, must be at least 1")

    def rows(self) -> IntArray:
        """(B + 1,), whole rows that 0 to B units hold."""
        return np.arange(self.num_units + 1) * self.unit_bytes // self.row_bytes


@dataclass(frozen=True, eq=False, slots=True)
class SplitMemory:
    """A memory whose one part is static and whose other part is not.

    Args:
        misses: (B + 1,), of the best split of 0 to B units.
        static_units: (B + 1,), the static part of that split.
        table: (B + 1, B + 1), misses by static and dynamic units; inf where they exceed B.
    """

    misses: DoubleArray
    static_units: IntArray
    table: DoubleArray


def miss_curve(policy: CachePolicySpec, trace: RowTrace, memory: Memory) -> DoubleArray:
    """Misses of one cache with 0 to B units.

    Args:
        policy: which rows it holds.
        trace: what is looked up; with units too small for one row all of it misses.
        memory: its units.

    Returns:
        (B + 1,).
    """
    rows = memory.rows()
    misses = np.full(rows.size, float(trace.num_counted))
    some = rows > 0
    if some.any():
        misses[some] = count_hits(policy, trace, rows[some]).misses
    return misses


def split_with_static(dynamic: CachePolicySpec, trace: RowTrace, memory: Memory) -> SplitMemory:
    """Find, for 0 to B units, how many should hold the hottest rows for good.

    Plays the trace B + 1 times, each time without the rows that are pinned.

    Args:
        dynamic: policy of the other part.
        trace: its warm-up chooses the static rows, and fills the dynamic part.
        memory: the units.

    Returns:
        Misses by both sizes, and the best split of each sum.

    Raises:
        StudyError: the trace has no warm-up to choose static rows by.
    """
    num_sizes = memory.num_units + 1
    hot = hottest_rows(trace, max(1, int(memory.rows()[-1])))
    table = np.full((num_sizes, num_sizes), np.inf)
    for static, num_pinned in enumerate(memory.rows().tolist()):
        left = memory.num_units - static
        rest = _without(trace, hot[:num_pinned])
        if rest is None:
            table[static, : left + 1] = 0.0
            continue
        curve = miss_curve(dynamic, rest, Memory(max(1, left), memory.unit_bytes, memory.row_bytes))
        table[static, : left + 1] = curve[: left + 1]
    sums = [table[np.arange(n + 1), n - np.arange(n + 1)] for n in range(num_sizes)]
    best = np.array([int(np.argmin(costs)) for costs in sums])
    return SplitMemory(np.array([costs.min() for costs in sums]), best, table)


def _without(trace: RowTrace, pinned: IntArray) -> RowTrace | None:
    """The lookups of other rows; None when none of them is counted."""
    passes = np.ones(trace.num_rows, np.bool_)
    passes[pinned] = False
    keep = passes[trace.rows]
    num_warm_up = int(np.count_nonzero(keep[: trace.num_warm_up]))
    rows = trace.rows[keep]
    if num_warm_up == rows.size:
        return None
    return RowTrace(rows, trace.num_rows, num_warm_up)
