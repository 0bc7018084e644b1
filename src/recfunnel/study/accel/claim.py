"""RecPipe's claim judged: RPAccel against the prior art at equal quality, on real scores.

Quality is that of a run's stored scores behind the filters; a design counts as equal where a paired
bootstrap over queries excludes a relative loss above the tolerance against one stage of the largest
model with exact cuts. Times are our model's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.pareto import is_efficient
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.core.seeds import rng_for
from recfunnel.core.spec import Value
from recfunnel.core.workload import ServiceLevel
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import POLICIES, DesignColumns, columns_of
from recfunnel.hardware.accel.times import UnitTimes
from recfunnel.hardware.energy.query import leakage_w
from recfunnel.plan.accel.bounds import Bounds
from recfunnel.plan.accel.evaluate import chip_of, price, times_for
from recfunnel.plan.accel.explore import Candidate, Group, candidates_of, groups_of
from recfunnel.plan.accel.filters import FilteredBook, Ranked
from recfunnel.plan.accel.problem import (
    MIB,
    AccelPipeline,
    AccelProblem,
    AccelSpace,
    AccelTarget,
)
from recfunnel.plan.accel.space import pipelines
from recfunnel.plan.accel.store import RankFound
from recfunnel.quality.compare import Comparison, compare
from recfunnel.report.recpipe_claim import ClaimRow, ClaimWorld, RecPipeClaim
from recfunnel.simulate.accel_load import MOST_WAITING, AccelLoad, accel_load, saturated_qps
from recfunnel.simulate.accel_query import query_latency_s
from recfunnel.simulate.quantile import over_replications, tail_of
from recfunnel.study.accel.claim_designs import (
    ClaimDesign,
    fissioned,
    steps_between,
    without_each,
)
from recfunnel.study.accel.inputs import AccelInputs, run_inputs
from recfunnel.workload.poisson import Poisson

SMALL, LARGE = "dlrm_small", "dlrm_large"
ARRAY_SIDE, ROW_BYTES, WEIGHT_BYTES = 128, 16 * MIB, 4 * MIB
PUBLISHED_KEEP = 512
TOLERANCE = 0.005

NOTES = (
    "Every figure is simulated; no such chip exists. Ratios are times better than the prior art: "
    "one array, one stage of the large model, nothing overlapped, the host sorts.",
    "Quality is measured on the run's scores; RecPipe's own networks and candidates are priced "
    "where a world says so, and keep-counts then keep the same share of the candidates.",
)


class ClaimEffort(Value, frozen=True):
    """How much is simulated.

    Args:
        num_queries: of a replication.
        num_replications: of each load, at least 2.
        num_judges: test queries that judge quality.
        seed: of arrivals and resamples.
    """

    num_queries: int = 1500
    num_replications: int = 3
    num_judges: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_replications < 2:
            raise StudyError(
                f"{self.num_replications} replications give no interval; simulate at least 2"
            )


@dataclass(frozen=True, eq=False, slots=True)
class Tried:
    """A design with what it takes to tell about it."""

    name: str
    pipeline: AccelPipeline
    cut: str
    policy: str
    sub_batches: int
    times: UnitTimes
    ranked: Ranked
    verdict: Comparison
    area_mm2: float
    energy_j: float

    @property
    def alone_s(self) -> float:
        """Latency of a lone query."""
        return float(query_latency_s(self.times)[0])


def judge_claim(
    run: Path,
    effort: ClaimEffort = ClaimEffort(),  # noqa: B008, a frozen value
    progress: Progress = SILENT,
) -> RecPipeClaim:
    """Hold the claim against our model, with RecPipe's sizes on two chips and the run's own sizes.

    Args:
        run: folder of a run with scores of `dlrm_small` and `dlrm_large`.
        effort: how much is simulated.
        progress: told about steps.

    Returns:
        Every design, whichever way it falls.

    Raises:
        StudyError: no such scores.
    """
    settings: tuple[tuple[str, bool, Chip | None], ...] = (
        ("RecPipe's networks, published constants (125 MHz)", True, None),
        ("RecPipe's networks, 1 GHz", True, Chip()),
        ("the run's own networks, 1 GHz", False, Chip()),
    )
    worlds = []
    for name, recpipe_sizes, chip in progress.track(settings, "worlds of the claim"):
        inputs = run_inputs(
            run,
            (SMALL, LARGE),
            num_queries=effort.num_judges,
            recpipe_sizes=recpipe_sizes,
            chip=chip,
        )
        missing = {SMALL, LARGE} - set(inputs.problem.models)
        if missing:
            raise StudyError(f"the claim needs {SMALL} and {LARGE}: {'; '.join(inputs.left_out)}")
        worlds.append(_World(inputs, effort, progress).judged(name))
    return RecPipeClaim(worlds=tuple(worlds), notes=NOTES)


class _World:
    """One chip with models of one size."""

    def __init__(self, inputs: AccelInputs, effort: ClaimEffort, progress: Progress) -> None:
        self._problem: AccelProblem = inputs.problem
        self._quality: FilteredBook = inputs.quality
        self._effort, self._progress = effort, progress
        self._verdicts: dict[int, Comparison] = {}
        num_in, answers = self._problem.num_in, self._problem.num_answers
        self._single = AccelPipeline(models=(LARGE,), kept=(num_in, answers))
        self._funnel = AccelPipeline(models=(SMALL, LARGE), kept=(num_in, PUBLISHED_KEEP, answers))
        self._chip = chip_of(self._problem, ARRAY_SIDE, ROW_BYTES, WEIGHT_BYTES)
        self._reference = self._quality.ranked(self._single, ("host",), 1).ndcg

    def judged(self, name: str) -> ClaimWorld:
        """All designs at the load and within the deadline that the prior art sets."""
        tried = [self._soonest([each]) for each in self._between()]
        tried.append(self._soonest(fissioned(self._single, ARRAY_SIDE, "single stage, cut")))
        made = fissioned(self._funnel, ARRAY_SIDE, "RPAccel")
        rpaccel = self._soonest(made)
        tried.append(rpaccel)
        loads = [self._load(each.times) for each in tried]
        base = loads[0].saturated()
        rate_qps = base.mean / 2
        deadline_s = loads[0].tail(rate_qps, 0.99).mean
        best, num_searched = self._searched(rpaccel, rate_qps)
        chosen = next(
            each for each in made if (each.cut_name, each.policy) == (rpaccel.cut, rpaccel.policy)
        )
        off = without_each(chosen, rpaccel.sub_batches, ARRAY_SIDE)
        features = [self._soonest([each]) for each in off]
        rows = _Rows(rate_qps, deadline_s, _measured(tried[0], loads[0], rate_qps, deadline_s))
        everything = [*zip(tried, loads, strict=True), *((t, self._load(t.times)) for t in best)]
        return ClaimWorld(
            name=name,
            rate_qps=rate_qps,
            deadline_s=deadline_s,
            tolerance=TOLERANCE,
            num_queries=self._quality.num_queries,
            designs=tuple(
                rows.row(self._at(each, rate_qps), load)
                for each, load in self._progress.track(everything, "designs under load")
            ),
            features=tuple(
                rows.row(self._at(each, rate_qps), self._load(each.times))
                for each in self._progress.track(features, "features switched off")
            ),
            num_searched=num_searched,
        )

    def _between(self) -> list[ClaimDesign]:
        return steps_between(self._single, self._funnel, ARRAY_SIDE)

    def _soonest(self, designs: Sequence[ClaimDesign]) -> Tried:
        """Of designs and their sub-batches, the one that answers a lone query soonest.

        Those whose answers are worse than the reference's are passed over where others are not.
        """
        tried = [
            self._tried(each, number)
            for each in designs
            for number in each.sub_batches
            if number <= min(each.pipeline.kept[:-1])
        ]
        equal = [each for each in tried if each.verdict.within_tolerance]
        return min(equal or tried, key=lambda each: each.alone_s)

    def _tried(self, each: ClaimDesign, sub_batches: int) -> Tried:
        policies = each.policies
        ranked = self._quality.ranked(each.pipeline, policies, sub_batches)
        design = each.design(sub_batches, ranked.overshoot, ROW_BYTES)
        columns = columns_of(each.pipeline.work(self._problem.models), [design])
        return self._made(
            each.name, each.pipeline, each.cut_name, each.policy, self._chip, columns, ranked
        )

    def _made(
        self,
        name: str,
        pipeline: AccelPipeline,
        cut: str,
        policy: str,
        chip: Chip,
        columns: DesignColumns,
        ranked: Ranked,
    ) -> Tried:
        priced = price(self._problem, pipeline, chip, columns, 1.0)
        return Tried(
            name=name,
            pipeline=pipeline,
            cut=cut,
            policy=policy,
            sub_batches=columns.sub_batches,
            times=times_for(self._problem, pipeline, chip, columns),
            ranked=ranked,
            verdict=self._verdict(ranked),
            area_mm2=float(priced.area_mm2[0]),
            energy_j=float(priced.energy_j[0]),
        )

    def _verdict(self, ranked: Ranked) -> Comparison:
        if id(ranked) not in self._verdicts:  # the book keeps what it ranked
            rng = rng_for(self._effort.seed, "claim")
            verdict = compare(self._reference, ranked.ndcg, rng, TOLERANCE)
            self._verdicts[id(ranked)] = verdict
        return self._verdicts[id(ranked)]

    def _at(self, each: Tried, rate_qps: float) -> tuple[Tried, float]:
        """With its energy at the load: leakage is spread over the queries that come."""
        leak_w = _leakage_w(each.area_mm2)
        return each, each.energy_j - leak_w + leak_w / rate_qps

    def _load(self, times: UnitTimes) -> AccelLoad:
        return accel_load(
            times,
            Poisson(),
            num_queries=self._effort.num_queries,
            num_replications=self._effort.num_replications,
            seed=self._effort.seed,
        )

    def _searched(self, rpaccel: Tried, rate_qps: float) -> tuple[list[Tried], int]:
        """The soonest and the most capable design of equal quality on no more area."""
        space = AccelSpace(
            keep_counts=(96, 128, 256, PUBLISHED_KEEP),
            policies=("quota", "running", "host"),
            array_sides=(64, 128),
            sub_batches=SEARCHED_SUB_BATCHES,
            row_sram_bytes=(4 * MIB, 16 * MIB),
        )
        names = tuple(self._problem.models)
        every = pipelines(names, space, self._problem.num_in, self._problem.num_answers)
        bounds = Bounds(AccelTarget(rate_qps=rate_qps, max_area_mm2=rpaccel.area_mm2))
        found: list[Candidate] = []
        total = 0
        for group in self._progress.track(groups_of(space, every), "best at the same area"):
            ranked = self._rank(group)
            if not self._verdict(ranked).within_tolerance:
                continue
            own = RankFound(ndcg=Estimate.of(ranked.ndcg), overshoot=ranked.overshoot)
            best, number = candidates_of(self._problem, space, group, own, bounds)
            found += best
            total += number
        if not found:
            return [], total
        costs = np.array([(each.alone_s, -each.limit_qps) for each in found])
        front = [each for each, keep in zip(found, is_efficient(costs), strict=True) if keep]
        soonest = min(front, key=lambda each: each.alone_s)
        ablest = max(front, key=lambda each: (each.limit_qps, -each.alone_s))
        middle = min(front, key=lambda each: each.alone_s / each.limit_qps)
        chosen = {"found, soonest": soonest, "found, both": middle, "found, most load": ablest}
        return [self._found(name, each) for name, each in chosen.items()], total

    def _rank(self, group: Group) -> Ranked:
        return self._quality.ranked(group.pipeline, group.policies, group.sub_batches)

    def _found(self, name: str, each: Candidate) -> Tried:
        design = each.design
        in_turn = len(set(design.group[0].tolist())) < design.num_stages
        stages = 1 if in_turn else design.num_stages
        cut = " + ".join(f"{design.copies[0, s]}x{design.rows[0, s]}" for s in range(stages))
        return self._made(
            name,
            each.group.pipeline,
            f"{cut} in turn" if in_turn else cut,
            POLICIES[design.policy[0, 0]],
            chip_of(self._problem, *each.chip),
            design,
            self._rank(each.group),
        )


SEARCHED_SUB_BATCHES = (1, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A design under load, replication by replication."""

    alone_s: float
    p99_s: list[float]
    saturated_qps: list[float]
    held_qps: list[float]


