"""What the authors' emulation adds to the model it emulates.

Their numbers under load are wall-clock times of processes that sleep for a service time. What that
adds is described by a few times and a rule:

- The generator draws gaps in whole milliseconds and loses some time with each query.
- An engine is occupied longer than its service time: 0.08 ms where it counts the time away, which
  it does below some 1.3 ms, and 0.155 ms where it sleeps. At saturation that is all there is, so it
  is what the logged rates there leave: 0.074 to 0.088 ms in 11 runs whose slowest service is
  shorter, 0.14 to 0.20 ms in 29 of the 31 where it is longer and has 1 to 4 engines.
- Handing a query to a stage takes 0.19 ms in which no engine works: what the mean latency at the
  lowest load leaves, 0.18 to 0.20 ms a stage with 1, 2 and 3 stages.
- The generator sleeps through gaps of 2 ms and more, but counts through one of 1 ms. Python 2 lets
  only one thread compute, and the query just put into the queue is sent by another one, so that
  query waits for the millisecond to end, and for a second one that follows at once. The logged p95
  of most mappings rises by 0.9 ms exactly where more than 5 % of the gaps are 1 ms (from 5 to 4 ms
  in the mean), and once more where 5 % are so twice in a row (from 2.5 to 2 ms).

Queries: N. Stages: S.
"""

from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.spec import Value
from recfunnel.simulate.tandem import run_checked


class Sleeping(Value, frozen=True):
    """Times the emulation adds.

    Args:
        counting_s: an engine works longer than a service time it counts away.
        sleeping_s: or than one it sleeps through.
        longest_counted_s: service time from which on it sleeps.
        hand_over_s: a query needs to each stage, without an engine.
        put_s: the generator loses with each query.
        asleep_s: and when it sleeps.
        held_s: a query waits for each gap of one millisecond behind it, at most for two.
    """

    counting_s: float = 0.08e-3
    sleeping_s: float = 0.155e-3
    longest_counted_s: float = 1.3e-3
    hand_over_s: float = 0.19e-3
    put_s: float = 0.045e-3
    asleep_s: float = 0.11e-3
    held_s: float = 1e-3


NOT_SLEEPING = Sleeping(
    counting_s=0.0, sleeping_s=0.0, hand_over_s=0.0, put_s=0.0, asleep_s=0.0, held_s=0.0
)
"""Whole milliseconds between queries and nothing else."""


def emulated_latency_s(
    service_s: Sequence[float],
    num_engines: Sequence[int],
    gap_ms: float,
    num_queries: int,
    rng: np.random.Generator,
    sleeping: Sleeping = Sleeping(),  # noqa: B008, a frozen value
) -> DoubleArray:
    """Latencies as the emulation would log them, from an empty system on.

    Args:
        service_s: S service times, each the same for all queries.
        num_engines: S counts.
        gap_ms: mean gap between queries.
        num_queries: N.
        rng: draws the gaps.
        sleeping: what it adds.

    Returns:
        (N,), in order of arrival.
    """
    gaps = rng.poisson(gap_ms, num_queries)
    spent_s = gaps * 1e-3 + sleeping.put_s + sleeping.asleep_s * (gaps > 1)
    held_s = sleeping.held_s * _counted_gaps(gaps)
    modelled_s = np.asarray(service_s)
    counted = modelled_s < sleeping.longest_counted_s
    worked_s = modelled_s + np.where(counted, sleeping.counting_s, sleeping.sleeping_s)
    run = run_checked(
        np.maximum.accumulate(np.cumsum(spent_s) + held_s),
        np.repeat(worked_s[:, np.newaxis], num_queries, axis=1),
        tuple(num_engines),
        0,
        steady=True,
    )
    latency_s: DoubleArray = run.latency_s + held_s + sleeping.hand_over_s * len(num_engines)
    return latency_s


def _counted_gaps(gaps: IntArray) -> IntArray:
    """(N,), how many of the two gaps behind each query are of 1 ms, up to the first that is not."""
    first, second = np.append(gaps[1:], 0) == 1, np.append(gaps[2:], [0, 0]) == 1
    counted: IntArray = first.astype(np.int64) + (first & second)
    return counted
