"""The best set of paths under every platform's memory, by branch and bound.

A set's value never falls when a path is added, so what all open candidates together reach without
looking at memory is a bound. Where the paths used by that relaxed answer fit, it is the optimum of
its branch; else the most used path that is still open is first kept, then left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.plan.paths.problem import PathProblem
from recfunnel.plan.paths.routing import best_routing, capacity_qps, used_paths

GAIN = 1e-9
"""Relative gain below which one set is no better than another."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What a set of candidates reaches when memory is not looked at.

    Args:
        value: of the objective.
        used: candidates that reach it alone, most used first.
    """

    value: float
    used: tuple[int, ...]


Objective = Callable[[Sequence[int]], Relaxed | None]
"""Value of a set; None when it cannot do what must be done. Never lower for a larger set."""


@dataclass(frozen=True, slots=True)
class BestSet:
    """The best set found.

    Args:
        chosen: candidates, rising.
        value: of the objective.
        num_relaxations: linear programmes solved to be sure.
    """

    chosen: tuple[int, ...]
    value: float
    num_relaxations: int


def best_set(
    problem: PathProblem,
    objective: Objective,
    candidates: Sequence[int],
    kept: Sequence[int] = (),
) -> BestSet | None:
    """The set of highest value that fits.

    Args:
        problem: with each platform's memory.
        objective: of a set.
        candidates: that may be chosen.
        kept: in every set, whether or not they are used.

    Returns:
        None when no set that fits does what must be done.
    """
    if not problem.fits(kept):
        return None
    search = _Search(problem, objective)
    search.explore(tuple(kept), tuple(c for c in candidates if c not in kept))
    if search.best is None:
        return None
    chosen = tuple(sorted({*kept, *search.best.used}))
    return BestSet(chosen, search.best.value, search.num_relaxations)


class _Search:
    def __init__(self, problem: PathProblem, objective: Objective) -> None:
        self.problem = problem
        self.objective = objective
        self.best: Relaxed | None = None
        self.num_relaxations = 0

    def explore(self, kept: tuple[int, ...], candidates: tuple[int, ...]) -> None:
        """Look at every set that holds all of `kept` and some of `candidates`."""
        fitting = tuple(c for c in candidates if self.problem.fits((*kept, c)))
        relaxed = self.objective((*kept, *fitting))
        self.num_relaxations += 1
        if relaxed is None or not self._better(relaxed.value):
            return
        if self.problem.fits({*kept, *relaxed.used}):
            self.best = relaxed
            return
        branch = next(c for c in relaxed.used if c not in kept)
        others = tuple(c for c in fitting if c != branch)
        self.explore((*kept, branch), others)
        self.explore(kept, others)

    def _better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value > self.best.value + GAIN * max(1.0, abs(self.best.value))


def quality_objective(problem: PathProblem) -> Objective:
    """Mean worth over the loads of the target; None where one of them cannot be served.

    That is quality, less a tie-break; see `routing.TIE`.
    """
    levels = problem.target.loads
    total = sum(level.weight for level in levels)

    def value(chosen: Sequence[int]) -> Relaxed | None:
        found = [best_routing(problem, chosen, level.rate_qps) for level in levels]
        routings = [routing for routing in found if routing is not None]
        if len(routings) < len(levels):
            return None
        pairs = list(zip(levels, routings, strict=True))
        worth = sum(level.weight * routing.worth for level, routing in pairs) / total
        shares = np.sum([level.weight * routing.shares for level, routing in pairs], axis=0)
        return Relaxed(worth, _most_used_first(shares))

    return value


def capacity_objective(problem: PathProblem) -> Objective:
    """Highest load that can be served; None where none can."""

    def value(chosen: Sequence[int]) -> Relaxed | None:
        rate_qps, shares = capacity_qps(problem, chosen)
        return Relaxed(rate_qps, _most_used_first(shares)) if rate_qps > 0 else None

    return value


def _most_used_first(shares: DoubleArray) -> tuple[int, ...]:
    return tuple(sorted(used_paths(shares), key=lambda p: (-float(shares[p].sum()), p)))
