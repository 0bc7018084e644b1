"""The policies, each by what it promises."""

from copy import deepcopy

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.schedule.base import SHED, Conditions, SchedulerSpec, schedulers
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.greedy import MostAccurateInTime
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.schedule.service_table import ServiceTable
from recfunnel.schedule.shedding import SheddingLate
from recfunnel.schedule.switching import FastestOf
from recfunnel.testing.scheduler import SchedulerContract, random_menu
from schedule_world import FAST, GOOD, MENU, ON_GPU, offer, path

CONDITIONS = Conditions(0.01, np.array([10, 100, 300]))
BLIND, AWARE = MostAccurateInTime(), MostAccurateInTime(queue_aware=True)


class TestFirst(SchedulerContract):
    spec = FixedPath()


class TestThird(SchedulerContract):
    spec = FixedPath(index=2)
    num_paths = 3


class TestFastest(SchedulerContract):
    spec = FastestOf(paths=("path 1", "path 0"))
    num_paths = 2


class TestGreedy(SchedulerContract):
    spec = BLIND


class TestGreedyWithQueues(SchedulerContract):
    spec = AWARE


class TestMarginalValue(SchedulerContract):
    spec = MarginalValue(splits=True, hysteresis=0.01)
    sheds = True


class TestMarginalValueThatAnswersAll(SchedulerContract):
    spec = MarginalValue(sheds="never")


class TestShedding(SchedulerContract):
    spec = SheddingLate(policy=AWARE)
    sheds = True


def test_all_are_found_by_their_names() -> None:
    known = {"fixed", "fastest_of", "most_accurate_in_time", "marginal_value", "shedding_late"}
    assert known <= set(schedulers.kinds())


def test_a_path_the_menu_does_not_have_is_an_error() -> None:
    with pytest.raises(StudyError, match="index 2 but the menu has 2 paths; choose 0 to 1"):
        FixedPath(index=2).build(MENU, CONDITIONS)
    with pytest.raises(StudyError, match="must be 0 or more"):
        FixedPath(index=-1)
    with pytest.raises(StudyError, match="no path is named 'slow'; known: fast, good"):
        FastestOf(paths=("slow",)).build(MENU, CONDITIONS)
    with pytest.raises(StudyError, match="name each once"):
        FastestOf(paths=("fast", "fast")).build(MENU, CONDITIONS)


def test_switching_sends_small_queries_to_one_platform_and_large_ones_to_the_other() -> None:
    small = path("table on cpu", 0.7, base_s=1e-4, each_s=1e-5)
    large = path("table on gpu", 0.7, base_s=1e-3, each_s=1e-6, platform="gpu")
    policy = FastestOf().build(PathMenu(paths=(small, large)), CONDITIONS)
    menu = PathMenu(paths=(small, large))
    assert policy.choose(offer(menu, num_candidates=50)) == 0
    assert policy.choose(offer(menu, num_candidates=500, backlog_s=9.0)) == 1


def test_the_recalled_rule_takes_the_best_in_time_whatever_waits() -> None:
    policy = BLIND.build(MENU, CONDITIONS)
    assert policy.choose(offer(MENU, backlog_s=100.0, budget_s=-3.0)) == 1
    hurried = BLIND.build(MENU, Conditions(0.004, CONDITIONS.sizes))
    assert hurried.choose(offer(MENU)) == 0
    hopeless = BLIND.build(MENU, Conditions(0.0004, CONDITIONS.sizes))
    assert hopeless.choose(offer(MENU)) == 0


def test_its_fair_form_counts_the_wait_and_the_tail() -> None:
    policy = AWARE.build(MENU, CONDITIONS)
    assert policy.choose(offer(MENU, backlog_s=0.004)) == 1
    assert policy.choose(offer(MENU, backlog_s=0.006)) == 0
    wide = PathMenu(paths=(FAST, path("good", 0.8, base_s=0.005, tail=1.5)))
    assert policy.choose(offer(wide, backlog_s=0.003)) == 0


