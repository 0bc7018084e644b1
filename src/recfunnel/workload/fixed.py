"""Queries that all bring the same number of candidates."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.workload import QuerySizesSpec, query_sizes


@query_sizes.register
class Fixed(Spec, QuerySizesSpec, frozen=True, tag="fixed"):
    """Every query brings the same share of the nominal candidates.

    Args:
        fraction: above 0, at most 1.
    """

    fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise StudyError(f"the size fraction is {self.fraction}, must be above 0 and up to 1")

    def fractions(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), all `fraction`; `rng` is not drawn from."""
        del rng
        return np.full(num_queries, self.fraction)
