"""Service times of whole stations for a run of queries, drawn from profiles.

Letters: N queries, S stations, R profiled queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pipeline import Path, Pipeline
from recfunnel.core.results import LatencyProfile
from recfunnel.core.workload import sizes_for
from recfunnel.profile.overheads import overheads
from recfunnel.profile.request import BUSY, HAND_OVER, RESTED, WAKE_UP

_LEAST_SHARE = 0.25
"""Of a busy call's time: mixing past the rested pace must not reach 0."""


def draw_service(
    path: Path,
    scorers: Sequence[tuple[str, ...]],
    profiles: Sequence[LatencyProfile],
    fractions: DoubleArray,
    rng: np.random.Generator,
    utilisation: Sequence[float] = (),
) -> DoubleArray:
    """Service time of each query at each station.

    Each simulated query is given one profiled query, whose own times are added up over all calls:
    one with a long history is slow in every model that reads it. Selection and hand-over do not
    depend on the query and are drawn on their own (`recfunnel.profile.overheads`).

    Sub-batches are called on one core each, as many at once as the server has cores; until all are
    at work passes what the first model's call on all of them takes beyond its even share.

    Args:
        path: stages and where they run.
        scorers: the models each stage calls (`stage_scorers`).
        profiles: of every model called, of `top_k`, of `hand_over` and, where models were timed
            inside it, of `fused_call`, for every platform and number of threads of the path. Those
            that were also timed rested are mixed with it, linearly in utilisation; others cost the
            same at any load.
        fractions: (N,), size of each query as a share (0, 1] of the first stage's candidates.
        rng: draws; the same for any utilisation.
        utilisation: (S,), how busy each station is, 0 to 1; empty means busy.

    Returns:
        (S, N), seconds.

    Raises:
        StudyError: something was not profiled.
        InvalidInput: a size is outside what was profiled.
    """
    shelf = _Shelf({(p.model, p.platform, p.num_threads): p for p in profiles})
    luck = rng.random(fractions.size)
    offered = sizes_for(fractions, path.pipeline.stages[0].num_in)
    once = np.ones_like(offered)
    service_s = np.zeros((len(path.mapping.stations), fractions.size))
    stage = 0
    for number, station in enumerate(path.mapping.stations):
        where = station.platform, station.num_threads
        rested = rested_share(utilisation[number]) if utilisation else 0.0
        scoring = _Scoring(shelf, path.pipeline, where, luck, rested)
        total_s = service_s[number]
        total_s += shelf.draw(HAND_OVER, where, once, rng.random(luck.size), 0.0)
        stages = range(stage, stage + station.num_stages)
        profile_of = partial(shelf.get, where=where)
        besides = overheads(path.pipeline, scorers, stages, profile_of)
        for index, names in zip(stages, besides, strict=True):
            sizes = np.minimum(offered, path.pipeline.stages[index].num_in)
            for model in scorers[index]:
                total_s += scoring.call_s(model, sizes)
            if index == stage:
                total_s += scoring.start_s(scorers[index][0], sizes)
            for name in names:
                total_s += shelf.draw(name, where, sizes, rng.random(luck.size), rested)
        stage += station.num_stages
    return service_s


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What a station's calls of models take, of the same N queries."""

    shelf: "_Shelf"
    pipeline: Pipeline
    where: tuple[str, int]
    luck: DoubleArray
    rested: float

    def call_s(self, model: str, sizes: IntArray) -> DoubleArray:
        """(N,), of all candidates, or of as many sub-batches as one core takes."""
        if self.pipeline.sub_batches == 1:
            return self._drawn(model, sizes, self.where[1])
        runs = -(-sizes // self.pipeline.sub_batches)
        return turns(self.pipeline, self.where[1]) * self._drawn(model, runs, 1)

    def start_s(self, model: str, sizes: IntArray) -> DoubleArray:
        """(N,), until all cores are at work: what a call on them takes beyond its even share."""
        threads = self.where[1]
        if self.pipeline.sub_batches == 1 or threads == 1:
            return np.zeros(self.luck.size)
        share_s = self._drawn(model, sizes, 1) / threads
        return np.maximum(self._drawn(model, sizes, threads) - share_s, 0.0)

    def _drawn(self, model: str, sizes: IntArray, num_threads: int) -> DoubleArray:
        return self.shelf.draw(model, (self.where[0], num_threads), sizes, self.luck, self.rested)


def turns(pipeline: Pipeline, num_threads: int) -> int:
    """Sub-batches that the busiest of a server's cores takes, one after another."""
    return -(-pipeline.sub_batches // num_threads)


def rested_share(utilisation: float) -> float:
    """Weight of the rested profile at a utilisation: 0 when busy, 1 at the rested pace.

    Below the rested pace it goes on rising to 1.2, above the busy one it stays 0.
    """
    span = BUSY.utilisation - RESTED.utilisation
    return float(np.clip((BUSY.utilisation - utilisation) / span, 0.0, 1.2))


def draw_wake_up(
    path: Path,
    profiles: Sequence[LatencyProfile],
    num_queries: int,
    rng: np.random.Generator,
) -> DoubleArray:
    """Delay of each query that finds every server at rest, summed over stations.

    Args:
        path: where stages run.
        profiles: of `wake_up`, for every platform and number of threads of the path.
        num_queries: N.
        rng: draws.

    Returns:
        (N,), seconds.

    Raises:
        StudyError: it was not profiled.
    """
    shelf = _Shelf({(p.model, p.platform, p.num_threads): p for p in profiles})
    once = np.ones(num_queries, np.int64)
    total_s = np.zeros(num_queries)
    for station in path.mapping.stations:
        where = station.platform, station.num_threads
        total_s += shelf.draw(WAKE_UP, where, once, rng.random(num_queries), 0.0)
    return total_s


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Profiles by model, platform and number of threads."""

    profiles: dict[tuple[str, str, int], LatencyProfile]

    def get(self, model: str, where: tuple[str, int]) -> LatencyProfile:
        """A model's profile on a platform with a number of threads."""
        found = self.profiles.get((model, *where))
        if found is None:
            raise StudyError(
                f"{model!r} has no profile on {where[0]!r} with {where[1]} threads; profile it"
            )
        return found

    def draw(
        self,
        model: str,
        where: tuple[str, int],
        sizes: IntArray,
        luck: DoubleArray,
        rested_share: float,
    ) -> DoubleArray:
        """Times (N,) of a model's calls, a share of the way from busy to rested."""
        busy = self.get(model, where)
        drawn_s = _drawn(busy, sizes, luck)
        rested = self.profiles.get((RESTED.name(model), *where))
        if rested is None or rested_share == 0.0:
            return drawn_s
        mixed: DoubleArray = drawn_s + rested_share * (_drawn(rested, sizes, luck) - drawn_s)
        return np.maximum(mixed, _LEAST_SHARE * drawn_s)


def _drawn(profile: LatencyProfile, sizes: IntArray, luck: DoubleArray) -> DoubleArray:
    """Times of calls with these sizes (N,); equal luck (N,) means the same profiled query."""
    low, high = int(profile.batch_sizes[0]), int(profile.batch_sizes[-1])
    if int(sizes.min()) < low or int(sizes.max()) > high:
        raise InvalidInput(
            f"{profile.model!r} was profiled for {low} to {high} items, asked for "
            f"{int(sizes.min())} to {int(sizes.max())}; profile those sizes too"
        )
    columns = (luck * profile.latency_s.shape[1]).astype(np.int64)
    right = np.searchsorted(profile.batch_sizes, sizes)
    left = np.maximum(right - 1, 0)
    span = np.maximum(profile.batch_sizes[right] - profile.batch_sizes[left], 1)
    share = (profile.batch_sizes[right] - sizes) / span
    near_s, far_s = profile.latency_s[right, columns], profile.latency_s[left, columns]
    drawn: DoubleArray = near_s + share * (far_s - near_s)
    return drawn
