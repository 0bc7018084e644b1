"""Hold a chosen set of paths against a simulation, which knows what routing does not: waiting."""

import dataclasses
from dataclasses import dataclass

import msgspec

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import kind_of
from recfunnel.core.workload import ArrivalsSpec
from recfunnel.plan.paths.plan import LoadCheck, PathPlan, plan_paths, sealed
from recfunnel.plan.paths.problem import PathProblem, PathTarget
from recfunnel.schedule.base import Conditions, SchedulerSpec
from recfunnel.schedule.metrics import Delivered, delivered
from recfunnel.simulate.paths import draw_service, simulate_paths

TIGHTER = 0.9
"""What the utilisation limit is multiplied by where the service level does not hold."""

MOST_TRIES = 8


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """How a set of paths is simulated.

    Args:
        scheduler: chooses the path of each query.
        arrivals: when they come.
        sizes: (M,), candidates of sample queries, drawn from with replacement.
        num_queries: of one replication.
        num_replications: with arrivals, sizes and service times of their own.
        seed: of all of them.
    """

    scheduler: SchedulerSpec
    arrivals: ArrivalsSpec
    sizes: IntArray
    num_queries: int = 10_000
    num_replications: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.num_queries, self.num_replications, self.sizes.size) < 1:
            raise StudyError(
                f"{self.num_queries} queries in {self.num_replications} replications, drawn from "
                f"{self.sizes.size} sizes, cannot be simulated; give at least 1 of each"
            )


def plan_and_check(problem: PathProblem, trial: Trial) -> PathPlan:
    """Plan, simulate, and plan again for less utilisation until the service level holds.

    Args:
        problem: to be solved.
        trial: how to simulate.

    Returns:
        The first plan whose every load holds; where none does, the last one, whose checks say so.
    """
    plan = checked(plan_paths(problem), trial)
    for _ in range(MOST_TRIES):
        if plan.menu is None or all(check.holds for check in plan.checks):
            return plan
        problem = _tighter(problem)
        another = checked(plan_paths(problem), trial)
        if another.menu is None:
            return plan
        plan = another
    return plan


def checked(plan: PathPlan, trial: Trial) -> PathPlan:
    """The plan with a simulation of each of its loads; one without a menu as it is."""
    if plan.menu is None:
        return plan
    rates_qps = [level.rate_qps for level in plan.target.loads]
    checks = tuple(_check(plan.menu, plan.target, trial, rate_qps) for rate_qps in rates_qps)
    return sealed(msgspec.structs.replace(plan, checks=checks))


def _check(menu: PathMenu, target: PathTarget, trial: Trial, rate_qps: float) -> LoadCheck:
    level = target.service_level
    found = simulated(menu, level.deadline_s, rate_qps, trial)
    return LoadCheck(
        rate_qps=rate_qps,
        scheduler=kind_of(trial.scheduler),
        delivered_quality=found.delivered_quality,
        violation_rate=found.violation_rate,
        holds=found.violation_rate.mean <= 1 - level.quantile,
    )


def simulated(menu: PathMenu, deadline_s: float, rate_qps: float, trial: Trial) -> Delivered:
    """What a menu delivers under a scheduler at a load."""
    runs = []
    for replication in range(trial.num_replications):
        rng = rng_for(trial.seed, "path check", replication)
        arrivals_s = trial.arrivals.unit_times(trial.num_queries, rng) / rate_qps
        sizes = rng.choice(trial.sizes, trial.num_queries)
        times_s = draw_service(menu, sizes, rng)
        policy = trial.scheduler.build(menu, Conditions(deadline_s, trial.sizes))
        runs.append(simulate_paths(menu, policy, deadline_s, arrivals_s, sizes, times_s))
    return delivered(menu, runs, deadline_s)


def _tighter(problem: PathProblem) -> PathProblem:
    limit = TIGHTER * problem.target.utilisation_limit
    target = msgspec.structs.replace(problem.target, utilisation_limit=limit)
    return dataclasses.replace(problem, target=target)
