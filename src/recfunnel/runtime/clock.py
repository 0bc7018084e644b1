"""The one clock of real runs: monotonic, in seconds, the same in every process of a machine."""

import time

LONGEST_SLEEP_S = 0.05
"""Whoever sleeps looks this often whether the run was cancelled."""


def now_s() -> float:
    """Seconds on the monotonic clock."""
    return time.monotonic_ns() * 1e-9


def sleep_until(deadline_s: float) -> bool:
    """Sleep towards a reading of the clock, at most `LONGEST_SLEEP_S`.

    Returns:
        Whether it has come.
    """
    delay_s = deadline_s - now_s()
    if delay_s <= 0:
        return True
    time.sleep(min(delay_s, LONGEST_SLEEP_S))
    return delay_s <= LONGEST_SLEEP_S
