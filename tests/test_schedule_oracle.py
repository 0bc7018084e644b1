"""The bound of what any policy can deliver: above the best schedule, and not far above."""

from itertools import permutations, product

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu
from recfunnel.schedule.base import Conditions
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.schedule.metrics import delivered_quality
from recfunnel.schedule.oracle import quality_bound
from recfunnel.simulate.paths import draw_service, simulate_paths
from schedule_world import FAST, GOOD, MENU, path


def best_schedule(
    quality: list[float], arrival_s: np.ndarray, service_s: np.ndarray, deadline_s: float
) -> float:
    """Every choice of paths and every order on one server, tried out. service_s is (P, N)."""
    best = 0.0
    queries = range(arrival_s.size)
    for paths in product(range(-1, len(quality)), repeat=arrival_s.size):
        served = [q for q in queries if paths[q] >= 0]
        for order in permutations(served):
            now_s, total = 0.0, 0.0
            for q in order:
                now_s = max(now_s, arrival_s[q]) + service_s[paths[q], q]
                if now_s <= arrival_s[q] + deadline_s:
                    total += quality[paths[q]]
            best = max(best, total)
    return best / arrival_s.size


@pytest.mark.parametrize("seed", range(12))
def test_no_schedule_of_a_small_case_exceeds_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.exponential(0.004, 4))
    service_s = [rng.uniform(0.001, 0.004, (1, 4)), rng.uniform(0.004, 0.012, (1, 4))]
    exact = best_schedule([0.78, 0.80], arrival_s, np.concatenate(service_s), 0.01)
    bound = quality_bound(MENU, 0.01, arrival_s, service_s)
    assert exact <= bound + 1e-9
    # fractions of queries are what is left between them
    assert bound <= exact + 0.8 / 4 + 1e-3


def test_it_is_exact_where_there_is_time_for_the_best() -> None:
    arrival_s = np.arange(50) * 0.02
    service_s = [np.full((1, 50), 0.001), np.full((1, 50), 0.005)]
    assert quality_bound(MENU, 0.01, arrival_s, service_s) == pytest.approx(0.80)


def test_a_path_too_slow_for_the_deadline_is_worth_nothing() -> None:
    arrival_s = np.arange(50) * 0.02
    service_s = [np.full((1, 50), 0.001), np.full((1, 50), 0.011)]
    assert quality_bound(MENU, 0.01, arrival_s, service_s) == pytest.approx(0.78)


def test_under_overload_it_is_the_share_that_servers_have_time_for() -> None:
    arrival_s = np.arange(2000) * 0.001
    service_s = [np.full((1, 2000), 0.002)]
    bound = quality_bound(PathMenu(paths=(FAST,)), 0.01, arrival_s, service_s)
    # half fit, and one deadline's work more at the end of the run
    assert bound == pytest.approx(0.78 * (0.5 + 0.005 / 2), rel=0.01)


def test_two_platforms_carry_what_both_have_time_for() -> None:
    other = path("other", 0.78, base_s=0.001, platform="gpu")
    arrival_s = np.arange(2000) * 0.001
    service_s = [np.full((1, 2000), 0.004), np.full((1, 2000), 0.004)]
    bound = quality_bound(PathMenu(paths=(FAST, other)), 0.01, arrival_s, service_s)
    assert bound == pytest.approx(0.78 * 0.5, rel=0.02)


@pytest.mark.parametrize("rate_qps", [100.0, 400.0, 1500.0])
def test_the_policy_stays_below_it_and_near_it(rate_qps: float) -> None:
    menu = PathMenu(paths=(FAST, GOOD))
    rng = np.random.default_rng(2)
    sizes = np.full(2000, 50)
    arrival_s = np.cumsum(rng.standard_exponential(2000)) / rate_qps
    service_s = draw_service(menu, sizes, rng)
    policy = MarginalValue().build(menu, Conditions(0.01, sizes))
    run = simulate_paths(menu, policy, 0.01, arrival_s, sizes, service_s)
    own = delivered_quality(menu, run, 0.01)
    bound = quality_bound(menu, 0.01, arrival_s, service_s, achieved=own)
    assert own <= bound + 1e-9
    assert bound - own < 0.01


def test_nothing_has_no_bound() -> None:
    with pytest.raises(StudyError, match="at least one query"):
        quality_bound(MENU, 0.01, np.array([]), [np.ones((1, 0)), np.ones((1, 0))])
