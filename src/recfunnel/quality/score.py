"""Score a query set once with one model.

Letters: Q queries, C columns, S score inputs.
"""

from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import FloatArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import InvalidInput
from recfunnel.core.model import ScoreTable, check_scores
from recfunnel.core.progress import SILENT, Progress
from recfunnel.runtime.base import LoadedModel

DEFAULT_PAIRS_A_CALL = 262_144
"""Query-candidate pairs a model call may hold; bounds its working memory."""


def score_queries(
    model: LoadedModel,
    queries: QuerySet,
    given: Sequence[ScoreTable] = (),
    progress: Progress = SILENT,
    *,
    pairs_a_call: int = DEFAULT_PAIRS_A_CALL,
) -> ScoreTable:
    """Score every column of every query, excluded ones too.

    Args:
        model: ready to score, with the item features of `queries`.
        queries: Q queries.
        given: score tables (Q, C) of at least the models this one reads, in any order.
        progress: told about each batch.
        pairs_a_call: candidates in one call, all its queries together; at least one query is
            scored a call.

    Returns:
        float32 (Q, C).

    Raises:
        InvalidInput: a score input is missing or has another shape.
        ModelError: the model returned another shape or a value that is not finite.
    """
    num_columns = queries.num_columns
    inputs = _inputs(model, given, (len(queries), num_columns))
    scores = np.empty((len(queries), num_columns), np.float32)
    step = max(1, pairs_a_call // max(1, num_columns))
    for start in progress.track(range(0, len(queries), step), f"score {model.name}"):
        rows = np.arange(start, min(start + step, len(queries)))
        returned = model.score(
            queries.context.take(rows),
            None if queries.candidates is None else queries.candidates[rows],
            np.stack([table[rows] for table in inputs], axis=-1) if inputs else None,
        )
        check_scores(model.name, returned, (rows.size, num_columns))
        with np.errstate(over="ignore"):  # what does not fit float32 is found below
            scores[rows] = returned
    check_scores(model.name, scores, scores.shape)
    return ScoreTable(model.name, scores)


def _inputs(
    model: LoadedModel, given: Sequence[ScoreTable], shape: tuple[int, int]
) -> list[FloatArray]:
    by_model = {table.model: table.scores for table in given}
    for name in model.score_inputs:
        if name not in by_model:
            have = ", ".join(by_model) or "none"
            raise InvalidInput(
                f"{model.name!r} reads the scores of {name!r}, given: {have}; score it first"
            )
        if by_model[name].shape != shape:
            raise InvalidInput(
                f"scores of {name!r} have shape {by_model[name].shape}, the queries {shape}"
            )
    return [by_model[name] for name in model.score_inputs]
