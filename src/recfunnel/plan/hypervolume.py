"""Exact hypervolume of a few points with three objectives: one number for how good a front is."""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import InvalidInput


def hypervolume(costs: DoubleArray, reference: DoubleArray) -> float:
    """Volume between the points and a reference nobody may exceed.

    Slices along the third cost; each slice is an exact staircase area. O(N² log N), meant for
    fronts of up to a few thousand points.

    Args:
        costs: (N, 3), lower is better; points not below the reference in all three add nothing.
        reference: (3,), finite.

    Returns:
        The volume, 0 for no points.

    Raises:
        InvalidInput: not three objectives, or a reference that is not finite.
    """
    if costs.ndim != 2 or costs.shape[1] != 3 or reference.shape != (3,):
        raise InvalidInput(f"hypervolume takes (N, 3) costs, got {costs.shape}")
    if not np.isfinite(reference).all():
        raise InvalidInput(f"the hypervolume reference {reference} must be finite")
    inside = costs[(costs < reference).all(axis=1)]
    ordered = inside[np.argsort(inside[:, 2], kind="stable")]
    heights = np.append(ordered[:, 2], reference[2])
    volume = 0.0
    for index in range(len(ordered)):
        depth = float(heights[index + 1] - heights[index])
        if depth > 0:
            volume += depth * _area(ordered[: index + 1, :2], reference[:2])
    return volume


def _area(costs: DoubleArray, reference: DoubleArray) -> float:
    """Area dominated by (N, 2) points."""
    area, lowest = 0.0, float(reference[1])
    for first, second in costs[np.lexsort((costs[:, 1], costs[:, 0]))]:
        if second < lowest:
            area += float(reference[0] - first) * (lowest - float(second))
            lowest = float(second)
    return area
