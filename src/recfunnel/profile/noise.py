"""Which times to believe, and how to say what disturbed the others."""

import numpy as np

from recfunnel.core.arrays import BoolArray
from recfunnel.runtime.messages import Timed
from recfunnel.runtime.noise import Disturbance


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


def words(
    disturbed_share: float, missing_share: float, rounds: list[Disturbance]
) -> tuple[str, ...]:
    """Notes for people, empty when all was quiet.

    Args:
        disturbed_share: of the samples, taken while disturbed.
        missing_share: of the samples, never taken for want of time.
        rounds: of the measurement.

    Returns:
        One line a fact.
    """
    notes = []
    if disturbed_share > 0.01:
        notes.append(f"{disturbed_share:.0%} of the samples were taken while disturbed")
    if missing_share > 0:
        notes.append(f"{missing_share:.0%} of the samples were not taken in time; medians instead")
    polluted = [r for r in rounds if r.polluted]
    if rounds and len(polluted) > 0.1 * len(rounds):
        worst = max(polluted, key=lambda r: r.steal_share + r.foreign_share)
        notes.append(f"{len(polluted)} of {len(rounds)} rounds polluted, worst: {worst.words}")
    return tuple(notes)
