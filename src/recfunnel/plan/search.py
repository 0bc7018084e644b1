"""The exact Pareto front by branch and bound: simulate only what could still be on it."""

from collections.abc import Iterator, Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.pareto import is_efficient
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import DesignPoint, ParetoFront
from recfunnel.core.workload import ServiceLevel
from recfunnel.plan.evaluate import Design, Evaluator, point_of

BATCH_SIZE = 16
"""Designs simulated between two rounds of pruning; fixed, so that results and counts do not depend
on the number of jobs."""


class FrontSearch:
    """Simulates designs from the best quality down and drops what cannot be on the front.

    A design can only be dominated by one of no lower quality, and those come first. It is dropped
    when one of them has a tail not above this one's lower bound and a capacity not below its upper
    bound: whatever simulation would find, it could at best equal that one. Bounds are the service
    time without waiting and the load at which a station saturates; once the tail is simulated, it
    takes the place of its bound.

    Args:
        evaluator: simulates.
        rate_qps: load of the tail.
        level: service level of the capacity.
    """

    def __init__(self, evaluator: Evaluator, rate_qps: float, level: ServiceLevel) -> None:
        self._evaluator = evaluator
        self._rate_qps = rate_qps
        self._level = level
        self._known: DoubleArray = np.empty((0, 3))  # -ndcg, tail, -capacity
        self.points: list[DesignPoint] = []
        """Everything simulated in full and steady at the load."""
        self.num_not_steady = 0
        """Designs that cannot carry the load."""
        self.num_bounded = 0
        """Designs dropped by bounds."""

    def run(self, designs: Sequence[Design], progress: Progress = SILENT) -> ParetoFront:
        """Find the front.

        Args:
            designs: all that may be on it.
            progress: told about each batch.

        Returns:
            The front, best quality first. Designs not steady at the load are never on it.
        """
        able = [d for d in designs if d.steady_bound_qps > self._rate_qps]
        self.num_not_steady += len(designs) - len(able)
        order = sorted(able, key=lambda d: (-d.ndcg.mean, d.bare_tail_s, -d.capacity_bound_qps))
        with progress.task("simulate designs", len(order)) as task:
            waiting = iter(order)
            while batch := self._next_batch(waiting):
                self._simulate([design for design, _ in batch])
                task.advance(sum(passed for _, passed in batch))
        return front_of(self.points)

    def add(self, points: Sequence[DesignPoint]) -> None:
        """Take points known already; they prune too."""
        steady = [p for p in points if np.isfinite(p.objectives.tail_latency_s.mean)]
        self.points += steady
        costs = np.array([p.objectives.as_costs() for p in steady]).reshape(-1, 3)
        self._known = np.concatenate([self._known, costs])

    def _next_batch(self, waiting: Iterator[Design]) -> list[tuple[Design, int]]:
        batch: list[tuple[Design, int]] = []
        passed = 0
        for design in waiting:
            passed += 1
            if self._beaten(design, design.bare_tail_s):
                self.num_bounded += 1
                continue
            batch.append((design, passed))
            passed = 0
            if len(batch) == BATCH_SIZE:
                break
        return batch

    def _simulate(self, designs: list[Design]) -> None:
        tails = self._evaluator.tails(designs, self._rate_qps, self._level.quantile)
        steady = [(d, t) for d, t in zip(designs, tails, strict=True) if np.isfinite(t.mean)]
        self.num_not_steady += len(designs) - len(steady)
        left = [(d, t) for d, t in steady if not self._beaten(d, t.mean)]
        self.num_bounded += len(steady) - len(left)
        capacities = self._evaluator.capacities([d for d, _ in left], self._level)
        self.add([point_of(d, t, c) for (d, t), c in zip(left, capacities, strict=True)])

    def _beaten(self, design: Design, tail_s: float) -> bool:
        best = np.array([-design.ndcg.mean, tail_s, -design.capacity_bound_qps])
        return bool((self._known <= best).all(axis=1).any())


def front_of(points: Sequence[DesignPoint]) -> ParetoFront:
    """The points nothing dominates, best quality first; those not steady at the load left out.

    Of points with equal objectives the first is kept.
    """
    steady = [p for p in points if np.isfinite(p.objectives.tail_latency_s.mean)]
    by_costs: dict[tuple[float, float, float], DesignPoint] = {}
    for point in steady:
        by_costs.setdefault(point.objectives.as_costs(), point)
    costs = np.array(list(by_costs)).reshape(-1, 3)
    efficient = is_efficient(costs)
    front = [p for p, keep in zip(by_costs.values(), efficient, strict=True) if keep]
    return ParetoFront(points=tuple(sorted(front, key=lambda p: p.objectives.as_costs())))
