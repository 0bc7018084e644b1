"""Which cores a process may use, how urgent it is, and how exactly it wakes up.

Linux offers all three; elsewhere the wishes that cannot be met come back in words, so that a
measurement can say so.
"""

import contextlib
import ctypes
import os
import sys
from pathlib import Path

from recfunnel.core.pipeline import Mapping

_URGENCY = 10
"""Real-time priority of the load generator, above that of servers somebody made urgent."""

_SET_TIMER_SLACK = 29
"""PR_SET_TIMERSLACK of <sys/prctl.h>."""


def available_cores() -> tuple[int, ...]:
    """Cores this process may use, rising."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def assign_cores(
    mapping: Mapping, cores: tuple[int, ...]
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Cores of each server of each station, handed out in order.

    Where a mapping wants more cores than there are, the count begins again at the first one:
    servers then share cores.

    Args:
        mapping: stations with their servers and threads.
        cores: to hand out.

    Returns:
        For each station, for each server, its distinct cores.
    """
    taken = 0
    stations = []
    for station in mapping.stations:
        servers = []
        for _ in range(station.num_servers):
            wanted = [cores[(taken + i) % len(cores)] for i in range(station.num_threads)]
            servers.append(tuple(sorted(set(wanted))))
            taken += station.num_threads
        stations.append(tuple(servers))
    return tuple(stations)


def spare_cores(
    assigned: tuple[tuple[tuple[int, ...], ...], ...], cores: tuple[int, ...]
) -> tuple[int, ...]:
    """Cores that no server has, for a process that is more urgent than they are.

    Linux lets such a process run where it ran last, so it would stop a server though another core
    is idle.

    Args:
        assigned: of each server of each station.
        cores: all there are.

    Returns:
        Those left, or all where none is.
    """
    taken = {core for station in assigned for server in station for core in server}
    return tuple(core for core in cores if core not in taken) or cores


def cores_wanted(mapping: Mapping) -> int:
    """Cores all servers of a mapping use together."""
    return sum(station.num_servers * station.num_threads for station in mapping.stations)


def pin(cores: tuple[int, ...]) -> tuple[str, ...]:
    """Let every thread of this process run on these cores only.

    Returns:
        What could not be done, in words.
    """
    if not hasattr(os, "sched_setaffinity"):
        return (f"processes cannot be pinned to cores on {sys.platform}",)
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread may end while we look
            os.sched_setaffinity(int(task.name), cores)
    return ()


def make_urgent() -> tuple[str, ...]:
    """Let this process run as soon as it wakes up, and wake up when it asked to.

    Returns:
        What could not be done, in words.
    """
    refused = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_URGENCY))
    except (AttributeError, PermissionError):
        refused.append("the load generator runs at normal priority (no right to raise it)")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, 1, 0, 0, 0)
    return tuple(refused)