def test_of_equally_good_paths_the_sooner_and_of_equal_ones_the_first() -> None:
    menu = PathMenu(paths=(path("a", 0.5, base_s=0.002), path("b", 0.5, base_s=0.001)))
    twins = PathMenu(paths=(path("a", 0.5, base_s=0.001), path("b", 0.5, base_s=0.001)))
    for spec in (BLIND, AWARE, MarginalValue(), FastestOf()):
        assert spec.build(menu, CONDITIONS).choose(offer(menu)) == 1
        assert spec.build(twins, CONDITIONS).choose(offer(twins)) == 0


@pytest.mark.parametrize("spec", [BLIND, AWARE, MarginalValue(), MarginalValue(hysteresis=0.05)])
@pytest.mark.parametrize("seed", range(20))
def test_an_idle_machine_never_serves_slower_and_worse(spec: SchedulerSpec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    menu = PathMenu(
        paths=tuple(
            path(str(i), float(rng.random()), base_s=10 ** rng.uniform(-4, -1), tail=1.3)
            for i in range(6)
        )
    )
    policy = spec.build(menu, CONDITIONS)
    for budget_s in rng.uniform(0.001, 0.05, 20):
        state = offer(menu, budget_s=float(budget_s))
        own = policy.choose(state)
        if own != SHED:
            better = [
                p.quality > menu.paths[own].quality and state.median_s[i] < state.median_s[own]
                for i, p in enumerate(menu.paths)
            ]
            assert not any(better)


@pytest.mark.parametrize("spec", [AWARE, MarginalValue(sheds="never")])
def test_more_time_never_means_less_quality_on_an_idle_machine(spec: SchedulerSpec) -> None:
    menu = PathMenu(
        paths=tuple(path(str(i), 0.5 + 0.1 * i, base_s=0.001 * 2**i, tail=1.2) for i in range(4))
    )
    policy = spec.build(menu, CONDITIONS)
    budgets_s = np.geomspace(0.0015, 0.1, 60)
    chosen = [policy.choose(offer(menu, budget_s=float(b))) for b in budgets_s]
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert chosen[-1] == 3


def test_quality_goes_down_with_the_backlog_before_deadlines_are_missed() -> None:
    menu = PathMenu(
        paths=tuple(path(str(i), 0.5 + 0.1 * i, base_s=0.0005 * 2**i, tail=1.2) for i in range(3))
    )
    backlogs_s = np.linspace(0, 0.012, 50).tolist()
    chosen = [
        MarginalValue(sheds="never").build(menu, CONDITIONS).choose(offer(menu, backlog_s=b))
        for b in backlogs_s
    ]
    assert chosen == sorted(chosen, reverse=True)
    assert set(chosen) == {0, 1, 2}
    # the best path would still be in time by itself where it is given up
    given_up_s = backlogs_s[chosen.index(1)]
    assert given_up_s + menu.paths[2].stations[0].service.tail_s[0] < 0.01


def test_a_busier_stream_is_served_by_quicker_paths() -> None:
    shares = []
    for gap_s in (0.1, 0.0015):
        policy = MarginalValue().build(MENU, CONDITIONS)
        state = offer(MENU, backlog_s=0.002)
        state.gap_s = gap_s
        shares.append(np.mean([policy.choose(state) == 1 for _ in range(400)][50:]))
    assert shares[0] == 1.0
    assert shares[1] < 0.5


def test_a_hopeless_query_is_turned_away_unless_all_must_be_answered() -> None:
    late = offer(MENU, budget_s=0.0005, backlog_s=0.004)
    assert MarginalValue().build(MENU, CONDITIONS).choose(late) == SHED
    assert MarginalValue(sheds="late").build(MENU, CONDITIONS).choose(late) == SHED
    assert MarginalValue(sheds="never").build(MENU, CONDITIONS).choose(late) == 0
    assert SheddingLate(policy=BLIND).build(MENU, CONDITIONS).choose(late) == SHED


def test_a_started_query_takes_no_more_work_than_planned_while_others_wait() -> None:
    policy = MarginalValue().build(MENU, CONDITIONS)
    state = offer(MENU)
    state.starting, state.planned, state.num_behind = True, 0, 3
    assert policy.choose(state) == 0
    state.num_behind = 0
    assert policy.choose(state) == 1


def test_hysteresis_stays_on_the_last_path_while_another_is_hardly_better() -> None:
    near = path("near", 0.801, base_s=0.005, platform="gpu")
    menu = PathMenu(paths=(GOOD, near))
    for hysteresis, second in ((0.0, 1), (0.01, 0)):
        policy = MarginalValue(hysteresis=hysteresis).build(menu, CONDITIONS)
        only_first = offer(menu)
        only_first.is_open = np.array([True, False])
        assert policy.choose(only_first) == 0
        state = offer(menu)
        slower_s = np.array([0.0, 1e-4])
        state.median_s, state.tail_s = state.median_s + slower_s, state.tail_s + slower_s
        assert policy.choose(state) == second


def test_a_large_query_is_split_where_only_that_is_in_time() -> None:
    menu = PathMenu(paths=(path("p", 0.7, base_s=1e-4, each_s=2e-5, tail=1.1, num_servers=4),))
    policy = MarginalValue(splits=True).build(menu, CONDITIONS)
    large = offer(menu, num_candidates=1000)
    assert policy.choose(large) == 0
    assert policy.num_parts(large, 0) >= 3
    small = offer(menu, num_candidates=100)
    assert policy.choose(small) == 0
    assert policy.num_parts(small, 0) == 1
    whole = MarginalValue().build(menu, CONDITIONS)
    assert whole.choose(large) in {0, SHED}
    assert whole.num_parts(large, 0) == 1


def test_platforms_share_the_load_by_their_backlogs() -> None:
    menu = PathMenu(paths=(FAST, ON_GPU))
    policy = MarginalValue().build(menu, CONDITIONS)
    assert policy.choose(offer(menu)) == 0
    busy = offer(menu)
    busy.wait_s, busy.backlog_s = np.array([0.009, 0.0]), np.array([0.009, 0.0])
    assert policy.choose(busy) == 1


@pytest.mark.parametrize("changes", [{"learning": 1.5}, {"hysteresis": -0.1}])
def test_settings_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(StudyError, match="give 0 to 1"):
        MarginalValue(**changes)


def test_conditions_that_cannot_be_are_refused() -> None:
    with pytest.raises(StudyError, match="must be above 0"):
        Conditions(0.0, np.array([1]))
    with pytest.raises(StudyError, match="give at least one"):
        Conditions(0.01, np.array([], np.int64))


def test_menus_of_the_contract_have_paths_of_two_stations() -> None:
    menus = [random_menu(np.random.default_rng(seed), 6) for seed in range(5)]
    assert any(len(p.stations) == 2 for menu in menus for p in menu.paths)


def test_a_copy_of_the_table_shows_its_own_rows() -> None:
    """Policies are solved once and copied for each run: arrays must follow the copy's row."""
    only = ServablePath(
        name="a",
        quality=0.5,
        stations=(
            PathStation(
                platform="cpu",
                service=ServiceTimes(
                    num_candidates=(1, 100), median_s=(0.001, 0.1), tail_s=(0.002, 0.2)
                ),
            ),
        ),
    )
    table = ServiceTable(PathMenu(paths=(only,)), learning=0.1)
    table.look(1)
    copied = deepcopy(table)
    copied.look(100)

    assert copied.median_s.tolist() == [0.1]
    assert copied.work_s.tolist() == [[0.1]]
    assert table.median_s.tolist() == [0.001]
