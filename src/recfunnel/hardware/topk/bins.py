"""Bins of a filter's scores: where their edges lie, and which bin a score falls into.

Letters: B bins, B - 1 edges between them; bin 0 is the lowest. A score at an edge is in the bin
above it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError

MOST_BINS = 2**15


def linear_edges(num_bins: int, low: float = 0.0, high: float = 1.0) -> tuple[float, ...]:
    """Bins of equal width; with a power of two of them, a score's upper bits are its bin.

    Args:
        num_bins: B.
        low: where the lowest bin begins.
        high: where the highest ends.

    Returns:
        B - 1 rising edges.

    Raises:
        StudyError: fewer than 2 bins or too many, or a range that is empty or not finite.
    """
    check_bins(num_bins)
    check_range(low, high)
    return tuple(float(edge) for edge in np.linspace(low, high, num_bins + 1)[1:-1])


def tail_edges(
    sample: NDArray[np.floating[Any]], num_bins: int, share: float, spread: float = 3.0
) -> tuple[float, ...]:
    """Bins that are fine only where the threshold will be, from scores seen before.

    Edge number j has a share of the sample above it that falls geometrically from share * spread to
    share / spread, so one bin more or less changes what is passed by the same factor everywhere.
    Plain quantiles do not do this: with k / n far below 1 / B all of the best k are in one bin.

    Args:
        sample: scores of the kind that will come, any shape; enough for share / spread of them to
            be many.
        num_bins: B.
        share: k / n, of the candidates that are kept.
        spread: how many times more or fewer than `share` are told apart.

    Returns:
        B - 1 edges that never fall.

    Raises:
        StudyError: fewer than 2 bins or too many, a share not between 0 and 1, a spread not
            above 1, or too small a sample.
        InvalidInput: a score of the sample is not finite.
    """
    check_bins(num_bins)
    if not 0 < share < 1 or not 1 < spread < np.inf:
        raise StudyError(
            f"edges for a share of {share:g} and a spread of {spread:g}; the share must be above 0 "
            "and below 1, the spread above 1"
        )
    scores = np.sort(np.asarray(sample, np.float64), axis=None)
    if not np.isfinite(scores).all():
        raise InvalidInput("a score of the sample is not finite; leave it out")
    if scores.size * share < spread:
        raise StudyError(
            f"{scores.size} scores say nothing of the best {share / spread:.2g} of all; give "
            f"{int(np.ceil(spread / share))} or more"
        )
    above = share * np.geomspace(spread, 1 / spread, num_bins - 1)
    places = np.floor(scores.size * (1 - np.minimum(above, 1.0))).astype(np.int64)
    return tuple(float(edge) for edge in scores[places])


def codes_of(
    scores: NDArray[np.floating[Any]], bits: int, low: float, high: float
) -> NDArray[np.int32]:
    """Scores as whole numbers of so many bits, rounded down; those outside the range at its ends.

    Args:
        scores: finite, any shape.
        bits: 1 to 24.
        low: becomes 0.
        high: just above what becomes the largest number.

    Returns:
        int32, 0 to 2^bits - 1, the shape of `scores`.
    """
    steps = np.floor((np.asarray(scores, np.float64) - low) * (2**bits / (high - low)))
    return np.asarray(np.clip(steps, 0, 2**bits - 1).astype(np.int32))


def edge_codes(edges: DoubleArray, bits: int, low: float, high: float) -> IntArray:
    """The least whole number at or above each edge, as `codes_of` makes them of scores."""
    steps = np.ceil((edges - low) * (2**bits / (high - low)))
    return np.asarray(steps.astype(np.int64))


def check_bins(num_bins: int) -> None:
    """Refuse a number of bins no filter has.

    Raises:
        StudyError: fewer than 2, or more than 2^15.
    """
    if not 2 <= num_bins <= MOST_BINS:
        raise StudyError(f"a filter of {num_bins} bins; it needs 2 to {MOST_BINS:,}")


def check_range(low: float, high: float) -> None:
    """Refuse an empty range of scores.

    Raises:
        StudyError: not finite, or `high` not above `low`.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise StudyError(f"scores from {low:g} to {high:g}; the range must be finite and not empty")
