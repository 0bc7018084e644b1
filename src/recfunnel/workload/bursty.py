"""Arrivals that switch between a quiet and a busy rate."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.workload import ArrivalsSpec, arrivals


@arrivals.register
class Bursty(Spec, ArrivalsSpec, frozen=True, tag="bursty"):
    """A two-state Markov-modulated Poisson process, started in its stationary state.

    Args:
        burst_share: share of the time spent in bursts, between 0 and 1.
        burst_ratio: rate in a burst over the rate outside one, at least 1 (1 is Poisson).
        burst_queries: mean number of queries in a burst.
    """

    burst_share: float = 0.1
    burst_ratio: float = 5.0
    burst_queries: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.burst_share < 1:
            raise StudyError(f"burst_share is {self.burst_share}, must be between 0 and 1")
        if not 1 <= self.burst_ratio < np.inf:
            raise StudyError(f"burst_ratio is {self.burst_ratio}, must be at least 1 and finite")
        if not 0 < self.burst_queries < np.inf:
            raise StudyError(f"burst_queries is {self.burst_queries}, must be above 0 and finite")

    @property
    def rates_qps(self) -> tuple[float, float]:
        """Rates outside and inside a burst, for a mean rate of 1."""
        quiet = 1 / (1 + self.burst_share * (self.burst_ratio - 1))
        return quiet, quiet * self.burst_ratio

    @property
    def stays_s(self) -> tuple[float, float]:
        """Mean lengths of a quiet time and of a burst, for a mean rate of 1."""
        burst = self.burst_queries / self.rates_qps[1]
        return burst * (1 - self.burst_share) / self.burst_share, burst

    def unit_times(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), rising arrival times in seconds at a mean rate of 1 query/s.

        Time rescaling: a unit Poisson process seen through the inverse of the cumulative rate,
        which is a broken line.
        """
        operational = np.cumsum(rng.standard_exponential(num_queries))
        if not num_queries:
            return operational
        state = int(rng.random() < self.burst_share)
        clock, expected = [np.zeros(1)], [np.zeros(1)]
        while expected[-1][-1] < operational[-1]:
            num_stays = 2 * (16 + int(num_queries / sum(self.stays_s)))
            states = (state + np.arange(num_stays)) % 2  # even count: the next block fits on
            stays = rng.standard_exponential(num_stays) * np.array(self.stays_s)[states]
            clock.append(clock[-1][-1] + np.cumsum(stays))
            arrived = np.cumsum(stays * np.array(self.rates_qps)[states])
            expected.append(expected[-1][-1] + arrived)
        times = np.interp(operational, np.concatenate(expected), np.concatenate(clock))
        return np.maximum.accumulate(times)
