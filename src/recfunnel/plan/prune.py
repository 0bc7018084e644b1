"""Exact pruning before anything is simulated.

A *placement* is a pipeline whose stages are grouped into stations; with servers and threads it
becomes a design. Placement A *beats* B (same number of stations) when A's quality is not lower and
A's curve is nowhere higher at any station, for any thread count.

(b) A design of B is never better than that of A with the same servers and threads. Proof: all
    designs draw their service times by the same grid points (`CommonDraws`), so each query's
    service at each station is no longer under A; a query starts at a station at the later of its
    arrival there and the moment a server falls free, both of which only rise with earlier service
    times (Kiefer-Wolfowitz); by induction every query leaves A no later. Tail and capacity follow.
    The induction needs queries to reach every station in the same order in A and B. Where a
    station before the last has several servers, queries may overtake, and the rule then holds for
    mean latencies (the n-th departure is no later) but for tails only as a very good rule of thumb.
(a) Before B's quality is known, the ideal NDCG of what its first stage keeps stands in for it:
    whatever follows can at best order these ideally, so B's quality is not above it and (b)
    applies.
(c) Offered load at or above servers / mean service at any station has no steady state (Loynes,
    1962), so such a design has no tail at that load and cannot be on its front; see
    `CommonDraws.saturation_qps` and `recfunnel.plan.search`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.pipeline import Pipeline
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import Estimate
from recfunnel.core.storage import content_hash
from recfunnel.plan.archive import Archives
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.mappings import compositions, stages_of
from recfunnel.plan.memory import station_bytes
from recfunnel.plan.service import StationCurves
from recfunnel.plan.store import EstimateStore


@dataclass(frozen=True, eq=False, slots=True)
class Placement:
    """A pipeline with its stages grouped into stations."""

    pipeline: Pipeline
    sizes: tuple[int, ...]
    ndcg: Estimate


@dataclass(frozen=True, eq=False, slots=True)
class Screening:
    """What is left after rules (a) and (b).

    Args:
        placements: that nothing beats, best quality first.
        quality: NDCG of every pipeline that was judged.
        num_unjudged: pipelines rule (a) dropped without judging them.
        num_beaten: placements rule (b) dropped.
    """

    placements: tuple[Placement, ...]
    quality: dict[Pipeline, Estimate]
    num_unjudged: int
    num_beaten: int


class Screen:
    """Judges pipelines and keeps the placements nothing beats.

    Args:
        inputs: of the plan.
        curves: of stations.
        store: quality is read from and written to it.
        max_stations: the most any mapping has.
    """

    def __init__(
        self,
        inputs: PlanInputs,
        curves: StationCurves,
        store: EstimateStore,
        max_stations: int,
    ) -> None:
        self._inputs = inputs
        self._curves = curves
        self._store = store
        self._max_stations = max_stations
        self._bounds: dict[str, float] = {}

    def run(self, pipelines: Sequence[Pipeline], progress: Progress = SILENT) -> Screening:
        """Judge and screen, in rounds: short pipelines first, then by their first model.

        Args:
            pipelines: in order of their number of stages.
            progress: told about each round.

        Returns:
            What is left.
        """
        archives = Archives()
        quality: dict[Pipeline, Estimate] = {}
        kept: list[tuple[Placement, DoubleArray]] = []
        num_placements = 0
        for batch in progress.track(list(rounds(pipelines)), "screen pipelines"):
            judged = self.judge([p for p in batch if not self._hopeless(p, archives)])
            quality |= judged
            for placement in self._placements(judged):
                num_placements += 1
                times_s = self._times_s(placement.pipeline, placement.sizes)
                ndcg = placement.ndcg.mean
                if archives.keep_unless_beaten(len(placement.sizes), ndcg, times_s):
                    kept.append((placement, times_s))
        left = undominated(kept)
        return Screening(
            placements=left,
            quality=quality,
            num_unjudged=len(pipelines) - len(quality),
            num_beaten=num_placements - len(left),
        )

    def _placements(self, quality: dict[Pipeline, Estimate]) -> Iterator[Placement]:
        for pipeline, ndcg in quality.items():
            for sizes in self._groupings(pipeline):
                yield Placement(pipeline, sizes, ndcg)

    def _groupings(self, pipeline: Pipeline) -> Iterator[tuple[int, ...]]:
        num_stages = len(pipeline.stages)
        for num_stations in range(1, min(num_stages, self._max_stations) + 1):
            yield from compositions(num_stages, num_stations)

    def _times_s(self, pipeline: Pipeline, sizes: tuple[int, ...]) -> DoubleArray:
        """Everything in which lower is better: curves, and memory where it may bind."""
        platform = self._inputs.platform.name
        curves = [
            self._curves.station(pipeline, stages, number, platform, num_threads).ravel()
            for number, stages in enumerate(stages_of(sizes))
            for num_threads in self._inputs.space.thread_counts
        ]
        if self._inputs.memory_may_bind:
            curves.append(np.array(station_bytes(pipeline, sizes, self._inputs), np.float64))
        return np.concatenate(curves)

    def _hopeless(self, pipeline: Pipeline, archives: Archives) -> bool:
        """Rule (a): every placement is beaten even if the back stages were perfect."""
        if len(pipeline.stages) == 1:
            return False
        bound = self._bound(pipeline)
        groupings = list(self._groupings(pipeline))
        if any(archives.best_quality(len(sizes)) < bound for sizes in groupings):
            return False
        times_s = ((sizes, self._times_s(pipeline, sizes)) for sizes in groupings)
        return all(archives.of(len(s), t.size).dominates(bound, t) for s, t in times_s)

    def _bound(self, pipeline: Pipeline) -> float:
        front = pipeline.stages[0]
        name = f"{front.model} {front.num_out}{_shares(pipeline)}"
        if name not in self._bounds:
            table = self._table("bound")
            stored = self._store.get(table, name)
            if stored is None:
                ideal = self._inputs.quality.ideal_of_survivors(pipeline, 1)
                stored = Estimate.exact(float(ideal.mean()))
                self._store.put(table, name, stored)
            self._bounds[name] = stored.mean
        return self._bounds[name]

    def judge(self, pipelines: Sequence[Pipeline]) -> dict[Pipeline, Estimate]:
        """NDCG of some pipelines, from the store where it is known."""
        table = self._table("quality")
        found = {p: self._store.get(table, quality_name(p)) for p in pipelines}
        missing = [p for p, ndcg in found.items() if ndcg is None]
        for pipeline, report in zip(missing, self._inputs.quality.reports(missing), strict=True):
            found[pipeline] = report.ndcg
            self._store.put(table, quality_name(pipeline), report.ndcg)
        if missing:
            self._store.save()
        return {p: ndcg for p, ndcg in found.items() if ndcg is not None}

    def _table(self, what: str) -> str:
        inputs = self._inputs
        return f"{what}-{content_hash([inputs.quality_key, inputs.space.num_answers])}"


def quality_name(pipeline: Pipeline) -> str:
    """Key of a pipeline's stored quality; the same only for pipelines that rank alike."""
    stages = "|".join(f"{s.num_in}>{s.model}>{s.num_out}" for s in pipeline.stages)
    return f"{stages}{_shares(pipeline)}"


