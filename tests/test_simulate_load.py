"""Tandems under load: laws of queues, what counts as steady, and capacity."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.core.workload import ServiceLevel
from recfunnel.simulate.capacity import RATE_TOLERANCE
from recfunnel.simulate.load import TandemLoad
from recfunnel.simulate.quantile import tail_of
from recfunnel.simulate.tandem import simulate

LEVEL = ServiceLevel(deadline_s=0.02, quantile=0.99)


def load_of(
    num_servers: tuple[int, ...], seed: int = 0, sigma: float = 0.3, warmup: int | None = None
) -> TandemLoad:
    """Five replications of 5000 queries; each station alone can do about 960 queries/s."""
    rng = np.random.default_rng(seed)
    unit_times = np.cumsum(rng.standard_exponential((5, 5000)), axis=1)
    shape = (5, len(num_servers), 5000)
    service_s = 1e-3 * np.exp(sigma * rng.standard_normal(shape))
    return TandemLoad(unit_times, service_s * np.array(num_servers)[:, None], num_servers, warmup)


small_queues = st.tuples(
    st.integers(0, 10_000), st.integers(1, 12), st.floats(0.2, 1.5), st.sampled_from([0.0, 0.2, 1])
)


@settings(deadline=None)
@given(small_queues)
def test_a_higher_load_makes_no_query_of_a_station_faster(
    case: tuple[int, int, float, float],
) -> None:
    seed, num_servers, load, sigma = case
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.standard_exponential(300))
    service_s = num_servers * load * np.exp(sigma * rng.standard_normal((1, 300)))
    slow = simulate(times, service_s, (num_servers,)).latency_s
    fast = simulate(times / 1.3, service_s, (num_servers,)).latency_s
    assert (fast >= slow - 1e-9).all()


@settings(deadline=None)
@given(small_queues)
def test_a_server_more_makes_no_query_of_a_station_slower(
    case: tuple[int, int, float, float],
) -> None:
    seed, num_servers, load, sigma = case
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.standard_exponential(300))
    service_s = num_servers * load * np.exp(sigma * rng.standard_normal((1, 300)))
    fewer = simulate(times, service_s, (num_servers,)).latency_s
    more = simulate(times, service_s, (num_servers + 1,)).latency_s
    assert (more <= fewer + 1e-9).all()


@settings(deadline=None)
@given(small_queues)
def test_no_query_is_answered_sooner_than_its_service_takes(
    case: tuple[int, int, float, float],
) -> None:
    seed, num_servers, load, sigma = case
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.standard_exponential(300))
    service_s = num_servers * load * np.exp(sigma * rng.standard_normal((2, 300)))
    run = simulate(times, service_s, (num_servers, 2 * num_servers))
    assert (run.latency_s >= service_s.sum(axis=0) - 1e-9).all()
    assert all(0 <= share <= 1 for share in run.utilisation)


def test_slower_seconds_change_nothing_but_the_unit() -> None:
    load = load_of((2, 3))
    slow = TandemLoad(load.unit_times, 8 * load.service_s, load.num_servers)
    assert slow.tail(100, 0.99).mean == pytest.approx(8 * load.tail(800, 0.99).mean, rel=1e-9)
    slow_level = ServiceLevel(deadline_s=8 * LEVEL.deadline_s)
    assert slow.capacity(slow_level).mean == pytest.approx(load.capacity(LEVEL).mean / 8, rel=1e-3)


def test_the_warm_up_is_left_out() -> None:
    everything = load_of((2,), warmup=0).run_one(0, 700.0)
    rest = load_of((2,), warmup=1000).run_one(0, 700.0)
    assert np.array_equal(rest.latency_s, everything.latency_s[1000:])
    assert load_of((2,)).warmup == 500


def test_utilisation_and_throughput_by_hand() -> None:
    # window from 1 s to 5 s; the server works 1 to 2, 3 to 4.5 and 5 to 6 s
    run = simulate(np.array([0.0, 1, 3, 5]), np.array([[0.5, 1, 1.5, 1]]), (1,), warmup=1)
    assert run.utilisation == (2.5 / 4,)
    assert run.throughput_qps == 2 / 4
    assert run.latency_s.tolist() == [1, 1.5, 1]


def test_queries_that_come_all_at_once_are_counted_to_the_last_answer() -> None:
    run = simulate(np.zeros(4), np.ones((1, 4)), (2,))
    assert run.throughput_qps == 2.0
    assert run.utilisation == (1.0,)
    assert not run.steady


def test_latencies_are_the_same_for_everyone_who_asks() -> None:
    load = load_of((3, 2))
    point = load.at(700.0)
    assert point.steady
    assert point.p50_s.mean < point.p95_s.mean < point.p99_s.mean
    assert point.p99_s == load.tail(700.0, 0.99)
    runs = load.run(700.0)
    assert point.mean_s.mean == pytest.approx(np.mean([run.latency_s.mean() for run in runs]))


@pytest.mark.parametrize("num_servers", [(1,), (4,), (1, 4), (8, 2)])
def test_overload_is_said_and_has_no_quantile(num_servers: tuple[int, ...]) -> None:
    load = load_of(num_servers)
    capacity_qps = min(c / load.service_s[:, s].mean() for s, c in enumerate(num_servers))
    point = load.at(1.2 * capacity_qps)
    assert not point.steady
    assert load.tail(1.2 * capacity_qps, 0.5).mean == math.inf
    assert point.p99_s.mean == point.mean_s.mean == math.inf
    # what is achieved is the capacity found, whatever is offered
    assert point.throughput_qps.mean == pytest.approx(capacity_qps, rel=0.01)
    assert max(share.mean for share in point.utilisation) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("num_servers", [(1,), (4, 4)])
def test_moderate_load_is_always_steady(num_servers: tuple[int, ...]) -> None:
    assert all(load_of(num_servers, seed=seed).at(750.0).steady for seed in range(20))


def test_a_run_that_slows_down_to_its_end_is_not_steady() -> None:
    # mean load 0.75, but 1.2 in the second half
    times = np.arange(2000.0)
    service_s = np.where(times < 1000, 0.3, 1.2)[None, :]
    run = simulate(times, service_s, (1,))
    assert not run.steady
    assert simulate(times, np.full((1, 2000), 0.75), (1,)).steady


@pytest.mark.parametrize("num_servers", [(1,), (3,), (1, 1), (2, 8), (8, 8, 8)])
@pytest.mark.parametrize("factor", [3.0, 10.0, 30.0])
def test_capacity_is_where_the_tail_meets_the_deadline(
    num_servers: tuple[int, ...], factor: float
) -> None:
    load = load_of(num_servers)
    bare_s = tail_of(load.service_s.sum(axis=1).ravel(), 0.99)
    level = ServiceLevel(deadline_s=factor * bare_s)
    for replication in range(5):
        one = slice(replication, replication + 1)
        alone = TandemLoad(load.unit_times[one], load.service_s[one], num_servers)
        rate_qps = alone.capacity(level).mean
        assert alone.tail(rate_qps, 0.99).mean <= level.deadline_s
        assert alone.tail(rate_qps * (1 + 2 * RATE_TOLERANCE), 0.99).mean > level.deadline_s


def test_capacity_rises_with_the_deadline_and_falls_with_the_quantile() -> None:
    load = load_of((2, 2))
    rates = [load.capacity(ServiceLevel(deadline_s=d)).mean for d in (0.001, 0.008, 0.02, 1.0)]
    assert rates[0] == 0  # missed even without waiting
    assert 0 < rates[1] < rates[2] < rates[3]
    assert rates[3] <= load.stable_rates_qps.mean()
    looser = load.capacity(ServiceLevel(deadline_s=0.02, quantile=0.9))
    assert looser.mean > rates[2]


def test_capacity_has_an_interval_from_independent_replications() -> None:
    capacity = load_of((2,)).capacity(LEVEL)
    assert capacity.num_samples == 5
    assert 0 < capacity.stderr < 0.05 * capacity.mean


def test_a_capacity_search_takes_few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = 0
    run_one = TandemLoad.run_one

    def counted(self: TandemLoad, replication: int, rate_qps: float) -> object:
        nonlocal runs
        runs += 1
        return run_one(self, replication, rate_qps)

    monkeypatch.setattr(TandemLoad, "run_one", counted)
    load_of((2, 2)).capacity(LEVEL)
    assert runs <= 5 * 10


def test_the_quantile_is_the_deadline_that_share_of_queries_met() -> None:
    latency_s = np.arange(1.0, 101.0)
    assert tail_of(latency_s, 0.99) == 99
    assert tail_of(latency_s, 0.5) == 50
    assert tail_of(latency_s, 0.001) == 1
    assert tail_of(np.arange(1.0, 20_001.0), 0.99) == 19_800  # 0.99 * 20_000 > 19_800 in floats


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.array([0.0, 1]), np.ones((1, 3)), (1,)), r"must end in \(1, 2\)"),
        ((np.array([0.0, 1]), np.ones((2, 2)), (1,)), r"must end in \(1, 2\)"),
        ((np.array([0.0, 1]), np.ones((1, 2)), (0,)), "at least 1"),
        ((np.array([0.0, 1]), np.ones((0, 2)), ()), "at least 1"),
        ((np.array([0.0, 1]), np.zeros((1, 2)), (1,)), "must be above 0"),
        ((np.array([0.0, 1]), np.full((1, 2), np.nan), (1,)), "must be above 0"),
        ((np.array([1.0, 0]), np.ones((1, 2)), (1,)), "never fall"),
        ((np.array([0.0, 1]), np.ones((1, 2)), (1,), 2), "leaves none of 2"),
    ],
)
def test_input_that_makes_no_sense_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        simulate(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate_qps", [0.0, -1.0, math.inf, math.nan])
def test_a_load_that_makes_no_sense_is_refused(rate_qps: float) -> None:
    with pytest.raises(StudyError, match="must be above 0 and finite"):
        load_of((1,)).run(rate_qps)


def test_replications_must_match() -> None:
    with pytest.raises(StudyError, match=r"must be \(R, N\) and \(R, S, N\)"):
        TandemLoad(np.zeros((2, 5)), np.ones((3, 1, 5)), (1,))
