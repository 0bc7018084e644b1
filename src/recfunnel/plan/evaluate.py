"""What one design achieves: bounds for nothing, tail and capacity by simulation."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.pipeline import Mapping, Path
from recfunnel.core.results import DesignPoint, Estimate, Objectives
from recfunnel.core.storage import content_hash
from recfunnel.core.workload import ServiceLevel
from recfunnel.plan.draws import CommonDraws
from recfunnel.plan.mappings import stages_of
from recfunnel.plan.prune import Placement
from recfunnel.plan.service import StationCurves
from recfunnel.plan.store import EstimateStore
from recfunnel.simulate.load import TandemLoad

NOT_STEADY = Estimate(mean=math.inf, stderr=0.0, num_samples=1)
"""Tail latency of a design that cannot carry the load."""


@dataclass(frozen=True, eq=False, slots=True)
class Design:
    """A path with its quality, and what nothing needs simulating to know.

    Args:
        path: pipeline and mapping.
        ndcg: its quality.
        bare_tail_s: the tail is not below this at any load.
        steady_bound_qps: not steady at or above this load.
        capacity_bound_qps: the capacity is not above this.
    """

    path: Path
    ndcg: Estimate
    bare_tail_s: float
    steady_bound_qps: float
    capacity_bound_qps: float


class Evaluator:
    """Simulates designs on common queries; whatever is stored is not simulated again.

    Results depend neither on order nor on the number of jobs. Jobs are threads: the simulator's
    inner loops run outside the interpreter's lock.

    Args:
        curves: of stations.
        draws: the queries.
        store: of estimates.
        key: of everything simulated figures depend on, loads and deadlines apart.
        num_jobs: designs simulated at once.
    """

    def __init__(
        self,
        curves: StationCurves,
        draws: CommonDraws,
        store: EstimateStore,
        key: str,
        num_jobs: int = 1,
    ) -> None:
        self._curves = curves
        self._draws = draws
        self._store = store
        self._key = key
        self._num_jobs = num_jobs
        self.num_simulated = 0
        """Tails and capacities simulated so far, those read from the store left out."""

    def design(self, placement: Placement, mapping: Mapping, quantile: float) -> Design:
        """A placement on a mapping with as many stations, with its bounds."""
        path = Path(pipeline=placement.pipeline, mapping=mapping)
        curves = self.curves_of(path)
        servers = [station.num_servers for station in mapping.stations]
        saturation_qps = self._draws.saturation_qps(curves, servers)
        return Design(
            path=path,
            ndcg=placement.ndcg,
            bare_tail_s=self._draws.bare_tail_s(curves, quantile),
            steady_bound_qps=float(saturation_qps.min()),
            capacity_bound_qps=float(saturation_qps.mean()),
        )

    def curves_of(self, path: Path) -> list[DoubleArray]:
        """Curve of each station of a path."""
        stages = stages_of([station.num_stages for station in path.mapping.stations])
        return [
            self._curves.station(path.pipeline, own, number, station.platform, station.num_threads)
            for number, (own, station) in enumerate(zip(stages, path.mapping.stations, strict=True))
        ]

    def load(self, path: Path) -> TandemLoad:
        """The path as a simulator that can be run at any rate."""
        servers = tuple(station.num_servers for station in path.mapping.stations)
        service_s = self._draws.service_s(self.curves_of(path))
        return TandemLoad(self._draws.unit_times, service_s, servers, self._draws.warmup)

    def tails(self, designs: Sequence[Design], rate_qps: float, quantile: float) -> list[Estimate]:
        """Tail latency of each design at a load; inf where it is not steady."""
        table = self._table("tail", [rate_qps, quantile])

        def simulate(design: Design) -> Estimate:
            if rate_qps >= design.steady_bound_qps:
                return NOT_STEADY
            return self.load(design.path).tail(rate_qps, quantile)

        return self._stored(table, designs, simulate)

    def capacities(self, designs: Sequence[Design], level: ServiceLevel) -> list[Estimate]:
        """Highest load of each design at which the service level holds."""
        table = self._table("capacity", level)
        return self._stored(table, designs, lambda d: self.load(d.path).capacity(level))

    def points(
        self, designs: Sequence[Design], rate_qps: float, level: ServiceLevel
    ) -> list[DesignPoint]:
        """Everything about some designs."""
        tails = self.tails(designs, rate_qps, level.quantile)
        capacities = self.capacities(designs, level)
        return [
            point_of(design, tail, capacity)
            for design, tail, capacity in zip(designs, tails, capacities, strict=True)
        ]

    def _stored(
        self, table: str, designs: Sequence[Design], simulate: Callable[[Design], Estimate]
    ) -> list[Estimate]:
        names = [path_name(design.path) for design in designs]
        found = [self._store.get(table, name) for name in names]
        missing = [i for i, estimate in enumerate(found) if estimate is None]
        done = self._map(simulate, [designs[i] for i in missing])
        self.num_simulated += len(missing)
        estimates = dict(zip(missing, done, strict=True))
        for index, estimate in estimates.items():
            self._store.put(table, names[index], estimate)
        self._store.save()  # a killed plan goes on from here
        return [estimates[i] if known is None else known for i, known in enumerate(found)]

    def _map(self, simulate: Callable[[Design], Estimate], designs: list[Design]) -> list[Estimate]:
        if self._num_jobs == 1 or len(designs) < 2:
            return [simulate(design) for design in designs]
        with ThreadPoolExecutor(self._num_jobs) as pool:
            return list(pool.map(simulate, designs))

    def _table(self, what: str, depends_on: object) -> str:
        return f"{what}-{content_hash([self._key, depends_on])}"


def point_of(design: Design, tail: Estimate, capacity: Estimate) -> DesignPoint:
    """A design with what it achieves."""
    objectives = Objectives(ndcg=design.ndcg, tail_latency_s=tail, capacity_qps=capacity)
    return DesignPoint(path=design.path, objectives=objectives)


def path_name(path: Path) -> str:
    """Key of a path's stored figures; different for different paths."""
    stages = "|".join(f"{s.num_in}>{s.model}>{s.num_out}" for s in path.pipeline.stages)
    stations = "|".join(
        f"{s.num_stages}*{s.num_servers}*{s.num_threads}*{s.platform}"
        for s in path.mapping.stations
    )
    runs = ""
    if path.pipeline.sub_batches > 1:
        runs = f" / {path.pipeline.sub_batches} {path.pipeline.keep}"
    return f"{stages}{runs} @ {stations}"
