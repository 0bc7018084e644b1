"""An accelerator under any load: the same queries, closer together.

Letters: R replications, N queries, K kinds of query.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.results import Estimate, SimulationResult
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import ArrivalsSpec, ServiceLevel, check_times
from recfunnel.hardware.accel.times import UnitTimes
from recfunnel.simulate.accel_query import query_latency_s
from recfunnel.simulate.accel_stream import run_stream, unit_names
from recfunnel.simulate.capacity import highest_rate_qps
from recfunnel.simulate.load import WARMUP_SHARE, LoadPoint, load_point
from recfunnel.simulate.quantile import latency_quantile, over_replications, tail_of
from recfunnel.simulate.steady import (
    MAX_GROWTH,
    NUM_STANDARD_ERRORS,
    latency_growth,
    unit_rate_qps,
)

MOST_WAITING = 2_000
"""Queries that wait together when the highest throughput is looked for."""


def saturated_qps(times: UnitTimes, kind: IntArray) -> float:
    """Throughput of queries that are all there from the beginning: no load above it is steady.

    The first half fills the accelerator and is not counted.

    Args:
        times: of K kinds on one design.
        kind: (N,), N at least 2.

    Returns:
        Answered queries a second.
    """
    done_s = np.sort(run_stream(times, np.zeros(kind.size), kind).departure_s)
    half = kind.size // 2
    span_s = float(done_s[-1] - done_s[half - 1])
    return (kind.size - half) / span_s if span_s > 0 else math.inf


@dataclass(frozen=True, eq=False, slots=True)
class AccelLoad:
    """Independent replications of queries on one design, to be run at any rate.

    All rates, and all designs given the same arrays, see the same arrivals and kinds of query.

    Args:
        times: of K kinds on one design.
        unit_times: (R, N), arrivals at a mean rate of 1 query/s.
        kind: int64 (R, N); all of the first kind when None.
        warmup: queries left out of each replication; a tenth when None.
    """

    times: UnitTimes
    unit_times: DoubleArray
    kind: IntArray | None = None
    warmup: int | None = None
    stable_rates_qps: DoubleArray = field(init=False)
    """(R,), the load from which on each replication cannot be told from an overloaded one."""

    def __post_init__(self) -> None:
        if self.unit_times.ndim != 2 or self.unit_times.shape[1] < 2:
            raise StudyError(
                f"arrivals of shape {self.unit_times.shape}; give (R, N) with 2 or more queries"
            )
        if self.kind is None:
            object.__setattr__(self, "kind", np.zeros(self.unit_times.shape, np.int64))
        if self._kind.shape != self.unit_times.shape:
            raise StudyError(
                f"kinds of shape {self._kind.shape} for arrivals of {self.unit_times.shape}"
            )
        if self.warmup is None:
            object.__setattr__(self, "warmup", int(WARMUP_SHARE * self.unit_times.shape[1]))
        if not 0 <= self._warmup < self.unit_times.shape[1]:
            raise StudyError(f"a warm-up of {self._warmup} leaves no query to report")
        for times in self.unit_times:
            check_times(times)
        limits = [self._stable_rate_qps(r) for r in range(self.num_replications)]
        object.__setattr__(self, "stable_rates_qps", np.array(limits))

    @property
    def _kind(self) -> IntArray:
        assert self.kind is not None
        return self.kind

    @property
    def _warmup(self) -> int:
        return self.warmup or 0

    @property
    def num_replications(self) -> int:
        """R."""
        return int(self.unit_times.shape[0])

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the units, in the order of utilisations."""
        return tuple(unit_names(self.times).values())

    def run_one(self, replication: int, rate_qps: float) -> SimulationResult:
        """One replication at a load.

        Raises:
            StudyError: the rate is not above 0 and finite.
        """
        if not 0 < rate_qps < math.inf:
            raise StudyError(f"the load is {rate_qps} queries/s, must be above 0 and finite")
        arrival_s = self.unit_times[replication] / rate_qps
        window_s = (float(arrival_s[self._warmup]), float(arrival_s[-1]))
        run = run_stream(self.times, arrival_s, self._kind[replication], window_s=window_s)
        latency_s = (run.departure_s - arrival_s)[self._warmup :]
        span_s = window_s[1] - window_s[0]
        answered = np.count_nonzero(
            (run.departure_s > window_s[0]) & (run.departure_s <= window_s[1])
        )
        growth = latency_growth(arrival_s[self._warmup :], latency_s)
        below = rate_qps < self.stable_rates_qps[replication]
        return SimulationResult(
            latency_s=latency_s,
            utilisation=tuple(
                min(busy_s / (span_s * run.num_servers[unit]), 1.0) if span_s > 0 else math.nan
                for unit, busy_s in run.busy_s.items()
            ),
            throughput_qps=answered / span_s if span_s > 0 else math.nan,
            steady=bool(below and growth <= MAX_GROWTH),
        )

    def run(self, rate_qps: float) -> tuple[SimulationResult, ...]:
        """All R replications at a load.

        Raises:
            StudyError: the rate is not above 0 and finite.
        """
        return tuple(self.run_one(r, rate_qps) for r in range(self.num_replications))

    def tail(self, rate_qps: float, quantile: float) -> Estimate:
        """A latency quantile at a load, over replications; inf when any was not steady."""
        return latency_quantile(self.run(rate_qps), quantile)

    def at(self, rate_qps: float) -> LoadPoint:
        """Everything about one load."""
        return load_point(rate_qps, self.run(rate_qps))

    def saturated(self) -> Estimate:
        """Throughput of queries that always wait, over replications."""
        rates = [saturated_qps(self.times, kind[:MOST_WAITING]) for kind in self._kind]
        return over_replications(rates, steady=True)

    def capacity(self, service_level: ServiceLevel) -> Estimate:
        """The highest steady load at which a service level holds, over replications.

        Args:
            service_level: latency quantile and deadline.

        Returns:
            Queries a second; 0 when the deadline is missed even without any waiting.
        """
        return over_replications(self.capacities(service_level), steady=True)

    def capacities(self, service_level: ServiceLevel) -> list[float]:
        """`capacity` of each replication, to be compared with another design's one by one."""
        return [self._capacity_of(r, service_level) for r in range(self.num_replications)]

    def _capacity_of(self, replication: int, service_level: ServiceLevel) -> float:
        def tail_s(rate_qps: float) -> float:
            run = self.run_one(replication, rate_qps)
            return tail_of(run.latency_s, service_level.quantile) if run.steady else math.inf

        bare_s = query_latency_s(self.times)[self._kind[replication, self._warmup :]]
        return highest_rate_qps(
            tail_s,
            deadline_s=service_level.deadline_s,
            bare_tail_s=tail_of(bare_s, service_level.quantile),
            limit_qps=float(self.stable_rates_qps[replication]),
        )

    def _stable_rate_qps(self, replication: int) -> float:
        """The saturated throughput, less what the noise of so many gaps could hide."""
        times, kind = self.unit_times[replication], self._kind[replication]
        rate_qps = unit_rate_qps(times)
        if not math.isfinite(rate_qps):
            return 0.0
        alone_s = query_latency_s(self.times)[kind]
        noise = float(np.var(np.diff(times))) * rate_qps**2 + float(
            alone_s.var() / alone_s.mean() ** 2
        )
        slack = 1 + NUM_STANDARD_ERRORS * math.sqrt(noise / times.size)
        return saturated_qps(self.times, kind[:MOST_WAITING]) / (rate_qps * slack)


