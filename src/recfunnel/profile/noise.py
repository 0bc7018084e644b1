"""Which times to believe, and how to say what disturbed the others."""

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray
from recfunnel.runtime.messages import Timed
from recfunnel.runtime.noise import Disturbance

SPREAD_LIMIT = 0.5
"""Spread of the same call on the same query, relative to its median, above which it is said."""


def clean_calls(timed: Timed, disturbance: Disturbance) -> BoolArray:
    """Which calls of a round were undisturbed.

    A call is disturbed when its thread lost its core meanwhile, or when the whole round ran while
    the hypervisor or other programs took a noticeable share of the machine.

    Args:
        timed: N calls of one server.
        disturbance: of the machine during the round.

    Returns:
        (N,).
    """
    if disturbance.polluted:
        return np.zeros(timed.seconds.size, np.bool_)
    return ~timed.disturbed


def spread(first_s: DoubleArray, second_s: DoubleArray) -> float:
    """Median relative difference between two times of the same calls on the same queries.

    Args:
        first_s: (R,).
        second_s: (R,).

    Returns:
        0 when they repeat exactly; nan when nothing was timed twice.
    """
    if not first_s.size:
        return float("nan")
    return float(np.median(np.abs(first_s - second_s) / np.minimum(first_s, second_s)))


def words(disturbed_share: float, rounds: list[Disturbance]) -> tuple[str, ...]:
    """Notes for people, empty when all was quiet.

    Args:
        disturbed_share: of the samples kept, taken while disturbed.
        rounds: of the measurement.

    Returns:
        One line a fact.
    """
    notes = []
    if disturbed_share > 0.01:
        notes.append(f"{disturbed_share:.0%} of the samples were taken while disturbed")
    polluted = [r for r in rounds if r.polluted]
    if rounds and len(polluted) > 0.1 * len(rounds):
        worst = max(polluted, key=lambda r: r.steal_share + r.foreign_share)
        notes.append(f"{len(polluted)} of {len(rounds)} rounds polluted, worst: {worst.words}")
    return tuple(notes)
