"""Several policies over the same queries at several loads: what each delivers in time.

The load is stated in capacities of the best static plan: the one path that, used for everything,
answers most quality a second while its 99th percentile meets the deadline.

Letters: R replications, N queries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.core.seeds import rng_for
from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Value
from recfunnel.core.workload import ServiceLevel
from recfunnel.schedule.base import Conditions, SchedulerSpec
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.greedy import MostAccurateInTime
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.schedule.metrics import Delivered, delivered, delivered_quality, paired_difference
from recfunnel.schedule.oracle import quality_bound
from recfunnel.schedule.outcome import Outcome
from recfunnel.schedule.shedding import SheddingLate
from recfunnel.schedule.switching import FastestOf
from recfunnel.simulate.load import TandemLoad
from recfunnel.simulate.paths import draw_service, simulate_paths

OURS = "marginal value"
"""The policy that the others are held against."""


class PathsTrial(Value, frozen=True):
    """What the policies are tried on; defaults are MP-Rec's, as recalled.

    Args:
        deadline_s: from arrival to answer.
        num_queries: of a replication.
        num_replications: independent ones, for intervals.
        loads: in capacities of the best static plan.
        mean_size: of the lognormal number of candidates.
        size_sigma: standard deviation of its logarithm; not known of the paper.
        trivial_quality: accuracy of always giving the more common answer.
        warmup: first queries left out of every figure.
        bound: also find what no schedule can exceed.
        seed: of queries and service times.
    """

    deadline_s: float = 0.010
    num_queries: int = 10_000
    num_replications: int = 3
    loads: tuple[float, ...] = (0.3, 0.6, 0.9, 1.2, 1.5)
    mean_size: float = 128.0
    size_sigma: float = 0.7
    trivial_quality: float = 0.0
    warmup: int = 200
    bound: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.loads or min(self.loads) <= 0 or self.num_replications < 1:
            raise StudyError("a trial needs loads above 0 and at least 1 replication")
        if not 0 <= self.warmup < self.num_queries:
            raise StudyError(
                f"a warm-up of {self.warmup} leaves none of {self.num_queries} queries"
            )


class PolicyResult(Value, frozen=True):
    """What one policy delivered at one load.

    Args:
        policy: its name.
        delivered: over replications.
        below_ours: by how much delivered quality is below that of `OURS`, on the same queries.
    """

    policy: str
    delivered: Delivered
    below_ours: Estimate


class LoadResult(Value, frozen=True):
    """What all policies delivered at one load.

    Args:
        load: in capacities of the best static plan.
        rate_qps: queries a second.
        policies: in the order they were given.
        bound: what no schedule can exceed on the first replication; None where not asked for.
        regret: of `OURS` against it, on that replication.
    """

    load: float
    rate_qps: float
    policies: tuple[PolicyResult, ...]
    bound: float | None = None
    regret: float | None = None


class TrialResult(Value, frozen=True):
    """All loads.

    Args:
        best_static: name of the best static plan.
        capacity_qps: what it carries.
        loads: from the trial.
        executed: whether runs were executed rather than simulated.
    """

    best_static: str
    capacity_qps: float
    loads: tuple[LoadResult, ...]
    executed: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Stream:
    """The queries of one replication.

    Args:
        unit_times: (N,), arrivals at 1 query a second.
        sizes: int64 (N,), candidates.
        service_s: for each path (S, N).
    """

    unit_times: DoubleArray
    sizes: IntArray
    service_s: tuple[DoubleArray, ...]


Runner = Callable[[SchedulerSpec, Conditions, Stream, float], Outcome]
"""(policy, what it may know, queries, rate) to what became of them."""


def usual_policies(menu: PathMenu) -> dict[str, SchedulerSpec]:
    """Every static plan, switching, the recalled rule and its fair forms, ours."""
    aware = MostAccurateInTime(queue_aware=True)
    static: dict[str, SchedulerSpec] = {
        f"only {path.name}": FixedPath(index=number) for number, path in enumerate(menu.paths)
    }
    return {
        **static,
        "fastest for the size": FastestOf(),
        "most accurate in time": MostAccurateInTime(),
        "the same, aware of queues": aware,
        "the same, shedding late": SheddingLate(policy=aware),
        OURS: MarginalValue(),
    }


def draw_sizes(
    menu: PathMenu, trial: PathsTrial, num_queries: int, rng: np.random.Generator
) -> IntArray:
    """(N,), lognormal sizes of the trial's mean, clipped to what the paths are profiled for."""
    location = np.log(trial.mean_size) - trial.size_sigma**2 / 2
    drawn = np.exp(location + trial.size_sigma * rng.standard_normal(num_queries))
    sizes: IntArray = np.clip(np.round(drawn), *menu.sizes).astype(np.int64)
    return sizes


def draw_stream(menu: PathMenu, trial: PathsTrial, replication: int) -> Stream:
    """Queries of a replication, the same for all policies and loads."""
    rng = rng_for(trial.seed, "paths trial", replication)
    sizes = draw_sizes(menu, trial, trial.num_queries, rng)
    unit_times = np.cumsum(rng.standard_exponential(trial.num_queries))
    return Stream(unit_times, sizes, draw_service(menu, sizes, rng))


