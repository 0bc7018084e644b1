"""What no policy can exceed, whatever it knows: an upper bound for the regret.

The best schedule for known arrivals and exact service times is out of reach for more than a handful
of queries. The bound relaxes it: work may be interrupted, spread over the servers of a platform and
done in any order, and a query may take fractions of several paths. Time is cut into slots. What is
left is a linear programme, a query's work being laid into the slots between its arrival and its
deadline. Any prices of the slots bound it from above (Lagrangian duality), so the search for good
prices may stop at any moment and the bound holds. Queries are not split into parts in it.

Letters: N queries, P paths, D platforms, T slots, W slots of a query's window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu

SLOTS_PER_DEADLINE = 10


def quality_bound(
    menu: PathMenu,
    deadline_s: float,
    arrival_s: DoubleArray,
    service_s: Sequence[DoubleArray],
    *,
    achieved: float = 0.0,
    rounds: int = 300,
) -> float:
    """Upper bound of the mean quality delivered in time over all queries, late ones worth 0.

    Args:
        menu: the paths.
        deadline_s: from arrival to answer.
        arrival_s: (N,), never falling.
        service_s: for each path (S, N), exact service times.
        achieved: what some policy delivered; guides the search, and the bound holds without.
        rounds: of improving the prices.

    Returns:
        At least what any schedule without split queries delivers.

    Raises:
        StudyError: there is no query.
    """
    if not arrival_s.size:
        raise StudyError("a bound needs at least one query")
    problem = _Problem.of(menu, deadline_s, arrival_s, service_s)
    prices = problem.flat_prices()
    target = achieved * arrival_s.size
    best, boldness, since = np.inf, 1.0, 0
    for _ in range(rounds):
        value, used = problem.evaluate(prices)
        if value < best - 1e-9 * arrival_s.size:
            best, since = value, 0
        elif (since := since + 1) >= 8:
            boldness, since = boldness / 2, 0
        slope = problem.capacity_s[:, np.newaxis] - used
        norm = float((slope**2).sum())
        if norm == 0.0 or value <= target:
            break
        # Polyak's step towards what is known to be reachable, taken ever more carefully
        prices = np.maximum(prices - boldness * (value - target) / norm * slope, 0.0)
    return best / arrival_s.size


@dataclass(frozen=True, eq=False, slots=True)
class _Problem:
    """The relaxed problem.

    Args:
        quality: (P,).
        work_s: (P, D, N), time each query takes on each platform by each path.
        slots: int64 (N, W), of each query's window; slots after it have no room.
        room_s: (N, W), of the window in each slot.
        capacity_s: (D,), servers' time in a slot.
        num_slots: T.
    """

    quality: DoubleArray
    work_s: DoubleArray
    slots: IntArray
    room_s: DoubleArray
    capacity_s: DoubleArray
    num_slots: int

    @staticmethod
    def of(
        menu: PathMenu, deadline_s: float, arrival_s: DoubleArray, service_s: Sequence[DoubleArray]
    ) -> "_Problem":
        """Cut time into slots."""
        width_s = deadline_s / SLOTS_PER_DEADLINE
        since_s = arrival_s - arrival_s[0]
        first = np.floor(since_s / width_s).astype(np.int64)
        slots = first[:, np.newaxis] + np.arange(SLOTS_PER_DEADLINE + 2)
        begin_s = np.maximum(slots * width_s, since_s[:, np.newaxis])
        end_s = np.minimum((slots + 1) * width_s, since_s[:, np.newaxis] + deadline_s)
        names = list(menu.num_servers)
        work_s = np.zeros((len(menu), len(names), arrival_s.size))
        for number, path in enumerate(menu.paths):
            for station, own_s in zip(path.stations, service_s[number], strict=True):
                work_s[number, names.index(station.platform)] += own_s
        return _Problem(
            quality=np.array([path.quality for path in menu.paths]),
            work_s=work_s,
            slots=slots,
            room_s=np.maximum(end_s - begin_s, 0.0),
            capacity_s=width_s * np.array(list(menu.num_servers.values())),
            num_slots=int(slots.max()) + 1,
        )

    def flat_prices(self) -> DoubleArray:
        """(D, T), the best of some prices that are the same at all times, to begin from."""
        shape = self.capacity_s.size, self.num_slots
        dearest = (
            self.quality.max() / np.maximum(self.work_s.max(axis=1), 1e-12).mean(axis=-1).min()
        )
        flats = [np.full(shape, dearest * share) for share in (0.0, *np.geomspace(0.003, 3.0, 16))]
        return min(flats, key=lambda prices: self.evaluate(prices)[0])

    def evaluate(self, prices: DoubleArray) -> tuple[float, DoubleArray]:
        """The bound at some prices, and what queries would use there.

        Args:
            prices: (D, T), quality for a second of a server, not below 0.

        Returns:
            The bound on the sum of quality, and (D, T) seconds.
        """
        num_paths, num_platforms, num_queries = self.work_s.shape
        filled = np.zeros((num_paths, num_platforms, *self.slots.shape))
        worth = np.repeat(self.quality[:, np.newaxis], num_queries, axis=1)
        for platform in range(num_platforms):
            own = prices[platform][self.slots]
            order = np.argsort(own, axis=1)
            room_s = np.take_along_axis(self.room_s, order, axis=1)
            before_s = np.cumsum(room_s, axis=1) - room_s
            sorted_prices = np.take_along_axis(own, order, axis=1)
            for path in range(num_paths):
                wanted_s = self.work_s[path, platform][:, np.newaxis]
                if not wanted_s.any():
                    continue
                taken_s = np.clip(wanted_s - before_s, 0.0, room_s)
                worth[path] -= (taken_s * sorted_prices).sum(axis=1)
                np.put_along_axis(filled[path, platform], order, taken_s, axis=1)
        window_s = self.room_s.sum(axis=1) * (1 + 1e-9)
        worth[self.work_s.sum(axis=1) > window_s] = -np.inf
        best = worth.argmax(axis=0)
        gain = np.take_along_axis(worth, best[np.newaxis], axis=0)[0]
        taken = gain > 0
        used = np.zeros_like(prices)
        queries = np.flatnonzero(taken)
        for platform in range(num_platforms):
            seconds = filled[best[queries], platform, queries]
            used[platform] = np.bincount(
                self.slots[queries].ravel(), seconds.ravel(), minlength=self.num_slots
            )
        value = float(gain[taken].sum() + (prices.sum(axis=1) * self.capacity_s).sum())
        return value, used
