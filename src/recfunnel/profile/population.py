"""Which queries stand for all of them when a call is timed.

A call's time depends on the query (a long history is slow in every model that reads it), so the
sample must have the population's own spread, its tail included.
"""

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import InvalidInput


def representative_rows(queries: QuerySet, count: int, rng: np.random.Generator) -> IntArray:
    """Rows at evenly spaced quantiles of the amount of data a query brings.

    A systematic sample: the population is ordered by that amount (ties in random order) and one
    row is taken at random from each of `count` equal parts.

    Args:
        queries: the population, at least one query.
        count: rows wanted; rows repeat where there are fewer queries.
        rng: draws within each part, and shuffles the result.

    Returns:
        (count,), in random order.
    """
    if not len(queries) or count < 1:
        raise InvalidInput(f"{count} of {len(queries)} queries asked for, needs at least 1 of 1")
    amount = np.zeros(len(queries), np.int64)
    for ragged in (*queries.context.multi_valued, queries.excluded):
        amount += ragged.lengths
    order = np.lexsort((rng.random(len(queries)), amount))
    places = (np.arange(count) + rng.random(count)) / count * len(queries)
    rows: IntArray = order[np.minimum(places.astype(np.int64), len(queries) - 1)]
    return rng.permutation(rows)
