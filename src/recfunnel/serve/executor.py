"""What does the work of servers: threads beside the event loop, or the loop itself in turns.

A thread for each server keeps the loop free, and costs about 120 µs of processor time a question
(two threads are woken, and take turns with the interpreter). Where a question takes less than a
millisecond it is quicker to work in the loop: one question between two looks at the sockets, so
that whatever has arrived meanwhile is known before the next one begins.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
Job = TypeVar("Job", contravariant=True)

Done = Callable[[T, Exception | None], None]
"""Called in the loop with each job that was run and the error it met, or None."""


class Executor(Protocol[Job]):
    """Runs the work of servers, one piece a server at a time."""

    def start(self, server: int, work: Callable[[], None], job: Job) -> None:
        """Let an idle server begin.

        Args:
            server: its number.
            work: to be run.
            job: handed to `done` afterwards.
        """
        ...

    def close(self) -> None:
        """End, after what was started before."""
        ...


class InTurns(Generic[T]):
    """One server that works in the event loop.

    Args:
        done: told of each job.
        loop: that works.
    """

    def __init__(self, done: Done[T], loop: asyncio.AbstractEventLoop) -> None:
        self._done, self._loop = done, loop

    def start(self, server: int, work: Callable[[], None], job: T) -> None:
        """Let it begin when the loop has read what has arrived."""
        del server
        self._loop.call_soon(self._run, work, job)

    def close(self) -> None:
        """Nothing is to be ended."""

    def _run(self, work: Callable[[], None], job: T) -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as caught:  # whoever asked hears of it
            error = caught
        self._done(job, error)


class Threads(Generic[T]):
    """One thread a server.

    Args:
        cores: of each server; empty leaves its thread where the system puts it.
        done: told of each job.
        loop: that jobs come from and go back to.
    """

    def __init__(
        self,
        cores: Sequence[Sequence[int]],
        done: Done[T],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._done, self._loop = done, loop
        self._finished: deque[tuple[T, Exception | None]] = deque()
        self._told = False
        self._queues: list[SimpleQueue[tuple[Callable[[], None], T] | None]] = [
            SimpleQueue() for _ in cores
        ]
        self._threads = [
            Thread(target=self._serve, args=(queue, own), name=f"server {i}", daemon=True)
            for i, (queue, own) in enumerate(zip(self._queues, cores, strict=True))
        ]
        for thread in self._threads:
            thread.start()

    def start(self, server: int, work: Callable[[], None], job: T) -> None:
        """Let a server's thread begin."""
        self._queues[server].put((work, job))

    def close(self) -> None:
        """Let every thread end after what it was told before."""
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(
        self, queue: "SimpleQueue[tuple[Callable[[], None], T] | None]", cores: Sequence[int]
    ) -> None:
        if cores and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):  # cores that a container took away meanwhile
                os.sched_setaffinity(0, cores)
        while (told := queue.get()) is not None:
            work, job = told
            error: Exception | None = None
            try:
                work()
            except Exception as caught:  # whoever asked hears of it
                error = caught
            self._finished.append((job, error))
            if not self._told:
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                    self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        self._told = False  # first, so that what ends from here on tells again
        while self._finished:
            self._done(*self._finished.popleft())
