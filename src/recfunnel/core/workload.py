"""When queries arrive, how large they are, and what they are promised."""

from abc import abstractmethod

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.registry import Registry
from recfunnel.core.spec import Value


class ArrivalsSpec:
    """Role of a spec that says when queries arrive; see `recfunnel.workload`.

    A process has a shape and no rate: `unit_times` are drawn at a mean rate of one query a
    second and divided by the rate, so that all loads see the same arrivals, closer together.
    """

    __slots__ = ()

    @abstractmethod
    def unit_times(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), rising arrival times in seconds at a mean rate of 1 query/s."""


class QuerySizesSpec:
    """Role of a spec that says how many candidates queries bring; see `recfunnel.workload`."""

    __slots__ = ()

    @abstractmethod
    def fractions(self, num_queries: int, rng: np.random.Generator) -> DoubleArray:
        """(N,), each query's size as a fraction (0, 1] of the pipeline's nominal candidates."""


arrivals: Registry[ArrivalsSpec] = Registry(ArrivalsSpec, "recfunnel.workload")
"""Kinds of arrival process, one file each in `recfunnel.workload`."""

query_sizes: Registry[QuerySizesSpec] = Registry(QuerySizesSpec, "recfunnel.workload")
"""Kinds of query-size distribution, one file each in `recfunnel.workload`."""


class ServiceLevel(Value, frozen=True):
    """A latency quantile and its deadline, such as p99 within 25 ms."""

    deadline_s: float
    quantile: float = 0.99

    def __post_init__(self) -> None:
        if not self.deadline_s > 0:
            raise StudyError(f"the deadline is {self.deadline_s} s, must be above 0")
        if not 0 < self.quantile < 1:
            raise StudyError(f"the quantile is {self.quantile}, must be between 0 and 1")


class Workload(Value, frozen=True):
    """What a plan is judged under.

    Args:
        arrivals: when queries arrive.
        sizes: how many candidates they bring.
        rate_qps: offered load, queries a second.
        num_queries: simulated queries a replication, warm-up included.
        num_replications: independent replications, for intervals.
        service_level: what must hold.
    """

    arrivals: ArrivalsSpec
    sizes: QuerySizesSpec
    rate_qps: float
    service_level: ServiceLevel
    num_queries: int = 20_000
    num_replications: int = 5

    def __post_init__(self) -> None:
        if not self.rate_qps > 0:
            raise StudyError(f"the load is {self.rate_qps} queries/s, must be above 0")
        if self.num_queries < 100:
            raise StudyError(f"{self.num_queries} simulated queries are too few; give at least 100")


def check_times(times: DoubleArray) -> None:
    """Hold an arrival process to its contract.

    Raises:
        StudyError: a time falls, is negative or is not finite.
    """
    if not np.isfinite(times).all() or (times.size and times[0] < 0) or np.any(np.diff(times) < 0):
        raise StudyError("arrival times must be finite, not negative and never fall")


def sizes_for(fractions: DoubleArray, nominal: int) -> IntArray:
    """Candidates of each query: a fraction of the nominal number, at least 1."""
    return np.maximum(1, np.ceil(fractions * nominal)).astype(np.int64)
