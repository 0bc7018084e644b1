"""The mappings of `gpu_lane`: two stages, each on CPU or GPU, executed and predicted.

Letters: N queries.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gpu_lane_models import NUM_CONTEXTS, Lane, Loaded
from recfunnel.core.arrays import DoubleArray
from recfunnel.runtime.top_k import best_first, top_k

FRONT_SIZE, BACK_SIZE, ANSWERED = 4096, 256, 64
LOAD = 0.5
"""Of what the slower stage could take."""

SWITCH_S = 1e-4
"""Python lets the other stage's thread wait so long for its turn; 5 ms by default."""

First = Callable[[int], Any]
Second = Callable[[int, Any], Any]


def stages(front: Any, back: Any, loaded: Loaded) -> tuple[First, Second]:
    """The two halves of a query's work, selection included."""
    rows = [loaded.contexts.row(i) for i in range(NUM_CONTEXTS)]
    wanted = loaded.candidates(FRONT_SIZE)

    def first(number: int) -> Any:
        i = number % NUM_CONTEXTS
        scores = front.score(rows[i], wanted[i : i + 1])[0]
        return wanted[i : i + 1, top_k(scores, BACK_SIZE)]

    def second(number: int, kept: Any) -> Any:
        scores = back.score(rows[number % NUM_CONTEXTS], kept)[0]
        return kept[0, best_first(scores, top_k(scores, ANSWERED))]

    return first, second


def service_times(first: First, second: Second, num_queries: int) -> DoubleArray:
    """(2, N) seconds of each half, one query after the other."""
    for number in range(10):
        second(number, first(number))
    found = np.empty((2, num_queries))
    for number in range(num_queries):
        began = time.perf_counter()
        kept = first(number)
        between = time.perf_counter()
        second(number, kept)
        found[:, number] = between - began, time.perf_counter() - between
    return found


def execute(first: First, second: Second, arrival_s: DoubleArray) -> DoubleArray:
    """(N,) latencies of queries through a thread a stage, one behind the other."""
    between: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    latency_s = np.empty(len(arrival_s))
    began = time.perf_counter() + 0.05

    def run_second() -> None:
        for _ in range(len(arrival_s)):
            number, kept = between.get()
            second(number, kept)
            latency_s[number] = time.perf_counter() - began - arrival_s[number]

    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    thread = threading.Thread(target=run_second)
    thread.start()
    for number, arrival in enumerate(arrival_s):
        wait = began + arrival - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        between.put((number, first(number)))
    thread.join()
    sys.setswitchinterval(before)
    return latency_s


def predict(arrival_s: DoubleArray, service_s: DoubleArray) -> DoubleArray | None:
    """(N,) latencies by the simulator, service times drawn from those measured alone."""
    try:
        from recfunnel.simulate.tandem import simulate
    except ImportError as error:
        print(f"no predictions: {error}")
        return None
    rng = np.random.default_rng(5)
    drawn = np.stack([rng.choice(times, len(arrival_s)) for times in service_s])
    return simulate(arrival_s, drawn, (1, 1)).latency_s


def mappings(
    front: Loaded, back: Loaded, where: Mapping[str, str], lane: Lane
) -> list[dict[str, Any]]:
    """Each way to place the two stages; `where` names the runtime of each place."""
    rows: list[dict[str, Any]] = []
    for of_front, front_runtime in where.items():
        for of_back, back_runtime in where.items():
            if front_runtime not in front.models or back_runtime not in back.models:
                continue
            if lane.is_over():
                print("out of time: further mappings are left out")
                return rows
            halves = stages(front.models[front_runtime], back.models[back_runtime], front)
            row = {"mapping": f"{of_front} -> {of_back}", **_both(*halves, lane)}
            rows.append(row | {"runtimes": [front_runtime, back_runtime]})
            print(row, flush=True)
    return rows


def _both(first: First, second: Second, lane: Lane) -> dict[str, Any]:
    service_s = service_times(first, second, 50 if lane.quick else 300)
    rate = LOAD / service_s.mean(axis=1).max()
    count = int(np.clip(rate * (1 if lane.quick else 4), 50, 20_000))
    arrival_s = np.cumsum(np.random.default_rng(4).exponential(1 / rate, count))
    row: dict[str, Any] = {
        "stage_mean_s": service_s.mean(axis=1).tolist(),
        "alone_median_s": float(np.median(service_s.sum(axis=0))),
        "rate_qps": float(rate),
        "num_queries": count,
    }
    found = {
        "measured": execute(first, second, arrival_s),
        "predicted": predict(arrival_s, service_s),
    }
    for side, latency_s in found.items():
        for label, quantile in (("p50", 0.5), ("p99", 0.99)):
            value = None if latency_s is None else float(np.quantile(latency_s, quantile))
            row[f"{side}_{label}_s"] = value
    return row
