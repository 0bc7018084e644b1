"""The best division of one memory between caches, from what each costs at every size.

Letters: C caches, B units of memory.

What matters of a cache is its cost (misses times what one costs, say) with 0, 1, ... B units. Where
every curve is convex, units are handed out one by one to whom each saves most, and no division is
better (Fox 1966): each next unit saves a cache no more than its last one. Curves of real caches
have knees, where nothing is saved until a whole group of rows fits; then all divisions of each
number of units between the first caches are compared (dynamic programming), which is exact for any
curve and takes C · B² steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError

Method = Literal["marginal savings", "dynamic programming"]


@dataclass(frozen=True, slots=True)
class Division:
    """Who gets how much.

    Args:
        units: (C,), of each cache; together at most B, less where more would not help.
        cost: of all caches together.
        method: how it was found; both are exact.
    """

    units: tuple[int, ...]
    cost: float
    method: Method


def best_division(costs: Sequence[DoubleArray]) -> Division:
    """Divide B units so that the sum of costs is least.

    Args:
        costs: one (B + 1,) a cache, its cost with 0 to B units; may rise here and there, as a
            FIFO cache's does: then units stay unused.

    Returns:
        A division whose cost no other undercuts.

    Raises:
        StudyError: no cache, curves of different lengths, or a cost that is not finite.
    """
    curves = _checked(costs)
    falling = np.minimum.accumulate(curves, axis=1)
    method: Method
    if (np.diff(falling, 2, axis=1) >= 0).all():
        method, units = "marginal savings", _by_savings(falling)
    else:
        method, units = "dynamic programming", _by_comparison(falling)
    # where a curve rises, the cost below is that of the best size up to here
    used = [int(np.argmin(curve[: n + 1])) for curve, n in zip(curves, units, strict=True)]
    total = sum(float(curve[n]) for curve, n in zip(curves, used, strict=True))
    return Division(tuple(used), total, method)


def _checked(costs: Sequence[DoubleArray]) -> DoubleArray:
    if not len(costs):
        raise StudyError("no cache to divide memory between; give at least one curve")
    lengths = sorted({len(curve) for curve in costs})
    if len(lengths) > 1 or lengths[0] < 1:
        raise StudyError(
            f"cost curves of {lengths} sizes; each needs one cost for every number of units from 0"
        )
    curves = np.asarray(costs, np.float64)
    bad = np.argwhere(~np.isfinite(curves))
    if bad.size:
        cache, size = bad[0]
        raise StudyError(
            f"cache {cache} costs {curves[cache, size]} with {size} units, must be finite"
        )
    return curves


def _by_savings(curves: DoubleArray) -> IntArray:
    """(C,), units by the greatest savings; exact for convex curves."""
    num_caches, num_sizes = curves.shape
    savings = -np.diff(curves, axis=1)
    order = np.argsort(-savings.ravel(), kind="stable")[: num_sizes - 1]
    taken = order[savings.ravel()[order] > 0]
    return np.bincount(taken // max(1, num_sizes - 1), minlength=num_caches)


def _by_comparison(curves: DoubleArray) -> IntArray:
    """(C,), units by dynamic programming; exact for any curves."""
    num_caches, num_sizes = curves.shape
    choice = np.zeros((num_caches, num_sizes), np.int64)
    best = np.zeros(num_sizes)
    for cache in range(num_caches):
        best = _join(best, curves[cache], choice[cache])
    units = np.zeros(num_caches, np.int64)
    left = num_sizes - 1
    for cache in reversed(range(num_caches)):
        units[cache] = choice[cache, left]
        left -= units[cache]
    return units


@njit(nogil=True, cache=True)
def _join(before: DoubleArray, curve: DoubleArray, choice: IntArray) -> DoubleArray:
    """Least cost of the caches so far and one more with 0 to B units; what the one more gets."""
    joined = np.empty_like(before)
    for total in range(before.size):
        least, chosen = before[total] + curve[0], 0
        for units in range(1, total + 1):
            cost = before[total - units] + curve[units]
            if cost < least:
                least, chosen = cost, units
        joined[total], choice[total] = least, chosen
    return joined
