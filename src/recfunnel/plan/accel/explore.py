"""Search every design of an accelerator: service times of all, load of those that may be best."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recfunnel.core.arrays import BoolArray
from recfunnel.core.errors import StudyError
from recfunnel.core.pareto import is_efficient
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value
from recfunnel.hardware.accel.design import POLICIES, DesignColumns, Policy
from recfunnel.plan.accel.bounds import Bounds
from recfunnel.plan.accel.evaluate import Priced, chip_of, picked, price, times_for
from recfunnel.plan.accel.filters import FilteredBook
from recfunnel.plan.accel.problem import AccelPipeline, AccelProblem, AccelSpace, AccelTarget
from recfunnel.plan.accel.result import AccelPoint, Exploration, StageDesign
from recfunnel.plan.accel.space import all_designs, cuts, divisions, pipelines, policies_of
from recfunnel.plan.accel.store import Found, LoadFound, RankFound
from recfunnel.simulate.accel_load import accel_load
from recfunnel.workload.poisson import Poisson

MOST_DESIGNS = 20_000_000
"""Of a search; minutes of a core."""


class AccelEffort(Value, frozen=True):
    """How much is simulated.

    Args:
        num_finalists: designs simulated under load, the most spread of the best.
        num_queries: of a replication.
        num_replications: of each.
        seed: of arrivals.
    """

    num_finalists: int = 48
    num_queries: int = 4000
    num_replications: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Designs of one pipeline that rank the same."""

    pipeline: AccelPipeline
    policies: tuple[Policy, ...]
    sub_batches: int


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A design that no other of its group beats before load."""

    group: Group
    chip: tuple[int, int, int]
    design: DesignColumns
    ndcg: Estimate
    alone_s: float
    limit_qps: float
    energy_j: float
    area_mm2: float
    power_w: float

    @property
    def costs(self) -> tuple[float, ...]:
        """Lower is better."""
        return (-self.ndcg.mean, self.alone_s, -self.limit_qps, self.energy_j)


def groups_of(space: AccelSpace, of: Sequence[AccelPipeline]) -> list[Group]:
    """Every pipeline with every number of sub-batches and policy."""
    return [
        Group(pipeline, policies, sub_batches)
        for pipeline in of
        for sub_batches in space.sub_batches
        if sub_batches <= min(pipeline.kept[:-1])
        for policies in policies_of(len(pipeline.models), space, sub_batches)
    ]


def check_number(groups: Sequence[Group], space: AccelSpace) -> None:
    """Refuse a space that would take hours.

    Raises:
        StudyError: more designs than `MOST_DESIGNS`.
    """
    number = sum(
        len(cuts(len(group.pipeline.models), side, space.sub_array_sides))
        * len(divisions(len(group.pipeline.models), rows, space.static_eighths))
        for group in groups
        for side, rows, _ in _chips(space)
    )
    if number > MOST_DESIGNS:
        raise StudyError(
            f"{number:,} designs, at most {MOST_DESIGNS:,} are gone through; give fewer stages, "
            "keep-counts, sub-batches, policies, or sides"
        )


def explore(
    problem: AccelProblem,
    space: AccelSpace,
    target: AccelTarget,
    quality: FilteredBook,
    *,
    effort: AccelEffort = AccelEffort(),  # noqa: B008, a frozen value
    folder: Path | None = None,
    progress: Progress = SILENT,
) -> Exploration:
    """Find the designs that nothing beats.

    Args:
        problem: models and what they ask.
        space: designs.
        target: load and bounds.
        quality: ranks through filters.
        effort: how much is simulated.
        folder: keeps what was found, so that a killed search goes on; None keeps nothing.
        progress: told about steps.

    Returns:
        The front, or the bound that nothing meets.

    Raises:
        StudyError: more designs than `MOST_DESIGNS`.
    """
    found = Found(folder)
    every = pipelines(tuple(problem.models), space, problem.num_in, problem.num_answers)
    groups = groups_of(space, every)
    check_number(groups, space)
    bounds, num_designs = Bounds(target), 0
    candidates: list[Candidate] = []
    for group in progress.track(groups, "designs of accelerators"):
        best, number = candidates_of(problem, space, group, _ranked(group, quality, found), bounds)
        candidates += best
        num_designs += number
    finalists = _spread(_efficient(candidates), effort.num_finalists)
    points = [
        point
        for each in progress.track(finalists, "under load")
        if bounds.admits_p99((point := _point(problem, each, target, effort, found)).p99_s.mean)
    ]
    return Exploration(
        target=target,
        points=_front(points),
        shortfall=None if points else bounds.shortfall(),
        num_designs=num_designs,
        num_pipelines=len(every),
        num_simulated=len(finalists),
        num_queries=quality.num_queries,
    )


def candidates_of(
    problem: AccelProblem, space: AccelSpace, group: Group, ranked: RankFound, bounds: Bounds
) -> tuple[list[Candidate], int]:
    """Designs of a group that are within bounds and that no other on its chip beats.

    Args:
        problem: models.
        space: designs.
        group: what ranks the same.
        ranked: how it does.
        bounds: held, and told what is best of each.

    Returns:
        Them, and how many designs there were.
    """
    candidates, number = [], 0
    for chip in _chips(space):
        designs = all_designs(
            group.pipeline,
            group.policies,
            group.sub_batches,
            ranked.overshoot,
            space,
            chip[:2],
        )
        number += len(designs)
        candidates += _best_of(problem, group, chip, designs, ranked.ndcg, bounds)
    return candidates, number


def _chips(space: AccelSpace) -> list[tuple[int, int, int]]:
    return [
        (side, rows, weights)
        for side in space.array_sides
        if side >= min(space.sub_array_sides)
        for rows in space.row_sram_bytes
        for weights in space.weight_sram_bytes
    ]


def _ranked(group: Group, quality: FilteredBook, found: Found) -> RankFound:
    key = [quality.key, group.pipeline, group.policies, group.sub_batches]

    def rank() -> RankFound:
        ranked = quality.ranked(group.pipeline, group.policies, group.sub_batches)
        return RankFound(ndcg=Estimate.of(ranked.ndcg), overshoot=ranked.overshoot)

    return found.get("rank", key, RankFound, rank)


def _best_of(
    problem: AccelProblem,
    group: Group,
    chip: tuple[int, int, int],
    designs: DesignColumns,
    ndcg: Estimate,
    bounds: Bounds,
) -> list[Candidate]:
    """Those within the bounds that no other of them beats."""
    built = chip_of(problem, *chip)
    priced = price(problem, group.pipeline, built, designs, bounds.target.rate_qps)
    allowed = bounds.admits(priced, ndcg.mean)
    where = np.flatnonzero(allowed)
    if not where.size:
        return []
    costs = np.stack([priced.alone_s, -priced.limit_qps, priced.energy_j], axis=1)[where]
    rounded = costs * (1 + 1e-12)
    _, first = np.unique(rounded, axis=0, return_index=True)
    kept = where[first][is_efficient(costs[first])]
    return [_candidate(group, chip, designs, priced, int(i), ndcg) for i in kept]


def _candidate(
    group: Group,
    chip: tuple[int, int, int],
    designs: DesignColumns,
    priced: Priced,
    place: int,
    ndcg: Estimate,
) -> Candidate:
    only: BoolArray = np.arange(len(designs)) == place
    return Candidate(
        group=group,
        chip=chip,
        design=picked(designs, only),
        ndcg=ndcg,
        alone_s=float(priced.alone_s[place]),
        limit_qps=float(priced.limit_qps[place]),
        energy_j=float(priced.energy_j[place]),
        area_mm2=float(priced.area_mm2[place]),
        power_w=float(priced.power_w[place]),
    )


def _efficient(candidates: Sequence[Candidate]) -> list[Candidate]:
    if not candidates:
        return []
    keep = is_efficient(np.array([each.costs for each in candidates]))
    return [each for each, good in zip(candidates, keep, strict=True) if good]


def _spread(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """At most so many: the best of each cost, then always the one farthest from those taken."""
    if len(candidates) <= most:
        return list(candidates)
    costs = np.array([each.costs for each in candidates])
    costs[:, 1:3] = np.sign(costs[:, 1:3]) * np.log(np.abs(costs[:, 1:3]))
    span = np.maximum(costs.max(axis=0) - costs.min(axis=0), 1e-12)
    places = (costs - costs.min(axis=0)) / span
    taken = list(dict.fromkeys(int(i) for i in places.argmin(axis=0)))[:most]
    away = np.min([np.abs(places - places[i]).sum(axis=1) for i in taken], axis=0)
    while len(taken) < most:
        farthest = int(away.argmax())
        taken.append(farthest)
        away = np.minimum(away, np.abs(places - places[farthest]).sum(axis=1))
    return [candidates[i] for i in sorted(taken)]


def _point(
    problem: AccelProblem,
    each: Candidate,
    target: AccelTarget,
    effort: AccelEffort,
    found: Found,
) -> AccelPoint:
    """A candidate under load."""
    pipeline = each.group.pipeline
    times = times_for(problem, pipeline, chip_of(problem, *each.chip), each.design)
    stages = _stages(each)
    key = [pipeline, each.chip, stages, each.group.sub_batches, target.rate_qps, effort]

    def load() -> LoadFound:
        tried = accel_load(
            times,
            Poisson(),
            num_queries=effort.num_queries,
            num_replications=effort.num_replications,
            seed=effort.seed,
        )
        at = tried.at(target.rate_qps)
        shares = [share.mean for share in at.utilisation]
        return LoadFound(
            p99_s=at.p99_s,
            throughput_qps=tried.saturated(),
            busiest=tried.units[int(np.argmax(shares))],
        )

    loaded = found.get("load", [*key, _fingerprint(each)], LoadFound, load)
    return AccelPoint(
        pipeline=pipeline,
        array_side=each.chip[0],
        row_sram_bytes=each.chip[1],
        weight_sram_bytes=each.chip[2],
        stages=stages,
        sub_batches=each.group.sub_batches,
        ndcg=each.ndcg,
        p99_s=loaded.p99_s,
        throughput_qps=loaded.throughput_qps,
        energy_j=each.energy_j,
        alone_s=each.alone_s,
        area_mm2=each.area_mm2,
        power_w=each.power_w,
        busiest=loaded.busiest,
    )


def _fingerprint(each: Candidate) -> list[float]:
    """Changes with whatever changes service times, such as the chip or the overshoot."""
    return [each.alone_s, each.limit_qps, *each.design.overshoot[0].tolist()]


def _stages(each: Candidate) -> tuple[StageDesign, ...]:
    own = each.design
    shared = len(set(own.group[0].tolist())) < own.num_stages
    return tuple(
        StageDesign(
            model=model,
            side=int(own.rows[0, s]),
            copies=int(own.copies[0, s]),
            shared=shared,
            static_bytes=int(own.static_bytes[0, s]),
            ahead_bytes=int(own.ahead_bytes[0, s]),
            policy=POLICIES[own.policy[0, s]],
        )
        for s, model in enumerate(each.group.pipeline.models)
    )


def _front(points: Sequence[AccelPoint]) -> tuple[AccelPoint, ...]:
    if not points:
        return ()
    costs = np.array(
        [(-p.ndcg.mean, p.p99_s.mean, -p.throughput_qps.mean, p.energy_j) for p in points]
    )
    keep = is_efficient(costs)
    kept = [point for point, good in zip(points, keep, strict=True) if good]
    return tuple(sorted(kept, key=lambda p: (-p.ndcg.mean, p.p99_s.mean)))
