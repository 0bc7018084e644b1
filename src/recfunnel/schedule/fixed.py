"""Serve every query by the same path."""

from collections.abc import Sequence

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.schedule.base import PathState, Scheduler, SchedulerSpec, schedulers


@schedulers.register
class FixedPath(Spec, SchedulerSpec, frozen=True, tag="fixed"):
    """Always the path of one index, whatever the queues and the budget.

    Args:
        index: position in the serving plan, from 0.
    """

    index: int = 0

    def __post_init__(self) -> None:
        if self.index < 0:
            raise StudyError(f"the fixed path has index {self.index}, must be 0 or more")

    def build(self) -> Scheduler:
        """The spec is its own policy: it remembers nothing."""
        return self

    def choose(self, paths: Sequence[PathState], *, budget_s: float) -> int:
        """Pick the path of one query.

        Args:
            paths: more than `index`.
            budget_s: not looked at.

        Returns:
            `index`.

        Raises:
            StudyError: the plan has no such path.
        """
        del budget_s
        if self.index >= len(paths):
            raise StudyError(
                f"the fixed path has index {self.index} but the plan has {len(paths)} paths; "
                f"choose 0 to {len(paths) - 1}"
            )
        return self.index
