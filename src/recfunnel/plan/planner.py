"""Make a plan: enumerate, screen, simulate, choose, explain."""

import os
import time
from pathlib import Path

import msgspec

from recfunnel.core.pipeline import Mapping, Pipeline
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import (
    DesignPoint,
    Estimate,
    ParetoFront,
    ServingPlan,
    Shortfall,
)
from recfunnel.core.spec import Value
from recfunnel.plan.baselines import baseline_pipelines, evaluate_baselines
from recfunnel.plan.draws import CommonDraws
from recfunnel.plan.evaluate import Design, Evaluator
from recfunnel.plan.explain import reason_against, reason_for
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.mappings import enumerate_mappings, uses_cores_together
from recfunnel.plan.memory import fits, path_bytes
from recfunnel.plan.prune import Screen, Screening
from recfunnel.plan.search import FrontSearch
from recfunnel.plan.select import PairedTests, Target, choose
from recfunnel.plan.service import StationCurves
from recfunnel.plan.serving import sealed
from recfunnel.plan.shortfall import explain_shortfall, memory_shortfall
from recfunnel.plan.space import enumerate_pipelines
from recfunnel.plan.store import EstimateStore
from recfunnel.plan.versus import SingleModelComparison, versus_single


class PlanCounts(Value, frozen=True):
    """How far a plan looked.

    Args:
        pipelines: in the space.
        designs: pipelines times their mappings.
        unjudged: pipelines dropped by a bound on their quality, rule (a).
        beaten: placements dropped because another is better and faster, rule (b).
        too_large: designs that do not fit the memory.
        not_steady: designs that cannot carry the load, rule (c).
        bounded: designs dropped by bounds on tail and capacity.
        simulated: tails and capacities simulated now, those read from the store left out.
    """

    pipelines: int
    designs: int
    unjudged: int
    beaten: int
    too_large: int
    not_steady: int
    bounded: int
    simulated: int


class PlanResult(Value, frozen=True):
    """A plan and the work behind it.

    Args:
        plan: what to deploy.
        points: every design simulated in full and steady at the load, front and baselines too.
        counts: how far the search looked.
        best_pipeline: of highest NDCG in the space, whether or not it can carry the load.
        best_ndcg: its quality.
        versus_single: None when nothing was chosen.
        seconds: wall time of planning.
    """

    plan: ServingPlan
    points: tuple[DesignPoint, ...]
    counts: PlanCounts
    best_pipeline: Pipeline
    best_ndcg: Estimate
    versus_single: SingleModelComparison | None
    seconds: float


def make_plan(
    inputs: PlanInputs,
    target: Target,
    *,
    store_folder: Path | None = None,
    num_jobs: int | None = None,
    progress: Progress = SILENT,
) -> PlanResult:
    """Search the space for a target.

    Everything but `seconds` and `counts.simulated` depends on the inputs and the target only.

    Args:
        inputs: what is known.
        target: what to achieve.
        store_folder: estimates are kept there, so that another target re-uses them.
        num_jobs: designs simulated at once; every core when None.
        progress: told about each step.

    Returns:
        The plan; an infeasible target gives one that chooses nothing and says what falls short.

    Raises:
        StudyError: the space does not fit the models, the candidates or the profiles.
        StorageError: the store cannot be read or written.
    """
    return _Planning(inputs, target, store_folder, num_jobs or os.cpu_count() or 1).run(progress)


