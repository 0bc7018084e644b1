"""List metrics of each query from the ranks at which its relevant columns were served.

Only the ranks of relevant columns matter, so every function takes them as int64 (V,): 1 for the
first place of the answer, 0 for not in it. Letters as in `recfunnel.quality.judged`.

Ties have been broken before a rank exists: higher score first, then lower column. A query without
relevant candidates has no value. A list shorter than k is judged as it is: its missing places earn
nothing, and the ideal list has as many places as it has relevant candidates, at most k.
"""

from typing import Literal

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.quality.judged import JudgedQueries

Gain = Literal["linear", "exponential"]
"""What a relevance g earns: g itself (Järvelin & Kekäläinen 2002), or 2^g - 1 (Burges et al. 2005).

They are the same where every gain is 0 or 1.
"""


def ndcg(judged: JudgedQueries, ranks: IntArray, k: int, gain: Gain) -> DoubleArray:
    """DCG of the served list over DCG of the best list drawn from all candidates.

    DCG is the sum of gain / log2(1 + rank) over ranks 1 to k. A pipeline that drops a relevant
    candidate early is charged for it.

    Args:
        judged: J queries.
        ranks: (V,).
        k: places that count.
        gain: `linear` or `exponential`.

    Returns:
        (J,), 0 to 1 (within rounding).

    Raises:
        InvalidInput: k is below 1.
    """
    return dcg(judged, ranks, k, gain) / ideal_dcg(judged, k, gain)


def dcg(judged: JudgedQueries, ranks: IntArray, k: int, gain: Gain) -> DoubleArray:
    """(J,), sum of gain / log2(1 + rank) over the relevant columns at ranks 1 to k."""
    return judged.total(gains_of(judged, gain) * discounts(ranks, k))


def ideal_dcg(
    judged: JudgedQueries, k: int, gain: Gain, survivors: BoolArray | None = None
) -> DoubleArray:
    """(J,), DCG of the best list of k that can be made of each query's candidates.

    Args:
        judged: J queries.
        k: places that count.
        gain: `linear` or `exponential`.
        survivors: (V,), the relevant columns that may be used; None means all.

    Returns:
        (J,); above 0 where all may be used.
    """
    alive = np.ones(judged.gains.size, np.bool_) if survivors is None else survivors
    # Relevant columns lie best gain first, so the rank of a survivor in the best list is the
    # number of survivors of its query up to and including it.
    running = np.cumsum(alive)
    before = np.concatenate([[0], running])[judged.offsets[:-1]]
    ranks = np.where(alive, running - before[judged.row_ids], 0)
    return dcg(judged, ranks, k, gain)


def recpipe_ndcg(judged: JudgedQueries, ranks: IntArray, k: int) -> DoubleArray:
    """RecPipe's "NDCG": DCG of 0/1 labels over the DCG of k ones, whatever the query holds.

    A query with fewer than k relevant candidates cannot reach 1, and the value rises with the
    number of relevant candidates even where ranking gets no better; for comparison with their
    figures only (Gupta et al. 2021 and its artifact).

    Args:
        judged: J queries; every gain above 0 counts as 1.
        ranks: (V,).
        k: places that count.

    Returns:
        (J,), 0 to 1.
    """
    ones = discounts(np.arange(1, k + 1), k).sum()
    return judged.total(discounts(ranks, k)) / float(ones)


def hit_rate(judged: JudgedQueries, ranks: IntArray, k: int) -> DoubleArray:
    """(J,), 1 where some relevant column is among the first k, else 0."""
    return (judged.total(_within(ranks, k)) > 0).astype(np.float64)


def recall(judged: JudgedQueries, ranks: IntArray, k: int) -> DoubleArray:
    """(J,), share of all relevant candidates among the first k (1 may need a k large enough)."""
    return judged.total(_within(ranks, k)) / np.diff(judged.offsets)


def reciprocal_rank(judged: JudgedQueries, ranks: IntArray, k: int) -> DoubleArray:
    """(J,), 1 / rank of the first relevant column among the first k, else 0; its mean is MRR@k."""
    shown = _within(ranks, k) > 0
    reciprocal = np.where(shown, 1.0 / np.maximum(ranks, 1), 0.0)
    best: DoubleArray = np.maximum.reduceat(reciprocal, judged.offsets[:-1])
    return best


def gains_of(judged: JudgedQueries, gain: Gain) -> DoubleArray:
    """(V,), what each relevant column earns."""
    return judged.gains if gain == "linear" else np.exp2(judged.gains) - 1.0


def discounts(ranks: IntArray, k: int) -> DoubleArray:
    """1 / log2(1 + rank) where the rank is 1 to k, else 0; shape of `ranks`.

    Raises:
        InvalidInput: k is below 1.
    """
    if k < 1:
        raise InvalidInput(f"a list metric at k = {k} says nothing; k must be at least 1")
    table = np.concatenate([[0.0], 1.0 / np.log2(np.arange(2.0, k + 2.0)), [0.0]])
    picked: DoubleArray = table[np.minimum(ranks, k + 1)]
    return picked


def _within(ranks: IntArray, k: int) -> DoubleArray:
    return (discounts(ranks, k) > 0).astype(np.float64)
