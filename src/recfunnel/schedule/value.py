"""What a backlog costs the queries still to come: the value of a queue.

One platform of c servers is thought of as a fluid: its state is the backlog b, seconds of work for
each server; it drains by 1 a second, and a query served by a path adds its service time over c.
Queries arrive at random (Poisson). Serving one by path p is worth the path's quality times the
chance to be in time. The best worth of all queries from now on, V(b), solves the Bellman equation

    V(b) = E_n [ max over p of  q_p F_p(n, D - w(b)) + d E_T V((b + s_p(n) / c - T)+) ]

with n a query's size, T the gap before the next one, and a discount d so near 1 that V(b) - V(0) is
that of the average over time. So E_T V((b - T)+) as a function of b is the price list of backlog: a
query that adds work takes from those to come what that function falls by. Solved by policy
iteration (Howard, 1960) once for each of several loads, in advance. Work that would raise the
backlog past the grid, twice the deadline, is dropped: all is late there anyway.

Letters: B backlogs, M sizes, P paths, R loads.
"""

import math
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.schedule.decide import LEAST_TAIL

NUM_BACKLOGS = 128
"""Grid points from no backlog to twice the deadline."""

NUM_SIZES = 12
"""Quantiles that stand for the distribution of sizes."""

_MOST_ROUNDS = 50
"""Policy iteration takes about 5; it never visits a policy twice."""

_DISCOUNT = 1.0 - 1e-7
"""Of what an arrival later is worth."""

_TILT = 1e-4
"""Quality that a backlog of one deadline costs besides, so that less work breaks a tie."""


def in_time(
    median_s: DoubleArray, tail_s: DoubleArray, tail_z: float, left_s: DoubleArray
) -> DoubleArray:
    """Chance that a service time is at most `left_s`: lognormal through median and tail.

    Args:
        median_s: any shape.
        tail_s: the same shape, not below the median.
        tail_z: standard normal quantile of the tail's.
        left_s: broadcasts against them.

    Returns:
        0 to 1; 0 where nothing is left.
    """
    spread = np.log(np.maximum(tail_s / median_s, LEAST_TAIL))
    steps = tail_z / spread * np.log(np.maximum(left_s, 1e-12) / median_s)
    chance: DoubleArray = np.where(left_s > 0, 0.5 * (1.0 + _erf(steps / math.sqrt(2))), 0.0)
    return chance


def _erf(values: DoubleArray) -> DoubleArray:
    """The error function, one by one: numpy has none."""
    flat = [math.erf(value) for value in np.ravel(values).tolist()]
    return np.array(flat).reshape(np.shape(values))


@dataclass(frozen=True, eq=False, slots=True)
class Options:
    """What a query may be served by on one platform.

    Args:
        quality: (P,).
        median_s: (P, M), whole service time of each size.
        tail_s: (P, M).
        work_s: (P, M), the part of it on this platform.
        tail_z: standard normal quantile of the tail's.
        num_servers: of the platform.
        deadline_s: of every query.
        sheds: whether a query may be turned away.
    """

    quality: DoubleArray
    median_s: DoubleArray
    tail_s: DoubleArray
    work_s: DoubleArray
    tail_z: float
    num_servers: int
    deadline_s: float
    sheds: bool

    @property
    def spacing_s(self) -> float:
        """Between two backlogs of the grid."""
        return 2.0 * self.deadline_s / (NUM_BACKLOGS - 1)


def backlog_values(options: Options, rates_qps: DoubleArray) -> DoubleArray:
    """Relative value of each backlog at each load.

    Args:
        options: of the platform.
        rates_qps: (R,), arrivals at the platform, above 0.

    Returns:
        (R, B), in delivered quality; 0 without backlog, never rising.
    """
    worth, place, share = _moves(options)
    # On systems this small, further threads only wait for each other.
    with threadpool_limits(1):
        values = [_solve(worth, place, share, _after_gap(options, rate)) for rate in rates_qps]
    return np.stack(values)


