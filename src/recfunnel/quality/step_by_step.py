"""A pipeline run one query and one stage at a time: what the fast path must equal.

Slow and simple on purpose; it shares nothing with the fast path but the values it reads.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import Pipeline


def rank_step_by_step(
    pipeline: Pipeline, tables: Mapping[str, ScoreTable], queries: QuerySet, query: int
) -> IntArray:
    """The columns a pipeline answers one query with, best first.

    Args:
        pipeline: the stages.
        tables: scores of each stage's model, by name.
        queries: Q queries.
        query: row of the one to answer.

    Returns:
        int64, at most `pipeline.num_out` columns; fewer when fewer may be ranked.
    """
    kept: IntArray = np.flatnonzero(queries.allowed(query))
    for number, stage in enumerate(pipeline.stages):
        scores = tables[stage.model].scores[query, kept]
        kept = kept[np.lexsort((kept, -scores))]
        if pipeline.keep == "share" and number < len(pipeline.stages) - 1:
            kept = _of_each_run(kept, pipeline, pipeline.share(number), queries.num_columns)
        else:
            kept = kept[: stage.num_out]
    return kept


def _of_each_run(kept: IntArray, pipeline: Pipeline, share: int, num_columns: int) -> IntArray:
    """The first `share` of the columns that fall into each sub-batch."""
    starts = [i * num_columns // pipeline.sub_batches for i in range(pipeline.sub_batches + 1)]
    runs = [kept[(kept >= start) & (kept < stop)][:share] for start, stop in pairwise(starts)]
    return np.concatenate(runs)


def ndcg_step_by_step(
    answer: IntArray, queries: QuerySet, query: int, k: int, *, exponential: bool = False
) -> float:
    """NDCG@k of one answer; nan when no relevant column may be ranked.

    Args:
        answer: columns, best first.
        queries: Q queries.
        query: the row answered.
        k: places that count.
        exponential: a relevance g earns 2^g - 1 instead of g.

    Returns:
        0 to 1, or nan.
    """
    gain_of: dict[int, float] = {}
    relevance = queries.relevance
    for column, weight in zip(relevance.row(query), relevance.row_weights(query), strict=True):
        if queries.allowed(query)[column] and weight > 0:
            gain_of[int(column)] = 2.0 ** float(weight) - 1 if exponential else float(weight)
    ideal = _dcg(sorted(gain_of.values(), reverse=True)[:k])
    return _dcg([gain_of.get(int(c), 0.0) for c in answer[:k]]) / ideal if gain_of else math.nan


def _dcg(gains: list[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
