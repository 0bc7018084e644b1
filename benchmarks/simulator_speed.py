"""How many queries a second one core simulates, beside pure Python and simpy.

Run: python benchmarks/simulator_speed.py [--json] [--rounds 9]

Every round draws new arrivals and service times, and the simulators take turns within a round, so
that none profits from a quiet moment or from remembered branches. Speeds are per second of CPU time
of the one thread that works; the median and the range over rounds are printed. All simulators give
the same latencies, which is checked. Load 0.7 at every station, Poisson arrivals.
"""

import argparse
import heapq
import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import ServiceLevel
from recfunnel.simulate.load import TandemLoad
from recfunnel.simulate.tandem import simulate

NUM_QUERIES = 20_000
NUM_SLOW_QUERIES = 2_000  # simpy and pure Python take too long for more
NUM_REPLICATIONS = 5
LOAD = 0.7


@dataclass(frozen=True, slots=True)
class Case:
    """A tandem and how much its service times vary."""

    name: str
    num_servers: tuple[int, ...]
    sigma: float  # of the logarithm of the service time; 0 is constant

    def draw(self, num_queries: int, round_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Arrivals (N,) and service times (S, N) at a load of 0.7."""
        rng = rng_for(round_index, "speed", self.name, num_queries)
        arrival_s = np.cumsum(rng.standard_exponential(num_queries))
        spread = rng.standard_normal((len(self.num_servers), num_queries))
        service_s = np.exp(self.sigma * spread - self.sigma**2 / 2)
        return arrival_s, LOAD * np.array(self.num_servers)[:, None] * service_s


CASES = (
    Case("1 server", (1,), 0.2),
    Case("4 servers", (4,), 0.2),
    Case("1 + 1 servers", (1, 1), 0.2),
    Case("2 + 2 servers", (2, 2), 0.2),
    Case("4 + 4 servers", (4, 4), 0.2),
    Case("8 + 8 servers", (8, 8), 0.2),
    Case("8 + 8, service as exponential", (8, 8), 1.0),
    Case("2 + 8, constant service", (2, 8), 0.0),
    Case("4 + 4 + 4 servers", (4, 4, 4), 0.2),
    Case("16 + 16 servers", (16, 16), 0.2),
)


def by_python(
    arrival_s: np.ndarray, service_s: np.ndarray, num_servers: tuple[int, ...]
) -> np.ndarray:
    """The same recursion with lists and heapq."""
    reached = [(time_s, query) for query, time_s in enumerate(arrival_s.tolist())]
    for own_s, servers in zip(service_s.tolist(), num_servers, strict=True):
        free = [-1.0] * servers
        left = []
        for time_s, query in reached:
            done_s = max(time_s, free[0]) + own_s[query]
            heapq.heapreplace(free, done_s)
            left.append((done_s, query))
        reached = sorted(left)
    latency_s = np.empty(arrival_s.size)
    for time_s, query in reached:
        latency_s[query] = time_s - arrival_s[query]
    return latency_s


def by_simpy(
    arrival_s: np.ndarray, service_s: np.ndarray, num_servers: tuple[int, ...]
) -> np.ndarray:
    env = simpy.Environment()
    stations = [simpy.Resource(env, servers) for servers in num_servers]
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


def speed(work: Callable[[], object], num_queries: int) -> float:
    start = time.thread_time()
    work()
    return num_queries / (time.thread_time() - start)


def one_round(case: Case, round_index: int) -> dict[str, float]:
    draws = [case.draw(NUM_QUERIES, 1000 * round_index + r) for r in range(NUM_REPLICATIONS)]
    short = case.draw(NUM_SLOW_QUERIES, round_index)

    def ours() -> None:
        for arrival_s, service_s in draws:
            simulate(arrival_s, service_s, case.num_servers)

    expected = simulate(*short, case.num_servers).latency_s
    answers = [by_python(*short, case.num_servers), by_simpy(*short, case.num_servers)]
    if not all(np.array_equal(answer, expected) for answer in answers):
        raise SystemExit(f"{case.name}: the simulators differ")
    return {
        "recfunnel": speed(ours, NUM_REPLICATIONS * NUM_QUERIES),
        "python": speed(lambda: by_python(*short, case.num_servers), NUM_SLOW_QUERIES),
        "simpy": speed(lambda: by_simpy(*short, case.num_servers), NUM_SLOW_QUERIES),
    }


def capacity_search_s(case: Case, round_index: int) -> float:
    draws = [case.draw(NUM_QUERIES, 1000 * round_index + r) for r in range(NUM_REPLICATIONS)]
    unit_times, service_s = (np.array(parts) for parts in zip(*draws, strict=True))
    level = ServiceLevel(deadline_s=4 * float(service_s.sum(axis=1).mean()))
    start = time.thread_time()
    TandemLoad(unit_times, service_s, case.num_servers).capacity(level)
    return time.thread_time() - start


def spread(samples: list[float]) -> dict[str, float]:
    return {"median": float(np.median(samples)), "low": min(samples), "high": max(samples)}


def measure(case: Case, num_rounds: int) -> dict[str, Any]:
    one_round(case, 0)  # compiled, or read from the cache
    rounds = [one_round(case, index) for index in range(1, num_rounds + 1)]
    searches = [capacity_search_s(case, index) for index in range(1, num_rounds + 1)]
    speeds = {who: spread([speeds[who] for speeds in rounds]) for who in rounds[0]}
    return {"case": case.name, "queries_per_s": speeds, "capacity_search_s": spread(searches)}


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'million queries/s, one core':<31} {'recfunnel':>21}   python    simpy   capacity, ms")
    for row in rows:
        ours, python, simpy_ = (
            {key: value / 1e6 for key, value in row["queries_per_s"][who].items()}
            for who in ("recfunnel", "python", "simpy")
        )
        search_ms = 1000 * row["capacity_search_s"]["median"]
        print(
            f"{row['case']:<31} {ours['median']:6.1f} ({ours['low']:5.1f}-{ours['high']:5.1f})   "
            f"{python['median']:6.2f}   {simpy_['median']:6.3f}   {search_ms:8.1f}"
        )
    print(f"\ncapacity: one search over {NUM_REPLICATIONS} x {NUM_QUERIES} queries")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    rows = [measure(case, options.rounds) for case in CASES]
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows)


if __name__ == "__main__":
    main()
