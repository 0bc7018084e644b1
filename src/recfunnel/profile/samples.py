"""Times of every (call, query) pair, and which of them can be believed.

Letters: L calls (a model at a size), R queries.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """A table that fills up while measuring.

    Args:
        seconds: float64 (L, R); nan where nothing was timed yet.
        clean: bool (L, R), whether the time was taken undisturbed.
    """

    seconds: DoubleArray
    clean: BoolArray

    @staticmethod
    def empty(num_calls: int, num_queries: int) -> "Samples":
        """Nothing timed yet."""
        shape = (num_calls, num_queries)
        return Samples(np.full(shape, np.nan), np.zeros(shape, np.bool_))

    def note(self, places: IntArray, seconds: DoubleArray, clean: BoolArray) -> None:
        """Enter times; a clean one replaces any, a disturbed one only a longer disturbed one.

        Args:
            places: (N,), flat positions in the table, each at most once.
            seconds: (N,).
            clean: (N,).
        """
        old_s, was_clean = self.seconds.ravel()[places], self.clean.ravel()[places]
        better = clean | (~was_clean & ~(old_s <= seconds))
        self.seconds.ravel()[places[better]] = seconds[better]
        self.clean.ravel()[places[better]] = clean[better]

    def open_places(self) -> IntArray:
        """Flat positions that want a clean time."""
        return np.flatnonzero(~self.clean)

    def missing_places(self) -> IntArray:
        """Flat positions without any time."""
        return np.flatnonzero(np.isnan(self.seconds))

    def disturbed_share(self, call: int) -> float:
        """Share of a call's times that were never taken undisturbed."""
        return float(1.0 - self.clean[call].mean())

    def filled(self) -> DoubleArray:
        """(L, R); a time never taken becomes the median of the same call."""
        medians = np.nanmedian(self.seconds, axis=1, keepdims=True)
        filled: DoubleArray = np.where(np.isnan(self.seconds), medians, self.seconds)
        return filled
