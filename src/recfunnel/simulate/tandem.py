"""Replay queries through stations one behind the other, in simulated time, exactly.

Letters: N queries, S stations.
"""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.results import SimulationResult
from recfunnel.core.workload import check_times
from recfunnel.simulate.kernel import run_tandem
from recfunnel.simulate.steady import MAX_GROWTH, latency_growth, stable_rate_qps


def simulate(
    arrival_s: DoubleArray,
    service_s: DoubleArray,
    num_servers: tuple[int, ...],
    warmup: int = 0,
) -> SimulationResult:
    """Run every query through all stations, first come first served at each.

    A station's queue is unbounded. Servers of a station are alike, so departures leave out of
    order; the next station serves in order of arrival there, and queries that reach it at the same
    instant by their index.

    Args:
        arrival_s: (N,), never falling.
        service_s: (S, N), service time of each query at each station, above 0.
        num_servers: S counts, at least 1.
        warmup: first queries that load the system but are not reported.

    Returns:
        Latencies (N - warmup,) in order of arrival. Utilisation and throughput are those of the
        time from the first reported arrival to the last one. See `recfunnel.simulate.steady` for
        what counts as steady; when it is not, the throughput is the capacity found.

    Raises:
        StudyError: shapes do not match, or a number is out of range.
    """
    check_times(arrival_s)
    check_stations(arrival_s.size, service_s, num_servers, warmup)
    limit = stable_rate_qps(arrival_s, service_s, num_servers)
    return run_checked(arrival_s, service_s, num_servers, warmup, steady=limit > 1)


def check_stations(
    num_queries: int, service_s: DoubleArray, num_servers: tuple[int, ...], warmup: int
) -> None:
    """Hold what describes a tandem to its rules.

    Args:
        num_queries: N.
        service_s: (..., S, N).
        num_servers: S counts.
        warmup: below N.

    Raises:
        StudyError: naming the rule that is broken.
    """
    if not num_servers or min(num_servers) < 1:
        raise StudyError(
            f"servers are {num_servers}; give at least 1 for each of 1 or more stations"
        )
    if service_s.shape[-2:] != (len(num_servers), num_queries):
        raise StudyError(
            f"service times have shape {service_s.shape}, must end in ({len(num_servers)}, "
            f"{num_queries}): stations, queries"
        )
    if not 0 <= warmup < num_queries:
        raise StudyError(f"a warm-up of {warmup} leaves none of {num_queries} queries to report")
    if not (service_s.min() > 0 and service_s.max() < np.inf):
        raise StudyError("service times must be above 0 and finite")


def run_checked(
    arrival_s: DoubleArray,
    service_s: DoubleArray,
    num_servers: tuple[int, ...],
    warmup: int,
    *,
    steady: bool,
) -> SimulationResult:
    """As `simulate`, for input already checked.

    Args:
        arrival_s: (N,), never falling.
        service_s: (S, N), above 0.
        num_servers: S counts.
        warmup: below N.
        steady: whether the offered load allows a steady state.

    Returns:
        The run; steady when `steady` and its latency did not go on growing.
    """
    latency_s = np.empty(arrival_s.size)
    utilisation = np.empty(len(num_servers))
    throughput_qps = run_tandem(
        np.ascontiguousarray(arrival_s, np.float64),
        np.ascontiguousarray(service_s, np.float64),
        np.array(num_servers, np.int64),
        warmup,
        latency_s,
        utilisation,
    )
    reported_s = latency_s[warmup:]
    growth = latency_growth(arrival_s[warmup:], reported_s)
    return SimulationResult(
        latency_s=reported_s,
        utilisation=tuple(float(u) for u in np.minimum(utilisation, 1.0)),
        throughput_qps=float(throughput_qps),
        steady=steady and growth <= MAX_GROWTH,
    )
