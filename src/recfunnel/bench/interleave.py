"""Back-ends that take turns in one process, so that what the machine does meets all alike."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from recfunnel.bench.results import Timing
from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.runtime.noise import Disturbance, disturbance, read_machine

Call = Callable[[int], object]
"""Answers the query of that number, any number from 0; everything it reads is ready."""

WARM_CALLS = 2
"""Made in each round before those that are timed: the one before left the caches to itself."""

FEWEST_CALLS = 3


@dataclass(frozen=True, slots=True)
class Interleaved:
    """What came out.

    Args:
        timings: by name of the back-end.
        noise: what else used the machine meanwhile.
    """

    timings: dict[str, Timing]
    noise: Disturbance


def interleave(
    calls: Mapping[str, Call],
    *,
    num_rounds: int,
    round_s: float,
    seed: int,
    progress: Progress = SILENT,
    label: str = "measure",
    queries_a_call: Mapping[str, int] | None = None,
) -> Interleaved:
    """Time all back-ends in rounds, each round in a new random order.

    Args:
        calls: by name; each goes through its queries in order, round after round.
        num_rounds: at least one.
        round_s: spent on each back-end in each round; three calls are made however long they take.
        seed: of the orders.
        progress: told after each back-end.
        label: of the bar.
        queries_a_call: for back-ends that answer more than one; their times are divided by it.

    Returns:
        Timings of a query, and noise.

    Raises:
        StudyError: no round, or no time.
    """
    if num_rounds < 1 or not round_s > 0:
        raise StudyError(
            f"{num_rounds} rounds of {round_s:g} s; needs at least one round and some time"
        )
    order, shuffle = list(calls), random.Random(seed)
    position = dict.fromkeys(calls, 0)
    rounds: dict[str, list[list[float]]] = {name: [] for name in calls}
    before = read_machine(())
    with progress.task(label, total=num_rounds * len(order)) as task:
        for _ in range(num_rounds):
            shuffle.shuffle(order)
            for name in order:
                timings = _round(calls[name], position[name], round_s)
                position[name] += WARM_CALLS + len(timings)
                rounds[name].append(timings)
                task.note(name)
                task.advance()
    shared = queries_a_call or {}
    found = {name: _summary(timed, shared.get(name, 1)) for name, timed in rounds.items()}
    return Interleaved(found, disturbance(before, read_machine(())))


def _round(call: Call, first: int, round_s: float) -> list[float]:
    for query in range(first, first + WARM_CALLS):
        call(query)
    query = first + WARM_CALLS
    timings: list[float] = []
    now = perf_counter()
    end = now + round_s
    while now < end or len(timings) < FEWEST_CALLS:
        began = perf_counter()
        call(query)
        now = perf_counter()
        timings.append(now - began)
        query += 1
    return timings


def _summary(rounds: list[list[float]], num_queries: int) -> Timing:
    together = np.concatenate(rounds)
    return Timing(
        rounds_s=tuple(float(np.median(timings)) / num_queries for timings in rounds),
        p99_s=float(np.quantile(together, 0.99)) / num_queries,
        num_calls=len(together),
    )
