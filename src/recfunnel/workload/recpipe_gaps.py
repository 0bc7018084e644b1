"""Arrivals as RecPipe's published load generator draws them, kept for comparison only."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.workload import ArrivalsSpec, arrivals


@arrivals.register
class RecPipeGaps(Spec, ArrivalsSpec, frozen=True, tag="recpipe_gaps"):
    """Gaps that are a Poisson-distributed whole number of milliseconds: not a Poisson process.

    The squared coefficient of variation of the gap is 1 / mean_gap_ms: far smoother than real
    traffic at low load, and in clumps above 1000 queries/s.

    Args:
        mean_gap_ms: of the generator's setting. Its own load is 1000 / mean_gap_ms queries/s.
    """

    mean_gap_ms: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.mean_gap_ms < np.inf:
            raise StudyError(f"mean_gap_ms is {self.mean_gap_ms}, must be above 0 and finite")

    def unit_times(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), rising arrival times in seconds at a mean rate of 1 query/s."""
        gaps = rng.poisson(self.mean_gap_ms, num_queries)
        return np.cumsum(gaps) / self.mean_gap_ms
