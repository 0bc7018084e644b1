"""Several paths on several platforms, against the tandem simulator, simpy and plain reasoning."""

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy

from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.schedule.base import Conditions, Offer, Whole
from recfunnel.schedule.dispatcher import Dispatcher
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.schedule.outcome import Outcome
from recfunnel.simulate.paths import draw_service, simulate_paths
from recfunnel.simulate.tandem import simulate
from schedule_world import FAST, GOOD, MENU, path

TIMES = ServiceTimes(num_candidates=(1, 1000), median_s=(0.01, 0.02), tail_s=(0.02, 0.04))


def tandem(name: str, servers: dict[str, int]) -> ServablePath:
    stations = tuple(
        PathStation(platform=platform, service=TIMES, num_servers=count)
        for platform, count in servers.items()
    )
    return ServablePath(name=name, quality=0.5, stations=stations)


class InTurn(Whole):
    """Query by query the next path, whatever happens."""

    def __init__(self, num_paths: int) -> None:
        self.num_paths, self.asked = num_paths, 0

    def choose(self, offer: Offer) -> int:
        self.asked += 1
        return (self.asked - 1) % self.num_paths


@pytest.mark.parametrize("servers", [(1,), (3,), (2, 1), (1, 4, 2)])
@pytest.mark.parametrize("grid", [True, False])
def test_one_path_is_a_tandem_to_the_last_bit(servers: tuple[int, ...], grid: bool) -> None:
    rng = np.random.default_rng(3)
    arrival_s = np.cumsum(rng.standard_exponential(300))
    service_s = rng.standard_exponential((len(servers), 300)) * 0.9 * np.array(servers)[:, None]
    service_s += 1e-3
    if grid:  # ties everywhere
        arrival_s, service_s = np.round(arrival_s * 4) / 4, np.ceil(service_s * 4) / 4
    menu = PathMenu(paths=(tandem("only", {f"p{i}": c for i, c in enumerate(servers)}),))
    sizes = np.full(300, 7)
    policy = FixedPath().build(menu, Conditions(1.0, sizes))
    run = simulate_paths(menu, policy, 1.0, arrival_s, sizes, [service_s])
    assert np.array_equal(run.latency_s, simulate(arrival_s, service_s, servers).latency_s)
    assert (run.path == 0).all()
    assert np.allclose(run.work_s, service_s.sum(axis=0))


def by_simpy(
    menu: PathMenu, chosen: np.ndarray, arrival_s: np.ndarray, service_s: list[np.ndarray]
) -> np.ndarray:
    """Paths given in advance, platforms shared first come first served."""
    env = simpy.Environment()
    platforms = {name: simpy.Resource(env, count) for name, count in menu.num_servers.items()}
    latency_s = np.empty(arrival_s.size)

    def query(index: int) -> Generator[Any, Any, None]:
        yield env.timeout(arrival_s[index])
        own = chosen[index]
        for number, station in enumerate(menu.paths[own].stations):
            with platforms[station.platform].request() as turn:
                yield turn
                yield env.timeout(service_s[own][number, index])
        latency_s[index] = env.now - arrival_s[index]

    for index in range(arrival_s.size):
        env.process(query(index))
    env.run()
    return latency_s


def test_paths_that_share_platforms_are_equal_to_simpy() -> None:
    menu = PathMenu(
        paths=(
            tandem("cpu", {"cpu": 2}),
            tandem("gpu", {"gpu": 1}),
            tandem("both", {"cpu": 2, "gpu": 1}),
            tandem("back", {"gpu": 1, "cpu": 2}),
        )
    )
    rng = np.random.default_rng(8)
    arrival_s = np.cumsum(rng.standard_exponential(400))
    service_s = [rng.standard_exponential((len(p.stations), 400)) * 0.9 for p in menu.paths]
    run = simulate_paths(menu, InTurn(4), 1.0, arrival_s, np.full(400, 9), service_s)
    expected = by_simpy(menu, np.arange(400) % 4, arrival_s, service_s)
    assert np.array_equal(run.path, np.arange(400) % 4)
    assert np.array_equal(run.latency_s, expected)


def overloaded(spec: MarginalValue, rate_qps: float, seed: int = 0) -> tuple[PathMenu, Outcome]:
    menu = PathMenu(
        paths=(
            path("fast", 0.78, base_s=2e-4, each_s=2e-6, tail=1.4, num_servers=2),
            path("good", 0.80, base_s=4e-4, each_s=2e-5, tail=1.4, num_servers=2),
        )
    )
    rng = np.random.default_rng(seed)
    sizes = np.clip(rng.lognormal(4.6, 0.7, 2000), 1, 1000).astype(np.int64)
    arrival_s = np.cumsum(rng.standard_exponential(2000)) / rate_qps
    service_s = draw_service(menu, sizes, rng)
    policy = spec.build(menu, Conditions(0.01, sizes))
    return menu, simulate_paths(menu, policy, 0.01, arrival_s, sizes, service_s)


def test_under_overload_what_is_served_is_in_time() -> None:
    _, run = overloaded(MarginalValue(), 9000.0)
    assert 0.1 < (run.path < 0).mean() < 0.5
    assert (run.latency_s[run.path >= 0] <= 0.01).mean() > 0.98
    assert (np.isinf(run.latency_s) == (run.path < 0)).all()


