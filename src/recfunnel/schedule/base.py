"""What choosing a query's path means; simulator and server make this call."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from recfunnel.core.errors import StudyError
from recfunnel.core.registry import Registry
from recfunnel.core.spec import Value


class PathState(Value, frozen=True):
    """One way to serve a query, as it stands at this moment.

    Args:
        ndcg: quality of the path, 0 to 1.
        predicted_latency_s: its service time for this query, without waiting; above 0.
        backlog_s: predicted wait before its first stage, 0 or more.
    """

    ndcg: float
    predicted_latency_s: float
    backlog_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.ndcg <= 1:
            raise StudyError(f"a path's NDCG is {self.ndcg}, must be 0 to 1")
        if not self.predicted_latency_s > 0 or not self.backlog_s >= 0:
            raise StudyError(
                f"a path's predicted latency is {self.predicted_latency_s} s and its backlog "
                f"{self.backlog_s} s; must be above 0, and 0 or more"
            )


class Scheduler(Protocol):
    """A policy. It knows no clock and no thread: all it may look at is handed to it."""

    def choose(self, paths: Sequence[PathState], *, budget_s: float) -> int:
        """Pick the path of one query.

        Args:
            paths: at least one, always in the order of the serving plan.
            budget_s: time left until the query's deadline; negative when it has passed.

        Returns:
            Index into `paths`.
        """
        ...


class SchedulerSpec:
    """Role of a spec that builds a policy; see `recfunnel.schedule`."""

    __slots__ = ()

    @abstractmethod
    def build(self) -> Scheduler:
        """A policy ready to choose. One that remembers starts from nothing."""


schedulers: Registry[SchedulerSpec] = Registry(SchedulerSpec, "recfunnel.schedule")
"""Kinds of policy, one file each in `recfunnel.schedule`."""
