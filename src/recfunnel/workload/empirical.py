"""Queries whose sizes were recorded."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.spec import Spec
from recfunnel.core.workload import QuerySizesSpec, query_sizes
from recfunnel.workload.recorded import read_numbers


@query_sizes.register
class Empirical(Spec, QuerySizesSpec, frozen=True, tag="empirical"):
    """Sizes drawn uniformly, with replacement, from a file of recorded sizes, one a line.

    Args:
        path: the file; text after `#` is ignored.
        nominal: the size that counts as 1; the largest recorded one when None.
    """

    path: str
    nominal: float | None = None

    def __post_init__(self) -> None:
        if self.nominal is not None and not 0 < self.nominal < np.inf:
            raise StudyError(f"the nominal size is {self.nominal}, must be above 0 and finite")

    def fractions(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), each above 0 and up to 1.

        Raises:
            DataError: the file is missing or malformed, or a size is not above 0 or over the
                nominal.
        """
        sizes = read_numbers(self.path)
        if sizes.min() <= 0:
            raise DataError(f"{self.path} holds a size of {sizes.min():g}, must be above 0")
        nominal = sizes.max() if self.nominal is None else self.nominal
        if sizes.max() > nominal:
            raise DataError(
                f"{self.path} holds a size of {sizes.max():g}, above the nominal {nominal:g}; "
                f"set nominal to at least {sizes.max():g}"
            )
        return rng.choice(sizes, num_queries) / nominal
