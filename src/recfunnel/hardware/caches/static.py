"""Static: the rows looked up most in a profile window stay in the cache for good.

The window is the trace's warm-up and the hits are those of the lookups after it, so a cache is
never judged on the lookups it was chosen by. Rows are ranked by lookups, the lower id first among
equals; a row the window does not have is never held. The hits of every capacity are sums over the
ranking: one pass.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.hardware.caches.base import CachePolicySpec, cache_policies
from recfunnel.hardware.caches.trace import Rows, RowTrace


@cache_policies.register
class Static(Spec, CachePolicySpec, frozen=True, tag="static"):
    """Holds the rows looked up most in the warm-up, and evicts none."""

    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """(S,), all capacities in one pass.

        Raises:
            StudyError: the trace has no warm-up.
        """
        counted = lookups_of_rows(trace.rows[trace.num_warm_up :], trace.num_rows)
        held = hottest_rows(trace, int(capacities[-1]))
        hits = np.concatenate([[0], np.cumsum(counted[held])])
        return hits[np.minimum(capacities, hits.size - 1)]


def hottest_rows(trace: RowTrace, most: int) -> IntArray:
    """Rows of the warm-up, the one looked up most first.

    Args:
        trace: the lookups.
        most: rows wanted, at least 1.

    Returns:
        int64, up to `most` rows that the warm-up has; equals in the order of their ids.

    Raises:
        StudyError: the trace has no warm-up.
    """
    if not trace.num_warm_up:
        raise StudyError(
            "static rows are chosen on a profile window and counted after it, and this trace has "
            "no warm-up; give one"
        )
    lookups = lookups_of_rows(trace.rows[: trace.num_warm_up], trace.num_rows)
    least = 1
    if most < lookups.size:  # most rows are rare, and need no sorting
        least = max(1, int(np.partition(lookups, lookups.size - most)[lookups.size - most]))
    rows = np.flatnonzero(lookups >= least)
    return rows[np.argsort(-lookups[rows], kind="stable")][:most]


def lookups_of_rows(rows: Rows, num_rows: int) -> IntArray:
    """(num_rows,), how often each row is looked up."""
    counts = np.zeros(num_rows, np.int64)
    _count(rows, counts)
    return counts


@njit(nogil=True, cache=True)
def _count(rows: Rows, counts: IntArray) -> None:
    for i in range(rows.size):
        counts[rows[i]] += 1
