"""Lets queries arrive on time, asks the dispatcher, starts servers and hears from them.

One process does all of it. It sleeps until the next query is due or a server is done, so a start
follows a finish by the time two small messages take.
"""

import os
import select
from collections.abc import Callable

from recfunnel.runtime.arena import Arena
from recfunnel.runtime.clock import LONGEST_SLEEP_S, now_s
from recfunnel.runtime.paths_messages import DONE, MAX_STEPS, NOBODY, START
from recfunnel.schedule.dispatcher import Dispatcher, Start
from recfunnel.schedule.outcome import TICK_S


class Ticks:
    """Seconds since the start of a run, in ticks, never the same twice.

    Args:
        start_s: on the monotonic clock.
        clock: reads seconds.
    """

    def __init__(self, start_s: float, clock: Callable[[], float] = now_s) -> None:
        self._start_s, self._clock, self._last = start_s, clock, -1

    def now_s(self) -> float:
        """Now, later than whatever was read before."""
        self._last = max(int((self._clock() - self._start_s) / TICK_S), self._last + 1)
        return self._last * TICK_S


class Dispatching:
    """One run.

    Args:
        arena: of the run.
        dispatcher: fresh.
        servers: descriptor to write to for each server; those of a platform stand together.
        first_server: of each platform.
        done: descriptor to read from.
    """

    def __init__(
        self,
        arena: Arena,
        dispatcher: Dispatcher,
        servers: list[int],
        first_server: list[int],
        done: int,
    ) -> None:
        self._arena, self._dispatcher = arena, dispatcher
        self._servers, self._first_server, self._done = servers, first_server, done
        self._running: dict[int, Start] = {}
        self._ticks = Ticks(float(arena["start_s"][0]))
        self._sizes = arena["num_candidates"].tolist()

    def run(self) -> None:
        """Until every query is answered or turned away, or the run is given up."""
        due_s = self._arena["arrival_s"].tolist()
        start_s, give_up_s = float(self._arena["start_s"][0]), float(self._arena["give_up_s"][0])
        query = 0
        while query < len(due_s) or self._running:
            now = now_s()
            if now > give_up_s:
                break
            wait_s = start_s + due_s[query] - now if query < len(due_s) else LONGEST_SLEEP_S
            sleep_s = min(max(wait_s, 0.0), LONGEST_SLEEP_S)
            ready, _, _ = select.select([self._done], [], [], sleep_s)
            if ready:
                self._hear()
            elif query < len(due_s) and now_s() >= start_s + due_s[query]:
                self._arrive(query, due_s[query])
                query += 1
        for number, path in self._dispatcher.waiting():  # given up, but not turned away
            self._arena["path"][number] = path
        while self._running:  # given up; what is said late must not be heard in the next run
            self._running.pop(DONE.unpack(os.read(self._done, DONE.size))[0])
        for server in self._servers:
            os.write(server, START.pack(NOBODY, 0, 0, 0, 0, 0))

    def _arrive(self, query: int, due_s: float) -> None:
        seen_s = self._ticks.now_s()
        self._arena["seen_s"][query] = seen_s
        self._tell(self._dispatcher.arrive(query, self._sizes[query], seen_s, due_s), seen_s)
        self._arena["decision_s"][query] = self._ticks.now_s() - seen_s

    def _hear(self) -> None:
        numbers = os.read(self._done, DONE.size * len(self._servers))
        for (server,) in DONE.iter_unpack(numbers):
            start = self._running.pop(server)
            heard_s = self._ticks.now_s()
            self._tell(self._dispatcher.finish(start, heard_s), heard_s)
            self._arena["heard_s"][start.query, start.station + start.part] = heard_s

    def _tell(self, starts: list[Start], now_s: float) -> None:
        """Start servers.

        Args:
            starts: what the dispatcher answered.
            now_s: the time it was given.
        """
        for start in starts:
            server = self._first_server[start.platform] + start.server
            self._running[server] = start
            os.write(self._servers[server], START.pack(*start[:3], *self._part(start)))
        for start in starts:  # while the servers are at work
            step = start.station + start.part
            assert step < MAX_STEPS
            self._arena["path"][start.query] = start.path
            self._arena["num_parts"][start.query] = start.num_parts
            self._arena["told_s"][start.query, step] = now_s

    def _part(self, start: Start) -> tuple[int, int, int]:
        """Part, its first candidate, how many it has."""
        size = self._sizes[start.query]
        first = sum((size + i) // start.num_parts for i in range(start.part))
        return start.part, first, start.num_candidates
