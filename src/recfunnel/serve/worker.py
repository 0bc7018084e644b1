"""One process that serves, and what its supervisor sees of it."""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

import threadpoolctl

from recfunnel.core.errors import RecfunnelError
from recfunnel.runtime.placement import pin
from recfunnel.serve.deployment import read_deployment
from recfunnel.serve.http import serve_until_stopped
from recfunnel.serve.options import Options
from recfunnel.serve.ranking import make_ready

READY = "ready"
"""Said by a process once it takes questions; whatever else it says is for people."""


@dataclass(slots=True)
class Worker:
    """A process and what it has said.

    Args:
        number: of the worker, from 0.
        process: that serves.
        control: what it says comes out here.
        is_ready: whether it takes questions.
    """

    number: int
    process: SpawnProcess
    control: "Connection[Any, Any]"
    is_ready: bool = False

    def hear(self) -> list[str]:
        """What it said for people since the last time."""
        said = []
        with contextlib.suppress(EOFError, OSError):
            while self.control.poll():
                word = self.control.recv()
                if word == READY:
                    self.is_ready = True
                else:
                    said.append(f"worker {self.number}: {word}")
        return said

    def stop(self) -> None:
        """Let it answer what it has, and end."""
        if self.process.is_alive():
            self.process.terminate()


def start_worker(
    context: SpawnContext,
    place: Path,
    options: Options,
    taken: socket.socket,
    number: int,
    cores: tuple[int, ...],
) -> Worker:
    """Start a process.

    Args:
        context: to spawn in.
        place: a plan file or its run folder.
        options: how to serve.
        taken: the port, listening.
        number: of the worker, from 0.
        cores: to run on.
    """
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=run_worker,
        args=(place, options, taken, theirs, cores),
        name=f"worker {number}",
        daemon=True,
    )
    process.start()
    theirs.close()
    return Worker(number, process, ours)


def run_worker(
    place: Path,
    options: Options,
    taken: socket.socket,
    control: "Connection[Any, Any]",
    cores: tuple[int, ...],
) -> None:
    """Entry point of the process; exit code 1 after saying why it cannot serve."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # meant for the supervisor
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    pin(cores)
    try:
        _, deployment = read_deployment(place).split(options.workers)
        ready = make_ready(deployment, control.send, options.warm_up_s)
        stations = deployment.points[0].path.mapping.stations
        # libraries that came with the models made thread pools of their own
        threadpoolctl.threadpool_limits(max(station.num_threads for station in stations))
    except RecfunnelError as error:
        control.send(f"error: {error}")
        sys.exit(1)
    serve_until_stopped(ready, options, taken, lambda: control.send(READY))


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
