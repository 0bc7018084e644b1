"""The question: which paths to keep ready on which platforms, for which load.

Letters: P candidate paths, D platforms, K classes of query sizes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu, ServablePath
from recfunnel.core.spec import Value
from recfunnel.core.workload import ServiceLevel


class MemoryPart(Value, frozen=True):
    """Something that must lie in a platform's memory, once however many paths use it.

    Args:
        platform: where.
        name: such as a model's.
        num_bytes: 0 or more.
    """

    platform: str
    name: str
    num_bytes: int

    def __post_init__(self) -> None:
        if self.num_bytes < 0:
            raise StudyError(f"part {self.name!r} has {self.num_bytes} bytes, must be 0 or more")


class PathCandidate(Value, frozen=True):
    """A path that may be kept ready.

    Args:
        path: with quality, service times and bytes.
        parts: what it needs in memory, where some of it is shared with other paths; when empty its
            resident bytes are its own.
    """

    path: ServablePath
    parts: tuple[MemoryPart, ...] = ()

    @property
    def memory(self) -> tuple[MemoryPart, ...]:
        """What must lie in memory for it."""
        return self.parts or tuple(
            MemoryPart(platform=platform, name=self.path.name, num_bytes=num_bytes)
            for platform, num_bytes in self.path.resident_bytes
        )


class LoadLevel(Value, frozen=True):
    """A rate and how much of the time it holds.

    Args:
        rate_qps: queries a second, above 0.
        weight: relative to those of the other levels, above 0.
    """

    rate_qps: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.rate_qps > 0 and self.weight > 0):
            raise StudyError(
                f"a load of {self.rate_qps} queries/s with weight {self.weight}: both must be "
                "above 0"
            )


class PathTarget(Value, frozen=True):
    """What the set of paths is chosen for.

    Args:
        loads: every one must be carried; the objective is the weighted mean over them.
        service_level: a query takes a path only if its service time's quantile leaves room.
        wait_share: of the deadline, kept for waiting, 0 to below 1.
        utilisation_limit: how busy a platform may be planned, above 0 and below 1.
    """

    loads: tuple[LoadLevel, ...]
    service_level: ServiceLevel
    wait_share: float = 0.2
    utilisation_limit: float = 0.8

    def __post_init__(self) -> None:
        if not self.loads:
            raise StudyError("a target needs at least one load")
        if not 0 <= self.wait_share < 1:
            raise StudyError(f"wait_share is {self.wait_share}, must be 0 to below 1")
        if not 0 < self.utilisation_limit < 1:
            raise StudyError(
                f"utilisation_limit is {self.utilisation_limit}, must be above 0 and below 1"
            )

    @property
    def service_budget_s(self) -> float:
        """Longest service time that is planned with."""
        return (1 - self.wait_share) * self.service_level.deadline_s


class SizeClass(Value, frozen=True):
    """Queries of about the same size.

    Args:
        weight: share of all queries, above 0.
        sizes: candidates of sample queries, rising; the largest decides about the deadline.
    """

    weight: float
    sizes: tuple[int, ...]

    @property
    def largest(self) -> int:
        """Candidates of the largest query."""
        return self.sizes[-1]


def size_classes(sizes: IntArray, num_classes: int = 8) -> tuple[SizeClass, ...]:
    """Cut sample queries into classes of equal share, smallest first.

    Queries of one size never fall into two classes.

    Args:
        sizes: (N,), candidates of each sample query.
        num_classes: at most so many.

    Raises:
        StudyError: no query, or one without candidates.
    """
    if not sizes.size or sizes.min() < 1 or num_classes < 1:
        raise StudyError(
            f"{sizes.size} sample queries in {num_classes} classes: there must be at least one of "
            "each, and every query needs a candidate"
        )
    ordered = np.sort(sizes)
    ends = ordered[[-(-(i + 1) * ordered.size // num_classes) - 1 for i in range(num_classes)]]
    edges = np.unique(ends)
    member = np.searchsorted(edges, ordered)
    return tuple(
        SizeClass(weight=float((member == k).mean()), sizes=tuple(ordered[member == k].tolist()))
        for k in range(edges.size)
    )


@dataclass(frozen=True, eq=False)
class PathProblem:
    """Everything the choice depends on.

    Args:
        candidates: with different names.
        memory_bytes: of each platform.
        classes: of query sizes; weights add up to 1.
        target: load, deadline, utilisation.
    """

    candidates: tuple[PathCandidate, ...]
    memory_bytes: Mapping[str, int]
    classes: tuple[SizeClass, ...]
    target: PathTarget
    _part_bytes: dict[tuple[str, str], int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        PathMenu(paths=tuple(c.path for c in self.candidates))
        if abs(sum(c.weight for c in self.classes) - 1) > 1e-9:
            raise StudyError("the weights of the classes of query sizes must add up to 1")
        for candidate in self.candidates:
            self._check(candidate)

    def _check(self, candidate: PathCandidate) -> None:
        path, wanted = candidate.path, self.target.service_level.quantile
        for station in path.stations:
            self._check_platform(path.name, station.platform)
            if station.service.tail_quantile < wanted:
                raise StudyError(
                    f"{path.name!r} is profiled to its {station.service.tail_quantile:g} quantile "
                    f"on {station.platform!r}, the service level promises {wanted:g}; profile it "
                    "to that quantile"
                )
        for part in candidate.memory:
            self._check_platform(path.name, part.platform)
            key = part.platform, part.name
            if self._part_bytes.setdefault(key, part.num_bytes) != part.num_bytes:
                raise StudyError(
                    f"part {part.name!r} has {self._part_bytes[key]} and {part.num_bytes} bytes on "
                    f"{part.platform!r}; state one size"
                )

    def _check_platform(self, path: str, platform: str) -> None:
        if platform not in self.memory_bytes:
            raise StudyError(
                f"{path!r} uses platform {platform!r}, whose memory is not stated; known: "
                f"{', '.join(self.memory_bytes)}"
            )

    @cached_property
    def platforms(self) -> tuple[str, ...]:
        """D platforms that some candidate is served on."""
        return tuple(self._servers)

    @cached_property
    def _servers(self) -> Mapping[str, int]:
        return PathMenu(paths=tuple(c.path for c in self.candidates)).num_servers

    @cached_property
    def servers(self) -> DoubleArray:
        """(D,), queries each platform works on at once."""
        return np.array([float(self._servers[name]) for name in self.platforms])

    @cached_property
    def weights(self) -> DoubleArray:
        """(K,), share of each class."""
        return np.array([c.weight for c in self.classes])

    @cached_property
    def quality(self) -> DoubleArray:
        """(P,)."""
        return np.array([c.path.quality for c in self.candidates])

    @cached_property
    def busy_s(self) -> DoubleArray:
        """(P, D, K), mean over a class of the median time a query keeps a platform's server."""
        found = np.zeros((len(self.candidates), len(self.platforms), len(self.classes)))
        counts = np.array([len(one.sizes) for one in self.classes])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        sizes = np.array([size for one in self.classes for size in one.sizes])
        for p, candidate in enumerate(self.candidates):
            for station in candidate.path.stations:
                times_s = np.add.reduceat(station.service.medians_s(sizes), starts)
                found[p, self.platforms.index(station.platform)] += times_s / counts
        return found

    @cached_property
    def tail_s(self) -> DoubleArray:
        """(P, K), tail of the service time of the largest query of each class."""
        largest = np.array([c.largest for c in self.classes])
        return np.stack([c.path.tails_s(largest) for c in self.candidates])

    @cached_property
    def in_time(self) -> BoolArray:
        """(P, K), whether a class may take a path."""
        return self.tail_s <= self.target.service_budget_s

    def bytes_of(self, chosen: Iterable[int]) -> dict[str, int]:
        """Memory of a set of candidates on each platform, shared parts once."""
        parts = {(m.platform, m.name): m for p in chosen for m in self.candidates[p].memory}
        used = dict.fromkeys(self.memory_bytes, 0)
        for part in parts.values():
            used[part.platform] += part.num_bytes
        return used

    def fits(self, chosen: Iterable[int]) -> bool:
        """Whether a set of candidates fits every memory."""
        used = self.bytes_of(chosen)
        return all(used[name] <= limit for name, limit in self.memory_bytes.items())

    def names(self, chosen: Sequence[int]) -> tuple[str, ...]:
        """Names of a set of candidates."""
        return tuple(self.candidates[p].path.name for p in chosen)
