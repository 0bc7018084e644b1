"""What became of each query of a run, simulated or executed, and what that is worth.

Letters: N queries, P paths.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """One run of a menu under a policy.

    Args:
        arrival_s: float64 (N,), when each query was due, never falling.
        num_candidates: int64 (N,).
        path: int64 (N,), index in the menu; -1 for a query that was turned away.
        latency_s: float64 (N,), due time to answer; inf for one that was never answered.
        work_s: float64 (N,), servers' time it took, all stations and parts together.
        num_parts: int64 (N,), 1 for a whole query.
    """

    arrival_s: DoubleArray
    num_candidates: IntArray
    path: IntArray
    latency_s: DoubleArray
    work_s: DoubleArray
    num_parts: IntArray

    def __post_init__(self) -> None:
        shapes = {
            array.shape
            for array in (
                self.arrival_s,
                self.num_candidates,
                self.path,
                self.latency_s,
                self.work_s,
                self.num_parts,
            )
        }
        if len(shapes) != 1 or not self.path.size:
            raise InvalidInput(
                f"an outcome has arrays of shapes {sorted(shapes)}; give one entry a query, at "
                "least 1 query"
            )

    def __len__(self) -> int:
        return int(self.path.size)

    @property
    def answered(self) -> BoolArray:
        """Bool (N,), whether an answer came at all."""
        return np.isfinite(self.latency_s)

    def after(self, warmup: int) -> "Outcome":
        """Without the first queries.

        Raises:
            InvalidInput: none would be left.
        """
        kept = slice(warmup, None)
        return Outcome(
            self.arrival_s[kept],
            self.num_candidates[kept],
            self.path[kept],
            self.latency_s[kept],
            self.work_s[kept],
            self.num_parts[kept],
        )


@dataclass(frozen=True, eq=False, slots=True)
class Events:
    """When things happened in a run, as its dispatcher was told, so that it can be gone over again.

    Times are multiples of `TICK_S`, so that sums and differences of them are exact.

    Args:
        seen_s: float64 (N,), when the dispatcher learned of each query; nan where it never did.
        service_s: float64 (N, M), from starting a query's station or part until it was known to be
            done; entry station + part, of which one is 0.
    """

    seen_s: DoubleArray
    service_s: DoubleArray


TICK_S = 2.0**-30
"""About a nanosecond; sums of multiples are exact in float64 for weeks."""
