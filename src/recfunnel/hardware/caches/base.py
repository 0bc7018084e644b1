"""What a cache policy is, and the hit counts it gives."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.registry import Registry
from recfunnel.core.spec import kind_of
from recfunnel.hardware.caches.trace import RowTrace


class CachePolicySpec:
    """Role: decides which rows a cache of limited capacity holds.

    All rows are of one size. A row that is looked up is in the cache from then on until it is
    evicted, a row pinned by a static policy stays, and a cache begins empty.
    """

    @abstractmethod
    def hits(self, trace: RowTrace, capacities: IntArray) -> IntArray:
        """Hits of several caches, each alone with the whole trace.

        Args:
            trace: lookups; those of its warm-up are played, not counted.
            capacities: (S,), rows each cache holds, rising, 1 to the number of rows.

        Returns:
            (S,), exact.
        """


cache_policies: Registry[CachePolicySpec] = Registry(CachePolicySpec, "recfunnel.hardware.caches")


@dataclass(frozen=True, eq=False, slots=True)
class HitCounts:
    """How often caches of several capacities held the row that was looked up.

    Args:
        policy: kind of the policy.
        capacities: int64 (S,), rows, as asked for.
        hits: int64 (S,).
        num_counted: lookups that were counted.
        num_rows: different rows of the whole trace.
    """

    policy: str
    capacities: IntArray
    hits: IntArray
    num_counted: int
    num_rows: int

    @property
    def hit_rates(self) -> DoubleArray:
        """(S,), hits a counted lookup."""
        rates: DoubleArray = self.hits / self.num_counted
        return rates

    @property
    def misses(self) -> IntArray:
        """(S,), rows fetched from behind the cache."""
        return self.num_counted - self.hits


def count_hits(
    policy: CachePolicySpec, trace: RowTrace, capacities: Sequence[int] | IntArray
) -> HitCounts:
    """Play a trace through caches of several capacities.

    Args:
        policy: which rows they hold.
        trace: the lookups.
        capacities: rows each holds, in any order; one above the number of rows never evicts.

    Returns:
        Exact counts, in the order of the capacities.

    Raises:
        StudyError: no capacity, or one below 1.
    """
    if not len(capacities):
        raise StudyError("no capacity is given; give at least one, in rows")
    least, most = int(min(capacities)), int(max(capacities))
    if least < 1 or most > np.iinfo(np.int64).max:
        raise StudyError(
            f"a cache of {least if least < 1 else most} rows; a capacity is 1 to "
            f"{np.iinfo(np.int64).max}"
        )
    wanted = np.asarray(capacities, np.int64)
    played, places = np.unique(np.minimum(wanted, trace.num_rows), return_inverse=True)
    hits = policy.hits(trace, played)
    return HitCounts(kind_of(policy), wanted, hits[places], trace.num_counted, trace.num_rows)
