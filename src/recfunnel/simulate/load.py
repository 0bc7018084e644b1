"""A tandem under any load: the same queries, closer together.

Letters: R replications, S stations, N queries.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.results import Estimate, SimulationResult
from recfunnel.core.spec import Value
from recfunnel.core.workload import ServiceLevel, check_times
from recfunnel.simulate.capacity import highest_rate_qps
from recfunnel.simulate.quantile import latency_quantile, over_replications, tail_of
from recfunnel.simulate.steady import stable_rate_qps
from recfunnel.simulate.tandem import check_stations, run_checked

WARMUP_SHARE = 0.1
"""Share of a replication's queries that is left out by default."""


class LoadPoint(Value, frozen=True):
    """What one load leads to.

    Args:
        rate_qps: offered.
        steady: false when any replication was not; then every latency is inf.
        mean_s: mean latency.
        p50_s: median latency.
        p95_s: 95th percentile.
        p99_s: 99th percentile.
        throughput_qps: achieved.
        utilisation: of each station, 0 to 1.
    """

    rate_qps: float
    steady: bool
    mean_s: Estimate
    p50_s: Estimate
    p95_s: Estimate
    p99_s: Estimate
    throughput_qps: Estimate
    utilisation: tuple[Estimate, ...]


def load_point(rate_qps: float, runs: Sequence[SimulationResult]) -> LoadPoint:
    """What independent replications of one load say together.

    Args:
        rate_qps: offered.
        runs: one or more.
    """
    steady = all(run.steady for run in runs)
    return LoadPoint(
        rate_qps=rate_qps,
        steady=steady,
        mean_s=over_replications([float(run.latency_s.mean()) for run in runs], steady=steady),
        p50_s=latency_quantile(runs, 0.5),
        p95_s=latency_quantile(runs, 0.95),
        p99_s=latency_quantile(runs, 0.99),
        throughput_qps=over_replications([run.throughput_qps for run in runs], steady=True),
        utilisation=tuple(
            over_replications(shares, steady=True)
            for shares in zip(*(run.utilisation for run in runs), strict=True)
        ),
    )


@dataclass(frozen=True, eq=False, slots=True)
class TandemLoad:
    """Independent replications of queries through a tandem, to be run at any rate.

    All rates see the same arrivals and service times (common random numbers), so that two loads, or
    two tandems given the same arrays, differ by what they are and not by luck.

    Args:
        unit_times: (R, N), arrivals at a mean rate of 1 query/s.
        service_s: (R, S, N), service times in seconds, above 0.
        num_servers: S counts.
        warmup: queries left out of each replication; a tenth when None.
    """

    unit_times: DoubleArray
    service_s: DoubleArray
    num_servers: tuple[int, ...]
    warmup: int | None = None
    stable_rates_qps: DoubleArray = field(init=False)
    """(R,), the load at which each replication stops being steady by its offered work."""

    def __post_init__(self) -> None:
        if self.unit_times.ndim != 2 or self.service_s.shape[:1] != self.unit_times.shape[:1]:
            raise StudyError(
                f"arrivals of shape {self.unit_times.shape} and service times of shape "
                f"{self.service_s.shape} must be (R, N) and (R, S, N)"
            )
        if self.warmup is None:
            object.__setattr__(self, "warmup", int(WARMUP_SHARE * self.unit_times.shape[1]))
        check_stations(self.unit_times.shape[1], self.service_s, self.num_servers, self._warmup)
        for times in self.unit_times:
            check_times(times)
        limits = [
            stable_rate_qps(times, service, self.num_servers)
            for times, service in zip(self.unit_times, self.service_s, strict=True)
        ]
        object.__setattr__(self, "stable_rates_qps", np.array(limits))

    @property
    def _warmup(self) -> int:
        return self.warmup or 0

    @property
    def num_replications(self) -> int:
        """R."""
        return int(self.unit_times.shape[0])

    def run_one(self, replication: int, rate_qps: float) -> SimulationResult:
        """One replication at a load.

        Raises:
            StudyError: the rate is not above 0 and finite.
        """
        if not 0 < rate_qps < math.inf:
            raise StudyError(f"the load is {rate_qps} queries/s, must be above 0 and finite")
        return run_checked(
            self.unit_times[replication] / rate_qps,
            self.service_s[replication],
            self.num_servers,
            self._warmup,
            steady=bool(rate_qps < self.stable_rates_qps[replication]),
        )

    def run(self, rate_qps: float) -> tuple[SimulationResult, ...]:
        """All R replications at a load.

        Raises:
            StudyError: the rate is not above 0 and finite.
        """
        return tuple(self.run_one(r, rate_qps) for r in range(self.num_replications))

    def tail(self, rate_qps: float, quantile: float) -> Estimate:
        """A latency quantile at a load, over replications.

        Args:
            rate_qps: offered load.
            quantile: between 0 and 1.

        Returns:
            Mean and standard error over replications; inf when any of them was not steady.
        """
        return latency_quantile(self.run(rate_qps), quantile)

    def at(self, rate_qps: float) -> LoadPoint:
        """Everything about one load."""
        return load_point(rate_qps, self.run(rate_qps))

    def capacity(self, service_level: ServiceLevel) -> Estimate:
        """The highest steady load at which a service level holds, over replications.

        Each replication is searched on its own (to `capacity.RATE_TOLERANCE`), so that the standard
        error is that of independent answers.

        Args:
            service_level: latency quantile and deadline.

        Returns:
            Queries a second; 0 when the deadline is missed even without any waiting.
        """
        rates: list[float] = []
        for replication in range(self.num_replications):
            # By the limit's own ratio, the last answer is a good guess at the next.
            last = rates[-1] / float(self.stable_rates_qps[replication - 1]) if rates else 0.0
            rates.append(self._capacity_of(replication, service_level, last))
        return over_replications(rates, steady=True)

    def _capacity_of(self, replication: int, service_level: ServiceLevel, last: float) -> float:
        def tail_s(rate_qps: float) -> float:
            run = self.run_one(replication, rate_qps)
            return tail_of(run.latency_s, service_level.quantile) if run.steady else math.inf

        limit_qps = float(self.stable_rates_qps[replication])
        bare_s = self.service_s[replication, :, self._warmup :].sum(axis=0)
        return highest_rate_qps(
            tail_s,
            deadline_s=service_level.deadline_s,
            bare_tail_s=tail_of(bare_s, service_level.quantile),
            limit_qps=limit_qps,
            guess_qps=last * limit_qps or None,
        )
