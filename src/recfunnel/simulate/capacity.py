"""The highest load that still meets a deadline, by root finding."""

from collections.abc import Callable

RATE_TOLERANCE = 1e-3
"""Relative: the answer holds the deadline, and a load this much higher does not."""

_MAX_RUNS = 60


def highest_rate_qps(
    tail_s: Callable[[float], float],
    *,
    deadline_s: float,
    bare_tail_s: float,
    limit_qps: float,
    guess_qps: float | None = None,
) -> float:
    """Search the load at which a tail latency, rising with the load, reaches a deadline.

    The root is sought of 1 / tail - 1 / deadline, because near saturation a queue's tail grows as
    1 / (1 - ρ): there its reciprocal is a straight line, and a secant lands close at once. The
    bracket is kept throughout (regula falsi, Illinois variant). On one station the tail rises with
    the load on every sample path; through several servers into a next station it can dip a little,
    and then one of the crossings is found.

    Args:
        tail_s: latency quantile at a load; inf when not steady.
        deadline_s: what the tail may reach.
        bare_tail_s: the tail without any waiting.
        limit_qps: no load at or above it is steady.
        guess_qps: where to look first, if there is a good place.

    Returns:
        Queries a second, below the limit; 0 when the bare tail is late already.
    """
    if bare_tail_s > deadline_s or not limit_qps > 0:
        return 0.0
    low, high = 0.0, limit_qps
    low_slack, high_slack = 1 / bare_tail_s - 1 / deadline_s, -1 / deadline_s
    rate = guess_qps
    for _ in range(_MAX_RUNS):
        nudge = RATE_TOLERANCE * high / 2
        if high - low <= 2 * nudge:
            break
        if rate is None:
            rate = low + (high - low) * low_slack / (low_slack - high_slack)
        rate = min(max(rate, low + nudge), high - nudge)
        slack = 1 / tail_s(rate) - 1 / deadline_s
        if slack >= 0:
            low, low_slack, high_slack = rate, slack, high_slack / 2
        else:
            high, high_slack, low_slack = rate, slack, low_slack / 2
        rate = None
    return low
