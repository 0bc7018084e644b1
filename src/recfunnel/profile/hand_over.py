"""What it costs to hand a query to a station, measured with queries that rank nothing.

It is everything but scoring and selecting: the wake-up of a resting server, looking the query up,
noting the answer, and the lateness of the load generator itself.
"""

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.results import LatencyProfile
from recfunnel.core.seeds import rng_for
from recfunnel.profile.request import HAND_OVER, ProfileRequest
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.served import OpenLoad, ServedRun

_RATE_QPS = 250.0
_ATTEMPTS = 3
_WARMUP = 20


def measure_hand_over(
    engine: Engine, request: ProfileRequest, rows: IntArray, num_servers: int, num_threads: int
) -> LatencyProfile:
    """Serve empty queries at a low load and take their latency.

    Args:
        engine: replaces what it had prepared.
        request: seed and platform.
        rows: (R,), queries to look up.
        num_servers: that wait for queries.
        num_threads: of each.

    Returns:
        A profile named `hand_over` with one batch size, 1, and R samples.
    """
    engine.prepare_empty(num_servers=num_servers, num_threads=num_threads)
    runs: list[ServedRun] = []
    while len(runs) < _ATTEMPTS and not (runs and not runs[-1].polluted):
        rng = rng_for(request.seed, "hand over", num_threads, len(runs))
        asked = np.concatenate([rng.choice(rows, _WARMUP), rows])
        arrival_s = np.cumsum(rng.exponential(1 / _RATE_QPS, asked.size))
        runs.append(engine.run(OpenLoad(arrival_s, asked, warmup=_WARMUP)))
    best = min(runs, key=lambda run: run.quantile_s(0.5))
    return LatencyProfile(
        model=HAND_OVER,
        platform=request.platform,
        num_threads=num_threads,
        batch_sizes=np.array([1], np.int64),
        latency_s=best.latency_s[np.newaxis],
        source="measured",
        notes=(f"polluted: {best.disturbance.words}",) if best.polluted else (),
    )
