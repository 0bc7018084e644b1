"""Sizes and speeds of memories, held to ranges outside which a unit must be wrong."""

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError

BANDWIDTH = (1e6, 1e15, "bytes/s")
CAPACITY = (1.0, 1e18, "bytes")
CLOCK = (1e6, 1e11, "Hz")
COUNT = (1, 2**20, "")
LATENCY = (0.0, 1.0, "s")

Range = tuple[float, float, str]


def check(thing: str, value: float, allowed: Range) -> None:
    """Refuse a value outside its range.

    Args:
        thing: what it is, for the error.
        value: in the range's unit.
        allowed: least, most, unit.

    Raises:
        StudyError: names the thing, the value and the range.
    """
    low, high, unit = allowed
    if not low <= value <= high:
        raise StudyError(
            f"{thing} is {value:g} {unit}".rstrip()
            + f"; it must be {low:g} to {high:g}, check the unit"
        )


def amounts(thing: str, given: ArrayLike) -> DoubleArray:
    """Amounts that are finite and at least 0.

    Args:
        thing: what they are, for the error.
        given: any shape.

    Returns:
        float64, the same shape.

    Raises:
        StudyError: one is negative or not finite.
    """
    values = np.asarray(given, np.float64)
    if values.size and not (values.min() >= 0 and values.max() < np.inf):
        worst = values.min() if values.min() < 0 else values.max()
        raise StudyError(f"{thing}: {worst:g}; must be 0 or more, and finite")
    return values
