"""Which rows real queries look up: the ids of the candidates that a stage ranks.

Letters: Q queries, C columns, N ranked candidates, T tables.
"""

import numpy as np

from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import StudyError


def item_tables(queries: QuerySet) -> tuple[dict[str, int], tuple[str, ...]]:
    """The tables a candidate is looked up in.

    Returns:
        Rows of each table by its feature's name: the categorical ones of the candidate, in column
        order. And the names of features with several values, whose lookups differ in number from
        candidate to candidate and are not part of a trace.
    """
    tables = queries.schema.select("candidate", "categorical")
    several = queries.schema.select("candidate", "multi_valued")
    return {table.name: table.cardinality for table in tables}, tuple(f.name for f in several)


def ranked_ids(
    queries: QuerySet, *, scores: FloatArray | None = None, keep: int | None = None
) -> IntArray:
    """The ids a stage looks up, query by query.

    Args:
        queries: who asks, in order, and what may be answered.
        scores: (Q, C), of the stage before; its best candidates are ranked, best first, the lower
            column first among equals. None: every candidate, in column order.
        keep: candidates of a query that the stage before passes on; all when not given.

    Returns:
        int64 (N, T), one row a ranked candidate, one column a table of `item_tables`.

    Raises:
        StudyError: candidates have no categorical feature, scores of another shape, `keep` without
            scores or below 1, or no candidate is left.
    """
    if not item_tables(queries)[0]:
        raise StudyError("candidates have no categorical feature, so nothing is looked up")
    if keep is not None and (scores is None or keep < 1):
        raise StudyError(f"{keep} candidates are kept; that needs scores, and at least 1")
    shape = (len(queries), queries.num_columns)
    if scores is not None and scores.shape != shape:
        raise StudyError(f"scores of shape {scores.shape} for {shape[0]} queries of {shape[1]}")
    parts = [
        queries.items.categorical[queries.item_rows(query, _ranked(queries, query, scores, keep))]
        for query in range(len(queries))
    ]
    ids: IntArray = np.concatenate(parts)
    if not ids.size:
        raise StudyError("every candidate is excluded, so nothing is looked up")
    return ids


def _ranked(queries: QuerySet, query: int, scores: FloatArray | None, keep: int | None) -> IntArray:
    """Columns of a query in the order in which they are ranked."""
    columns = np.flatnonzero(queries.allowed(query))
    if scores is None:
        return columns
    best = np.argsort(-scores[query, columns], kind="stable")
    return columns[best[:keep]]
