"""Service time of whole stations, as distributions that can be drawn from and compared.

Letters: L query-size levels, G grid points, R profiled queries. A *curve* is float64 (L, G): the
service time of a query of each size level under each of G equally likely kinds of luck.

All designs draw by the same grid points. So of two curves of which one is nowhere higher, it is the
faster one for every single query and not only on average, which makes pruning by comparison exact.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pipeline import Pipeline, stage_scorers
from recfunnel.core.results import LatencyProfile
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import sizes_for
from recfunnel.profile.overheads import overheads
from recfunnel.profile.request import HAND_OVER
from recfunnel.profile.service import turns

GRID_SIZE = 1024
"""G. The 99th percentile of a curve lies between its 10th and 11th point from the end."""


class StationCurves:
    """Curves of any run of consecutive stages, from the profiles of single calls.

    The rules are those of `recfunnel.profile.service.draw_service`: a station takes a query over,
    then each stage calls its scorers one after another and selects, or all stages are one call. A
    grid point stands for one profiled query, the same in every model's profile; hand-over,
    selection and the call of all stages have luck of their own, paired with the grid in a fixed
    random order (a Latin hypercube: every mean is exact).

    Args:
        profiles: of each model, of `top_k`, of `hand_over` and, where models were timed inside it,
            of `fused_call`, for each thread count used.
        score_inputs: for each model, the models whose scores it reads.
        fractions: (L,), sizes of queries as fractions (0, 1] of the pipeline's candidates.
    """

    def __init__(
        self,
        profiles: Sequence[LatencyProfile],
        score_inputs: Mapping[str, tuple[str, ...]],
        fractions: DoubleArray,
    ) -> None:
        self._profiles = {(p.model, p.platform, p.num_threads): p for p in profiles}
        self._score_inputs = score_inputs
        self._fractions = fractions
        self._sizes: dict[tuple[int, int], tuple[int, ...]] = {}
        self._calls: dict[tuple[object, ...], DoubleArray] = {}
        self._stages: dict[tuple[object, ...], DoubleArray] = {}
        self._scorers: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {}

    def station(
        self, pipeline: Pipeline, stages: range, number: int, platform: str, num_threads: int
    ) -> DoubleArray:
        """Curve (L, G) of consecutive stages of a pipeline on one server.

        Args:
            pipeline: all stages.
            stages: which of them run here.
            number: of the station, from 0.
            platform: where.
            num_threads: cores the server uses.

        Returns:
            Seconds. Where one station runs every stage each level rises along G: the luck of
            different pipelines is then matched by rank, which compares more of them.

        Raises:
            StudyError: a model was not profiled there.
            InvalidInput: a size is outside what was profiled.
        """
        num_candidates = pipeline.stages[0].num_in
        if pipeline.models not in self._scorers:
            self._scorers[pipeline.models] = stage_scorers(pipeline, self._score_inputs)
        scorers = self._scorers[pipeline.models]
        where = (platform, num_threads)
        ones = (1,) * self._fractions.size
        total = self._call(HAND_OVER, ones, *where)[:, luck_order(f"hand over {number}")]
        besides = overheads(pipeline, scorers, stages, lambda model: self._profile(model, *where))
        for index, names in zip(stages, besides, strict=True):
            num_in = pipeline.stages[index].num_in
            counts = self._counts(num_in, num_candidates)
            if pipeline.sub_batches == 1:
                total = total + self._stage(scorers[index], names, counts, index, *where)
                continue
            total = total + self._cut_stage(pipeline, scorers[index], counts, *where)
            total = total + self._besides(names, counts, index, *where)
            if index == stages[0]:
                total = total + self._start(scorers[index][0], counts, *where)
        if len(stages) == len(pipeline.stages):
            total.sort(axis=1)
        return total

    def _counts(self, num_in: int, num_candidates: int) -> tuple[int, ...]:
        """(L,), candidates of a stage; a query that has fewer than it may read brings all."""
        key = (num_in, num_candidates)
        if key not in self._sizes:
            sizes = np.minimum(sizes_for(self._fractions, num_candidates), num_in)
            self._sizes[key] = tuple(int(size) for size in sizes)
        return self._sizes[key]

    def _cut_stage(
        self,
        pipeline: Pipeline,
        scorers: tuple[str, ...],
        counts: tuple[int, ...],
        platform: str,
        num_threads: int,
    ) -> DoubleArray:
        """Scoring of a stage whose sub-batches run on one core each, several at once."""
        runs = tuple(pipeline.run_length(count) for count in counts)
        total = np.zeros((self._fractions.size, GRID_SIZE))
        for model in scorers:
            total = total + self._call(model, runs, platform, 1)
        return turns(pipeline, num_threads) * total

    def _start(
        self, model: str, counts: tuple[int, ...], platform: str, num_threads: int
    ) -> DoubleArray:
        """Until all cores are at work: what a call on them takes beyond its even share."""
        alone = self._call(model, counts, platform, 1)
        late = self._call(model, counts, platform, num_threads) - alone / num_threads
        return np.maximum(late, 0.0) if num_threads > 1 else np.zeros_like(alone)

    def _besides(
        self,
        names: tuple[str, ...],
        counts: tuple[int, ...],
        index: int,
        platform: str,
        num_threads: int,
    ) -> DoubleArray:
        total = np.zeros((self._fractions.size, GRID_SIZE))
        for name in names:
            own = self._call(name, counts, platform, num_threads)
            total = total + own[:, luck_order(f"{name.replace('_', ' ')} {index}")]
        return total

    def _stage(
        self,
        scorers: tuple[str, ...],
        besides: tuple[str, ...],
        counts: tuple[int, ...],
        index: int,
        platform: str,
        num_threads: int,
    ) -> DoubleArray:
        key = (scorers, besides, counts, index, platform, num_threads)
        if key not in self._stages:
            total = self._besides(besides, counts, index, platform, num_threads)
            for model in scorers:
                total = total + self._call(model, counts, platform, num_threads)
            self._stages[key] = total
        return self._stages[key]

    def _call(
        self, model: str, counts: tuple[int, ...], platform: str, num_threads: int
    ) -> DoubleArray:
        key = (model, counts, platform, num_threads)
        if key not in self._calls:
            profile = self._profile(model, platform, num_threads)
            self._calls[key] = np.stack([_call_times(profile, count) for count in counts])
        return self._calls[key]

    def _profile(self, model: str, platform: str, num_threads: int) -> LatencyProfile:
        found = self._profiles.get((model, platform, num_threads))
        if found is None:
            raise StudyError(
                f"{model!r} has no profile on {platform!r} with {num_threads} threads; "
                "profile it or take that thread count out of the search space"
            )
        return found


def _call_times(profile: LatencyProfile, num_items: int) -> DoubleArray:
    """(G,), seconds of one call; each grid point stands for one profiled query."""
    sizes = profile.batch_sizes
    if not sizes[0] <= num_items <= sizes[-1]:
        raise InvalidInput(
            f"{profile.model!r} was profiled for {sizes[0]} to {sizes[-1]} items, asked for "
            f"{num_items}; profile that size too"
        )
    num_queries = profile.latency_s.shape[1]
    columns = ((np.arange(GRID_SIZE) + 0.5) / GRID_SIZE * num_queries).astype(np.int64)
    right = int(np.searchsorted(sizes, num_items))
    left = max(right - 1, 0)
    share = (sizes[right] - num_items) / max(int(sizes[right] - sizes[left]), 1)
    times = (1 - share) * profile.latency_s[right] + share * profile.latency_s[left]
    spread: DoubleArray = times[columns]
    return spread


_ORDERS: dict[str, IntArray] = {}


def luck_order(name: str) -> IntArray:
    """(G,), a fixed random order of the grid points for luck that is independent of the query's."""
    if name not in _ORDERS:
        _ORDERS[name] = rng_for(0, "luck", name).permutation(GRID_SIZE)
    return _ORDERS[name]
