"""Arrivals equally spaced, as a load generator with a metronome sends them."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Spec
from recfunnel.core.workload import ArrivalsSpec, arrivals


@arrivals.register
class Uniform(Spec, ArrivalsSpec, frozen=True, tag="uniform"):
    """One query a second from time 0, without any randomness: the kindest load there is."""

    def unit_times(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), 0, 1, 2, ... seconds; `rng` is not drawn from."""
        del rng
        return np.arange(num_queries, dtype=np.float64)
