"""Serve every query by the same path."""

from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Spec
from recfunnel.schedule.base import Conditions, Offer, Scheduler, SchedulerSpec, Whole, schedulers


@schedulers.register
class FixedPath(Spec, SchedulerSpec, frozen=True, tag="fixed"):
    """Always the path of one index, whatever the queues and the budget.

    Args:
        index: position in the menu, from 0.
    """

    index: int = 0

    def __post_init__(self) -> None:
        if self.index < 0:
            raise StudyError(f"the fixed path has index {self.index}, must be 0 or more")

    def build(self, menu: PathMenu, conditions: Conditions) -> Scheduler:
        """The policy; conditions are not looked at.

        Raises:
            StudyError: the menu has no such path.
        """
        del conditions
        if self.index >= len(menu):
            raise StudyError(
                f"the fixed path has index {self.index} but the menu has {len(menu)} paths; "
                f"choose 0 to {len(menu) - 1}"
            )
        return _Fixed(self.index)


class _Fixed(Whole):
    def __init__(self, index: int) -> None:
        self._index = index

    def choose(self, offer: Offer) -> int:
        del offer
        return self._index
