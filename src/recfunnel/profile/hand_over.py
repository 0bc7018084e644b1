"""What it costs to hand a query to a station, measured with queries that rank nothing.

Two different things, two profiles. `hand_over` occupies the server for every query: taking it from
the pipe, looking it up, noting the answer. `wake_up` is only paid by a query that finds a server at
rest: the lateness of the load generator and the time a resting process needs to run again; it
delays the query, but no server is busy meanwhile.
"""

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.results import LatencyProfile
from recfunnel.core.seeds import rng_for
from recfunnel.profile.request import HAND_OVER, WAKE_UP, ProfileRequest
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.served import OpenLoad, ServedRun

_RATE_QPS = 1000.0
"""Servers rest about a millisecond in between, as in serving, not so long that caches go cold."""

_ATTEMPTS = 3
_WARMUP = 20
_LEAST_S = 1e-6


def measure_hand_over(
    engine: Engine, request: ProfileRequest, rows: IntArray, num_servers: int, num_threads: int
) -> list[LatencyProfile]:
    """Serve empty queries: all at once to one server, and one by one to resting servers.

    Args:
        engine: replaces what it had prepared.
        request: seed and platform.
        rows: (R,), queries to look up.
        num_servers: that rest.
        num_threads: of each.

    Returns:
        Profiles named `hand_over` and `wake_up`, each with one batch size, 1, and R samples.
    """
    engine.prepare_empty(num_servers=1, num_threads=num_threads)
    burst = _best_run(engine, request, rows, num_threads, gap_s=0.0)
    occupied_s = np.diff(np.sort(burst.latency_s), prepend=0.0)
    occupied_s[0] = np.median(occupied_s)
    engine.prepare_empty(num_servers=num_servers, num_threads=num_threads)
    sparse = _best_run(engine, request, rows, num_threads, gap_s=1 / _RATE_QPS)
    resting_s = sparse.latency_s - np.median(occupied_s)
    return [
        _profile(HAND_OVER, request, num_threads, occupied_s, burst),
        _profile(WAKE_UP, request, num_threads, resting_s, sparse),
    ]


def _best_run(
    engine: Engine, request: ProfileRequest, rows: IntArray, num_threads: int, *, gap_s: float
) -> ServedRun:
    runs: list[ServedRun] = []
    while len(runs) < _ATTEMPTS and not (runs and not runs[-1].polluted):
        rng = rng_for(request.seed, "hand over", num_threads, len(runs))
        asked = np.concatenate([rng.choice(rows, _WARMUP), rows])
        arrival_s = np.cumsum(rng.exponential(gap_s, asked.size))
        runs.append(engine.run(OpenLoad(arrival_s, asked, warmup=_WARMUP)))
    return min(runs, key=lambda run: run.quantile_s(0.5))


def _profile(
    name: str, request: ProfileRequest, num_threads: int, seconds: DoubleArray, run: ServedRun
) -> LatencyProfile:
    return LatencyProfile(
        model=name,
        platform=request.platform,
        num_threads=num_threads,
        batch_sizes=np.array([1], np.int64),
        latency_s=np.maximum(seconds, _LEAST_S)[np.newaxis],
        source="measured",
        notes=(f"polluted: {run.disturbance.words}",) if run.polluted else (),
    )
