"""Whether a run tells about a steady state at all.

A first-come-first-served tandem is stable when every station is offered less work than it can do:
ρ = arrival rate · mean service time / servers < 1 (Loynes, 1962). One run of N queries knows its
own ρ only to a relative standard error of about sqrt((CV²(gaps) + CV²(service)) / N), so a load is
called steady when ρ is below 1 by at least two of those, and when the latency of this very run did
not go on growing to its end. Gaps that depend on each other (bursts, days) make ρ less certain than
the formula says; the growth is what tells a run that ended in such a burst.
"""

import numpy as np

from recfunnel.core.arrays import DoubleArray

NUM_STANDARD_ERRORS = 2.0
"""How far below 1 the offered load must be."""

MAX_GROWTH = 0.02
"""Seconds by which latency may grow each second; a load g above capacity makes it grow by g."""


def unit_rate_qps(unit_times: DoubleArray) -> float:
    """Mean rate of arrivals (N,) seen in them; inf when they span no time."""
    span_s = float(unit_times[-1] - unit_times[0])
    return (unit_times.size - 1) / span_s if span_s > 0 else np.inf


def stable_rate_qps(
    unit_times: DoubleArray, service_s: DoubleArray, num_servers: tuple[int, ...]
) -> float:
    """The load from which on a run can no longer be told from an overloaded one.

    Args:
        unit_times: (N,), arrivals at a nominal rate of 1 query/s.
        service_s: (S, N), service times by query.
        num_servers: S counts.

    Returns:
        Nominal queries a second; runs at or above it are not steady. 0 when arrivals span no time.
    """
    rate_qps = unit_rate_qps(unit_times)
    if not np.isfinite(rate_qps):
        return 0.0
    gap_noise = float(np.var(np.diff(unit_times))) * rate_qps**2
    mean_s = service_s.mean(axis=1)
    service_noise = service_s.var(axis=1) / mean_s**2
    noise = np.sqrt((gap_noise + service_noise) / unit_times.size)
    demand = rate_qps * mean_s / np.array(num_servers)
    return float(1 / (demand * (1 + NUM_STANDARD_ERRORS * noise)).max())


def latency_growth(arrival_s: DoubleArray, latency_s: DoubleArray) -> float:
    """Seconds of latency gained each second, from the first half of a run to its second.

    Args:
        arrival_s: (N,), in rising order.
        latency_s: (N,).

    Returns:
        The growth; 0 for fewer than 2 queries or when all arrive at once.
    """
    half = arrival_s.size // 2
    passed_s = float(arrival_s[half:].mean() - arrival_s[:half].mean()) if half else 0.0
    if passed_s <= 0:
        return 0.0
    return float(latency_s[half:].mean() - latency_s[:half].mean()) / passed_s