class _Planning:
    """One run of the planner: what its steps share."""

    def __init__(
        self, inputs: PlanInputs, target: Target, store_folder: Path | None, num_jobs: int
    ) -> None:
        self.started = time.perf_counter()
        self.inputs = inputs
        self.target = target
        self.store = EstimateStore(store_folder)
        max_stations = min(inputs.space.max_stages, inputs.platform.num_cores)
        self.draws = CommonDraws(inputs.workload, inputs.seed)
        self.curves = StationCurves(inputs.profiles, inputs.all_score_inputs, self.draws.fractions)
        self.evaluator = Evaluator(
            self.curves, self.draws, self.store, inputs.simulation_key(), num_jobs
        )
        self.screen = Screen(inputs, self.curves, self.store, max_stations)
        self.tests = PairedTests(inputs.quality, inputs.seed, target.tolerance)
        pipelines = enumerate_pipelines(inputs.space, inputs.models, inputs.num_candidates)
        self.pipelines = tuple(filter(inputs.can_be_cut, pipelines))

    def run(self, progress: Progress) -> PlanResult:
        screening = self.screen.run(self.pipelines, progress)
        self.store.save()
        designs = self._designs(screening)
        fitting = [d for d in designs if fits(d.path, self.inputs)]
        baselines = self._baselines(screening)
        search = self._search()
        known = [p for p in baselines if self._may_be_chosen(p, screening)]
        search.add(known)
        paths = {point.path for point in known}
        front = search.run([d for d in fitting if d.path not in paths], progress)
        best = max(screening.quality, key=lambda p: screening.quality[p].mean)
        chosen = choose(front.points, self.target, self.tests)
        shortfall = None if chosen else self._shortfall(designs, fitting)
        self.store.save()
        front = ParetoFront(points=tuple(map(self._named, front.points)))
        baselines = tuple(map(self._named, baselines))
        chosen = None if chosen is None else self._named(chosen)
        plan = self._plan(front, baselines, chosen, shortfall, screening.quality[best].mean)
        return PlanResult(
            plan=plan,
            points=tuple(map(self._named, search.points)),
            counts=self._counts(screening, len(designs) - len(fitting), search),
            best_pipeline=best,
            best_ndcg=screening.quality[best],
            versus_single=(
                None if chosen is None else versus_single(chosen, baselines, self.tests)
            ),
            seconds=time.perf_counter() - self.started,
        )

    def _named(self, point: DesignPoint) -> DesignPoint:
        """The point with the runtime of each model it calls."""
        path = self.inputs.runtimes.named(point.path, self.inputs.all_score_inputs)
        return msgspec.structs.replace(point, path=path)

    def _may_be_chosen(self, baseline: DesignPoint, screening: Screening) -> bool:
        in_space = baseline.path.pipeline in screening.quality
        return in_space and fits(baseline.path, self.inputs)

    def _search(self) -> FrontSearch:
        return FrontSearch(self.evaluator, self.target.rate_qps, self.target.service_level)

    def _mappings(self, num_stages: int) -> tuple[Mapping, ...]:
        return enumerate_mappings(
            num_stages,
            self.inputs.platform.num_cores,
            platform=self.inputs.platform.name,
            thread_counts=self.inputs.space.thread_counts,
        )

    def _designs(self, screening: Screening) -> list[Design]:
        by_sizes: dict[tuple[int, ...], list[Mapping]] = {}
        for num_stages in range(1, self.inputs.space.max_stages + 1):
            for mapping in self._mappings(num_stages):
                sizes = tuple(station.num_stages for station in mapping.stations)
                by_sizes.setdefault(sizes, []).append(mapping)
        quantile = self.target.service_level.quantile
        return [
            self.evaluator.design(placement, mapping, quantile)
            for placement in screening.placements
            for mapping in by_sizes.get(placement.sizes, [])
            if placement.pipeline.sub_batches == 1 or uses_cores_together(mapping)
        ]

    def _baselines(self, screening: Screening) -> tuple[DesignPoint, ...]:
        quality = self.screen.judge(baseline_pipelines(self.inputs))
        return evaluate_baselines(
            self.inputs,
            {**quality, **screening.quality},
            self.evaluator,
            self.target.rate_qps,
            self.target.service_level,
        )

    def _shortfall(self, designs: list[Design], fitting: list[Design]) -> Shortfall:
        if not fitting:
            least = min(designs, key=lambda d: path_bytes(d.path, self.inputs))
            needed = path_bytes(least.path, self.inputs)
            return memory_shortfall(needed, self.inputs.platform.memory_bytes, least.path.name)
        return explain_shortfall(
            fitting, self.target, self.evaluator, num_cores=self.inputs.platform.num_cores
        )

    def _plan(
        self,
        front: ParetoFront,
        baselines: tuple[DesignPoint, ...],
        chosen: DesignPoint | None,
        shortfall: Shortfall | None,
        best_ndcg: float,
    ) -> ServingPlan:
        if chosen is not None:
            reason = reason_for(
                chosen,
                front.points,
                self.target,
                best_ndcg=best_ndcg,
                num_pipelines=len(self.pipelines),
            )
        else:
            assert shortfall is not None, "nothing chosen and nothing falls short"
            reason = reason_against(shortfall, self.target)
        plan = ServingPlan(
            chosen=chosen,
            reason=reason,
            front=front,
            baselines=baselines,
            service_level=self.target.service_level,
            rate_qps=self.target.rate_qps,
            shortfall=shortfall,
            profile_source=self.inputs.profile_source,
        )
        return sealed(plan, self.inputs.quality_key)

    def _counts(self, screening: Screening, num_too_large: int, search: FrontSearch) -> PlanCounts:
        mappings = {n: len(self._mappings(n)) for n in range(1, self.inputs.space.max_stages + 1)}
        return PlanCounts(
            pipelines=len(self.pipelines),
            designs=sum(mappings[len(p.stages)] for p in self.pipelines),
            unjudged=screening.num_unjudged,
            beaten=screening.num_beaten,
            too_large=num_too_large,
            not_steady=search.num_not_steady,
            bounded=search.num_bounded,
            simulated=self.evaluator.num_simulated,
        )