def earlier_queries(menu: PathMenu, trial: PathsTrial) -> Conditions:
    """What a log of earlier queries would tell a policy."""
    rng = rng_for(trial.seed, "earlier queries")
    return Conditions(trial.deadline_s, draw_sizes(menu, trial, 2000, rng))


def best_static(menu: PathMenu, trial: PathsTrial, stream: Stream) -> tuple[str, float]:
    """The best static plan and the load it carries within the deadline, queries a second.

    Raises:
        StudyError: none meets the deadline even alone.
    """
    level = ServiceLevel(deadline_s=trial.deadline_s)
    found: list[tuple[float, str, float]] = []
    for path, service_s in zip(menu.paths, stream.service_s, strict=True):
        counts = tuple(station.num_servers for station in path.stations)
        load = TandemLoad(stream.unit_times[np.newaxis], service_s[np.newaxis], counts)
        capacity_qps = load.capacity(level).mean
        found.append((capacity_qps * path.quality, path.name, capacity_qps))
    worth, name, capacity_qps = max(found)
    if not worth > 0:
        raise StudyError(
            f"no path answers 99 % of the queries within {1e3 * trial.deadline_s:g} ms even when "
            "nothing waits; raise the deadline or add a faster path"
        )
    return name, capacity_qps


def simulated(menu: PathMenu, trial: PathsTrial) -> Runner:
    """A runner that simulates."""

    def run(spec: SchedulerSpec, known: Conditions, stream: Stream, rate_qps: float) -> Outcome:
        policy = spec.build(menu, known)
        arrival_s = stream.unit_times / rate_qps
        return simulate_paths(
            menu, policy, trial.deadline_s, arrival_s, stream.sizes, stream.service_s
        )

    return run


def run_trial(
    menu: PathMenu,
    trial: PathsTrial,
    policies: Mapping[str, SchedulerSpec],
    run: Runner,
    *,
    judged: PathMenu | None = None,
    static: tuple[str, float] | None = None,
    executed: bool = False,
    progress: Progress = SILENT,
) -> TrialResult:
    """Run every policy on the same queries at every load.

    Args:
        menu: the paths.
        trial: what they are tried on.
        policies: by name; `OURS` among them.
        run: simulates or executes.
        judged: the same paths with the quality that counts, where that is not the one the
            policies know: of other queries than those it was estimated from.
        static: name of the best static plan and the load it carries, where that was measured;
            otherwise it is found by simulation.
        executed: which of the two; the bound is for simulated runs only.
        progress: told about loads.

    Returns:
        What was delivered.

    Raises:
        StudyError: `OURS` is missing, or no path meets the deadline.
    """
    if OURS not in policies:
        raise StudyError(f"the policies {', '.join(policies)} lack {OURS!r}; add it")
    judged = judged or menu
    if [path.name for path in judged.paths] != [path.name for path in menu.paths]:
        raise StudyError("the menu that is judged by has other paths than the one chosen from")
    streams = [draw_stream(menu, trial, number) for number in range(trial.num_replications)]
    name, capacity_qps = static or best_static(menu, trial, streams[0])
    known = earlier_queries(menu, trial)
    loads = []
    for load in progress.track(trial.loads, "loads"):
        rate_qps = load * capacity_qps
        runs = {
            policy: [run(spec, known, stream, rate_qps).after(trial.warmup) for stream in streams]
            for policy, spec in policies.items()
        }
        bound = None
        if trial.bound and not executed:
            bound = _bound(judged, trial, streams[0], rate_qps, runs)
        loads.append(_compared(judged, trial, load, rate_qps, runs, bound))
    return TrialResult(
        best_static=name, capacity_qps=capacity_qps, loads=tuple(loads), executed=executed
    )


def _bound(
    menu: PathMenu,
    trial: PathsTrial,
    stream: Stream,
    rate_qps: float,
    runs: Mapping[str, list[Outcome]],
) -> float:
    """The warm-up's queries are left out: without them there is only more room."""
    kept = slice(trial.warmup, None)
    return quality_bound(
        menu,
        trial.deadline_s,
        stream.unit_times[kept] / rate_qps,
        [service_s[:, kept] for service_s in stream.service_s],
        achieved=delivered_quality(menu, runs[OURS][0], trial.deadline_s),
    )


def _compared(
    menu: PathMenu,
    trial: PathsTrial,
    load: float,
    rate_qps: float,
    runs: Mapping[str, list[Outcome]],
    bound: float | None,
) -> LoadResult:
    qualities = {
        policy: [delivered_quality(menu, run, trial.deadline_s) for run in own]
        for policy, own in runs.items()
    }
    ours = qualities[OURS]
    return LoadResult(
        load=load,
        rate_qps=rate_qps,
        policies=tuple(
            PolicyResult(
                policy=policy,
                delivered=delivered(menu, own, trial.deadline_s, trial.trivial_quality),
                below_ours=paired_difference(ours, qualities[policy]),
            )
            for policy, own in runs.items()
        ),
        bound=bound,
        regret=None if bound is None else bound - ours[0],
    )
