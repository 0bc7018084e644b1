"""The quality of a pipeline whose stages keep what an accelerator's filters pass on.

Letters: J judged queries, C columns, S stages, V relevant columns.

A stage's filter reads the scores of what the stage before passed on, in that order, the first one
those of all columns that may be ranked, in the order of columns. What it passes is usually more
than the stage keeps, and all of that is work for the next stage. The host sorts what the last
filter passes, and shows the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import BoolArray, DoubleArray, FloatArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Pipeline
from recfunnel.hardware.topk.filter import TopKFilter
from recfunnel.hardware.topk.run import filter_scores
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.kernels import compiled
from recfunnel.quality.ordering import HIGH_HALF, sort_keys
from recfunnel.quality.threads import RowThreads

QUERIES_AT_ONCE = 128
"""So the arrays of a block stay small whatever the number of queries."""


@dataclass(frozen=True, eq=False, slots=True)
class FilteredQuality:
    """What a pipeline of filters answers, and the work it makes; all of it simulated.

    Args:
        ndcg: float64 (J,), NDCG@k of what is shown.
        num_read: int64 (J, S), candidates that each stage reads.
        num_passed: int64 (J, S), candidates that each stage passes on.
        filter_cycles: int64 (J, S), of each stage's filter; 0 where it has none.
    """

    ndcg: DoubleArray
    num_read: IntArray
    num_passed: IntArray
    filter_cycles: IntArray


def filtered_quality(
    book: ScoreBook,
    pipeline: Pipeline,
    filters: Sequence[TopKFilter | None],
    *,
    num_threads: int | None = None,
) -> FilteredQuality:
    """Rank every judged query through the filters of a pipeline's stages.

    Args:
        book: scores of the stages' models.
        pipeline: what each stage is to keep. Sub-batches are the filters' own.
        filters: one a stage; None keeps exactly the best, as the pipeline alone does.
        num_threads: None for all cores.

    Returns:
        Quality and work.

    Raises:
        StudyError: a filter too many or too few, sub-batches of the pipeline, a model without
            scores, or a stage that keeps more than there are columns.
    """
    book.funnel.check(pipeline)
    if len(filters) != len(pipeline.stages):
        raise StudyError(
            f"{len(filters)} filters for the {len(pipeline.stages)} stages of {pipeline.name!r}; "
            "give one a stage, None where it keeps exactly the best"
        )
    if pipeline.sub_batches > 1:
        raise StudyError(
            f"{pipeline.name!r} has sub-batches of its own; give them to the filters instead"
        )
    shape = (book.num_judged, len(pipeline.stages))
    read, passed, cycles = (np.zeros(shape, np.int64) for _ in range(3))
    ranks = np.zeros(book.judged.columns.size, np.int64)

    def rank_rows(start: int, stop: int) -> None:
        for first in range(start, stop, QUERIES_AT_ONCE):
            rows = np.arange(first, min(first + QUERIES_AT_ONCE, stop))
            part = _Block(book, rows)
            for number, (stage, topk) in enumerate(zip(pipeline.stages, filters, strict=True)):
                read[rows, number] = part.lengths
                cycles[rows, number] = part.narrow(stage.model, topk, stage.num_out)
                passed[rows, number] = part.lengths
            span = slice(*book.judged.offsets[[rows[0], rows[-1] + 1]])
            part.rank(pipeline.models[-1], pipeline.num_out, ranks[span])

    RowThreads(num_threads).run(rank_rows, book.num_judged)
    return FilteredQuality(book.ndcg_of_ranks(ranks), read, passed, cycles)


class _Block:
    """Some queries on their way through the stages.

    Args:
        book: scores.
        rows: judged queries, consecutive.
    """

    def __init__(self, book: ScoreBook, rows: IntArray) -> None:
        self._book, self._rows = book, rows
        allowed = np.ones((rows.size, book.judged.num_columns), np.bool_)
        excluded = book.judged.excluded.take(rows)
        allowed[excluded.row_ids(), excluded.values] = False
        everything = np.broadcast_to(np.arange(allowed.shape[1]), allowed.shape)
        self.columns, self.lengths = gather_left(np.ascontiguousarray(everything), allowed)

    def narrow(self, model: str, topk: TopKFilter | None, keep: int) -> IntArray:
        """Keep what a stage passes on; returns its filter's cycles."""
        scores = self._scores(model)
        wanted = min(keep, scores.shape[1])
        if topk is None:
            passed, cycles = self._best(scores, wanted), np.zeros_like(self.lengths)
        else:
            run = filter_scores(topk, scores, wanted, lengths=self.lengths)
            passed, cycles = run.passed, run.cycles
        self.columns, self.lengths = gather_left(self.columns, passed)
        return cycles

    def rank(self, model: str, depth: int, out: IntArray) -> None:
        """Where the relevant columns are shown: 1 to `depth`, 0 for not."""
        judged = self._book.judged
        order = np.take_along_axis(self.columns, np.argsort(self._keys(self._scores(model))), 1)
        places = np.zeros((self._rows.size, judged.num_columns), np.int64)
        number = np.arange(1, min(depth, order.shape[1]) + 1)
        shown = number <= self.lengths[:, np.newaxis]
        query, place = np.nonzero(shown)
        places[query, order[query, place]] = place + 1
        offsets = judged.offsets[self._rows[0] : self._rows[-1] + 2]
        queries = np.repeat(np.arange(self._rows.size), np.diff(offsets))
        out[:] = places[queries, judged.columns[offsets[0] : offsets[-1]]]

    def _scores(self, model: str) -> FloatArray:
        """(rows, most read), of the candidates that are left; 0 right of them."""
        table = self._book.funnel.scores(model)[self._book.judged.queries[self._rows]]
        scores = np.take_along_axis(table, self.columns, axis=1)
        scores[np.arange(scores.shape[1]) >= self.lengths[:, np.newaxis]] = 0.0
        return scores

    def _keys(self, scores: FloatArray) -> NDArray[np.uint64]:
        """Numbers that sort as candidates rank: score, then column; those not there come last."""
        keys = (sort_keys(scores) & HIGH_HALF) | self.columns.astype(np.uint64)
        keys[np.arange(scores.shape[1]) >= self.lengths[:, np.newaxis]] = np.iinfo(np.uint64).max
        return keys

    def _best(self, scores: FloatArray, keep: int) -> BoolArray:
        """Exactly the best, ties by lower column."""
        keys = self._keys(scores)
        least = np.partition(keys, keep - 1, axis=1)[:, [keep - 1]]
        left = np.arange(scores.shape[1]) < self.lengths[:, np.newaxis]
        best: BoolArray = (keys <= least) & left
        return best


def gather_left(columns: IntArray, passed: BoolArray) -> tuple[IntArray, IntArray]:
    """What passed of each row, in its order from the left, and how many there are.

    Args:
        columns: (Q, n).
        passed: (Q, n).

    Returns:
        (Q, most of any row, at least 1), 0 where a row has fewer, and (Q,).
    """
    lengths = np.count_nonzero(passed, axis=1).astype(np.int64)
    kept = np.zeros((columns.shape[0], max(1, int(lengths.max(initial=0)))), np.int64)
    _gather(columns, passed, kept)
    return kept, lengths


@compiled
def _gather(columns: IntArray, passed: BoolArray, kept: IntArray) -> None:
    for query in range(columns.shape[0]):
        place = 0
        for i in range(columns.shape[1]):
            if passed[query, i]:
                kept[query, place] = columns[query, i]
                place += 1
