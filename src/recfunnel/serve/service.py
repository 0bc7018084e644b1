"""Requests inside one process: the plan's scheduler chooses, servers' threads rank.

The scheduler's state lives in the event loop, so nothing is locked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from recfunnel.core.errors import RecfunnelError
from recfunnel.core.servable import PathMenu
from recfunnel.runtime.cascade import Survivors
from recfunnel.runtime.clock import now_s
from recfunnel.runtime.paths_dispatch import Ticks
from recfunnel.schedule.base import Scheduler
from recfunnel.schedule.dispatcher import Dispatcher, Start
from recfunnel.serve.executor import Executor, InTurns, Threads
from recfunnel.serve.loading import LoadedPath
from recfunnel.serve.menu import brought
from recfunnel.serve.questions import Asked


class Overloaded(RecfunnelError):  # noqa: N818 - reads as what happened
    """A question was turned away: it could not have been answered in time."""


class Closed(RecfunnelError):  # noqa: N818 - reads as what happened
    """The service is being shut down."""


@dataclass(frozen=True, eq=False, slots=True)
class Ranked:
    """What became of one question.

    Args:
        survivors: columns best first, and the last stage's scores.
        path: index of the path that was taken; 0 is the plan's own.
        latency_s: from arrival to answer.
        waited_s: of that, before a server began.
        late: whether the deadline had passed.
    """

    survivors: Survivors
    path: int
    latency_s: float
    waited_s: float
    late: bool


_Told = tuple[int, Start]
"""A question's number and what a server was told to do for it."""


@dataclass(eq=False, slots=True)
class _Job:
    asked: Asked
    arrived_s: float
    deadline_s: float
    answer: "asyncio.Future[Ranked]"
    begun_s: float = 0.0
    survivors: Survivors | None = None
    error: Exception | None = None


class Service:
    """Ranks questions on servers' threads.

    Args:
        menu: of the paths, the plan's own first.
        paths: the same paths, loaded.
        policy: that chooses between them.
        deadline_s: of questions that state none.
        cores: for each platform of the menu, for each server, its cores; None lets the event loop
            itself do the work, which takes a menu of one server.
        num_candidates: the most that a question may bring.
    """

    def __init__(
        self,
        menu: PathMenu,
        paths: Sequence[LoadedPath],
        policy: Scheduler,
        deadline_s: float,
        cores: Sequence[Sequence[Sequence[int]]] | None,
        num_candidates: int,
    ) -> None:
        self.menu, self.deadline_s = menu, deadline_s
        self._paths, self._num_candidates = paths, num_candidates
        self._dispatcher = Dispatcher(menu, policy, deadline_s)
        self._first_server = [0, *accumulate(menu.num_servers.values())]
        self._executor = self._made(cores)
        self._ticks = Ticks(now_s())
        self._jobs: dict[int, _Job] = {}
        self._count = 0
        self._closed = False

    def _made(self, cores: Sequence[Sequence[Sequence[int]]] | None) -> Executor[_Told]:
        loop = asyncio.get_running_loop()
        if cores is not None:
            return Threads([server for own in cores for server in own], self._done, loop)
        assert self._first_server == [0, 1], "the loop is one server of one station"
        return InTurns(self._done, loop)

    @property
    def num_unanswered(self) -> int:
        """Questions that wait or are being ranked."""
        return len(self._jobs)

    async def rank(self, asked: Asked, deadline_s: float | None = None) -> Ranked:
        """Answer one question.

        Args:
            asked: what to rank.
            deadline_s: from now; the service's own when None.

        Returns:
            The answer, in time or late.

        Raises:
            Overloaded: it would have been late, so nothing was done.
            Closed: the service is being shut down.
            RecfunnelError: the question does not fit the models.
        """
        if self._closed:
            raise Closed("the service is shutting down; ask another one")
        allowed_s = self.deadline_s
        if deadline_s is not None:
            self._check_deadline(deadline_s, asked.num_candidates)
            allowed_s = deadline_s
        now = self._ticks.now_s()
        number, self._count = self._count, self._count + 1
        job = _Job(asked, now, allowed_s, asyncio.get_running_loop().create_future())
        self._jobs[number] = job
        # The dispatcher gives all the same time; who has less is due earlier.
        due_s = now + allowed_s - self.deadline_s
        self._carry_out(self._dispatcher.arrive(number, asked.num_candidates, now, due_s))
        return await job.answer

    def _check_deadline(self, deadline_s: float, num_candidates: int) -> None:
        """Refuse what would be late on an idle machine: the scheduler weighs load, not wishes."""
        sizes = np.array([num_candidates])
        needed_s = min(float(path.medians_s(sizes)[0]) for path in self.menu.paths)
        if deadline_s < needed_s:
            raise Overloaded(
                f"deadline_ms is {deadline_s * 1e3:g}, the quickest path takes "
                f"{needed_s * 1e3:.3g} ms for {num_candidates} candidates; give it more time"
            )

    async def drain(self, timeout_s: float) -> None:
        """Take nothing more, and wait until everything is answered."""
        self._closed = True
        waiting = [job.answer for job in self._jobs.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)

    def close(self) -> None:
        """End the servers' threads; what is unanswered stays so."""
        self._closed = True
        self._executor.close()

    def _carry_out(self, starts: list[Start]) -> None:
        for number in self._dispatcher.turned_away:
            job = self._jobs.pop(number)
            if not job.answer.done():
                job.answer.set_exception(Overloaded(_too_busy(job)))
        self._dispatcher.turned_away.clear()
        for start in starts:
            job = self._jobs[start.query]
            if not job.begun_s:
                job.begun_s = self._ticks.now_s()
            server = self._first_server[start.platform] + start.server
            self._executor.start(server, self._work(job, start), (start.query, start))

    def _work(self, job: _Job, start: Start) -> "_Work":
        loaded = self._paths[start.path]
        return _Work(job, loaded, start, self._num_candidates)

    def _done(self, told: _Told, error: Exception | None) -> None:
        number, start = told
        now = self._ticks.now_s()
        starts = self._dispatcher.finish(start, now)
        job = self._jobs[number]
        job.error = job.error or error
        if start.station + 1 == len(self._paths[start.path].stations):
            del self._jobs[number]
            self._tell(job, start.path, now)
        self._carry_out(starts)

    def _tell(self, job: _Job, path: int, now: float) -> None:
        if job.answer.done():  # whoever asked has gone
            return
        if job.error is not None:
            job.answer.set_exception(job.error)
            return
        assert job.survivors is not None
        latency_s = now - job.arrived_s
        job.answer.set_result(
            Ranked(
                survivors=job.survivors,
                path=path,
                latency_s=latency_s,
                waited_s=job.begun_s - job.arrived_s,
                late=latency_s > job.deadline_s,
            )
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Work:
    job: _Job
    loaded: LoadedPath
    start: Start
    num_candidates: int

    def __call__(self) -> None:
        """Run one station, in a server's thread; nothing where nobody waits for it any more."""
        job, start = self.job, self.start
        if job.error is not None or job.answer.done():
            return
        asked = brought(
            job.asked.question,
            self.loaded.path.pipeline,
            job.asked.num_candidates,
            self.num_candidates,
        )
        runner = self.loaded.stations[start.station][start.server]
        job.survivors = runner.run(asked, job.survivors)


def _too_busy(job: _Job) -> str:
    return (
        f"overloaded: no path could have answered within {job.deadline_s * 1e3:g} ms; "
        "ask again later or with more time"
    )
