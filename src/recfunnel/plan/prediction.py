"""What the simulator says of one path, fed by measured service times.

Letters: R replications, S stations, N queries.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from recfunnel.core.arrays import BoolArray, DoubleArray
from recfunnel.core.pipeline import Path
from recfunnel.core.results import Estimate, LatencyProfile, SimulationResult
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import Workload
from recfunnel.profile.service import draw_service, draw_wake_up
from recfunnel.simulate.load import LoadPoint, TandemLoad
from recfunnel.simulate.quantile import latency_quantile

_ROUNDS = 3
"""Service time and utilisation agree to a few per mille after as many steps."""


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """A path simulated with service times drawn from profiles.

    How long a call takes depends on how busy its server is, and how busy it is on how long its
    calls take; at each rate both are found together.

    Args:
        draw: service times (R, S, N) at a utilisation of each station; the same luck every time.
        load: the simulation with busy servers, which decides capacity.
        wake_up: delay (R, N) of each query if it finds its servers at rest, at a utilisation. No
            server is busy meanwhile, so it moves the answer without lengthening any queue.
        queued: delay (R, N) of each query that had to wait, beyond what the queue explains.
    """

    draw: Callable[[Sequence[float]], DoubleArray]
    load: TandemLoad
    wake_up: Callable[[Sequence[float]], DoubleArray]
    queued: Callable[[Sequence[float]], DoubleArray]

    @property
    def stable_rates_qps(self) -> DoubleArray:
        """(R,), the load at which each replication stops being steady."""
        return self.load.stable_rates_qps

    def at(self, rate_qps: float) -> LoadPoint:
        """Everything about one load, waking up included."""
        load = self.loaded(rate_qps)
        point = load.at(rate_qps)
        if not point.steady:
            return point
        busy = _busy(load, rate_qps)
        rested_s, queued_s = self.wake_up(busy), self.queued(busy)
        woken = [
            _delayed(load.service_s[number], run, rested_s[number], queued_s[number])
            for number, run in enumerate(load.run(rate_qps))
        ]
        return structs.replace(
            point,
            mean_s=Estimate.of(np.array([run.latency_s.mean() for run in woken])),
            p50_s=latency_quantile(woken, 0.5),
            p95_s=latency_quantile(woken, 0.95),
            p99_s=latency_quantile(woken, 0.99),
        )

    def loaded(self, rate_qps: float) -> TandemLoad:
        """The simulation with servers as busy as this rate makes them."""
        load = self.load
        for _ in range(_ROUNDS):
            service_s = self.draw(_busy(load, rate_qps))
            load = TandemLoad(load.unit_times, service_s, load.num_servers)
        return load


def never_waited(service_s: DoubleArray, latency_s: DoubleArray) -> BoolArray:
    """Which queries found a server at rest at every station.

    Args:
        service_s: (S, N).
        latency_s: (N,), as simulated from these service times.

    Returns:
        (N,).
    """
    found: BoolArray = latency_s <= service_s.sum(axis=0) * (1 + 1e-9)
    return found


def _busy(load: TandemLoad, rate_qps: float) -> tuple[float, ...]:
    """(S,), share of the time servers of each station work at a rate, 1 at most."""
    mean_s = load.service_s.mean(axis=(0, 2))
    busy = rate_qps * mean_s / np.array(load.num_servers)
    return tuple(np.minimum(busy, 1.0).tolist())


def _delayed(
    service_s: DoubleArray, run: SimulationResult, rested_s: DoubleArray, queued_s: DoubleArray
) -> SimulationResult:
    """A run whose queries are delayed by one or the other; all arrays lead by its warm-up."""
    first = rested_s.size - run.latency_s.size
    at_rest = never_waited(service_s[:, first:], run.latency_s)
    delayed_s = run.latency_s + np.where(at_rest, rested_s[first:], queued_s[first:])
    return dataclasses.replace(run, latency_s=delayed_s)


def predict_path(
    path: Path,
    scorers: Sequence[tuple[str, ...]],
    profiles: Sequence[LatencyProfile],
    workload: Workload,
    seed: int,
) -> Prediction:
    """The path, simulated with service times drawn from profiles.

    Args:
        path: what is predicted.
        scorers: the models each stage calls (`stage_scorers`).
        profiles: of every model called, of `top_k`, `hand_over` and `wake_up`.
        workload: arrivals, sizes and how many of them.
        seed: of the study.

    Returns:
        The prediction, to be read at any rate.

    Raises:
        StudyError: something was not profiled.
        InvalidInput: a size is outside what was profiled.
    """
    count, runs = workload.num_queries, range(workload.num_replications)
    sizes = [workload.sizes.fractions(count, rng_for(seed, "verify sizes", r)) for r in runs]

    def draw(utilisation: Sequence[float]) -> DoubleArray:
        draws = [rng_for(seed, "verify service", r) for r in runs]
        drawn = [
            draw_service(path, scorers, profiles, sizes[r], draws[r], utilisation) for r in runs
        ]
        return np.stack(drawn)

    wake_ups_s = np.stack(
        [draw_wake_up(path, profiles, count, rng_for(seed, "verify wake up", r)) for r in runs]
    )
    times = [workload.arrivals.unit_times(count, rng_for(seed, "verify arrivals", r)) for r in runs]
    num_servers = tuple(station.num_servers for station in path.mapping.stations)
    load = TandemLoad(np.stack(times), draw(()), num_servers)
    return Prediction(draw, load, lambda _: wake_ups_s, lambda _: np.zeros_like(wake_ups_s))