def accel_load(
    times: UnitTimes,
    arrivals: ArrivalsSpec,
    *,
    num_queries: int = 20_000,
    num_replications: int = 5,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> AccelLoad:
    """Draw what an accelerator is tried on.

    Args:
        times: of K kinds on one design.
        arrivals: when queries come.
        num_queries: N.
        num_replications: R.
        seed: the same seed draws the same queries, whatever the design.
        weights: (K,), how often each kind comes, above 0 together; all alike when None.

    Returns:
        The load.

    Raises:
        StudyError: too few queries or replications, or weights of another number.
    """
    if num_queries < 100 or num_replications < 1:
        raise StudyError(
            f"{num_replications} replications of {num_queries} queries; give 1 or more of at "
            "least 100"
        )
    shares = np.ones(times.num_designs) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (times.num_designs,) or not (shares >= 0).all() or not shares.sum() > 0:
        raise StudyError(f"{shares.size} weights for {times.num_designs} kinds of query")
    drawn = [
        arrivals.unit_times(num_queries, rng_for(seed, "arrivals", r))
        for r in range(num_replications)
    ]
    kinds = [
        rng_for(seed, "kinds", r).choice(shares.size, num_queries, p=shares / shares.sum())
        for r in range(num_replications)
    ]
    return AccelLoad(times, np.stack(drawn), np.stack(kinds).astype(np.int64))