def _moves(options: Options) -> tuple[DoubleArray, IntArray, DoubleArray]:
    """Worth (P, M, B) of each choice in each state, and where in the grid it leads."""
    backlog_s = np.arange(NUM_BACKLOGS) * options.spacing_s
    typical_s = float(options.work_s.min(axis=0).mean())
    spare_s = typical_s * (options.num_servers - 1) / options.num_servers
    left_s = options.deadline_s - np.maximum(backlog_s - spare_s, 0.0)
    chance = in_time(
        options.median_s[..., np.newaxis], options.tail_s[..., np.newaxis], options.tail_z, left_s
    )
    worth = options.quality[:, np.newaxis, np.newaxis] * chance
    added_s = (options.work_s / options.num_servers)[..., np.newaxis]
    if options.sheds:
        worth = np.concatenate([worth, np.zeros((1, *worth.shape[1:]))])
        added_s = np.concatenate([added_s, np.zeros((1, *added_s.shape[1:]))])
    target = np.minimum((backlog_s + added_s) / options.spacing_s, NUM_BACKLOGS - 1)
    place = np.minimum(target.astype(np.int64), NUM_BACKLOGS - 2)
    return worth, place, target - place


def _after_gap(options: Options, rate_qps: float) -> DoubleArray:
    """(B, B), takes values at arrivals to their mean after the gap before the next one.

    With V linear between grid points, the integral over an exponential gap is exact.
    """
    step = rate_qps * options.spacing_s
    stay = np.exp(-step)
    near = 1.0 - (1.0 - stay) / step  # weight of the point just reached
    far = (1.0 - stay) / step - stay  # weight of the point below it
    matrix = np.zeros((NUM_BACKLOGS, NUM_BACKLOGS))
    matrix[0, 0] = 1.0
    for row in range(1, NUM_BACKLOGS):
        matrix[row] = stay * matrix[row - 1]
        matrix[row, row] += near
        matrix[row, row - 1] += far
    return matrix


def _solve(
    worth: DoubleArray, place: IntArray, share: DoubleArray, after_gap: DoubleArray
) -> DoubleArray:
    """Policy iteration; values just after a decision, (B,)."""
    later, choice = np.zeros(NUM_BACKLOGS), None
    for _ in range(_MOST_ROUNDS):
        total = worth + later[place] + share * np.diff(later)[place]
        best = total.argmax(axis=0)
        if choice is not None and (best == choice).all():
            break
        choice = best
        picked = [np.take_along_axis(array, best[np.newaxis], 0)[0] for array in (worth, share)]
        leads_to = np.take_along_axis(place, best[np.newaxis], 0)[0]
        later = after_gap @ _evaluate(picked[0], leads_to, picked[1], after_gap)
        later -= later[0]
    tilt = _TILT * np.linspace(0.0, 2.0, NUM_BACKLOGS)
    return np.minimum.accumulate(later) - tilt


def _evaluate(
    worth: DoubleArray, place: IntArray, share: DoubleArray, after_gap: DoubleArray
) -> DoubleArray:
    """Relative values (B,) at arrivals under one policy, given as what it chooses: (M, B) each.

    V = mean worth + discount moves V. Discounting keeps the system regular where some backlogs are
    never reached from others, and changes no difference that matters.
    """
    num_sizes = worth.shape[0]
    rows = np.broadcast_to(np.arange(NUM_BACKLOGS), place.shape)
    moves = np.zeros((NUM_BACKLOGS, NUM_BACKLOGS))
    np.add.at(moves, (rows, place), (1.0 - share) / num_sizes)
    np.add.at(moves, (rows, place + 1), share / num_sizes)
    system = np.eye(NUM_BACKLOGS) - _DISCOUNT * moves @ after_gap
    values: DoubleArray = np.linalg.solve(system, worth.mean(axis=0))
    values -= values[0]
    return values
