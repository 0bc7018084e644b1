"""What a run's shared memory is filled with before, and read from after.

Letters: N queries, S stations.
"""

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.runtime.arena import Arena
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.noise import Disturbance
from recfunnel.runtime.served import OpenLoad, ServedRun

_LEAD_S = 0.1
"""Between telling everybody and the first query."""


def write_schedule(arena: Arena, load: OpenLoad, drain_s: float) -> float:
    """Fill in who asks when, starting a moment from now.

    Args:
        arena: of the run.
        load: queries and their times.
        drain_s: after the last arrival, how long queries may still be answered.

    Returns:
        When the run is given up, on the monotonic clock.
    """
    for name in ("lag_s", "begin_s", "finish_s"):
        arena[name][...] = np.nan
    arena["answer"][...] = -1
    arena["arrival_s"][:] = load.arrival_s
    arena["query_rows"][:] = load.query_rows
    arena["fraction"][:] = 1.0 if load.fraction is None else load.fraction
    start_s = now_s() + _LEAD_S
    give_up_s = start_s + float(load.arrival_s[-1]) + drain_s
    arena["start_s"][0], arena["give_up_s"][0] = start_s, give_up_s
    return give_up_s


def read_run(
    arena: Arena,
    load: OpenLoad,
    num_servers: tuple[int, ...],
    disturbed: Disturbance,
    notes: tuple[str, ...],
) -> ServedRun:
    """What happened, warm-up left out.

    Args:
        arena: of the run, when all processes are done with it.
        load: that was served.
        num_servers: (S,).
        disturbed: the machine meanwhile.
        notes: what could not be had.

    Returns:
        The run.
    """
    kept = slice(load.warmup, None)
    due_s = arena["start_s"][0] + load.arrival_s[kept]
    finish_s = arena["finish_s"][:, kept]
    service_s = finish_s - arena["begin_s"][:, kept]
    answered = np.isfinite(finish_s[-1])
    latency_s = np.where(answered, finish_s[-1] - due_s, np.inf)
    span_s = _span_s(finish_s[-1][answered])
    throughput_qps = (np.count_nonzero(answered) - 1) / span_s if span_s else 0.0
    busy_s = np.nansum(service_s, axis=1)
    counts = np.array(num_servers)
    utilisation = busy_s / (counts * span_s) if span_s else np.zeros(counts.size)
    return ServedRun(
        arrival_s=load.arrival_s[kept],
        latency_s=latency_s,
        service_s=service_s,
        lag_s=arena["lag_s"][kept].copy(),
        answers=arena["answer"][kept].copy(),
        throughput_qps=float(throughput_qps),
        utilisation=tuple(float(share) for share in utilisation),
        disturbance=disturbed,
        notes=notes,
    )


def _span_s(times_s: DoubleArray) -> float:
    return float(times_s.max() - times_s.min()) if times_s.size > 1 else 0.0
