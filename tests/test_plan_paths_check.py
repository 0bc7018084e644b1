"""A chosen set of paths held against a simulation that knows waiting."""

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathStation, ServablePath, ServiceTimes
from recfunnel.core.workload import ServiceLevel
from recfunnel.plan.paths.check import Trial, checked, plan_and_check
from recfunnel.plan.paths.plan import plan_paths
from recfunnel.plan.paths.problem import (
    LoadLevel,
    PathCandidate,
    PathProblem,
    PathTarget,
    size_classes,
)
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.workload.poisson import Poisson

SIZES = np.array([10, 20, 30, 40])


def candidate(name: str, quality: float, median_s: float, num_bytes: int = 1) -> PathCandidate:
    service = ServiceTimes(
        num_candidates=(1, 100), median_s=(median_s,) * 2, tail_s=(1.2 * median_s,) * 2
    )
    station = PathStation(platform="cpu", service=service)
    return PathCandidate(
        path=ServablePath(
            name=name, quality=quality, stations=(station,), resident_bytes=(("cpu", num_bytes),)
        )
    )


def problem_of(rate_qps: float, limit: float, *candidates: PathCandidate) -> PathProblem:
    target = PathTarget(
        loads=(LoadLevel(rate_qps=rate_qps),),
        service_level=ServiceLevel(deadline_s=0.010),
        utilisation_limit=limit,
    )
    return PathProblem(candidates, {"cpu": 10}, size_classes(SIZES), target)


def trial(scheduler: FixedPath | MarginalValue, num_queries: int = 4000) -> Trial:
    return Trial(scheduler, Poisson(), SIZES, num_queries, 2)


def test_a_check_counts_what_waiting_costs() -> None:
    one = candidate("one", 0.8, 2e-3)
    calm = checked(plan_paths(problem_of(50.0, 0.8, one)), trial(FixedPath()))
    busy = checked(plan_paths(problem_of(380.0, 0.8, one)), trial(FixedPath()))
    assert calm.checks[0].holds
    assert calm.checks[0].delivered_quality.mean == pytest.approx(0.8, abs=2e-3)
    assert not busy.checks[0].holds
    assert busy.checks[0].violation_rate.mean > 0.05
    assert busy.quality == pytest.approx(0.8)  # what routing alone expects


def test_a_set_that_does_not_hold_is_planned_again_for_less_utilisation() -> None:
    # memory has room for one: the better is too busy to be in time, the worse is not
    better, worse = candidate("better", 0.8, 2e-3, 10), candidate("worse", 0.7, 0.5e-3, 10)
    problem = problem_of(380.0, 0.8, better, worse)
    first = plan_paths(problem)
    assert first.menu is not None
    assert [path.name for path in first.menu.paths] == ["better"]
    plan = plan_and_check(problem, trial(FixedPath()))
    assert plan.menu is not None
    assert [path.name for path in plan.menu.paths] == ["worse"]
    assert plan.target.utilisation_limit < 0.76
    assert plan.checks[0].holds


def test_where_nothing_holds_the_last_plan_says_so() -> None:
    plan = plan_and_check(problem_of(380.0, 0.8, candidate("one", 0.8, 2e-3)), trial(FixedPath()))
    assert plan.menu is not None
    assert not plan.checks[0].holds


def test_the_policy_that_is_simulated_is_named() -> None:
    both = candidate("good", 0.8, 2e-3), candidate("fast", 0.7, 0.5e-3)
    plan = checked(plan_paths(problem_of(600.0, 0.8, *both)), trial(MarginalValue(), 1500))
    assert plan.checks[0].scheduler == "marginal_value"
    assert 0.69 < plan.checks[0].delivered_quality.mean < 0.8
    assert plan.checks[0].holds


def test_an_infeasible_plan_is_not_simulated() -> None:
    plan = plan_and_check(problem_of(9e3, 0.8, candidate("one", 0.8, 2e-3)), trial(FixedPath()))
    assert plan.menu is None
    assert plan.checks == ()


def test_a_trial_of_nothing_is_refused() -> None:
    with pytest.raises(StudyError, match="give at least 1 of each"):
        trial(FixedPath(), 0)
