"""The queries every design is judged by: the same arrivals, sizes and luck for all.

Letters: R replications, S stations, N queries, L size levels, G grid points.
"""

from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.seeds import rng_for
from recfunnel.core.workload import Workload
from recfunnel.plan.service import GRID_SIZE
from recfunnel.simulate.load import WARMUP_SHARE
from recfunnel.simulate.steady import unit_rate_qps

MAX_LEVELS = 16
"""Query sizes are rounded to at most this many levels."""


class CommonDraws:
    """Random numbers drawn once, by name, whatever designs they meet.

    Args:
        workload: arrivals, sizes and how many of them.
        seed: of the study.
    """

    def __init__(self, workload: Workload, seed: int) -> None:
        count, runs = workload.num_queries, range(workload.num_replications)
        self.unit_times: DoubleArray = np.stack(
            [workload.arrivals.unit_times(count, rng_for(seed, "arrivals", r)) for r in runs]
        )
        sizes = np.stack([workload.sizes.fractions(count, rng_for(seed, "sizes", r)) for r in runs])
        self.fractions, levels = size_levels(sizes)
        luck = np.stack([rng_for(seed, "luck", r).integers(GRID_SIZE, size=count) for r in runs])
        self._points: IntArray = levels * GRID_SIZE + luck
        self.warmup = int(WARMUP_SHARE * count)
        self._unit_rates = np.array([unit_rate_qps(times) for times in self.unit_times])
        self._shares = self._counts(self._points) / count
        self._reported = self._counts(self._points[:, self.warmup :])

    @property
    def num_replications(self) -> int:
        """R."""
        return int(self.unit_times.shape[0])

    def service_s(self, curves: Sequence[DoubleArray]) -> DoubleArray:
        """(R, S, N), service times of every query at stations with these curves (L, G)."""
        return np.stack([curve.ravel()[self._points] for curve in curves], axis=1)

    def saturation_qps(self, curves: Sequence[DoubleArray], servers: Sequence[int]) -> DoubleArray:
        """The load from which on some station has more work than it can do, for these very queries.

        Args:
            curves: (L, G) of each station.
            servers: of each station.

        Returns:
            (R,), queries a second; a hair higher to be safe from rounding.
        """
        limits = [
            num_servers / (self._shares @ curve.ravel())
            for curve, num_servers in zip(curves, servers, strict=True)
        ]
        lowest: DoubleArray = np.min(limits, axis=0) / self._unit_rates
        return lowest * (1 + 1e-9)

    def bare_tail_s(self, curves: Sequence[DoubleArray], quantile: float) -> float:
        """The tail latency of these very queries if none ever waited: no load has a shorter one.

        Args:
            curves: (L, G) of each station.
            quantile: of latency.

        Returns:
            Seconds, mean over replications; a hair lower to be safe from rounding.
        """
        total = np.sum([curve.ravel() for curve in curves], axis=0)
        order = np.argsort(total)
        num_reported = self.unit_times.shape[1] - self.warmup
        rank = max(int(np.ceil(quantile * num_reported - 1e-6)), 1)
        reached = np.cumsum(self._reported[:, order], axis=1) >= rank
        return (1 - 1e-9) * float(total[order[reached.argmax(axis=1)]].mean())

    def _counts(self, points: IntArray) -> IntArray:
        """(R, L * G), how many queries drew each point."""
        num_points = GRID_SIZE * self.fractions.size
        return np.stack([np.bincount(row, minlength=num_points) for row in points])


def size_levels(sizes: DoubleArray) -> tuple[DoubleArray, IntArray]:
    """Round sizes to few levels: exact up to 16 different ones, else 16 equally frequent groups.

    Args:
        sizes: any shape, 0 to 1.

    Returns:
        (L,) rising levels (the mean size of each group), and the level of each size.
    """
    values, level = np.unique(sizes, return_inverse=True)
    if values.size <= MAX_LEVELS:
        return values, level.reshape(sizes.shape).astype(np.int64)
    edges = np.unique(np.quantile(sizes, np.arange(1, MAX_LEVELS) / MAX_LEVELS))
    group = np.searchsorted(edges, sizes, side="left").astype(np.int64)
    used, level = np.unique(group, return_inverse=True)
    means = np.array([sizes[group == g].mean() for g in used])
    return means, level.reshape(sizes.shape).astype(np.int64)
