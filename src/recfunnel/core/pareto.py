"""Which of many points are not beaten in everything by another one."""

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray


def is_efficient(costs: DoubleArray) -> BoolArray:
    """Mark the Pareto-efficient points.

    Point a dominates b when it is nowhere worse and somewhere better. Equal points do not
    dominate each other.

    Args:
        costs: (N, M), lower is better; inf allowed, nan not.

    Returns:
        (N,), true for points nothing dominates.
    """
    num_points = costs.shape[0]
    efficient = np.ones(num_points, np.bool_)
    # A point can only be dominated by one that sorts before it, so one sweep over the sorted
    # points against the efficient ones found so far is exact.
    order = np.lexsort(costs.T[::-1])
    front = np.empty((0, costs.shape[1]))
    for index in order:
        point = costs[index]
        no_worse = (front <= point).all(axis=1)
        if (no_worse & (front < point).any(axis=1)).any():
            efficient[index] = False
        else:
            front = np.vstack([front, point])
    return efficient
