"""Calls that the system left alone: what a serving core without a timer's ticks would see.

The count of the timer's interrupts is read before and after each call, outside what is timed.
Reading it pushes memory out of the caches, so another call comes between the reading and the timed
one.

Letters: N calls.
"""

import resource
from collections.abc import Callable
from time import perf_counter

import numpy as np

from recfunnel.bench.interrupts import timer_interrupts
from recfunnel.core.arrays import DoubleArray


def quiet_calls(call: Callable[[int], object], num_calls: int) -> DoubleArray:
    """Times of the calls during which no core's timer ticked and the thread kept its core.

    Args:
        call: answers the query of that number.
        num_calls: N, timed; as many again come between.

    Returns:
        Seconds of up to N calls; none where ticks are not counted.
    """
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    taken_s, quiet = np.empty(num_calls), np.zeros(num_calls, np.bool_)
    if not timer_interrupts():
        return taken_s[:0]
    for number in range(num_calls):
        ticks = timer_interrupts()
        call(2 * number)
        switches = resource.getrusage(who).ru_nivcsw
        began = perf_counter()
        call(2 * number + 1)
        taken_s[number] = perf_counter() - began
        kept = resource.getrusage(who).ru_nivcsw == switches
        quiet[number] = kept and timer_interrupts() == ticks
    return taken_s[quiet]
