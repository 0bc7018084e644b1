"""Processes that serve one port, kept alive, and exchanged for those of a new plan.

All accept from one listening socket: a process that is busy accepts nothing, so connections go to
those that are not. A process that dies is replaced while the others go on. On SIGHUP the plan is
read again: new processes load, warm up and begin to accept; only then are the old ones told to
answer what they have and to end. Where the new ones cannot be had, the old ones stay.
"""

import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext
from pathlib import Path

from recfunnel.core.errors import RecfunnelError, WorkerError
from recfunnel.runtime.placement import available_cores
from recfunnel.serve.deployment import Deployment, read_deployment
from recfunnel.serve.metrics import SHARED_FOLDER, forget_process
from recfunnel.serve.options import Options
from recfunnel.serve.worker import Worker, start_worker

MOST_FAILED_STARTS = 3
"""Processes in a row that may die before they take questions; then there is no point."""

_LOOK_S = 0.1


class Supervisor:
    """Starts, watches, exchanges and ends the processes of one port.

    Args:
        place: a plan file or its run folder.
        options: how to serve.
        taken: the port.
        say: told what happens.
    """

    def __init__(
        self, place: Path, options: Options, taken: socket.socket, say: Callable[[str], None]
    ) -> None:
        self._place, self._options, self._taken, self._say = place, options, taken, say
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._serving: list[Worker] = []
        self._coming: list[Worker] = []
        self._leaving: list[Worker] = []
        self._cores_each = 1
        self._failed_starts = 0
        self._told: set[int] = set()

    def run(self, deployment: Deployment, announce: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM.

        Args:
            deployment: as it was read from the place.
            announce: called once, when every process takes questions.

        Raises:
            WorkerError: processes die again and again before they take questions.
        """
        self._taken.listen(2048)
        folder = Path(tempfile.mkdtemp(prefix="recfunnel-metrics-"))
        os.environ[SHARED_FOLDER] = str(folder)  # inherited: figures of all processes are one
        for order in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(order, lambda number, _: self._told.add(number))
        try:
            self._serving = self._generation(deployment)
            self._watch(announce)
        finally:
            self._end()
            os.environ.pop(SHARED_FOLDER, None)
            shutil.rmtree(folder, ignore_errors=True)

    def _generation(self, deployment: Deployment) -> list[Worker]:
        """Start every process of a plan."""
        count, alone = deployment.split(self._options.workers)
        self._cores_each = alone.num_cores
        return [self._start(number) for number in range(count)]

    def _start(self, number: int) -> Worker:
        cores, first = available_cores(), number * self._cores_each
        own = {cores[(first + i) % len(cores)] for i in range(self._cores_each)}
        return start_worker(
            self._context, self._place, self._options, self._taken, number, tuple(sorted(own))
        )

    def _watch(self, announce: Callable[[], None]) -> None:
        announced = False
        while not self._told & {signal.SIGINT, signal.SIGTERM}:
            everyone = [*self._serving, *self._coming, *self._leaving]
            wait([worker.process.sentinel for worker in everyone], timeout=_LOOK_S)
            for worker in everyone:
                for words in worker.hear():
                    self._say(words)
            self._leaving = [worker for worker in self._leaving if not _has_ended(worker)]
            self._serving = [self._replaced(worker) for worker in self._serving]
            if not announced and all(worker.is_ready for worker in self._serving):
                announced = True
                announce()
            self._exchange()

    def _replaced(self, worker: Worker) -> Worker:
        """The worker, or another one when it is dead."""
        if worker.is_ready:
            self._failed_starts = 0
        if not _has_ended(worker):
            return worker
        name, code = worker.process.name, worker.process.exitcode
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise WorkerError(
                    f"{name} ended ({code}) before it took questions, {self._failed_starts} times "
                    "in a row; its own message is above"
                )
        self._say(f"{name} (process {worker.process.pid}) ended ({code}); another one takes over")
        return self._start(worker.number)

    def _exchange(self) -> None:
        """Begin, finish or give up a change of plan."""
        if signal.SIGHUP in self._told and not self._coming:
            self._told.discard(signal.SIGHUP)
            self._begin_exchange()
        if not self._coming:
            return
        if any(_has_ended(worker) for worker in self._coming):
            self._say("the new plan is refused: its processes do not start; the old one stays")
            self._leaving += self._retired(self._coming)
            self._coming = []
        elif all(worker.is_ready for worker in self._coming):
            self._say(f"the new plan serves, with {len(self._coming)} worker(s)")
            self._leaving += self._retired(self._serving)
            self._serving, self._coming = self._coming, []

    def _begin_exchange(self) -> None:
        before = self._cores_each
        try:
            self._coming = self._generation(read_deployment(self._place))
        except RecfunnelError as error:
            self._cores_each = before
            self._say(f"the new plan is refused: {error}; the old one stays")

    @staticmethod
    def _retired(workers: list[Worker]) -> list[Worker]:
        for worker in workers:
            worker.stop()
        return workers

    def _end(self) -> None:
        everyone = self._retired([*self._serving, *self._coming, *self._leaving])
        deadline = time.monotonic() + self._options.drain_s + 5.0
        for worker in everyone:
            worker.process.join(max(0.1, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.control.close()


def _has_ended(worker: Worker) -> bool:
    if worker.process.is_alive():
        return False
    worker.process.join()
    forget_process(worker.process.pid or 0)
    return True
