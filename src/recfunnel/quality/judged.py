"""Which queries can be judged, and their relevant columns: the sparse half of every list metric.

Letters: Q queries, J judged queries, C columns, V relevant columns of all judged queries together.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray, Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import DataError
from recfunnel.core.keys import among, distinct


@dataclass(frozen=True, eq=False, slots=True)
class JudgedQueries:
    """The queries that have at least one relevant column that may be ranked.

    A relevant column that is excluded is no candidate and does not count, neither for the
    pipeline nor for the ideal. Query j's relevant columns are
    `columns[offsets[j]:offsets[j + 1]]`, best gain first, lower column first among equals.

    Args:
        queries: int64 (J,), rising rows of the query set.
        offsets: int64 (J + 1,), from 0 to V, always rising.
        columns: int64 (V,).
        gains: float64 (V,), above 0.
        num_allowed: int64 (J,), columns of each query that may be ranked.
        excluded: J rows of columns that must not be ranked, each once.
        num_columns: C.
        num_queries: Q.
    """

    queries: IntArray
    offsets: IntArray
    columns: IntArray
    gains: DoubleArray
    num_allowed: IntArray
    excluded: Ragged
    num_columns: int
    num_queries: int

    def __len__(self) -> int:
        return self.queries.size

    @property
    def num_unjudged(self) -> int:
        """Queries without any relevant candidate; they are left out of every mean."""
        return self.num_queries - len(self)

    @property
    def row_ids(self) -> IntArray:
        """(V,), the judged query each relevant column belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    def total(self, values: DoubleArray) -> DoubleArray:
        """(J,), the sum over each query's relevant columns of values (V,)."""
        sums: DoubleArray = np.add.reduceat(values, self.offsets[:-1])
        return sums

    def to_all(self, values: DoubleArray) -> DoubleArray:
        """(Q,), values (J,) of the judged queries; nan for the others."""
        spread = np.full(self.num_queries, np.nan)
        spread[self.queries] = values
        return spread


def judge(queries: QuerySet) -> JudgedQueries:
    """Find the relevant columns that may be ranked.

    Args:
        queries: Q queries; a gain of 0 is the same as none.

    Returns:
        The judged queries.

    Raises:
        DataError: a gain is negative or not finite, a column is listed twice as relevant, or no
            query has a relevant candidate.
    """
    num_columns = queries.num_columns
    rows, columns, gains = _relevant(queries)
    excluded_keys = distinct(_keys(queries.excluded, num_columns))
    wanted = rows * num_columns + columns
    keep = ~among(wanted, excluded_keys)
    order = np.lexsort((columns[keep], -gains[keep], rows[keep]))
    rows, columns, gains = rows[keep][order], columns[keep][order], gains[keep][order]
    judged, counts = np.unique(rows, return_counts=True)
    if not judged.size:
        raise DataError(
            f"none of {len(queries)} queries has a relevant candidate that may be ranked; "
            "lower the relevance threshold or check the excluded columns"
        )
    excluded = Ragged.from_pairs(
        excluded_keys // num_columns, excluded_keys % num_columns, len(queries)
    ).take(judged)
    return JudgedQueries(
        queries=judged,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        columns=columns,
        gains=gains,
        num_allowed=num_columns - excluded.lengths,
        excluded=excluded,
        num_columns=num_columns,
        num_queries=len(queries),
    )


def _keys(ragged: Ragged, num_columns: int) -> IntArray:
    return ragged.row_ids() * num_columns + ragged.values


def _relevant(queries: QuerySet) -> tuple[IntArray, IntArray, DoubleArray]:
    relevance = queries.relevance
    rows, columns = relevance.row_ids(), np.asarray(relevance.values)
    if relevance.weights is None:
        gains = np.ones(columns.size)
    else:
        gains = relevance.weights.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(gains) & (gains >= 0)))
    if wrong.size:
        raise DataError(
            f"query {rows[wrong[0]]} has gain {gains[wrong[0]]} at column {columns[wrong[0]]}; "
            "gains must be finite and not below 0"
        )
    keys = np.sort(_keys(relevance, queries.num_columns))
    twice = np.flatnonzero(np.diff(keys) == 0)
    if twice.size:
        query, column = divmod(int(keys[twice[0]]), queries.num_columns)
        raise DataError(f"query {query} lists column {column} as relevant more than once")
    some = gains > 0
    return rows[some], columns[some], gains[some]
