"""What is asked of the engine, and what really happened.

Letters: N queries, S stations, K items answered.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.workload import check_times
from recfunnel.runtime.noise import LATE_LIMIT_S, STALL_LIMIT_S, Disturbance


@dataclass(frozen=True, eq=False, slots=True)
class OpenLoad:
    """N queries with their times.

    Args:
        arrival_s: float64 (N,), rising, from the start of the run.
        query_rows: int64 (N,), which query of the query set each one asks.
        fraction: float64 (N,), its size as a share (0, 1] of the nominal candidates; None is 1.
        warmup: how many first queries are left out of every figure.
    """

    arrival_s: DoubleArray
    query_rows: IntArray
    fraction: DoubleArray | None = None
    warmup: int = 0

    def __post_init__(self) -> None:
        check_times(self.arrival_s)
        if self.arrival_s.shape != self.query_rows.shape or self.arrival_s.size <= self.warmup:
            raise InvalidInput(
                f"{self.arrival_s.size} times for {self.query_rows.size} queries with "
                f"{self.warmup} to warm up; give as many of each, more than the warm-up"
            )

    def __len__(self) -> int:
        return int(self.arrival_s.size)


@dataclass(frozen=True, eq=False, slots=True)
class ServedRun:
    """One run under load, warm-up removed.

    Args:
        arrival_s: float64 (N,), scheduled.
        latency_s: float64 (N,), from the scheduled time to the answer; inf when not answered
            before the run was given up.
        service_s: float64 (S, N), measured in the servers, waiting left out; nan when not served.
        lag_s: float64 (N,), how late the generator sent each query.
        answers: int32 (N, K), columns answered, best first; -1 where there are fewer.
        throughput_qps: answered queries a second, between the first and the last answer.
        utilisation: of each station, 0 to 1.
        disturbance: of the machine meanwhile.
        notes: what could not be had, in words.
    """

    arrival_s: DoubleArray
    latency_s: DoubleArray
    service_s: DoubleArray
    lag_s: DoubleArray
    answers: NDArray[np.int32]
    throughput_qps: float
    utilisation: tuple[float, ...]
    disturbance: Disturbance
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every query was answered in time."""
        return bool(np.isfinite(self.latency_s).all())

    @property
    def late_s(self) -> float:
        """99th percentile of the generator's own lateness."""
        return float(np.nanquantile(self.lag_s, 0.99))

    @property
    def polluted(self) -> bool:
        """Whether something else took part of the machine, or a core stood still."""
        stalled = float(np.nanmax(self.lag_s)) > STALL_LIMIT_S
        return self.disturbance.polluted or self.late_s > LATE_LIMIT_S or stalled

    def quantile_s(self, quantile: float) -> float:
        """A latency quantile; inf when that many were not answered."""
        ordered = np.sort(self.latency_s)
        return float(ordered[min(ordered.size - 1, int(np.ceil(quantile * ordered.size)) - 1)])
