"""What the simulator says of one path, fed by measured service times.

Letters: R replications, S stations, N queries.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from recfunnel.core.arrays import DoubleArray
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
        wake_up_s: (R, N), delay of each query if it finds its servers at rest. No server is busy
            meanwhile, so it moves the answer without lengthening any queue.
    """

    draw: Callable[[Sequence[float]], DoubleArray]
    load: TandemLoad
    wake_up_s: DoubleArray

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
        woken = [self._woken(load, number, run) for number, run in enumerate(load.run(rate_qps))]
        return structs.replace(
            point,
            mean_s=Estimate.of(np.array([run.latency_s.mean() for run in woken])),
            p50_s=latency_quantile(woken, 0.5),
            p95_s=latency_quantile(woken, 0.95),
            p99_s=latency_quantile(woken, 0.99),
        )

    def loaded(self, rate_qps: float) -> TandemLoad:
        """The simulation with servers as busy as this rate makes them."""
        service_s = self.load.service_s
        for _ in range(_ROUNDS):
            mean_s = service_s.mean(axis=(0, 2))
            busy = rate_qps * mean_s / np.array(self.load.num_servers)
            service_s = self.draw(tuple(np.minimum(busy, 1.0).tolist()))
        return TandemLoad(self.load.unit_times, service_s, self.load.num_servers)

    def _woken(self, load: TandemLoad, replication: int, run: SimulationResult) -> SimulationResult:
        first = self.wake_up_s.shape[1] - run.latency_s.size
        worked_s = load.service_s[replication][:, first:].sum(axis=0)
        at_rest = run.latency_s <= worked_s * (1 + 1e-9)
        delay_s = np.where(at_rest, self.wake_up_s[replication, first:], 0.0)
        return dataclasses.replace(run, latency_s=run.latency_s + delay_s)


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

    wake_ups = [
        draw_wake_up(path, profiles, count, rng_for(seed, "verify wake up", r)) for r in runs
    ]
    times = [workload.arrivals.unit_times(count, rng_for(seed, "verify arrivals", r)) for r in runs]
    num_servers = tuple(station.num_servers for station in path.mapping.stations)
    load = TandemLoad(np.stack(times), draw(()), num_servers)
    return Prediction(draw, load, np.stack(wake_ups))
