"""How much of the machine somebody else used while something was measured."""

import contextlib
import os
from collections.abc import Iterable

import psutil

from recfunnel.core.spec import Value
from recfunnel.runtime.clock import now_s

STEAL_LIMIT = 0.02
"""Share of the machine that the hypervisor may keep before a measurement is polluted."""

FOREIGN_LIMIT = 0.05
"""Share of the machine that other programs may use before a measurement is polluted."""

LATE_LIMIT_S = 0.002
"""How late the load generator's 99th percentile may be before a run is polluted."""

STALL_LIMIT_S = 0.005
"""How late the load generator may be even once: it is urgent and hardly works, so a longer delay
means that the whole core stood still, as virtual machines do without reporting it as stolen."""


class Reading(Value, frozen=True):
    """Processor time used since boot, at one moment, in seconds summed over cores.

    Args:
        time_s: on the monotonic clock.
        busy_s: by anybody on this machine.
        steal_s: kept by the hypervisor.
        own_s: by the processes asked about.
    """

    time_s: float
    busy_s: float
    steal_s: float
    own_s: float


class Disturbance(Value, frozen=True):
    """What disturbed a measurement.

    Args:
        seconds: how long was measured.
        steal_share: of the machine, kept by the hypervisor.
        foreign_share: of the machine, used by other programs.
    """

    seconds: float
    steal_share: float
    foreign_share: float

    @property
    def polluted(self) -> bool:
        """Whether the measurement should be repeated."""
        return self.steal_share > STEAL_LIMIT or self.foreign_share > FOREIGN_LIMIT

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.steal_share:.1%} stolen, {self.foreign_share:.1%} used by other programs"


def read_machine(process_ids: Iterable[int]) -> Reading:
    """Look at the machine now.

    Args:
        process_ids: processes that are the measurement itself; this one is always among them.

    Returns:
        The reading.
    """
    times = psutil.cpu_times()
    waiting = times.idle + getattr(times, "iowait", 0.0)
    steal_s = getattr(times, "steal", 0.0)
    # Guest time is within user time already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    own_s = 0.0
    for process_id in {os.getpid(), *process_ids}:
        with contextlib.suppress(psutil.NoSuchProcess):
            used = psutil.Process(process_id).cpu_times()
            own_s += used.user + used.system
    return Reading(
        time_s=now_s(), busy_s=sum(times) - waiting - steal_s - guests, steal_s=steal_s, own_s=own_s
    )


def disturbance(before: Reading, after: Reading) -> Disturbance:
    """What happened between two readings."""
    seconds = max(after.time_s - before.time_s, 1e-9)
    machine_s = seconds * (psutil.cpu_count() or 1)
    foreign_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return Disturbance(
        seconds=seconds,
        steal_share=max(0.0, after.steal_s - before.steal_s) / machine_s,
        foreign_share=max(0.0, foreign_s) / machine_s,
    )