def _measured(each: Tried, load: AccelLoad, rate_qps: float, deadline_s: float) -> _Measured:
    runs = load.run(rate_qps)
    waiting = np.zeros(min(MOST_WAITING, load.unit_times.shape[1]), np.int64)
    return _Measured(
        alone_s=each.alone_s,
        p99_s=[tail_of(run.latency_s, 0.99) if run.steady else math.inf for run in runs],
        saturated_qps=[saturated_qps(each.times, waiting)] * len(runs),
        held_qps=load.capacities(ServiceLevel(deadline_s=deadline_s)),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows beside the prior art's, which met the same arrivals."""

    rate_qps: float
    deadline_s: float
    base: _Measured

    def row(self, made: tuple[Tried, float], load: AccelLoad) -> ClaimRow:
        """Everything about one design."""
        each, energy_j = made
        own = _measured(each, load, self.rate_qps, self.deadline_s)
        return ClaimRow(
            name=each.name,
            pipeline=each.pipeline.name,
            cut=each.cut,
            sub_batches=each.sub_batches,
            policy=each.policy,
            ndcg=Estimate.of(each.ranked.ndcg),
            ndcg_difference=each.verdict.relative_interval,
            equal=each.verdict.within_tolerance,
            alone_s=each.alone_s,
            p99_s=_over(own.p99_s),
            saturated_qps=_over(own.saturated_qps),
            held_qps=_over(own.held_qps),
            alone_ratio=self.base.alone_s / each.alone_s,
            p99_ratio=ratios(self.base.p99_s, own.p99_s),
            saturated_ratio=ratios(own.saturated_qps, self.base.saturated_qps),
            held_ratio=ratios(own.held_qps, self.base.held_qps),
            area_mm2=each.area_mm2,
            energy_j=energy_j,
        )


def _over(values: Sequence[float]) -> Estimate:
    return over_replications(list(values), steady=True)


def ratios(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """Of two designs on the same arrivals, replication by replication.

    Args:
        above: of each replication, finite.
        below: of each replication; an infinite one makes a ratio of 0, 0 an infinite one.
    """
    pairs = zip(above, below, strict=True)
    return Estimate.of(np.array([a / b if b > 0 else math.inf for a, b in pairs]))


def _leakage_w(area_mm2: float) -> float:
    return leakage_w(area_mm2 * 1e6).value
