"""Exact ranks of relevant columns at the end of any pipeline, from stored scores.

Letters: J judged queries, C columns, K columns a stage keeps, V relevant columns.

A pipeline's answer is judged only by where the relevant columns end up, and that place is 1 + the
number of survivors that the last model ranks better. So no answer is ever sorted: a front stage's
survivors are the beginning of its model's list, a later stage's those up to a rank found by
bisection, and the last stage only counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import BoolArray, FloatArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import Pipeline, Stage
from recfunnel.quality import kernels
from recfunnel.quality.judged import JudgedQueries
from recfunnel.quality.kernels import Ranks
from recfunnel.quality.lists import ModelLists
from recfunnel.quality.memory import BoundedCache
from recfunnel.quality.threads import RowThreads

DEFAULT_CACHE_BYTES = 2 * 1024**3
"""Room for lists, pair tables and survivors. A full table of 6,040 queries x 3,706 columns takes
45 MB; M models use 2 M of them and one more for each pair of a front and a back stage."""


@dataclass(frozen=True, eq=False, slots=True)
class Survivors:
    """What the first stages of a pipeline keep.

    Args:
        columns: (J, at least K), the kept columns of each query, filled from the left.
        num_kept: int64 (J,), how many; fewer than K where fewer may be ranked.
        alive: bool (V,), the relevant columns among them.
    """

    columns: Ranks
    num_kept: IntArray
    alive: BoolArray

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.columns.nbytes + self.num_kept.nbytes + self.alive.nbytes


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
        self._cache = BoundedCache(cache_bytes)
        self._threads = RowThreads(num_threads)
        self._lists = ModelLists(judged, tables, self._cache, self._threads)

    @property
    def models(self) -> tuple[str, ...]:
        """Models with a score table."""
        return self._lists.models

    @property
    def cached_bytes(self) -> int:
        """Held between calls, at most `cache_bytes`."""
        return self._cache.held_bytes

    def scores(self, model: str) -> FloatArray:
        """(Q, C), a model's scores of all queries, as stored.

        Raises:
            StudyError: the model has no scores.
        """
        self._lists.check((model,))
        return self._lists.scores(model)

    def front_places(self, model: str) -> Ranks:
        """(V,), place (0 is best) of each relevant column in one model's list of all columns.

        Raises:
            StudyError: the model has no scores.
        """
        self._lists.check((model,))
        return self._lists.relevant(model)

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
        relevant = self._lists.relevant(pipeline.models[-1])
        if len(pipeline.stages) == 1:
            return np.where(relevant < depth, relevant.astype(np.int64) + 1, 0)
        read = self._before_last(pipeline)
        if pipeline.ranks_by_share:
            table, is_pair = self._lists.ranks(pipeline.models[-1]), False
        else:
            table, is_pair = self._table(pipeline.stages)
        offsets, num_columns = self.judged.offsets, self.judged.num_columns
        ranks = np.empty(relevant.size, np.int64)

        def rank_rows(start: int, stop: int) -> None:
            what = (table, is_pair, read.columns, read.num_kept, offsets, relevant, read.alive)
            kernels.rank_relevant(*what, depth, num_columns, start, stop, ranks)

        self._threads.run(rank_rows, len(self.judged))
        return ranks

    def survivors(self, pipeline: Pipeline, num_stages: int) -> BoolArray:
        """(V,), the relevant columns still in after the first `num_stages` stages, at least 1."""
        self.check(pipeline)
        if pipeline.ranks_by_share and num_stages < len(pipeline.stages):
            return self._after_shares(pipeline, num_stages).alive
        if pipeline.ranks_by_share:
            return self.ranks(pipeline, pipeline.num_out) > 0
        return self._after(pipeline.stages[:num_stages]).alive

    def check(self, pipeline: Pipeline) -> None:
        """Hold a pipeline against the tables.

        Raises:
            StudyError: a stage's model has no scores, or the first stage does not read C columns.
        """
        self._lists.check(pipeline.models)
        num_in = pipeline.stages[0].num_in
        if num_in != self.judged.num_columns:
            raise StudyError(
                f"{pipeline.name!r} begins with {num_in} candidates, the scores hold "
                f"{self.judged.num_columns}; let its first stage read {self.judged.num_columns}"
            )

    def _table(self, stages: tuple[Stage, ...]) -> tuple[Ranks, bool]:
        """What the last of these stages ranks by, and whether it is a pair table."""
        if len(stages) == 2:
            return self._lists.pair(stages[0].model, stages[1].model, stages[0].num_out), True
        return self._lists.ranks(stages[-1].model), False

    def _before_last(self, pipeline: Pipeline) -> Survivors:
        """What the last stage reads."""
        if pipeline.ranks_by_share:
            return self._after_shares(pipeline, len(pipeline.stages) - 1)
        return self._after(pipeline.stages[:-1])

    def _after_shares(self, pipeline: Pipeline, num_stages: int) -> Survivors:
        """What the first stages keep, each sub-batch its share."""
        stages = pipeline.stages[:num_stages]
        sizes = tuple((stage.model, stage.num_out) for stage in stages)
        key = ("shares", pipeline.sub_batches, *sizes)
        found: Survivors | None = self._cache.find(key)
        if found is None:
            found = self._narrow_by_share(pipeline, num_stages)
            self._cache.keep(key, found)
        return found

    def _narrow_by_share(self, pipeline: Pipeline, num_stages: int) -> Survivors:
        model = pipeline.models[num_stages - 1]
        if num_stages == 1:
            columns, num_read = self._lists.order(model), self.judged.num_allowed
        else:
            before = self._after_shares(pipeline, num_stages - 1)
            columns, num_read = before.columns, before.num_kept
        table, share = self._lists.ranks(model), pipeline.share(num_stages - 1)
        kept = np.empty((len(self.judged), share * pipeline.sub_batches), table.dtype)
        num_kept = np.empty(len(self.judged), np.int64)
        alive = np.empty(self.judged.columns.size, np.bool_)
        runs, relevant = (pipeline.sub_batches, self.judged.offsets), self.judged.columns

        def narrow_rows(start: int, stop: int) -> None:
            what = (table, columns, num_read, share, *runs, relevant)
            kernels.narrow_by_share(*what, start, stop, kept, num_kept, alive)

        self._threads.run(narrow_rows, len(self.judged))
        return Survivors(kept, num_kept, alive)

    def _after(self, stages: tuple[Stage, ...]) -> Survivors:
        """What these stages keep."""
        num_kept = np.minimum(self.judged.num_allowed, stages[-1].num_out)
        if len(stages) == 1:
            alive = self._lists.relevant(stages[0].model) < stages[0].num_out
            return Survivors(self._lists.order(stages[0].model), num_kept, alive)
        key = tuple((stage.model, stage.num_out) for stage in stages)
        found: Survivors | None = self._cache.find(key)
        if found is None:
            found = self._narrow(stages, num_kept)
            self._cache.keep(key, found)
        return found

    def _narrow(self, stages: tuple[Stage, ...], num_kept: IntArray) -> Survivors:
        read, keep = self._after(stages[:-1]), stages[-1].num_out
        table, is_pair = self._table(stages)
        num_columns = self.judged.num_columns
        kept = np.empty((len(self.judged), keep + 1), table.dtype)
        cutoffs = np.empty(len(self.judged), np.int64)

        def narrow_rows(start: int, stop: int) -> None:
            what = (table, is_pair, read.columns, read.num_kept, keep, num_columns)
            kernels.narrow(*what, start, stop, kept, cutoffs)

        self._threads.run(narrow_rows, len(self.judged))
        relevant = self._lists.relevant(stages[-1].model)
        alive = read.alive & (relevant <= cutoffs[self.judged.row_ids])
        return Survivors(kept, num_kept, alive)