def _shares(pipeline: Pipeline) -> str:
    return f" / {pipeline.sub_batches}" if pipeline.ranks_by_share else ""


def rounds(pipelines: Sequence[Pipeline]) -> Iterator[list[Pipeline]]:
    """Pipelines by number of stages, then first model: each round can be pruned by those before."""
    groups: dict[tuple[int, str], list[Pipeline]] = {}
    for pipeline in pipelines:
        key = (len(pipeline.stages), pipeline.models[0] if len(pipeline.stages) > 2 else "")
        groups.setdefault(key, []).append(pipeline)
    yield from groups.values()


def undominated(kept: Sequence[tuple[Placement, DoubleArray]]) -> tuple[Placement, ...]:
    """Rule (b) among placements: those that no other of as many stations beats.

    Of placements equal in everything the first is kept.

    Args:
        kept: placements with their service times at all stations and thread counts.

    Returns:
        Best quality first.
    """
    order = sorted(range(len(kept)), key=lambda i: (-kept[i][0].ndcg.mean, kept[i][1].sum(), i))
    archives = Archives()
    left = []
    for index in order:
        placement, times_s = kept[index]
        if archives.keep_unless_beaten(len(placement.sizes), placement.ndcg.mean, times_s):
            left.append(placement)
    return tuple(left)
