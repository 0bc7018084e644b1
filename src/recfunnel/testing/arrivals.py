"""What every kind of arrivals and of query sizes keeps to.

Subclass `ArrivalsContract` or `QuerySizesContract` and set `spec`.
"""

from typing import Any

import numpy as np

from recfunnel.core.spec import to_builtins
from recfunnel.core.workload import arrivals, check_times, query_sizes


class ArrivalsContract:
    """Tests of an `ArrivalsSpec`.

    `spec` is the spec under test. `num_queries` is how many it is asked for. `rate_stderr` is the
    relative standard error of the mean rate seen in so many; 1 / sqrt(num_queries) for a Poisson
    process, more for bursts.
    """

    spec: Any
    num_queries: int = 200_000
    rate_stderr: float = 0.00224

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """As plain data with its kind."""
        assert arrivals.parse(to_builtins(self.spec)) == self.spec

    def test_times_are_finite_and_never_fall(self) -> None:
        """For many queries, for one and for none."""
        for num_queries in (self.num_queries, 1, 0):
            times = self.spec.unit_times(num_queries, np.random.default_rng(1))
            assert times.shape == (num_queries,)
            assert times.dtype == np.float64
            check_times(times)

    def test_the_mean_rate_is_one(self) -> None:
        """Within 4 standard errors: a right process fails 1 time in 16,000, a wrong rate shows."""
        times = self.spec.unit_times(self.num_queries, np.random.default_rng(2))
        rate_qps = (times.size - 1) / (times[-1] - times[0])
        assert abs(rate_qps - 1) <= 4 * self.rate_stderr + 1e-9

    def test_the_seed_decides(self) -> None:
        """The same stream gives the same times."""
        first = self.spec.unit_times(100, np.random.default_rng(3))
        assert np.array_equal(first, self.spec.unit_times(100, np.random.default_rng(3)))


class QuerySizesContract:
    """Tests of a `QuerySizesSpec`; `spec` is the spec under test."""

    spec: Any

    def test_the_spec_survives_being_written_and_read(self) -> None:
        """As plain data with its kind."""
        assert query_sizes.parse(to_builtins(self.spec)) == self.spec

    def test_fractions_lie_above_0_and_up_to_1(self) -> None:
        """For many queries, for one and for none."""
        for num_queries in (5000, 1, 0):
            fractions = self.spec.fractions(num_queries, np.random.default_rng(1))
            assert fractions.shape == (num_queries,)
            assert fractions.dtype == np.float64
            assert ((fractions > 0) & (fractions <= 1)).all()

    def test_the_seed_decides(self) -> None:
        """The same stream gives the same sizes."""
        first = self.spec.fractions(100, np.random.default_rng(3))
        assert np.array_equal(first, self.spec.fractions(100, np.random.default_rng(3)))
