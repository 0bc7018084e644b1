"""The inner loop of `MarginalValue`: the worth of every path, in a few microseconds.

The compiled function has a file of its own because numba's cache does not notice a change in
another one.
"""

import math

import numpy as np
from numba import njit

from recfunnel.core.arrays import BoolArray, DoubleArray

LEAST_TAIL = 1.001
"""Of tail over median; a service time without any spread would make the chance a step."""

NOTHING = -1
"""No path is worth more than 0."""


@njit(nogil=True, cache=True, error_model="numpy")
def most_valuable(
    quality: DoubleArray,
    is_open: BoolArray,
    median_s: DoubleArray,
    tail_s: DoubleArray,
    left_s: DoubleArray,
    work_s: DoubleArray,
    backlog_s: DoubleArray,
    values: DoubleArray,
    spacing_s: float,
    num_servers: DoubleArray,
    tail_z: float,
    most_work_s: float,
    last: int,
    hysteresis: float,
) -> tuple[int, float, float]:
    """The path whose expected quality, less what its work takes from later queries, is highest.

    Args:
        quality: (P,).
        is_open: bool (P,).
        median_s: (P,).
        tail_s: (P,).
        left_s: (P,), time each path has for its service.
        work_s: (P, D).
        backlog_s: (D,).
        values: (D, B), of each backlog, never rising.
        spacing_s: between backlogs.
        num_servers: (D,).
        tail_z: standard normal quantile of the tail's.
        most_work_s: paths with more work in all are passed over.
        last: the path chosen before, or a negative number.
        hysteresis: the one chosen before stays while no other is worth more by this much, unless
            another is both as good and as fast.

    Returns:
        Its index, `NOTHING` where no path is open; its worth; its chance to be in time.
    """
    best, best_worth, best_chance = NOTHING, -np.inf, 0.0
    last_worth, last_chance = -np.inf, 0.0
    for path in range(quality.size):
        total_s = 0.0
        for platform in range(backlog_s.size):
            total_s += work_s[path, platform]
        if not is_open[path] or total_s > most_work_s:
            continue
        chance = 0.0
        if left_s[path] > 0:
            spread = math.log(max(tail_s[path] / median_s[path], LEAST_TAIL))
            steps = tail_z / spread * math.log(left_s[path] / median_s[path])
            chance = 0.5 * (1.0 + math.erf(steps / math.sqrt(2.0)))
        worth = quality[path] * chance
        for platform in range(backlog_s.size):
            if work_s[path, platform] > 0:
                before = backlog_s[platform] / spacing_s
                after = before + work_s[path, platform] / num_servers[platform] / spacing_s
                worth += _value(values[platform], after) - _value(values[platform], before)
        better = worth > best_worth
        if worth == best_worth:
            better = quality[path] > quality[best] or (
                quality[path] == quality[best] and median_s[path] < median_s[best]
            )
        if better:
            best, best_worth, best_chance = path, worth, chance
        if path == last:
            last_worth, last_chance = worth, chance
    if best != NOTHING and best != last and last_worth >= best_worth - hysteresis:
        beaten = quality[best] >= quality[last] and median_s[best] <= median_s[last]
        if not beaten:
            return last, last_worth, last_chance
    return best, best_worth, best_chance


@njit(nogil=True, cache=True, error_model="numpy")
def _value(values: DoubleArray, place: float) -> float:
    """Linear between grid points, and past the last one as between the last two."""
    left = min(int(place), values.size - 2)
    value: float = values[left] + (place - left) * (values[left + 1] - values[left])
    return value
