"""The order in which calls are timed: like serving, in short alternations of a few models.

A server alternates between the few models of its pipeline, so their parameters are warm in the
nearer caches, but not as warm as if one model ran alone, nor as cold as if all models of a study
took turns. Calls are therefore timed in blocks: two calls alternate over a few queries. Blocks
come in random order, so that a slow minute of the machine falls on all calls alike.

Letters: L calls (a model at a size), R queries. A *place* is call * R + query.
"""

from collections.abc import Iterator

import numpy as np

from recfunnel.core.arrays import IntArray

GROUP = 2
"""Calls that alternate in a block."""

_QUERIES = 16

NOT_KEPT = -1


def blocks_of(
    places: IntArray, num_queries: int, rng: np.random.Generator
) -> Iterator[tuple[IntArray, IntArray]]:
    """Cut places into blocks that together hold each place once.

    Args:
        places: (N,), different from each other.
        num_queries: R.
        rng: draws calls and queries.

    Returns:
        Iterator of (what to call, where to keep it): two arrays of places of equal length, the
        second `NOT_KEPT` for the first alternation, which warms up.
    """
    shuffled = rng.permutation(places)
    calls = shuffled // num_queries
    left = {int(call): shuffled[calls == call] for call in np.unique(calls)}
    while left:
        weights = np.array([waiting.size for waiting in left.values()], np.float64)
        count = min(GROUP, len(left))
        chosen = rng.choice(list(left), count, replace=False, p=weights / weights.sum())
        taken = [left[call][:_QUERIES] for call in chosen.tolist()]
        for call in chosen.tolist():
            left[call] = left[call][_QUERIES:]
            if not left[call].size:
                del left[call]
        yield _alternated(taken)


def _alternated(taken: list[IntArray]) -> tuple[IntArray, IntArray]:
    warm = [int(rows[0]) for rows in taken]
    rounds = range(max(rows.size for rows in taken))
    order = [int(rows[i]) for i in rounds for rows in taken if i < rows.size]
    return np.array(warm + order), np.array([NOT_KEPT] * len(warm) + order)
