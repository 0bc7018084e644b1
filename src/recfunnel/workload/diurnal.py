"""Arrivals whose rate rises and falls like the day."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.workload import ArrivalsSpec, arrivals

# Newton doubles the right digits each step. Bisection first makes the start safe: with an
# amplitude near 1 the rate nearly vanishes once a cycle and a Newton step there leaps far.
_BISECTIONS = 12
_NEWTON_STEPS = 6


@arrivals.register
class Diurnal(Spec, ArrivalsSpec, frozen=True, tag="diurnal"):
    """A Poisson process of rate 1 + amplitude · sin(2π t / cycle), started at a random phase.

    Args:
        amplitude: 0 (Poisson) to below 1; the peak rate is 1 + amplitude times the mean.
        cycle_queries: mean number of queries in a cycle. At a load of r queries/s a cycle lasts
            cycle_queries / r seconds.
    """

    amplitude: float = 0.5
    cycle_queries: float = 5000.0

    def __post_init__(self) -> None:
        if not 0 <= self.amplitude < 1:
            raise StudyError(f"the diurnal amplitude is {self.amplitude}, must be 0 to below 1")
        if not 0 < self.cycle_queries < np.inf:
            raise StudyError(f"cycle_queries is {self.cycle_queries}, must be above 0 and finite")

    def unit_times(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), rising arrival times in seconds at a mean rate of 1 query/s over whole cycles.

        Time rescaling: a unit Poisson process seen through the inverse of the cumulative rate.
        """
        phase = rng.uniform(0, 2 * np.pi)
        operational = np.cumsum(rng.standard_exponential(num_queries))
        return np.maximum.accumulate(self._invert(operational, phase))

    def _invert(self, operational: DoubleArray, phase: float) -> DoubleArray:
        swing = self.amplitude * self.cycle_queries / np.pi  # the most the two clocks differ by
        low, high = np.maximum(operational - swing, 0.0), operational + swing
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            early = self._cumulative(middle, phase) < operational
            low, high = np.where(early, middle, low), np.where(early, high, middle)
        times = (low + high) / 2
        for _ in range(_NEWTON_STEPS):
            miss = self._cumulative(times, phase) - operational
            times = np.clip(times - miss / self._rate(times, phase), low, high)
        return times

    def _rate(self, times: DoubleArray, phase: float) -> DoubleArray:
        angle = 2 * np.pi * times / self.cycle_queries + phase
        rate: DoubleArray = 1 + self.amplitude * np.sin(angle)
        return rate

    def _cumulative(self, times: DoubleArray, phase: float) -> DoubleArray:
        angle = 2 * np.pi * times / self.cycle_queries + phase
        reach = self.amplitude * self.cycle_queries / (2 * np.pi)
        total: DoubleArray = times + reach * (np.cos(phase) - np.cos(angle))
        return total
