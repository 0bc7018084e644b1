"""Dividing N rows into train, validation and test.

A *part* is 0 for train, 1 for validation, 2 for test.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError

TRAIN, VALIDATION, TEST = 0, 1, 2

Fractions = tuple[float, float, float]
"""Shares of train, validation and test; they sum to 1."""

DEFAULT_FRACTIONS: Fractions = (0.8, 0.1, 0.1)


def check_fractions(fractions: Fractions) -> None:
    """Hold the shares to their rule.

    Raises:
        StudyError: a share is not above 0, or they do not sum to 1.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise StudyError(
            f"fractions {fractions} must each be above 0 and sum to 1, they sum to "
            f"{sum(fractions):g}; the default is {DEFAULT_FRACTIONS}"
        )


def random_parts(num_rows: int, fractions: Fractions, rng: np.random.Generator) -> IntArray:
    """(N,), the part of each row, each drawn on its own with the given probabilities."""
    cuts = np.cumsum(fractions)[:2]
    return np.searchsorted(cuts, rng.random(num_rows), side="right").astype(np.int64)


def ordered_parts(num_rows: int, fractions: Fractions) -> IntArray:
    """(N,), the first share of the rows is train, the next validation, the rest test."""
    first, second = (round(float(cut) * num_rows) for cut in np.cumsum(fractions)[:2])
    parts = np.full(num_rows, TEST, np.int64)
    parts[:second] = VALIDATION
    parts[:first] = TRAIN
    return parts


def time_parts(times: NDArray[Any], fractions: Fractions) -> IntArray:
    """(N,), parts by time: earliest train, latest test, equal times never in two parts.

    Args:
        times: (N,), any ordered numbers.
        fractions: shares of rows; a group of equal times at a cut goes to the later part.

    Returns:
        (N,).
    """
    ordered = np.sort(times)
    positions = (np.cumsum(fractions)[:2] * times.size).astype(np.int64)
    cuts = ordered[np.minimum(positions, times.size - 1)]
    return np.searchsorted(cuts, times, side="right").astype(np.int64)
