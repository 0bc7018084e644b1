"""The simulator against simpy, event by event: equal to the last bit."""

import heapq
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.simulate.tandem import simulate


class Station:
    """A first-come-first-served station whose queue is sorted by (arrival, query).

    Servers are handed out after everything else of an instant has happened, so that queries that
    arrive together are served in order of their index, as the simulator states.
    """

    LAST_OF_ITS_INSTANT = 2

    def __init__(self, env: simpy.Environment, num_servers: int) -> None:
        self.env = env
        self.free = num_servers
        self.queue: list[tuple[float, int, simpy.Event]] = []

    def dispatch_later(self) -> None:
        event = self.env.event()
        event._ok, event._value = True, None
        event.callbacks.append(lambda _: self.dispatch())
        self.env.schedule(event, priority=self.LAST_OF_ITS_INSTANT)

    def dispatch(self) -> None:
        while self.free and self.queue:
            self.free -= 1
            heapq.heappop(self.queue)[2].succeed()

    def serve(self, query: int, service_s: float) -> Generator[Any, Any, None]:
        start = self.env.event()
        heapq.heappush(self.queue, (self.env.now, query, start))
        self.dispatch_later()
        yield start
        yield self.env.timeout(service_s)
        self.free += 1
        self.dispatch_later()


def by_simpy(
    arrival_s: np.ndarray, service_s: np.ndarray, num_servers: tuple[int, ...]
) -> np.ndarray:
    env = simpy.Environment()
    stations = [Station(env, c) for c in num_servers]
    latency_s = np.empty(arrival_s.size)

    def query(index: int) -> Generator[Any, Any, None]:
        yield env.timeout(arrival_s[index])
        for station, own_s in zip(stations, service_s[:, index], strict=True):
            yield from station.serve(index, own_s)
        latency_s[index] = env.now - arrival_s[index]

    for index in range(arrival_s.size):
        env.process(query(index))
    env.run()
    return latency_s


def by_plain_simpy(
    arrival_s: np.ndarray, service_s: np.ndarray, num_servers: tuple[int, ...]
) -> np.ndarray:
    """With simpy's own `Resource`; only for times without ties."""
    env = simpy.Environment()
    stations = [simpy.Resource(env, c) for c in num_servers]
    latency_s = np.empty(arrival_s.size)

    def query(index: int) -> Generator[Any, Any, None]:
        yield env.timeout(arrival_s[index])
        for station, own_s in zip(stations, service_s[:, index], strict=True):
            with station.request() as turn:
                yield turn
                yield env.timeout(own_s)
        latency_s[index] = env.now - arrival_s[index]

    for index in range(arrival_s.size):
        env.process(query(index))
    env.run()
    return latency_s


@st.composite
def tandems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Small tandems on a coarse grid of time, so that ties are everywhere."""
    num_queries = draw(st.integers(1, 30))
    num_servers = tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=3)))
    gaps = st.lists(st.integers(0, 6), min_size=num_queries, max_size=num_queries)
    longest = draw(st.sampled_from([1, 5, 40]))
    service = st.lists(st.integers(1, longest), min_size=num_queries, max_size=num_queries)
    arrival_s = np.cumsum(draw(gaps)) / 64
    service_s = np.array([draw(service) for _ in num_servers]) / 64
    return arrival_s, service_s, num_servers


@settings(deadline=None, max_examples=200)
@given(tandems())
def test_small_tandems_with_ties_are_equal(
    case: tuple[np.ndarray, np.ndarray, tuple[int, ...]],
) -> None:
    assert np.array_equal(simulate(*case).latency_s, by_simpy(*case))


@pytest.mark.parametrize("num_servers", [(1,), (2,), (7,), (20,), (1, 3), (4, 4), (8, 2, 5)])
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_queues_of_hundreds_are_equal(num_servers: tuple[int, ...], sigma: float) -> None:
    rng = np.random.default_rng(11)
    arrival_s = np.cumsum(rng.standard_exponential(400))
    service_s = np.exp(sigma * rng.standard_normal((len(num_servers), 400)))
    service_s *= 0.95 * np.array(num_servers)[:, None]
    case = (arrival_s, service_s, num_servers)
    expected = by_plain_simpy(*case)
    assert np.array_equal(simulate(*case).latency_s, expected)
    assert np.array_equal(by_simpy(*case), expected)


def test_departures_in_the_worst_order_are_sorted_all_the_same() -> None:
    # Every query overtakes all before it; then they queue for one server, last come first.
    num_queries = 2000
    arrival_s = np.arange(num_queries) / 64
    first = (2.0 * num_queries - 2 * np.arange(num_queries)) / 64
    service_s = np.stack([first, np.full(num_queries, 3 / 64)])
    latency_s = simulate(arrival_s, service_s, (num_queries, 1)).latency_s
    assert np.array_equal(latency_s, by_simpy(arrival_s, service_s, (num_queries, 1)))
