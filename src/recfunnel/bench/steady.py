"""Many calls of one machine, one after another: how long the slow ones take, and why.

What the system tells is read around every call: whether it gave the core to another thread, and
whether memory was touched for the first time. Time that the hypervisor takes is told in steps of
10 ms only; it is read around some calls together. Interrupts of the system's timer, which take a
virtual machine some 20 microseconds each, are counted for all calls together.

Letters: N calls.
"""

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import psutil

from recfunnel.bench.interrupts import timer_interrupts
from recfunnel.bench.model import BenchModel
from recfunnel.bench.ours import OurEngine
from recfunnel.bench.process_results import REASONS, Reason, Steadiness
from recfunnel.bench.queries import Workload
from recfunnel.bench.quiet import quiet_calls
from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.runtime import _native

SLOW = 1.5
"""A call is slow from this many medians on."""

TOGETHER = 100
"""Calls around which time taken by the hypervisor is read."""

WARM_CALLS = 200


@dataclass(frozen=True, eq=False, slots=True)
class Calls:
    """What was seen of N calls.

    Args:
        taken_s: (N,), float64.
        switches: (N,), how often the core was given to another thread.
        faults: (N,), pages touched for the first time.
        stolen: (N,), bool: the hypervisor took time around this call.
        allocations: during all of them, in native code; None where that is not counted.
        ticks: of the system's timer on the busiest core, while calls were under way; None where
            they are not counted.
    """

    taken_s: DoubleArray
    switches: IntArray
    faults: IntArray
    stolen: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"
    allocations: int | None
    ticks: int | None


def steady_calls(
    model: BenchModel, ours: OurEngine, workload: Workload, num_calls: int
) -> Steadiness:
    """Score the queries of a workload in turn, compiled and in bfloat16.

    Args:
        model: asked.
        ours: our machines for it.
        workload: on a catalogue.
        num_calls: N.
    """
    machine, _ = ours.machine(workload, "compiled", "bfloat16")
    queries = [
        (workload.context.row(i), workload.candidates[i : i + 1])
        for i in range(workload.num_queries)
    ]
    scores = np.empty((1, workload.candidates.shape[1]), np.float32)

    def call(number: int) -> None:
        context, candidates = queries[number % len(queries)]
        machine.score(context, candidates, None, scores)

    calls = watch(call, num_calls)
    return summary(model.name, scores.size, calls, quiet_calls(call, num_calls))


def watch(call: Callable[[int], object], num_calls: int) -> Calls:
    """Call that many times, after some calls that are not looked at.

    Args:
        call: answers the query of that number.
        num_calls: N.
    """
    for number in range(WARM_CALLS):
        call(number)
    taken_s = np.empty(num_calls)
    switches, faults = np.empty((2, num_calls), np.int64)
    stolen = np.zeros(num_calls, np.bool_)
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    look = resource.getrusage
    allocations, ticks = _native.num_allocations(), timer_interrupts()
    start_s = perf_counter()
    for start in range(0, num_calls, TOGETHER):
        steal_s = _stolen_s()
        stop = min(start + TOGETHER, num_calls)
        for number in range(start, stop):
            before = look(who)
            began = perf_counter()
            call(number)
            taken_s[number] = perf_counter() - began
            after = look(who)
            switches[number] = after.ru_nivcsw - before.ru_nivcsw
            faults[number] = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt
        stolen[start:stop] = _stolen_s() > steal_s
    made = _native.num_allocations() - allocations
    in_calls = float(taken_s.sum()) / (perf_counter() - start_s)
    return Calls(
        taken_s,
        switches,
        faults,
        stolen,
        None if allocations < 0 else made,
        _most_more(ticks, timer_interrupts(), in_calls),
    )


def summary(model: str, num_candidates: int, calls: Calls, quiet_s: DoubleArray) -> Steadiness:
    """Quantiles, and the reasons of slow calls.

    Args:
        model: name of the shape.
        num_candidates: of a query.
        calls: what was seen.
        quiet_s: times of calls that the system left alone; may be empty.
    """
    taken_s, kept = calls.taken_s, calls.switches == 0
    median_s = float(np.median(taken_s))
    slow = taken_s > SLOW * median_s
    conditions = (~kept, calls.faults > 0, calls.stolen, np.ones_like(kept))
    reasons: dict[Reason, int] = {}
    for reason, holds in zip(REASONS, conditions, strict=True):
        reasons[reason] = int((slow & holds).sum())
        slow &= ~holds
    return Steadiness(
        model=model,
        num_candidates=num_candidates,
        num_calls=len(taken_s),
        median_s=median_s,
        p99_s=float(np.quantile(taken_s, 0.99)),
        p99_kept_s=float(np.quantile(taken_s[kept], 0.99)) if kept.any() else float("nan"),
        num_kept=int(kept.sum()),
        quiet_median_s=float(np.median(quiet_s)) if quiet_s.size else None,
        quiet_p99_s=float(np.quantile(quiet_s, 0.99)) if quiet_s.size else None,
        num_quiet=quiet_s.size,
        longest_s=float(taken_s.max()),
        slow=reasons,
        ticks=calls.ticks,
        allocations=calls.allocations,
        page_faults=int(calls.faults.sum()),
    )


def _most_more(before: Sequence[int], after: Sequence[int], share: float) -> int | None:
    more = [late - early for early, late in zip(before, after, strict=True)]
    return round(max(more) * share) if more else None


def _stolen_s() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))
