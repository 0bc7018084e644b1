"""Exact ranks of relevant columns at the end of any pipeline, from stored scores.

Letters: J judged queries, C columns, D depth of the front's list, V relevant columns.

A pipeline's answer is judged only by where the relevant columns end up, and that place is 1 + the
number of survivors that the last model ranks better. So the front model's list is made once, every
other model's ranks are gathered once in that order (a pair table), and a stage that keeps `n` is a
prefix (the first stage) or a threshold (every later one): no pipeline is ever sorted.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from recfunnel.core.arrays import BoolArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.model import ScoreTable, check_scores
from recfunnel.core.pipeline import Pipeline
from recfunnel.quality import kernels
from recfunnel.quality.judged import JudgedQueries
from recfunnel.quality.kernels import Ranks
from recfunnel.quality.memory import BoundedCache
from recfunnel.quality.ordering import order_columns, places_of
from recfunnel.quality.threads import RowThreads

DEFAULT_CACHE_BYTES = 2 * 1024**3
"""Room for lists and pair tables; 6,040 queries x 3,706 columns take 45 MB a full table."""

_EVERYTHING: BoolArray = np.empty((0, 0), np.bool_)
_LEAST_DEPTH = 256


class Funnel:
    """Stored scores of several models, ready to be composed into pipelines.

    Args:
        judged: J queries.
        tables: a score table of each model, (Q, C).
        cache_bytes: the most that lists, pair tables and survivors of shared prefixes may occupy
            between calls. Working memory of a call comes on top: about 3 full tables.
        num_threads: None for all cores.

    Raises:
        InvalidInput: two tables of one model, or another type than float32.
        ModelError: a table of another shape than the queries, or a score that is not finite.
    """

    def __init__(
        self,
        judged: JudgedQueries,
        tables: Iterable[ScoreTable],
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        num_threads: int | None = None,
    ) -> None:
        self.judged = judged
        self._tables = _checked(tables, (judged.num_queries, judged.num_columns))
        self._cache = BoundedCache(cache_bytes)
        self._threads = RowThreads(num_threads)
        self._front_places: dict[str, Ranks] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """Models with a score table."""
        return tuple(self._tables)

    @property
    def cached_bytes(self) -> int:
        """Held between calls, at most `cache_bytes`."""
        return self._cache.held_bytes

    def front_places(self, model: str) -> Ranks:
        """(V,), place (0 is best) of each relevant column in one model's list of all columns.

        Raises:
            StudyError: the model has no scores.
        """
        if model not in self._front_places:
            self._check_models((model,))
            places = self._places(model)
            self._front_places[model] = places[self.judged.row_ids, self.judged.columns]
        return self._front_places[model]

    def ranks(self, pipeline: Pipeline, depth: int) -> IntArray:
        """Where the relevant columns end up in a pipeline's answer.

        Args:
            pipeline: any number of stages; the first reads all C columns.
            depth: places of the answer that matter.

        Returns:
            int64 (V,), 1 to `depth`, or 0 for not among them.

        Raises:
            StudyError: a stage's model has no scores, or the first stage does not read C columns.
        """
        self.check(pipeline)
        depth = min(depth, pipeline.num_out)
        front = pipeline.stages[0]
        if len(pipeline.stages) == 1:
            places = self.front_places(front.model).astype(np.int64)
            return np.where(places < depth, places + 1, 0)
        ranks = np.empty(self.judged.columns.size, np.int64)
        pair = self._pair(front.model, pipeline.stages[-1].model, front.num_out)
        alive = self._alive(pipeline, len(pipeline.stages) - 1)
        places, num_places = self.front_places(front.model), self._num_places(front.num_out)
        judged = self.judged
        self._threads.run(
            lambda start, stop: kernels.rank_relevant(
                pair,
                alive,
                num_places,
                judged.offsets,
                places,
                depth,
                judged.num_columns,
                start,
                stop,
                ranks,
            ),
            len(judged),
        )
        return ranks

    def survivors(self, pipeline: Pipeline, num_stages: int) -> BoolArray:
        """(V,), the relevant columns still in after the first `num_stages` stages."""
        self.check(pipeline)
        front = pipeline.stages[0]
        places = self.front_places(front.model)
        kept: BoolArray = places < front.num_out
        alive = self._alive(pipeline, num_stages)
        if alive.size:
            kept[kept] = alive[self.judged.row_ids[kept], places[kept]]
        return kept

    def check(self, pipeline: Pipeline) -> None:
        """Hold a pipeline against the tables.

        Raises:
            StudyError: a stage's model has no scores, or the first stage does not read C columns.
        """
        self._check_models(pipeline.models)
        num_in = pipeline.stages[0].num_in
        if num_in != self.judged.num_columns:
            raise StudyError(
                f"{pipeline.name!r} begins with {num_in} candidates, the scores hold "
                f"{self.judged.num_columns}; let its first stage read {self.judged.num_columns}"
            )

    def _check_models(self, models: tuple[str, ...]) -> None:
        for model in models:
            if model not in self._tables:
                known = ", ".join(self._tables)
                raise StudyError(f"{model!r} has no stored scores; known: {known}; score it first")

    def _num_places(self, num_out: int) -> IntArray:
        return np.minimum(self.judged.num_allowed, num_out)

    def _order(self, model: str) -> Ranks:
        scores = self._tables[model].scores
        return self._cache.get(
            ("order", model), lambda: order_columns(self.judged, scores, self._threads)
        )

    def _places(self, model: str) -> Ranks:
        return self._cache.get(
            ("places", model), lambda: places_of(self._order(model), self._threads)
        )

    def _pair(self, front: str, back: str, num_out: int) -> Ranks:
        """Pair table of a depth that serves `num_out`: a power of two, or all columns."""
        depth = max(_LEAST_DEPTH, 1 << (num_out - 1).bit_length())
        depth = min(depth, self.judged.num_columns)
        return self._cache.get(
            ("pair", front, back, depth), lambda: self._gather(front, back, depth)
        )

    def _gather(self, front: str, back: str, depth: int) -> Ranks:
        order, places = self._order(front), self._places(back)
        pair = np.empty((len(self.judged), depth), order.dtype)
        self._threads.run(
            lambda start, stop: kernels.gather_pair(order, places, start, stop, pair),
            len(self.judged),
        )
        return pair

    def _alive(self, pipeline: Pipeline, num_stages: int) -> BoolArray:
        """(J, D) places of the front's list still in; (0, 0) when only the front stage has cut."""
        stages = pipeline.stages[:num_stages]
        if num_stages < 2:
            return _EVERYTHING
        key = ("alive", *((stage.model, stage.num_out) for stage in stages))
        return self._cache.get(key, lambda: self._narrow(pipeline, num_stages))

    def _narrow(self, pipeline: Pipeline, num_stages: int) -> BoolArray:
        front, stage = pipeline.stages[0], pipeline.stages[num_stages - 1]
        before = self._alive(pipeline, num_stages - 1)
        pair = self._pair(front.model, stage.model, front.num_out)
        alive = np.zeros((len(self.judged), front.num_out), np.bool_)
        num_places, num_columns = self._num_places(front.num_out), self.judged.num_columns
        self._threads.run(
            lambda start, stop: kernels.narrow(
                pair, before, num_places, stage.num_out, num_columns, start, stop, alive
            ),
            len(self.judged),
        )
        return alive


def _checked(tables: Iterable[ScoreTable], shape: tuple[int, int]) -> Mapping[str, ScoreTable]:
    by_model: dict[str, ScoreTable] = {}
    for table in tables:
        if table.model in by_model:
            raise InvalidInput(f"two score tables of {table.model!r}; give one")
        if table.scores.dtype != np.float32:
            raise InvalidInput(f"scores of {table.model!r} are {table.scores.dtype}, not float32")
        check_scores(table.model, table.scores, shape)
        by_model[table.model] = table
    return by_model
