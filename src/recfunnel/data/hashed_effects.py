"""Effects of category values on a click, computed from the value alone instead of stored.

Letters: N rows, F categorical features, D dense features.
"""

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray
from recfunnel.core.seeds import rng_for, seed_for

PAIR_DIMENSIONS = 4
"""Length of the hidden vector whose inner products are the pairwise effects."""

_SHARES = {"single": 0.4, "pair": 0.4, "dense": 0.2}
"""Share of the variance of the log-odds that each part makes."""

_MASK = (1 << 64) - 1


def hashed_normal(ids: IntArray, key: int) -> DoubleArray:
    """A standard normal number for each id, always the same for the same id and key.

    splitmix64 (Steele, Lea & Flood 2014) of the id, its two halves through Box-Muller.

    Args:
        ids: any shape, not below 0.
        key: one independent set of numbers a key.

    Returns:
        The shape of `ids`.
    """
    bits = _splitmix64(ids.astype(np.uint64) + np.uint64(key & _MASK))
    high = (bits >> np.uint64(32)).astype(np.float64)
    low = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64)
    radius = np.sqrt(-2 * np.log((high + 0.5) / 2**32))
    normal: DoubleArray = radius * np.cos(2 * np.pi * low / 2**32)
    return normal


def _splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def click_logits(
    categorical: IntArray, dense: FloatArray, seed: int, num_remainders: int = 0
) -> DoubleArray:
    """(N,), log-odds of a click up to scale and intercept; variance about 1 over random ids.

    Args:
        categorical: (N, F).
        dense: (N, D), standard normal.
        seed: of the effects.
        num_remainders: R; above 0 a value's every number is the sum of one of v // R and one of
            v % R instead of its own, so that values share what they mean.

    Returns:
        (N,): effects of single values, inner products over all pairs of features
        (as in a factorisation machine, so that a model without interactions falls short), and a
        linear part in the numbers, each with its stated share of the variance.
    """
    num_rows, num_features = categorical.shape
    single = np.zeros(num_rows)
    total = np.zeros((num_rows, PAIR_DIMENSIONS))
    squares = np.zeros(num_rows)
    for column in range(num_features):
        ids = categorical[:, column]
        single += _effect(ids, num_remainders, seed, "single", column)
        for dimension in range(PAIR_DIMENSIONS):
            value = _effect(ids, num_remainders, seed, "pair", column, dimension)
            total[:, dimension] += value
            squares += value**2
    num_pairs = num_features * (num_features - 1) / 2
    pair = ((total**2).sum(axis=1) - squares) / 2
    parts = {
        "single": single / np.sqrt(num_features),
        "pair": pair / np.sqrt(max(num_pairs, 1) * PAIR_DIMENSIONS),
        "dense": _dense_part(dense, seed),
    }
    logits: DoubleArray = sum(
        (np.sqrt(_SHARES[name]) * part for name, part in parts.items()), np.zeros(num_rows)
    )
    return logits


def _effect(ids: IntArray, num_remainders: int, seed: int, *names: str | int) -> DoubleArray:
    """A standard normal number for each value: its own, or made of its two shared parts."""
    if not num_remainders:
        return hashed_normal(ids, seed_for(seed, *names))
    quotient = hashed_normal(ids // num_remainders, seed_for(seed, *names, "quotient"))
    remainder = hashed_normal(ids % num_remainders, seed_for(seed, *names, "remainder"))
    both: DoubleArray = (quotient + remainder) / np.sqrt(2)
    return both


def _dense_part(dense: FloatArray, seed: int) -> DoubleArray:
    weights = rng_for(seed, "synthetic_ctr", "dense").standard_normal(dense.shape[1])
    length = float(np.linalg.norm(weights))
    part: DoubleArray = dense.astype(np.float64) @ (weights / length if length else weights)
    return part
