"""Service times of a whole path, taken while it serves: a second look at the few paths that matter.

The search adds up the times of single calls, which is what lets it look at thousands of paths. How
fast calls are together depends on what they leave in the caches and on how busy the neighbours are.
So a path that is to be executed is first run at three loads, on other queries and arrivals than the
runs it is judged by, and its own service times replace the sums.

Letters: L loads, S stations, N queries, R replications.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.pipeline import Path
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import LatencyProfile
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import Workload
from recfunnel.plan.prediction import Prediction
from recfunnel.plan.verify import open_load
from recfunnel.profile.service import draw_wake_up
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.served import ServedRun
from recfunnel.simulate.load import TandemLoad

LOADS = (0.1, 0.3, 0.8)
"""Fractions of the predicted capacity at which a path is calibrated: a server that mostly rests, one
that often does, one that hardly does."""

_MOST_TRIES = 4


@dataclass(frozen=True, eq=False, slots=True)
class PathProfile:
    """Service times of the stations of one path at several utilisations.

    Args:
        path: whose.
        utilisation: (L, S), rising along the first axis.
        service_s: (L, S, N) seconds; within a load and station, column n is one query.
    """

    path: Path
    utilisation: DoubleArray
    service_s: DoubleArray

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
        _, num_stations, num_queries = self.service_s.shape
        picks = (luck * num_queries).astype(np.int64)
        stations = []
        for station in range(num_stations):
            rank = np.argsort(np.argsort(self.service_s[-1, station]))[picks]
            ordered = np.sort(self.service_s[:, station], axis=1)
            weights = self._weights(station, utilisation)
            stations.append((weights @ ordered)[rank])
        return np.stack(stations)

    def _weights(self, station: int, utilisation: Sequence[float]) -> DoubleArray:
        """(L,), share of each load in the mixture."""
        known = self.utilisation[:, station]
        at = utilisation[station] if utilisation else known[-1]
        shares = [np.interp(at, known, column) for column in np.eye(known.size)]
        return np.array(shares, np.float64)


def calibrate_path(
    engine: Engine,
    path: Path,
    capacity_qps: float,
    num_rows: int,
    workload: Workload,
    seconds: float,
    seed: int,
    progress: Progress = SILENT,
) -> PathProfile:
    """Serve a path at each of `LOADS` and keep its service times.

    Args:
        engine: prepares the path anew.
        path: to serve.
        capacity_qps: predicted, what the loads are fractions of.
        num_rows: of the engine's query set.
        workload: arrivals and sizes.
        seconds: of each run.
        seed: of the study; the streams are not those of verification.
        progress: told about runs.

    Returns:
        The profile.

    Raises:
        WorkerError: a process died, failed or fell silent.
    """
    engine.prepare(path)
    runs = []
    for fraction in progress.track(LOADS, "calibrate"):
        num_kept = max(200, math.ceil(seconds * fraction * capacity_qps))
        tries: list[ServedRun] = []
        while not tries or (tries[-1].polluted and len(tries) < _MOST_TRIES):
            rng = rng_for(seed, "calibrate", f"{fraction}", len(tries))
            load = open_load(
                fraction * capacity_qps, num_kept, num_rows, workload.arrivals, workload.sizes, rng
            )
            tries.append(engine.run(load))
        runs.append(tries[-1])
    size = min(np.isfinite(run.service_s).all(axis=0).sum() for run in runs)
    service_s = [run.service_s[:, np.isfinite(run.service_s).all(axis=0)][:, :size] for run in runs]
    return PathProfile(path, np.array([run.utilisation for run in runs]), np.stack(service_s))


def predict_calibrated(
    profile: PathProfile, profiles: Sequence[LatencyProfile], workload: Workload, seed: int
) -> Prediction:
    """The path, simulated with its own service times.

    Args:
        profile: of the whole path.
        profiles: of single calls, for `wake_up`.
        workload: arrivals and how many queries.
        seed: of the study.

    Returns:
        The prediction, to be read at any rate.

    Raises:
        StudyError: `wake_up` was not profiled.
    """
    count, runs = workload.num_queries, range(workload.num_replications)
    luck = np.stack([rng_for(seed, "calibrated luck", r).random(count) for r in runs])
    times = [workload.arrivals.unit_times(count, rng_for(seed, "verify arrivals", r)) for r in runs]

    def draw(utilisation: Sequence[float]) -> DoubleArray:
        return np.moveaxis(profile.draw(utilisation, luck), 0, 1)

    wake_ups = [
        draw_wake_up(profile.path, profiles, count, rng_for(seed, "verify wake up", r))
        for r in runs
    ]
    num_servers = tuple(station.num_servers for station in profile.path.mapping.stations)
    load = TandemLoad(np.stack(times), draw(()), num_servers)
    return Prediction(draw, load, np.stack(wake_ups))
