"""Arrivals of many independent users: exponential gaps."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Spec
from recfunnel.core.workload import ArrivalsSpec, arrivals


@arrivals.register
class Poisson(Spec, ArrivalsSpec, frozen=True, tag="poisson"):
    """A Poisson process; gaps have a squared coefficient of variation of 1."""

    def unit_times(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), rising arrival times in seconds at a mean rate of 1 query/s."""
        return np.cumsum(rng.standard_exponential(num_queries))