def test_a_stream_that_grows_is_served_worse_but_in_time() -> None:
    shares = [(overloaded(MarginalValue(), rate)[1].path == 1).mean() for rate in (100, 800, 4000)]
    assert shares[0] > 0.95
    assert shares[0] > shares[1] > shares[2]


def test_an_observed_slowdown_is_learned() -> None:
    sizes = np.full(400, 100)
    arrival_s = np.arange(400) * 0.02
    doubled = [np.full((1, 400), 0.002), np.full((1, 400), 0.011)]  # `good` is profiled at 0.005
    for learning, last in ((0.1, 0), (0.0, 1)):
        policy = MarginalValue(learning=learning, sheds="never").build(
            MENU, Conditions(0.01, sizes)
        )
        run = simulate_paths(MENU, policy, 0.01, arrival_s, sizes, doubled)
        assert run.path[0] == 1
        assert run.path[-1] == last


def test_parts_of_a_query_run_side_by_side() -> None:
    menu = PathMenu(paths=(path("p", 0.7, base_s=1e-4, each_s=2e-5, tail=1.1, num_servers=4),))
    sizes = np.array([1000, 100])
    policy = MarginalValue(splits=True).build(menu, Conditions(0.01, sizes))
    service_s = [menu.paths[0].medians_s(sizes)[np.newaxis]]
    run = simulate_paths(menu, policy, 0.01, np.array([0.0, 1.0]), sizes, service_s)
    parts = int(run.num_parts[0])
    assert parts >= 3
    assert run.latency_s[0] == pytest.approx(1e-4 + 2e-5 * 1000 / parts, rel=0.01)
    assert run.work_s[0] == pytest.approx(parts * 1e-4 + 2e-5 * 1000)
    assert run.num_parts[1] == 1


def test_the_predicted_wait_is_when_a_query_really_starts() -> None:
    menu = PathMenu(paths=(FAST, GOOD))
    seen: list[float] = []

    class Watching(InTurn):
        def choose(self, offer: Offer) -> int:
            seen.append(float(offer.wait_s[0]))
            return super().choose(offer)

    arrival_s = np.arange(1, 40) * 0.002
    sizes = np.full(39, 50)
    service_s = [np.full((1, 39), 0.001), np.full((1, 39), 0.005)]
    run = simulate_paths(menu, Watching(2), 1.0, arrival_s, sizes, service_s)
    own_s = np.where(run.path == 0, 0.001, 0.005)
    assert np.allclose(seen, run.latency_s - own_s)


class Asked(Whole):
    """Always the first path; notes how late each query that it is asked again about starts."""

    rechooses = True

    def __init__(self, patience: float) -> None:
        self.patience, self.again = patience, 0

    def choose(self, offer: Offer) -> int:
        self.again += offer.starting
        return 0


@pytest.mark.parametrize(("late", "patience", "asked"), [(0.9, 1, 0), (1.1, 1, 1), (-0.5, 0, 0)])
def test_a_plan_stands_while_a_query_starts_as_predicted(
    late: float, patience: float, asked: int
) -> None:
    """Three queries of a millisecond on one server; the second starts `late` ms off its time."""
    policy = Asked(patience * 0.1)  # of a deadline of 10 ms
    dispatcher = Dispatcher(PathMenu(paths=(FAST,)), policy, 0.010)
    (first,) = dispatcher.arrive(0, 10, 0.0)
    assert not dispatcher.arrive(1, 10, 0.0)
    assert not dispatcher.arrive(2, 10, 0.0)
    (second,) = dispatcher.finish(first, 0.001 * (1 + late))
    assert policy.again == asked
    # nobody is behind the last one, so it may take whatever is best now
    dispatcher.finish(second, 0.004)
    assert policy.again == asked + 1


def test_drawn_times_have_the_profiled_median_and_tail() -> None:
    sizes = np.full(40_000, 300)
    (first, second) = draw_service(MENU, sizes, np.random.default_rng(0))
    wide = PathMenu(paths=(path("w", 0.5, base_s=0.01, tail=3.0),))
    (drawn,) = draw_service(wide, sizes, np.random.default_rng(0))
    # the 99th percentile of 40,000 has a standard error of about 2 % here
    assert np.median(drawn) == pytest.approx(0.01, rel=0.02)
    assert np.quantile(drawn, 0.99) == pytest.approx(0.03, rel=0.06)
    assert np.allclose(first, 0.001)
    assert np.allclose(second, 0.005)


def test_bad_input_is_named() -> None:
    sizes, arrival_s = np.array([5, 2000]), np.array([0.0, 1.0])
    service_s = [np.ones((1, 2)), np.ones((1, 2))]
    policy = FixedPath().build(MENU, Conditions(1.0, np.array([5])))
    with pytest.raises(InvalidInput, match="profiled for 1 to 1000 candidates, a query has 2000"):
        simulate_paths(MENU, policy, 1.0, arrival_s, sizes, service_s)
    with pytest.raises(StudyError, match="each path needs"):
        simulate_paths(MENU, policy, 1.0, arrival_s, np.array([5, 5]), service_s[:1])
    with pytest.raises(StudyError, match="above 0"):
        simulate_paths(MENU, policy, 1.0, arrival_s, np.array([5, 5]), [0 * s for s in service_s])
    with pytest.raises(StudyError, match="path 7, which is not open"):
        Dispatcher(MENU, InTurn8(), 1.0).arrive(0, 5, 0.0)


class InTurn8(Whole):
    def choose(self, offer: Offer) -> int:
        return 7
