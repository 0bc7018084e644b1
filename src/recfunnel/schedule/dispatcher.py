"""Keeps the queues of all platforms and asks a policy which path each query takes.

A pure state machine: it is told what arrives and what finishes, always with the time, and answers
what is to be started now. Simulator and engine carry that out and drive the same object, so the
same events at the same times lead to the same choices.

The platform is settled at arrival. A policy that chooses again picks among the paths that begin on
that platform when one of its servers is free for the query, and may turn it away then.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.servable import PathMenu
from recfunnel.schedule.backlog import Backlog
from recfunnel.schedule.base import SHED, Offer, Scheduler
from recfunnel.schedule.service_table import ServiceTable


class Start(NamedTuple):
    """A server begins to work now.

    Args:
        query: its number.
        path: index in the menu.
        station: position in the path.
        platform: index of the platform, in the order of `menu.num_servers`.
        server: of the platform, from 0.
        part: position among the parts of the query.
        num_parts: 1 for a whole query.
        num_candidates: of this part.
    """

    query: int
    path: int
    station: int
    platform: int
    server: int
    part: int
    num_parts: int
    num_candidates: int


@dataclass(slots=True)
class _Query:
    number: int
    num_candidates: int
    due_s: float
    path: int
    starts_s: float = 0.0
    station: int = 0
    parts_left: int = 1


@dataclass(slots=True)
class _Job:
    query: _Query
    started_s: float
    predicted_s: float


class Dispatcher:
    """The queues of a menu's platforms under a policy.

    Args:
        menu: the paths.
        policy: built for this menu, fresh.
        deadline_s: from a query's due time to its answer.
    """

    def __init__(self, menu: PathMenu, policy: Scheduler, deadline_s: float) -> None:
        self.menu, self.policy, self.deadline_s = menu, policy, deadline_s
        self.table = ServiceTable(menu, policy.learning)
        servers = menu.num_servers
        self._queues: list[Backlog[_Query]] = [Backlog(count) for count in servers.values()]
        self._jobs: dict[tuple[int, int], _Job] = {}
        names = list(servers)
        self._platforms = [[names.index(s.platform) for s in p.stations] for p in menu.paths]
        self._first = np.array([platforms[0] for platforms in self._platforms])
        self._all_open = np.ones(len(menu), np.bool_)
        self._opens_on = [self._first == platform for platform in range(len(names))]
        self._longer = [p for p, places in enumerate(self._platforms) if len(places) > 1]
        self._waits_s = np.zeros(len(names))
        self._last_arrival_s = np.nan
        self.num_unfinished = 0
        """Queries that arrived and are neither answered nor turned away."""
        self.turned_away: list[int] = []
        """Queries turned away, in order; whoever wants to know empties it."""
        self._offer = Offer(
            num_candidates=0,
            budget_s=0.0,
            gap_s=0.0,
            starting=False,
            planned=SHED,
            num_behind=0,
            is_open=self._all_open,
            median_s=self.table.median_s,
            tail_s=self.table.tail_s,
            work_s=self.table.work_s,
            wait_s=np.zeros(len(menu)),
            backlog_s=np.zeros(len(names)),
            num_idle=np.zeros(len(names), np.int64),
        )

    def arrive(
        self, query: int, num_candidates: int, now_s: float, due_s: float | None = None
    ) -> list[Start]:
        """A query arrives.

        Args:
            query: its number, never given before.
            num_candidates: what it brings.
            now_s: not before any earlier event.
            due_s: when it was to arrive; its deadline counts from there. None means now.

        Returns:
            What starts now.

        Raises:
            InvalidInput: the paths are not profiled for this size.
            StudyError: the policy chose a path that is not there.
        """
        own = _Query(query, num_candidates, now_s if due_s is None else due_s, SHED)
        offer = self._fill(own, now_s)
        offer.starting, offer.planned, offer.num_behind = False, SHED, 0
        offer.is_open = self._all_open
        offer.gap_s = 0.0 if np.isnan(self._last_arrival_s) else now_s - self._last_arrival_s
        np.take(self._waits_s, self._first, out=offer.wait_s)
        self._add_later_waits(offer)
        self._last_arrival_s = now_s
        own.path = self._chosen(offer)
        if own.path == SHED:
            self.turned_away.append(query)
            return []
        self.num_unfinished += 1
        platform = self._platforms[own.path][0]
        if not self._queues[platform].takes_at_once:
            own.starts_s = now_s + float(offer.wait_s[own.path])
            self._queues[platform].push(own, self.table.station_median_s(own.path, 0))
            return []
        parts = 1
        if len(self._platforms[own.path]) == 1 and len(self._queues[platform].idle) > 1:
            parts = min(self.policy.num_parts(offer, own.path), num_candidates)
        return self._begin(own, now_s, parts)

    def finish(self, start: Start, now_s: float) -> list[Start]:
        """A server is done with what it was told to start.

        Args:
            start: as it was answered.
            now_s: not before any earlier event.

        Returns:
            What starts now.
        """
        job = self._jobs.pop((start.platform, start.server))
        self._queues[start.platform].finish(start.server)
        if start.num_parts == 1:
            self.table.observe(start.path, job.predicted_s, now_s - job.started_s)
        own = job.query
        own.parts_left -= 1
        woken = [start.platform]
        if own.parts_left == 0:
            if own.station + 1 == len(self._platforms[own.path]):
                self.num_unfinished -= 1
            else:
                woken.append(self._hand_on(own))
        return [
            begun for platform in dict.fromkeys(woken) for begun in self._serve(platform, now_s)
        ]

    def waiting(self) -> list[tuple[int, int]]:
        """(query, path) of all that wait, each on the path it was last given."""
        return [(own.number, own.path) for queue in self._queues for own in queue.waiting()]

    def _hand_on(self, own: _Query) -> int:
        """Let a query wait for its next station; where that is."""
        own.station, own.parts_left = own.station + 1, 1
        platform = self._platforms[own.path][own.station]
        self.table.look(own.num_candidates)
        self._queues[platform].push(own, self.table.station_median_s(own.path, own.station))
        return platform

    def _serve(self, platform: int, now_s: float) -> list[Start]:
        """Give idle servers what waits."""
        queue = self._queues[platform]
        starts: list[Start] = []
        while queue.idle and len(queue):
            own = queue.pop()
            if self._asks_again(own, platform, now_s):
                own.path = self._chosen_again(own, platform, now_s)
                if own.path == SHED:
                    self.num_unfinished -= 1
                    self.turned_away.append(own.number)
                    continue
            starts += self._begin(own, now_s, 1)
        return starts

    def _asks_again(self, own: _Query, platform: int, now_s: float) -> bool:
        """Whether the policy shall look at a query again that a server is free for."""
        if not self.policy.rechooses or own.station:
            return False
        late_s = now_s - own.starts_s
        return not len(self._queues[platform]) or late_s > self.policy.patience * self.deadline_s

    def _chosen_again(self, own: _Query, platform: int, now_s: float) -> int:
        offer = self._fill(own, now_s)
        offer.starting, offer.planned, offer.num_behind = (
            True,
            own.path,
            len(self._queues[platform]),
        )
        offer.is_open, offer.gap_s = self._opens_on[platform], 0.0
        offer.wait_s.fill(0.0)
        self._add_later_waits(offer)
        return self._chosen(offer)

    def _add_later_waits(self, offer: Offer) -> None:
        """Add what queues before later stations hold when a query gets there."""
        for path in self._longer:
            reached_s = offer.wait_s[path]
            for station, platform in enumerate(self._platforms[path]):
                if station:
                    reached_s = max(reached_s, self._waits_s[platform])
                reached_s += self.table.station_median_s(path, station)
            offer.wait_s[path] = reached_s - offer.median_s[path]

    def _fill(self, own: _Query, now_s: float) -> Offer:
        offer = self._offer
        self.table.look(own.num_candidates)
        offer.num_candidates = own.num_candidates
        offer.budget_s = own.due_s + self.deadline_s - now_s
        for platform, queue in enumerate(self._queues):
            offer.backlog_s[platform], self._waits_s[platform] = queue.ahead_s(now_s)
            offer.num_idle[platform] = len(queue.idle)
        return offer

    def _chosen(self, offer: Offer) -> int:
        path = self.policy.choose(offer)
        if path != SHED and not (0 <= path < len(self.menu) and offer.is_open[path]):
            raise StudyError(
                f"the policy chose path {path}, which is not open; choose one of "
                f"{np.flatnonzero(offer.is_open).tolist()}"
            )
        return path

    def _begin(self, own: _Query, now_s: float, num_parts: int) -> list[Start]:
        """Occupy servers of the query's platform."""
        platform = self._platforms[own.path][own.station]
        sizes = [(own.num_candidates + i) // num_parts for i in range(num_parts)]
        own.parts_left = num_parts
        starts = []
        for part, size in enumerate(sizes):
            self.table.look(max(size, self.menu.sizes[0]))
            predicted_s = self.table.station_median_s(own.path, own.station)
            server = self._queues[platform].start(now_s, predicted_s)
            self._jobs[platform, server] = _Job(own, now_s, predicted_s)
            starts.append(
                Start(own.number, own.path, own.station, platform, server, part, num_parts, size)
            )
        return starts
