"""Service times of a whole path, taken while it serves: a second look at the few paths that matter.

The search adds up the times of single calls, which is what lets it look at thousands of paths. How
fast calls are together depends on what they leave in the caches and on how busy the neighbours are.
So a path that is to be executed is first run at three loads, on other queries and arrivals than the
runs it is judged by, and its own service times, and what resting servers
add, replace the sums.

Letters: L loads, S stations, N queries, R replications.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.pipeline import Path
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import Workload
from recfunnel.plan.prediction import Prediction, never_waited
from recfunnel.plan.verify import open_load
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.served import ServedRun
from recfunnel.simulate.load import TandemLoad
from recfunnel.simulate.tandem import simulate

LOADS = (0.1, 0.3, 0.8)
"""Fractions of the predicted capacity at which a path is calibrated: servers that mostly rest, that
often do, that hardly do."""

_MOST_TRIES = 4

_FEWEST = 200
"""Queries of a run, whatever its length; only below the least of `LOADS` there may be fewer."""

_MOST_STRETCH = 4.0
"""How much longer than asked a run below the least of `LOADS` may be to get them."""


@dataclass(frozen=True, eq=False, slots=True)
class PathProfile:
    """How long one path takes at several utilisations.

    Args:
        path: whose.
        utilisation: (L, S), rising along the first axis.
        service_s: for each load (S, N) seconds; within a load, column n is one query at all
            stations. Loads may differ in N.
        wake_up_s: for each load (W,) seconds from arrival to answer less the service times, of
            queries that never waited.
        queued_s: for each load (W,) seconds from arrival to answer less what the queue explains, of
            queries that waited: handing over takes time between two queries as well.
        disturbed: in words, each load of which no run was left alone; what is drawn from it proves
            nothing.
    """

    path: Path
    utilisation: DoubleArray
    service_s: tuple[DoubleArray, ...]
    wake_up_s: tuple[DoubleArray, ...]
    queued_s: tuple[DoubleArray, ...]
    disturbed: tuple[str, ...] = ()

    def draw(self, utilisation: Sequence[float], luck: DoubleArray) -> DoubleArray:
        """Service times of queries at a utilisation.

        Quantiles of the two nearest loads are mixed linearly in utilisation; outside all loads the
        outermost counts. A query keeps its rank among the busiest ones at every station, so that a
        query that is slow in one is as slow in the next as it was.

        Args:
            utilisation: (S,), how busy each station is; empty means the busiest load.
            luck: any shape, 0 to 1, which calibrated query each one is.

        Returns:
            (S, *luck.shape) seconds.
        """
        picks = (luck * self.service_s[-1].shape[1]).astype(np.int64)
        stations = []
        for station, busiest in enumerate(self.service_s[-1]):
            rank = (np.argsort(np.argsort(busiest)) + 0.5) / busiest.size
            loads = [service_s[station] for service_s in self.service_s]
            stations.append(self._mixed(station, utilisation, loads, rank)[picks])
        return np.stack(stations)

    def draw_wake_up(self, utilisation: Sequence[float], luck: DoubleArray) -> DoubleArray:
        """Delays of queries that never wait, at a utilisation; mixed as service times are.

        Args:
            utilisation: (S,), the first station's decides.
            luck: any shape, 0 to 1, the rank of each delay.

        Returns:
            The shape of luck, seconds.
        """
        return self._mixed(0, utilisation, self.wake_up_s, luck)

    def draw_queued(self, utilisation: Sequence[float], luck: DoubleArray) -> DoubleArray:
        """Delays of queries that waited, beyond the queue; otherwise as `draw_wake_up`."""
        return self._mixed(0, utilisation, self.queued_s, luck)

    def _mixed(
        self,
        station: int,
        utilisation: Sequence[float],
        loads: Sequence[DoubleArray],
        rank: DoubleArray,
    ) -> DoubleArray:
        """The value of each rank (0 to 1) in a mixture of what was seen at each load."""
        known = self.utilisation[:, station]
        at = utilisation[station] if utilisation else known[-1]
        total = np.zeros(rank.shape)
        for values, one_load in zip(loads, np.eye(known.size), strict=True):
            if share := float(np.interp(at, known, one_load)):
                places = rank * values.size - 0.5
                total += share * np.interp(places, np.arange(values.size), np.sort(values))
        return total


def calibrate_path(
    engine: Engine,
    path: Path,
    capacity_qps: float,
    num_rows: int,
    workload: Workload,
    seconds: float,
    seed: int,
    progress: Progress = SILENT,
    *,
    least_load: float = LOADS[0],
) -> PathProfile:
    """Serve a path at each of `LOADS` and keep its service times.

    A server that rests for long finds its caches and its core cold: at 1 % load the same query may
    take twice as long as at 10 %. So a path that will be executed at less is calibrated there too.

    Args:
        engine: prepares the path anew.
        path: to serve.
        capacity_qps: predicted, what the loads are fractions of.
        num_rows: of the engine's query set.
        workload: arrivals and sizes.
        seconds: of each run.
        seed: of the study; the streams are not those of verification.
        progress: told about runs.
        least_load: the least fraction of the capacity at which it will be executed.

    Returns:
        The profile.

    Raises:
        WorkerError: a process died, failed or fell silent.
    """
    engine.prepare(path)
    runs = []
    loads = LOADS if least_load >= LOADS[0] else (least_load, *LOADS)
    for fraction in progress.track(loads, "calibrate"):
        num_kept = _num_queries(fraction, capacity_qps, seconds)
        tries: list[ServedRun] = []
        while not tries or (tries[-1].polluted and len(tries) < _MOST_TRIES):
            rng = rng_for(seed, "calibrate", f"{fraction}", len(tries))
            load = open_load(
                fraction * capacity_qps, num_kept, num_rows, workload.arrivals, workload.sizes, rng
            )
            tries.append(engine.run(load))
        runs.append(tries[-1])
    num_servers = tuple(station.num_servers for station in path.mapping.stations)
    delays = [_delays_s(run, num_servers) for run in runs]
    return PathProfile(
        path=path,
        utilisation=np.array([run.utilisation for run in runs]),
        service_s=tuple(run.service_s[:, np.isfinite(run.latency_s)] for run in runs),
        wake_up_s=tuple(rested_s for rested_s, _ in delays),
        queued_s=tuple(queued_s for _, queued_s in delays),
        disturbed=tuple(
            f"calibration at {fraction:.0%}: {run.disturbance.words}"
            for fraction, run in zip(loads, runs, strict=True)
            if run.polluted
        ),
    )


def _num_queries(fraction: float, capacity_qps: float, seconds: float) -> int:
    """Of a run at a fraction of the capacity, that is as long as asked where that are enough."""
    rate_qps = fraction * capacity_qps
    fewest = _FEWEST
    if fraction < LOADS[0]:
        fewest = min(fewest, math.ceil(_MOST_STRETCH * seconds * rate_qps))
    return max(fewest, math.ceil(seconds * rate_qps))


def _delays_s(run: ServedRun, num_servers: tuple[int, ...]) -> tuple[DoubleArray, DoubleArray]:
    """What queries took beyond what the queue explains: those that never waited, and the others."""
    done = np.isfinite(run.latency_s)
    service_s, latency_s = run.service_s[:, done], run.latency_s[done]
    simulated = simulate(run.arrival_s[done], service_s, num_servers)
    at_rest = never_waited(service_s, simulated.latency_s)
    beyond_s = np.maximum(latency_s - simulated.latency_s, 0.0)
    nothing = np.zeros(1)
    rested_s, queued_s = beyond_s[at_rest], beyond_s[~at_rest]
    return (rested_s if rested_s.size else nothing, queued_s if queued_s.size else nothing)


def predict_calibrated(profile: PathProfile, workload: Workload, seed: int) -> Prediction:
    """The path, simulated with its own service times.

    Args:
        profile: of the whole path.
        workload: arrivals and how many queries.
        seed: of the study.

    Returns:
        The prediction, to be read at any rate.
    """
    count, runs = workload.num_queries, range(workload.num_replications)

    def luck_of(what: str) -> DoubleArray:
        return np.stack([rng_for(seed, what, r).random(count) for r in runs])

    luck, delay_luck = luck_of("calibrated luck"), luck_of("calibrated wake up")
    times = [workload.arrivals.unit_times(count, rng_for(seed, "verify arrivals", r)) for r in runs]

    def draw(utilisation: Sequence[float]) -> DoubleArray:
        return np.moveaxis(profile.draw(utilisation, luck), 0, 1)

    def wake_up(utilisation: Sequence[float]) -> DoubleArray:
        return profile.draw_wake_up(utilisation, delay_luck)

    def queued(utilisation: Sequence[float]) -> DoubleArray:
        return profile.draw_queued(utilisation, delay_luck)

    num_servers = tuple(station.num_servers for station in profile.path.mapping.stations)
    load = TandemLoad(np.stack(times), draw(()), num_servers)
    return Prediction(draw, load, wake_up, queued)
