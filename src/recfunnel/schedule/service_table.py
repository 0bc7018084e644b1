"""Service times of all paths of a menu at one query size, quickly, corrected by what was observed.

Letters: G grid points, K stations of all paths, P paths, D platforms.
"""

import math
from bisect import bisect_right
from typing import Any

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.servable import PathMenu

_MOST = math.log(100.0)
"""Logarithm of the largest ratio of observed to profiled time that is believed."""


class ServiceTable:
    """One row of numbers for each size, linear between the sizes that any profile has.

    Every profile is linear between its own sizes, so the union of all sizes is exact. `look` fills
    the arrays below, which are views of one row.

    Args:
        menu: the paths.
        learning: weight of a new observation, 0 to 1.
    """

    median_s: DoubleArray
    """(P,), the whole path."""
    tail_s: DoubleArray
    """(P,), the whole path."""
    station_s: DoubleArray
    """(K,), median of each station; path p's are from `first_station[p]` on."""
    work_s: DoubleArray
    """(P, D), median on each platform."""

    def __init__(self, menu: PathMenu, learning: float = 0.0) -> None:
        self.platforms = tuple(menu.num_servers)
        self.first_station: list[int] = []
        self._learning = learning
        self._range = menu.sizes
        self._grid, self._rows, self._path_of = self._tabulate(menu)
        self._row = np.empty(self._rows.shape[1])
        self._steps = np.diff(self._rows, axis=0)
        self._log_ratio = [0.0] * len(menu)
        self._ratios = np.ones(self._rows.shape[1])
        self._columns = [np.flatnonzero(self._path_of == path) for path in range(len(menu))]
        self._looked = 0  # the size that the row is of; 0 for none
        self._see_row()

    def _see_row(self) -> None:
        """Make the arrays that callers read: parts of the one row that `look` fills."""
        num_paths, num_stations = len(self._columns), self._num_stations
        self.median_s = self._row[:num_paths]
        self.tail_s = self._row[num_paths : 2 * num_paths]
        self.station_s = self._row[2 * num_paths : 2 * num_paths + num_stations]
        self.work_s = self._row[2 * num_paths + num_stations :].reshape(num_paths, -1)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy's arrays are parts of its own row, not copies of what they showed."""
        self.__dict__.update(state)
        self._see_row()

    def look(self, num_candidates: int) -> None:
        """Fill the arrays for a query of this size.

        Raises:
            InvalidInput: not every path was profiled for it.
        """
        if num_candidates == self._looked:
            return
        low, high = self._range
        if not low <= num_candidates <= high:
            raise InvalidInput(
                f"the paths are profiled for {low} to {high} candidates, a query has "
                f"{num_candidates}; profile that size too, or cut it"
            )
        left = min(bisect_right(self._grid, num_candidates) - 1, len(self._grid) - 2)
        if left < 0:
            np.copyto(self._row, self._rows[0])
        else:
            before, after = self._grid[left], self._grid[left + 1]
            share = (num_candidates - before) / (after - before)
            np.multiply(self._steps[left], share, out=self._row)
            np.add(self._row, self._rows[left], out=self._row)
        if self._learning:
            np.multiply(self._row, self._ratios, out=self._row)
        self._looked = num_candidates

    def station_median_s(self, path: int, station: int) -> float:
        """Median at one station of a path, for the size that was looked up."""
        return float(self.station_s[self.first_station[path] + station])

    def ratio(self, path: int) -> float:
        """Observed service time of a path over the profiled one, as learned; 1 before any."""
        return math.exp(self._log_ratio[path])

    def observe(self, path: int, predicted_s: float, service_s: float) -> None:
        """Learn from one finished station.

        Logarithms are averaged, so that the ratio follows the median and the tail keeps its
        distance from it.

        Args:
            path: index in the menu.
            predicted_s: its median when it started, corrected as it was then.
            service_s: what it took; not above 0 is ignored.
        """
        if not self._learning or not service_s > 0:
            return
        surprise = math.log(service_s / predicted_s)
        moved = self._log_ratio[path] + self._learning * surprise
        self._log_ratio[path] = min(max(moved, -_MOST), _MOST)
        self._ratios[self._columns[path]] = self.ratio(path)
        self._looked = 0

    def _tabulate(self, menu: PathMenu) -> tuple[list[int], DoubleArray, DoubleArray]:
        low, high = menu.sizes
        known = {low, high}
        for path in menu.paths:
            for station in path.stations:
                known.update(n for n in station.service.num_candidates if low < n < high)
        grid = np.array(sorted(known))
        medians = [s.service.medians_s(grid) for path in menu.paths for s in path.stations]
        where = [(p, s.platform) for p, path in enumerate(menu.paths) for s in path.stations]
        work = np.zeros((len(menu), len(self.platforms), grid.size))
        for (owner, platform), station_s in zip(where, medians, strict=True):
            work[owner, self.platforms.index(platform)] += station_s
        paths = list(range(len(menu)))
        owners = [path for path, _ in where]
        self.first_station = [owners.index(path) for path in paths]
        self._num_stations = len(owners)
        rows = np.vstack(
            [
                [path.medians_s(grid) for path in menu.paths],
                [path.tails_s(grid) for path in menu.paths],
                medians,
                work.reshape(-1, grid.size),
            ]
        )
        path_of = np.concatenate([paths, paths, owners, np.repeat(paths, len(self.platforms))])
        return grid.tolist(), np.ascontiguousarray(rows.T), path_of
