"""What choosing a query's path means; simulator and engine make these calls.

Letters: P paths, D platforms, M queries.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from recfunnel.core.arrays import BoolArray, DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.registry import Registry
from recfunnel.core.servable import PathMenu

SHED = -1
"""In place of a path: the query is turned away, so that it costs the others nothing."""


@dataclass(eq=False, slots=True)
class Offer:
    """One query and every way to serve it, as things stand. Filled anew for each decision.

    Args:
        num_candidates: what the query brings.
        budget_s: time left until its deadline; negative when it has passed.
        gap_s: since the query before it arrived; 0 when a server is free for it (`starting`).
        starting: a server of its platform takes it now; otherwise it has just arrived.
        planned: the path chosen at its arrival; `SHED` when it has just arrived.
        num_behind: when starting, how many wait behind it on its platform.
        is_open: bool (P,), paths that may be chosen: all at arrival, later those on its platform.
        median_s: (P,), service time on the whole path.
        tail_s: (P,), the same at the profile's tail quantile.
        work_s: (P, D), median service time on each platform.
        wait_s: (P,), predicted waits before its stations.
        backlog_s: (D,), work that waits or runs, without this query, for each server.
        num_idle: int64 (D,), servers with nothing to do.
    """

    num_candidates: int
    budget_s: float
    gap_s: float
    starting: bool
    planned: int
    num_behind: int
    is_open: BoolArray
    median_s: DoubleArray
    tail_s: DoubleArray
    work_s: DoubleArray
    wait_s: DoubleArray
    backlog_s: DoubleArray
    num_idle: IntArray


@dataclass(frozen=True, eq=False, slots=True)
class Conditions:
    """What a policy may know in advance.

    Args:
        deadline_s: from arrival to answer, above 0.
        sizes: int64 (M,), candidates of typical queries, at least one; all within the profiles.
    """

    deadline_s: float
    sizes: IntArray

    def __post_init__(self) -> None:
        if not self.deadline_s > 0:
            raise StudyError(f"the deadline is {self.deadline_s} s, must be above 0")
        if not self.sizes.size or self.sizes.min() < 1:
            raise StudyError("typical query sizes are missing or below 1; give at least one")


class Scheduler(Protocol):
    """A policy. It knows no clock and no thread: all it may look at is handed to it."""

    @property
    def learning(self) -> float:
        """Weight of each observed service time in later predictions, 0 (none) to 1."""
        ...

    @property
    def rechooses(self) -> bool:
        """Whether it is asked again when a server is free for a query that had to wait."""
        ...

    @property
    def patience(self) -> float:
        """Share of the deadline by which a query may start late and its plan still stands.

        Where others wait behind it and it starts no later than that after the start predicted at
        its arrival, nothing is chosen again: a server waits while that is done.
        """
        ...

    def choose(self, offer: Offer) -> int:
        """Pick the path of one query.

        Args:
            offer: to be looked at during this call only; its arrays are used again.

        Returns:
            Index of an open path, or `SHED`.
        """
        ...

    def num_parts(self, offer: Offer, path: int) -> int:
        """Into how many parts the query is cut that idle servers work on at once.

        Args:
            offer: as it was given to `choose`.
            path: what that returned; of one station, on a platform with 2 or more idle servers.

        Returns:
            1 to the number of idle servers.
        """
        ...


class SchedulerSpec:
    """Role of a spec that builds a policy; see `recfunnel.schedule`."""

    __slots__ = ()

    @abstractmethod
    def build(self, menu: PathMenu, conditions: Conditions) -> Scheduler:
        """A policy ready to choose between the paths of a menu; it remembers nothing yet.

        Raises:
            StudyError: the menu lacks a path it names.
        """


class Whole:
    """The plain way for a policy: it trusts the profile, decides at arrival, and never splits."""

    learning = 0.0
    rechooses = False
    patience = 0.0

    def num_parts(self, offer: Offer, path: int) -> int:
        """Always 1.

        Args:
            offer: not looked at.
            path: not looked at.
        """
        del offer, path
        return 1


schedulers: Registry[SchedulerSpec] = Registry(SchedulerSpec, "recfunnel.schedule")
"""Kinds of policy, one file each in `recfunnel.schedule`."""
