"""Ways to serve a query that stand side by side, with how long each takes and what it holds.

Letters: G grid points of a profile, N queries.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import InvalidInput, StudyError
from recfunnel.core.pipeline import Path
from recfunnel.core.results import LatencyProfile, ProfileSource
from recfunnel.core.spec import Value

TAIL_QUANTILE = 0.99
"""Which quantile of the service time stands beside the median where nothing else is said."""


class ServiceTimes(Value, frozen=True):
    """Service time of one query at one station over its candidates; linear in between.

    Args:
        num_candidates: G, rising, at least 1 each.
        median_s: G, above 0.
        tail_s: G, the time of quantile `tail_quantile`, not below the median.
        tail_quantile: above 0.5 and below 1.
        source: `measured` on this machine or `modelled`.
    """

    num_candidates: tuple[int, ...]
    median_s: tuple[float, ...]
    tail_s: tuple[float, ...]
    tail_quantile: float = TAIL_QUANTILE
    source: ProfileSource = "measured"

    def __post_init__(self) -> None:
        grid = self.num_candidates
        if not grid or len(self.median_s) != len(grid) or len(self.tail_s) != len(grid):
            raise StudyError(
                f"service times have {len(grid)} sizes, {len(self.median_s)} medians and "
                f"{len(self.tail_s)} tails; give one of each, at least 1"
            )
        if grid[0] < 1 or any(b <= a for a, b in pairwise(grid)):
            raise StudyError(f"the sizes of service times must rise from 1 or more, are {grid}")
        pairs = zip(self.median_s, self.tail_s, strict=True)
        if not all(0 < median <= tail < np.inf for median, tail in pairs):
            raise StudyError("service times need a median above 0 and a finite tail not below it")
        if not 0.5 < self.tail_quantile < 1:
            raise StudyError(
                f"the tail quantile is {self.tail_quantile}, must be above 0.5 and below 1"
            )

    def medians_s(self, sizes: IntArray) -> DoubleArray:
        """(N,), median service times of queries with these candidates (N,).

        Raises:
            InvalidInput: a size is outside the grid; nothing is extrapolated.
        """
        return self._at(sizes, self.median_s)

    def tails_s(self, sizes: IntArray) -> DoubleArray:
        """(N,), as `medians_s`, of the tail quantile."""
        return self._at(sizes, self.tail_s)

    def _at(self, sizes: IntArray, values: tuple[float, ...]) -> DoubleArray:
        low, high = self.num_candidates[0], self.num_candidates[-1]
        if sizes.size and not (low <= sizes.min() and sizes.max() <= high):
            raise InvalidInput(
                f"service times are known for {low} to {high} candidates, asked for "
                f"{int(sizes.min())} to {int(sizes.max())}; profile those sizes too"
            )
        return np.interp(sizes, self.num_candidates, values)

    @staticmethod
    def of_samples(
        num_candidates: IntArray,
        seconds: DoubleArray,
        source: ProfileSource,
        tail_quantile: float = TAIL_QUANTILE,
    ) -> "ServiceTimes":
        """Median and tail of samples.

        Args:
            num_candidates: (G,), rising.
            seconds: (G, R), R samples of each.
            source: where they come from.
            tail_quantile: above 0.5 and below 1; the order statistic at or above it.

        Returns:
            The profile.
        """
        median_s, tail_s = np.quantile(seconds, (0.5, tail_quantile), axis=1, method="higher")
        return ServiceTimes(
            num_candidates=tuple(num_candidates.tolist()),
            median_s=tuple(median_s.tolist()),
            tail_s=tuple(tail_s.tolist()),
            tail_quantile=tail_quantile,
            source=source,
        )

    @staticmethod
    def of_profile(profile: LatencyProfile, tail_quantile: float = TAIL_QUANTILE) -> "ServiceTimes":
        """Median and tail of the calls of one model."""
        return ServiceTimes.of_samples(
            profile.batch_sizes, profile.latency_s, profile.source, tail_quantile
        )


class PathStation(Value, frozen=True):
    """Where a query is worked on, and how long.

    Args:
        platform: whose servers; all paths on a platform share them and its one queue.
        service: how long one server takes for one query.
        num_servers: queries the platform works on at once, the same in every path.
    """

    platform: str
    service: ServiceTimes
    num_servers: int = 1

    def __post_init__(self) -> None:
        if self.num_servers < 1:
            raise StudyError(
                f"platform {self.platform!r} has {self.num_servers} servers, needs at least 1"
            )


class ServablePath(Value, frozen=True):
    """One way to serve a query, as a scheduler knows it.

    Args:
        name: unlike that of any path beside it.
        quality: of what it answers, 0 to 1, higher is better.
        stations: in the order a query passes them.
        resident_bytes: (platform, bytes) of what must lie in memory for it.
        path: what is executed; None where it is only simulated.
    """

    name: str
    quality: float
    stations: tuple[PathStation, ...]
    resident_bytes: tuple[tuple[str, int], ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.quality <= 1:
            raise StudyError(f"{self.name!r} has quality {self.quality}, must be 0 to 1")
        if not self.stations:
            raise StudyError(f"{self.name!r} has no station; give at least 1")
        platforms = [platform for platform, _ in self.resident_bytes]
        if len(set(platforms)) < len(platforms) or any(b < 0 for _, b in self.resident_bytes):
            raise StudyError(
                f"{self.name!r} states resident bytes {self.resident_bytes}; give each platform "
                "once, with 0 bytes or more"
            )

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform of each station."""
        return tuple(station.platform for station in self.stations)

    @property
    def source(self) -> ProfileSource:
        """`measured` when every station is."""
        measured = all(station.service.source == "measured" for station in self.stations)
        return "measured" if measured else "modelled"

    def bytes_on(self, platform: str) -> int:
        """Memory it needs on a platform; 0 where it states none."""
        return dict(self.resident_bytes).get(platform, 0)

    def medians_s(self, sizes: IntArray) -> DoubleArray:
        """(N,), sum over stations of the median service times."""
        each = [station.service.medians_s(sizes) for station in self.stations]
        total: DoubleArray = np.sum(each, axis=0)
        return total

    def tails_s(self, sizes: IntArray) -> DoubleArray:
        """(N,), sum over stations of the tails: not below the tail of the sum of dependent times.

        Exact where a query that is slow at one station is as slow at all.
        """
        each = [station.service.tails_s(sizes) for station in self.stations]
        total: DoubleArray = np.sum(each, axis=0)
        return total


