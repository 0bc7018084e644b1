"""Replay queries through several paths on several platforms, chosen by a policy, event by event.

Letters: N queries, P paths, S stations of a path.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu, ServiceTimes
from recfunnel.core.workload import check_times
from recfunnel.schedule.base import Scheduler
from recfunnel.schedule.dispatcher import Dispatcher, Start
from recfunnel.schedule.outcome import Events, Outcome

_FINISH, _ARRIVE = 0, 1
"""Rank of events at one instant: a server that becomes free is there for who arrives."""


def simulate_paths(
    menu: PathMenu,
    policy: Scheduler,
    deadline_s: float,
    arrival_s: DoubleArray,
    num_candidates: IntArray,
    service_s: Sequence[DoubleArray],
) -> Outcome:
    """Let every query arrive, be given a path and pass its stations.

    Events at one instant run by rank (finishes before arrivals), then by query. A part of a split
    query takes its query's time in the ratio of the profile's medians at both sizes.

    Args:
        menu: the paths.
        policy: built for this menu, fresh.
        deadline_s: the policy's; nothing stops at it.
        arrival_s: (N,), never falling.
        num_candidates: (N,).
        service_s: for each path (S, N), what each query takes at its stations, above 0.

    Returns:
        What became of each query.

    Raises:
        StudyError: shapes do not match, or a service time is not above 0.
        InvalidInput: a size is outside the profiles.
    """
    check_times(arrival_s)
    _check_service(menu, arrival_s, num_candidates, service_s)
    takes_s = _service_of(menu, num_candidates, service_s)
    run = _Run(Dispatcher(menu, policy, deadline_s), num_candidates, arrival_s, takes_s)
    return run.outcome(arrival_s, arrival_s)


def replay_paths(
    menu: PathMenu,
    policy: Scheduler,
    deadline_s: float,
    due_s: DoubleArray,
    num_candidates: IntArray,
    events: Events,
) -> Outcome:
    """Let what was executed happen again: the same events at the same times.

    Args:
        menu: the paths.
        policy: as the executed run had, fresh.
        deadline_s: the policy's.
        due_s: (N,), when queries were due.
        num_candidates: (N,).
        events: as recorded; each query was seen.

    Returns:
        The outcome, latencies as the dispatcher saw them. Its choices are those of the run.

    Raises:
        StudyError: a query was not seen; such a run was given up.
    """
    if not np.isfinite(events.seen_s).all():
        raise StudyError("the run was given up before every query had arrived; replay a whole one")
    recorded = events.service_s.tolist()

    def takes_s(start: Start) -> float:
        service_s: float = recorded[start.query][start.station + start.part]
        return service_s

    run = _Run(Dispatcher(menu, policy, deadline_s), num_candidates, due_s, takes_s)
    return run.outcome(events.seen_s, due_s)


class _Run:
    """What is written down while a run goes on."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        num_candidates: IntArray,
        due_s: DoubleArray,
        takes_s: Callable[[Start], float],
    ) -> None:
        self._dispatcher, self._takes_s = dispatcher, takes_s
        self._num_candidates, num_queries = num_candidates, num_candidates.size
        self._sizes, self._due_s = num_candidates.tolist(), due_s.tolist()
        self._last = [len(path.stations) - 1 for path in dispatcher.menu.paths]
        self._path = [-1] * num_queries
        self._answered_s = [math.inf] * num_queries
        self._work_s = [0.0] * num_queries
        self._num_parts = [1] * num_queries
        self._parts_done = [0] * num_queries

    def outcome(self, seen_s: DoubleArray, due_s: DoubleArray) -> Outcome:
        """Run all events.

        Args:
            seen_s: (N,), when each query is known.
            due_s: (N,), when its latency begins.
        """
        events: list[tuple[float, int, int, int, Start | None]] = [
            (now_s, _ARRIVE, query, 0, None) for query, now_s in enumerate(seen_s.tolist())
        ]
        while events:
            now_s, _, query, _, done = heapq.heappop(events)
            for start in self._step(now_s, query, done):
                end_s = now_s + self._begun(start)
                heapq.heappush(events, (end_s, _FINISH, start.query, start.part, start))
        return Outcome(
            arrival_s=due_s,
            num_candidates=self._num_candidates,
            path=np.array(self._path),
            latency_s=np.array(self._answered_s) - due_s,
            work_s=np.array(self._work_s),
            num_parts=np.array(self._num_parts),
        )

    def _step(self, now_s: float, query: int, done: Start | None) -> list[Start]:
        """One event; what starts now."""
        if done is None:
            return self._dispatcher.arrive(query, self._sizes[query], now_s, self._due_s[query])
        if done.station == self._last[done.path]:
            self._parts_done[query] += 1
            if self._parts_done[query] == done.num_parts:
                self._answered_s[query] = now_s
        return self._dispatcher.finish(done, now_s)

    def _begun(self, start: Start) -> float:
        """Service time of what starts, noted as work."""
        service_s = self._takes_s(start)
        self._path[start.query], self._num_parts[start.query] = start.path, start.num_parts
        self._work_s[start.query] += service_s
        return service_s


def _service_of(
    menu: PathMenu, num_candidates: IntArray, service_s: Sequence[DoubleArray]
) -> Callable[[Start], float]:
    """Service time of a start by the query, or its share for a part."""
    times_s = [path.tolist() for path in service_s]
    fewest, _ = menu.sizes

    def takes_s(start: Start) -> float:
        whole_s: float = times_s[start.path][start.station][start.query]
        if start.num_parts == 1:
            return whole_s
        service = menu.paths[start.path].stations[start.station].service
        sizes = np.array([max(start.num_candidates, fewest), num_candidates[start.query]])
        part_median_s, median_s = service.medians_s(sizes)
        return float(whole_s * part_median_s / median_s)

    return takes_s


def draw_service(
    menu: PathMenu, num_candidates: IntArray, rng: np.random.Generator
) -> tuple[DoubleArray, ...]:
    """Service times of queries on every path, lognormal through each profile's median and tail.

    A query has the same luck on every path, so that policies are compared on the same queries.

    Args:
        menu: the paths.
        num_candidates: (N,), within the profiles.
        rng: draws.

    Returns:
        For each path (S, N) seconds.
    """
    luck = rng.standard_normal(num_candidates.size)
    return tuple(
        np.stack([_drawn(station.service, num_candidates, luck) for station in path.stations])
        for path in menu.paths
    )


def _drawn(service: ServiceTimes, sizes: IntArray, luck: DoubleArray) -> DoubleArray:
    median_s = service.medians_s(sizes)
    spread = np.log(service.tails_s(sizes) / median_s) / NormalDist().inv_cdf(service.tail_quantile)
    drawn: DoubleArray = median_s * np.exp(spread * luck)
    return drawn


def _check_service(
    menu: PathMenu,
    arrival_s: DoubleArray,
    num_candidates: IntArray,
    service_s: Sequence[DoubleArray],
) -> None:
    wanted = [(len(path.stations), arrival_s.size) for path in menu.paths]
    found = [np.shape(path) for path in service_s]
    if found != wanted or num_candidates.shape != arrival_s.shape:
        raise StudyError(
            f"service times have shapes {found} and sizes {num_candidates.shape} for "
            f"{arrival_s.size} queries; each path needs (stations, queries): {wanted}"
        )
    if not all(path.min() > 0 and path.max() < np.inf for path in service_s):
        raise StudyError("service times must be above 0 and finite")
