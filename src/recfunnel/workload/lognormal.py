"""Queries whose size is lognormal, as DeepRecSys models it."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.workload import QuerySizesSpec, query_sizes


@query_sizes.register
class Lognormal(Spec, QuerySizesSpec, frozen=True, tag="lognormal"):
    """Sizes exp(ln median + sigma · normal), clipped at the nominal size.

    The defaults are DeepRecSys's published scripts (mu 5.1, sigma 0.2, at most 1024 items).

    Args:
        median: as a fraction of the nominal size, above 0 and up to 1.
        sigma: standard deviation of the logarithm, 0 or more.
    """

    median: float = 0.16
    sigma: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.median <= 1:
            raise StudyError(f"the median fraction is {self.median}, must be above 0 and up to 1")
        if not 0 <= self.sigma < np.inf:
            raise StudyError(f"sigma is {self.sigma}, must be 0 or more and finite")

    def fractions(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), each above 0 and up to 1."""
        drawn = self.median * np.exp(self.sigma * rng.standard_normal(num_queries))
        return np.clip(drawn, np.finfo(np.float64).tiny, 1.0)
