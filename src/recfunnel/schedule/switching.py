"""One representation on several platforms, each query where it is fastest for its size."""

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Spec
from recfunnel.schedule.base import Conditions, Offer, Scheduler, SchedulerSpec, Whole, schedulers


@schedulers.register
class FastestOf(Spec, SchedulerSpec, frozen=True, tag="fastest_of"):
    """Of the named paths, the one profiled as fastest for the query's size; queues are ignored.

    With the same table on CPU and GPU this is the paper's baseline of CPU-GPU switching: small
    queries stay on the CPU, large ones go to the GPU. Of equally fast ones the first named.

    Args:
        paths: names in the menu; all paths when none is given.
    """

    paths: tuple[str, ...] = ()

    def build(self, menu: PathMenu, conditions: Conditions) -> Scheduler:
        """The policy; conditions are not looked at.

        Raises:
            StudyError: a name is given twice, or the menu lacks it.
        """
        del conditions
        if len(set(self.paths)) < len(self.paths):
            raise StudyError(f"paths to switch between are {self.paths}; name each once")
        named = [menu.index(name) for name in self.paths] or list(range(len(menu)))
        return _FastestOf(named)


class _FastestOf(Whole):
    def __init__(self, indices: list[int]) -> None:
        self._indices = np.array(indices)

    def choose(self, offer: Offer) -> int:
        return int(self._indices[offer.median_s[self._indices].argmin()])
