"""One platform's queue: what waits, what runs, and how long that will take.

Nothing here reads a clock; the time is an argument.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

LATE_SHARE = 0.25
"""Of its predicted time: what a server that should be done by now is expected to need still."""

T = TypeVar("T")


@dataclass(slots=True)
class _Running:
    end_s: float
    service_s: float


@dataclass(slots=True)
class Backlog(Generic[T]):
    """A first-come-first-served queue before servers that are alike.

    Args:
        num_servers: at least 1.
    """

    num_servers: int
    idle: list[int] = field(init=False)
    """Servers with nothing to do, a heap: the lowest number is taken first."""
    _waiting: deque[tuple[T, float]] = field(init=False, default_factory=deque)
    _waiting_s: float = field(init=False, default=0.0)
    _running: dict[int, _Running] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.idle = list(range(self.num_servers))

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def takes_at_once(self) -> bool:
        """Whether a query that comes now starts now."""
        return bool(self.idle) and not self._waiting

    def push(self, item: T, service_s: float) -> None:
        """Let something wait that is predicted to take `service_s` of a server."""
        self._waiting.append((item, service_s))
        self._waiting_s += service_s

    def pop(self) -> T:
        """The one that waits longest."""
        item, service_s = self._waiting.popleft()
        self._waiting_s = self._waiting_s - service_s if self._waiting else 0.0
        return item

    def waiting(self) -> list[T]:
        """All that wait, the longest first."""
        return [item for item, _ in self._waiting]

    def start(self, now_s: float, service_s: float) -> int:
        """Give work to the idle server of lowest number; which one that is."""
        server = heapq.heappop(self.idle)
        self._running[server] = _Running(now_s + service_s, service_s)
        return server

    def finish(self, server: int) -> None:
        """A server has nothing to do any more."""
        del self._running[server]
        heapq.heappush(self.idle, server)

    def remaining_s(self, now_s: float) -> list[float]:
        """What each server that works is expected to need still."""
        return [
            r.end_s - now_s if r.end_s > now_s else LATE_SHARE * r.service_s
            for r in self._running.values()
        ]

    def ahead_s(self, now_s: float) -> tuple[float, float]:
        """The backlog of each server, and when a query that comes now will start, from now on.

        Waiting work is thought of as a fluid that fills the servers from the one that is free
        first: exact for one server, and for several within one query's time.
        """
        remaining_s = self.remaining_s(now_s)
        backlog_s = (self._waiting_s + sum(remaining_s)) / self.num_servers
        if self.idle:
            return backlog_s, self._waiting_s / self.num_servers if self._waiting else 0.0
        return backlog_s, self._wait_s(remaining_s)

    def _wait_s(self, remaining_s: list[float]) -> float:
        ends = sorted(remaining_s)
        level, fluid_s = ends[0], self._waiting_s
        for count, end in enumerate(ends[1:], 1):
            if fluid_s <= (end - level) * count:
                return level + fluid_s / count
            fluid_s -= (end - level) * count
            level = end
        return level + fluid_s / self.num_servers
