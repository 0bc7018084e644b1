"""Placements kept so far, and whether a new one is beaten by one of them in everything.

Letters: K kept placements, D coordinates.
"""

import numpy as np
from numba import njit

from recfunnel.core.arrays import DoubleArray

_STRIDE = 61
"""Every so-manyth coordinate is compared first: most pairs differ there already."""


@njit(nogil=True, cache=True)
def _any_no_worse(
    kept_quality: DoubleArray, kept_s: DoubleArray, quality: float, times_s: DoubleArray
) -> bool:
    """Whether a row of kept_s (K, D) is nowhere above times_s (D,), at no lower quality."""
    for row in range(kept_quality.size):
        if kept_quality[row] < quality:
            continue
        no_worse = True
        for step in (_STRIDE, 1):
            for column in range(0, times_s.size, step):
                if kept_s[row, column] > times_s[column]:
                    no_worse = False
                    break
            if not no_worse:
                break
        if no_worse:
            return True
    return False


class Archive:
    """A set of (quality, service times) with a fast dominance question.

    A dominates B when its quality is not lower and no coordinate of its service times is higher.

    Args:
        num_coordinates: D, length of every vector of service times.
    """

    def __init__(self, num_coordinates: int) -> None:
        self._quality = np.empty(16)
        self._times_s = np.empty((16, num_coordinates))
        self._size = 0
        self.best_quality = -np.inf
        """Highest of those kept."""

    def dominates(self, quality: float, times_s: DoubleArray) -> bool:
        """Whether something kept is no worse in quality and in every coordinate (D,)."""
        kept = slice(self._size)
        return bool(_any_no_worse(self._quality[kept], self._times_s[kept], quality, times_s))

    def add(self, quality: float, times_s: DoubleArray) -> None:
        """Keep one more."""
        if self._size == self._quality.size:
            self._quality = np.concatenate([self._quality, np.empty_like(self._quality)])
            self._times_s = np.concatenate([self._times_s, np.empty_like(self._times_s)])
        self._quality[self._size] = quality
        self._times_s[self._size] = times_s
        self._size += 1
        self.best_quality = max(self.best_quality, quality)


class Archives:
    """One archive for each number of stations."""

    def __init__(self) -> None:
        self._by_stations: dict[int, Archive] = {}

    def of(self, num_stations: int, num_coordinates: int) -> Archive:
        """The archive of placements with so many stations."""
        if num_stations not in self._by_stations:
            self._by_stations[num_stations] = Archive(num_coordinates)
        return self._by_stations[num_stations]

    def keep_unless_beaten(self, num_stations: int, quality: float, times_s: DoubleArray) -> bool:
        """Add a placement; false, and nothing added, when one kept already beats it."""
        archive = self.of(num_stations, times_s.size)
        if archive.dominates(quality, times_s):
            return False
        archive.add(quality, times_s)
        return True

    def best_quality(self, num_stations: int) -> float:
        """Highest of those kept with so many stations; -inf when there are none."""
        archive = self._by_stations.get(num_stations)
        return -np.inf if archive is None else archive.best_quality
