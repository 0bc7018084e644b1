"""How the queries of a load are best shared out among given paths: a linear programme.

With x(p, k) the share of all queries that are of class k and take path p, a load of r queries a
second is served with quality sum q(p) x(p, k), subject to

    sum over p of x(p, k) = w(k)                         every query is served,
    r sum over p, k of x(p, k) s(p, d, k) <= u m(d)      no platform is busier than planned,
    x(p, k) = 0 where the tail of path p's service time exceeds what the deadline leaves.

Letters: P paths, D platforms, K classes of query sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.plan.paths.problem import PathProblem
from recfunnel.plan.paths.simplex import maximise

TIE = 1e-7
"""Quality that a whole platform's time is worth: of routings of equal quality the one that keeps
the platforms least busy is taken, which leaves most room for what was not expected."""

USED = 1e-9
"""Shares of queries below it are rounding."""


@dataclass(frozen=True, eq=False, slots=True)
class Routing:
    """The best way to share one load.

    Args:
        rate_qps: of the load.
        quality: mean over all queries.
        worth: the same less `TIE` for all platforms' time; what is maximised.
        shares: (P, K), of all queries.
        utilisation: (D,), of each platform.
    """

    rate_qps: float
    quality: float
    worth: float
    shares: DoubleArray
    utilisation: DoubleArray


def best_routing(problem: PathProblem, chosen: Sequence[int], rate_qps: float) -> Routing | None:
    """Serve all queries of a load with the highest mean quality.

    Args:
        problem: the candidates.
        chosen: those that may be used.
        rate_qps: the load.

    Returns:
        None when the load cannot be served within deadline and utilisation.
    """
    paths, classes = _columns(problem, chosen)
    num_classes = len(problem.classes)
    of_class = (classes == np.arange(num_classes)[:, np.newaxis]).astype(np.float64)
    busy = rate_qps * problem.busy_s[paths, :, classes].T / problem.servers[:, np.newaxis]
    limit = np.full(len(problem.platforms), problem.target.utilisation_limit)
    found = maximise(
        problem.quality[paths] - TIE * busy.sum(axis=0),
        np.vstack([of_class, busy]),
        np.concatenate([problem.weights, limit]),
        fill=range(num_classes),
    )
    if found is None:
        return None
    shares = np.zeros((len(problem.candidates), num_classes))
    shares[paths, classes] = found.point
    return Routing(
        rate_qps=rate_qps,
        quality=float(problem.quality @ shares.sum(axis=1)),
        worth=found.value,
        shares=shares,
        utilisation=busy @ found.point,
    )


def capacity_qps(problem: PathProblem, chosen: Sequence[int]) -> tuple[float, DoubleArray]:
    """Highest load that given paths can serve, in the same proportions of sizes.

    Returns:
        Queries a second, 0 when some class has no path in time; and (P, K) shares at that load.
    """
    paths, classes = _columns(problem, chosen)
    num_classes = len(problem.classes)
    shares = np.zeros((len(problem.candidates), num_classes))
    if np.unique(classes).size < num_classes:
        return 0.0, shares
    scale = _rate_scale(problem)  # the variables are rates; about 1 in this unit
    of_class = (classes == np.arange(num_classes)[:, np.newaxis]).astype(np.float64)
    rows = np.vstack(
        [
            np.hstack([problem.weights[:, np.newaxis], -of_class]),
            np.hstack(
                [
                    np.zeros((len(problem.platforms), 1)),
                    scale * problem.busy_s[paths, :, classes].T / _room(problem),
                ]
            ),
        ]
    )
    limits = np.concatenate([np.zeros(num_classes), np.ones(len(problem.platforms))])
    found = maximise(np.eye(1, paths.size + 1)[0], rows, limits)
    assert found is not None, "no row had to be filled"
    shares[paths, classes] = found.point[1:] / max(found.value, USED)
    return scale * found.value, shares


def used_paths(shares: DoubleArray) -> tuple[int, ...]:
    """Paths that some query takes."""
    return tuple(int(p) for p in np.flatnonzero(shares.sum(axis=1) > USED))


def _columns(problem: PathProblem, chosen: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Path and class of each variable: those that are in time."""
    allowed: BoolArray = np.zeros_like(problem.in_time)
    allowed[list(chosen)] = problem.in_time[list(chosen)]
    paths, classes = np.nonzero(allowed)
    return paths, classes


def _room(problem: PathProblem) -> DoubleArray:
    """(D, 1), server seconds a second that may be used."""
    room: DoubleArray = problem.target.utilisation_limit * problem.servers[:, np.newaxis]
    return room


def _rate_scale(problem: PathProblem) -> float:
    """A rate of the order that one platform carries."""
    total = problem.busy_s.sum(axis=1)
    return float(problem.servers.sum() / total[total > 0].mean())
