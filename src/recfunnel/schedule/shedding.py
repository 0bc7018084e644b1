"""Any policy, with what cannot be in time turned away: the fair form of a baseline."""

from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Spec
from recfunnel.schedule.base import (
    SHED,
    Conditions,
    Offer,
    Scheduler,
    SchedulerSpec,
    schedulers,
)


@schedulers.register
class SheddingLate(Spec, SchedulerSpec, frozen=True, tag="shedding_late"):
    """Lets a policy choose at arrival, and turns away what its path cannot answer in time.

    A query is given up when predicted wait and median service time exceed what is left until its
    deadline, at arrival and again when a server is free for it.

    Args:
        policy: that chooses; it is not asked again.
    """

    policy: SchedulerSpec

    def build(self, menu: PathMenu, conditions: Conditions) -> Scheduler:
        """The policy around the other one."""
        return _SheddingLate(self.policy.build(menu, conditions))


class _SheddingLate:
    rechooses = True
    patience = 0.0

    def __init__(self, inner: Scheduler) -> None:
        self._inner = inner
        self.learning = inner.learning

    def choose(self, offer: Offer) -> int:
        path = offer.planned if offer.starting else self._inner.choose(offer)
        if path == SHED or offer.wait_s[path] + offer.median_s[path] > offer.budget_s:
            return SHED
        return path

    def num_parts(self, offer: Offer, path: int) -> int:
        return self._inner.num_parts(offer, path)
