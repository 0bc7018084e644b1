"""Placements kept so far, and whether a new one is beaten by one of them in everything."""

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray

NUM_COARSE = 48
"""Coordinates compared first; most pairs differ there already."""


class Archive:
    """A set of (quality, service times) with a fast dominance question.

    A dominates B when its quality is not lower and no coordinate of its service times is higher.

    Args:
        num_coordinates: D, length of every vector of service times.
    """

    def __init__(self, num_coordinates: int) -> None:
        count = min(NUM_COARSE, num_coordinates)
        self._coarse_at = np.linspace(0, num_coordinates - 1, count).astype(np.int64)
        self._quality = np.empty(0)
        self._coarse = np.empty((0, count))
        self._full: list[DoubleArray] = []
        self._size = 0

    def dominates(self, quality: float, times_s: DoubleArray) -> bool:
        """Whether something kept is no worse in quality and in every coordinate (D,)."""
        near = self._candidates(quality, times_s[self._coarse_at])
        return any(bool((self._full[i] <= times_s).all()) for i in np.flatnonzero(near))

    def _candidates(self, quality: float, coarse: DoubleArray) -> BoolArray:
        better = self._quality[: self._size] >= quality
        found: BoolArray = better & (self._coarse[: self._size] <= coarse).all(axis=1)
        return found

    def add(self, quality: float, times_s: DoubleArray) -> None:
        """Keep one more."""
        if self._size == self._quality.size:
            grown = max(64, 2 * self._size)
            self._quality = np.resize(self._quality, grown)
            self._coarse = np.resize(self._coarse, (grown, self._coarse_at.size))
        self._quality[self._size] = quality
        self._coarse[self._size] = times_s[self._coarse_at]
        self._full.append(times_s)
        self._size += 1