class PathMenu(Value, frozen=True):
    """Paths a scheduler may choose from; indices into `paths` mean the same everywhere.

    Args:
        paths: at least one; names differ, and a platform has as many servers in all of them.
    """

    paths: tuple[ServablePath, ...]

    def __post_init__(self) -> None:
        names = [path.name for path in self.paths]
        if not names or len(set(names)) < len(names):
            raise StudyError(f"a menu needs 1 or more paths of different names, has {names}")
        servers: dict[str, int] = {}
        for path in self.paths:
            for station in path.stations:
                known = servers.setdefault(station.platform, station.num_servers)
                if known != station.num_servers:
                    raise StudyError(
                        f"{path.name!r} gives platform {station.platform!r} "
                        f"{station.num_servers} servers, another path {known}; paths share them, "
                        "so state one number"
                    )
        if self.sizes[0] > self.sizes[1]:
            raise StudyError(
                "no number of candidates is profiled for every path: one begins at "
                f"{self.sizes[0]}, another ends at {self.sizes[1]}"
            )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def num_servers(self) -> Mapping[str, int]:
        """Servers of each platform, in order of first mention."""
        return {s.platform: s.num_servers for path in self.paths for s in path.stations}

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most candidates that every path is profiled for."""
        grids = [s.service.num_candidates for path in self.paths for s in path.stations]
        return max(grid[0] for grid in grids), min(grid[-1] for grid in grids)

    def index(self, name: str) -> int:
        """Position of a path.

        Raises:
            StudyError: there is none of that name.
        """
        names = [path.name for path in self.paths]
        if name not in names:
            raise StudyError(f"no path is named {name!r}; known: {', '.join(names)}")
        return names.index(name)
