"""The most accurate path that meets the target; the paper's rule, as recalled.

MP-Rec looks the profiled latency of each path up at the query's size, walks the paths from most to
least accurate and takes the first that meets the target, otherwise the fastest. The paper's text
could not be read for this; the rule is recalled. Whether waiting was counted is not known, so both
forms are here.
"""

import numpy as np

from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Spec
from recfunnel.schedule.base import Conditions, Offer, Scheduler, SchedulerSpec, Whole, schedulers


@schedulers.register
class MostAccurateInTime(Spec, SchedulerSpec, frozen=True, tag="most_accurate_in_time"):
    """From most to least accurate, the first path that answers in time; else the soonest answer.

    Args:
        queue_aware: count the predicted wait and the tail of the service time against the time
            that is left. Otherwise the median service time is held against the whole target, as
            recalled of the paper, and the fallback is the fastest path.
    """

    queue_aware: bool = False

    def build(self, menu: PathMenu, conditions: Conditions) -> Scheduler:
        """The policy."""
        quality = np.array([path.quality for path in menu.paths])
        if self.queue_aware:
            return _QueueAware(quality)
        return _QueueBlind(quality, conditions.deadline_s)


class _QueueBlind(Whole):
    def __init__(self, quality: np.ndarray, deadline_s: float) -> None:
        self._quality, self._deadline_s = quality, deadline_s

    def choose(self, offer: Offer) -> int:
        return _best(self._quality, offer.median_s, self._deadline_s)


class _QueueAware(Whole):
    def __init__(self, quality: np.ndarray) -> None:
        self._quality = quality

    def choose(self, offer: Offer) -> int:
        return _best(self._quality, offer.wait_s + offer.tail_s, offer.budget_s)


def _best(quality: np.ndarray, finish_s: np.ndarray, budget_s: float) -> int:
    """Of the paths in time, that of highest quality, then the soonest; if none, the soonest."""
    in_time = finish_s <= budget_s
    if not in_time.any():
        return int(finish_s.argmin())
    best = quality[in_time].max()
    return int(np.where(in_time & (quality == best), finish_s, np.inf).argmin())
