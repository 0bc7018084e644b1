"""The engine's processes: started together, spoken to over pipes, always ended.

A failure inside a process, its death, or its silence becomes an error here in the parent.
"""

import contextlib
import fcntl
import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.reduction import send_handle
from typing import Any

from recfunnel.core import errors
from recfunnel.core.errors import RecfunnelError, WorkerError
from recfunnel.runtime.messages import MAX_SERVERS, MAX_STATIONS, Failure, ServingSetup, Stop
from recfunnel.runtime.worker import run_worker

_PIPE_BYTES = 1 << 20
_STOP_S = 2.0


@dataclass(frozen=True, slots=True)
class Member:
    """One process and the pipe to command it."""

    name: str
    process: SpawnProcess
    control: "Connection[Any, Any]"


class Crew:
    """Processes that share the stations' pipes.

    Args:
        setup: where they find models and queries.
    """

    def __init__(self, setup: ServingSetup) -> None:
        self._setup = setup
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._members: dict[str, Member] = {}
        pipes = [self._context.Pipe(duplex=False) for _ in range(MAX_STATIONS + MAX_SERVERS)]
        self._readers = tuple(reader for reader, _ in pipes)
        self._writers = tuple(writer for _, writer in pipes)
        stations = self._writers[:MAX_STATIONS]
        self.queue_capacity = min(_enlarge(writer.fileno()) for writer in stations)

    def member(self, name: str) -> Member:
        """The process of that name, started if it is not yet there."""
        if name not in self._members:
            control, theirs = self._context.Pipe()
            process = self._context.Process(
                target=run_worker,
                args=(self._setup, theirs, self._readers, self._writers),
                name=name,
                daemon=True,
            )
            process.start()
            theirs.close()
            self._members[name] = Member(name, process, control)
        return self._members[name]

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Ids of all processes started so far."""
        return tuple(m.process.pid for m in self._members.values() if m.process.pid is not None)

    def ask(self, commands: Sequence[tuple[str, object]], timeout_s: float) -> list[Any]:
        """Give each named process a command and wait for all answers.

        Returns:
            Answers in the order of the commands.

        Raises:
            WorkerError: a process died or did not answer in time.
            RecfunnelError: a command failed; of the class it failed with where that is ours.
        """
        members = [self.member(name) for name, _ in commands]
        for member, (_, command) in zip(members, commands, strict=True):
            self._send(member, command)
        answers = self.gather(members, timeout_s)
        return [answers[member.name] for member in members]

    def start(self, name: str, command: object, descriptor: int) -> Member:
        """Give a process a command that needs the run's shared file; do not wait.

        Raises:
            WorkerError: the process is dead.
        """
        member = self.member(name)
        self._send(member, command)
        assert member.process.pid is not None
        send_handle(member.control, descriptor, member.process.pid)
        return member

    def gather(
        self, members: Iterable[Member], timeout_s: float, watched: Iterable[Member] = ()
    ) -> dict[str, Any]:
        """Wait for an answer of each member.

        Args:
            members: who must answer.
            timeout_s: for all of them together.
            watched: others whose failure or death ends the wait as well.

        Returns:
            Answers by name, early answers of watched members included.

        Raises:
            WorkerError: a process died, or time ran out.
            RecfunnelError: a command failed.
        """
        waiting = {m.name: m for m in members}
        others = {m.name: m for m in watched}
        answers: dict[str, Any] = {}
        deadline = time.monotonic() + timeout_s
        while waiting:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                names = ", ".join(waiting)
                raise WorkerError(f"{names} did not answer within {timeout_s:.0f} s")
            everyone = waiting | others
            pipes = {m.control: m for m in everyone.values()}
            for pipe in wait(list(pipes), left_s):
                member = pipes[pipe]  # type: ignore[index]
                answers[member.name] = _receive(member)
                waiting.pop(member.name, None)
                others.pop(member.name, None)
        return answers

    def write(self, station: int, number: bytes) -> None:
        """Put bytes into a station's pipe."""
        os.write(self._writers[station].fileno(), number)

    def close(self, *, kindly: bool = True) -> None:
        """End every process; closed pipes stay closed.

        Args:
            kindly: ask first, and wait for an answer; in the middle of a run nobody would listen.
        """
        for member in self._members.values():
            if kindly:
                _tell_to_stop(member)
            else:
                member.process.terminate()
        deadline = time.monotonic() + _STOP_S
        for member in self._members.values():
            _end(member.process, deadline)
            member.control.close()
        self._members.clear()
        for pipe in self._readers + self._writers:
            pipe.close()

    def _send(self, member: Member, command: object) -> None:
        try:
            member.control.send(command)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _died(member) from error


def _receive(member: Member) -> Any:
    try:
        answer = member.control.recv()
    except (EOFError, ConnectionResetError) as error:
        raise _died(member) from error
    if isinstance(answer, Failure):
        raise _error_of(member, answer)
    return answer


def _died(member: Member) -> WorkerError:
    member.process.join(1.0)
    code = member.process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended ({code})"
    return WorkerError(
        f"the process {member.name!r} {how} in the middle of its work; "
        "is there enough memory for one copy of the models a server?"
    )


def _error_of(member: Member, failure: Failure) -> RecfunnelError:
    """The error a process met, of the same class where it is one of ours."""
    cause = WorkerError(f"in the process {member.name!r}:\n{failure.traceback}")
    known = getattr(errors, failure.kind, None)
    if isinstance(known, type) and issubclass(known, RecfunnelError):
        error = known.__new__(known, failure.message)
    else:
        error = WorkerError(f"{member.name!r} failed: {failure.kind}: {failure.message}")
    error.__cause__ = cause
    return error


def _tell_to_stop(member: Member) -> None:
    try:
        member.control.send(Stop())
    except OSError:
        return  # it is dead already


def _end(process: SpawnProcess, deadline: float) -> None:
    """Join, then terminate, then kill; each waits for the one before."""
    process.join(max(0.0, deadline - time.monotonic()))
    if process.is_alive():
        process.terminate()
        process.join(1.0)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def _enlarge(descriptor: int) -> int:
    """Make a pipe as long as allowed; how many queries it holds."""
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return 65536 // 8
    with contextlib.suppress(PermissionError):  # the user's limit holds; it is read back next
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) // 8
