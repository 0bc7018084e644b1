"""Several processes that serve one port, kept alive.

All accept from one listening socket: a process that is busy accepts nothing, so connections go to
those that are not. A process that dies is replaced; the others go on.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

from recfunnel.core.errors import WorkerError
from recfunnel.runtime.placement import available_cores, pin
from recfunnel.serve.deployment import read_deployment
from recfunnel.serve.http import serve_until_stopped
from recfunnel.serve.metrics import SHARED_FOLDER, forget_process
from recfunnel.serve.options import Options
from recfunnel.serve.ranking import make_ready

MOST_FAILED_STARTS = 3
"""Processes in a row that may die before they take questions; then there is no point."""

READY = "ready"


class _Worker:
    def __init__(self, process: SpawnProcess, control: "Connection[Any, Any]") -> None:
        self.process, self.control = process, control
        self.is_ready = False


class Supervisor:
    """Starts, watches and ends the processes of one deployment.

    Args:
        place: a plan file or its run folder.
        options: how to serve.
        num_workers: processes.
        cores_each: of each process.
        say: told what happens.
    """

    def __init__(
        self,
        place: Path,
        options: Options,
        num_workers: int,
        cores_each: int,
        say: Callable[[str], None],
    ) -> None:
        self._place, self._options, self._say = place, options, say
        self._num_workers, self._cores_each = num_workers, cores_each
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._workers: dict[int, _Worker] = {}
        self._failed_starts = 0
        self._stopping = False

    def run(self, taken: socket.socket, announce: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM.

        Args:
            taken: the port.
            announce: called once, when every process takes questions.

        Raises:
            WorkerError: processes die again and again before they take questions.
        """
        taken.listen(2048)
        folder = Path(tempfile.mkdtemp(prefix="recfunnel-metrics-"))
        os.environ[SHARED_FOLDER] = str(folder)  # inherited: figures of all processes are one
        for order in (signal.SIGINT, signal.SIGTERM):
            signal.signal(order, lambda *_: self._stop())
        try:
            for number in range(self._num_workers):
                self._start(number, taken)
            self._watch(taken, announce)
        finally:
            self._end()
            os.environ.pop(SHARED_FOLDER, None)
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self, number: int, taken: socket.socket) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=run_worker,
            args=(self._place, self._options, taken, theirs, self._cores_of(number)),
            name=f"worker {number}",
            daemon=True,
        )
        process.start()
        theirs.close()
        self._workers[number] = _Worker(process, ours)

    def _cores_of(self, number: int) -> tuple[int, ...]:
        cores = available_cores()
        first = number * self._cores_each
        return tuple(sorted({cores[(first + i) % len(cores)] for i in range(self._cores_each)}))

    def _watch(self, taken: socket.socket, announce: Callable[[], None]) -> None:
        announced = False
        while not self._stopping:
            heard = [worker.control for worker in self._workers.values()]
            with contextlib.suppress(InterruptedError):
                wait(heard, timeout=0.5)
            for number, worker in list(self._workers.items()):
                self._look_after(number, worker, taken)
            if not announced and all(worker.is_ready for worker in self._workers.values()):
                announced = True
                announce()

    def _look_after(self, number: int, worker: _Worker, taken: socket.socket) -> None:
        """Hear what a process says; replace it when it is dead."""
        with contextlib.suppress(EOFError, OSError):
            while worker.control.poll():
                said = worker.control.recv()
                if said == READY:
                    worker.is_ready, self._failed_starts = True, 0
                else:
                    self._say(f"{worker.process.name}: {said}")
        if worker.process.is_alive() or self._stopping:
            return
        worker.process.join()
        pid, code = worker.process.pid or 0, worker.process.exitcode
        forget_process(pid)
        worker.control.close()
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise WorkerError(
                    f"{worker.process.name} ended ({code}) before it took questions, "
                    f"{self._failed_starts} times in a row; its own message is above"
                )
        self._say(f"{worker.process.name} (process {pid}) ended ({code}); another one takes over")
        self._start(number, taken)

    def _stop(self) -> None:
        self._stopping = True

    def _end(self) -> None:
        for worker in self._workers.values():
            if worker.process.is_alive():
                worker.process.terminate()  # which lets it answer what is under way
        deadline = time.monotonic() + self._options.drain_s + 5.0
        for worker in self._workers.values():
            worker.process.join(max(0.1, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.control.close()


def run_worker(
    place: Path,
    options: Options,
    taken: socket.socket,
    control: "Connection[Any, Any]",
    cores: tuple[int, ...],
) -> None:
    """Entry point of a process: one server of every path.

    Args:
        place: a plan file or its run folder.
        options: how to serve.
        taken: the port, listening.
        control: told when questions are taken.
        cores: to run on.
    """
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    pin(cores)
    ready = make_ready(read_deployment(place).for_one_server(), control.send, options.warm_up_s)
    serve_until_stopped(ready, options, taken, lambda: control.send(READY))


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
