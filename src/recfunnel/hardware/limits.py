"""What this process may use of its machine: cores and memory, as the system grants them."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def num_allowed_cores() -> int:
    """Cores by affinity and by the control group's quota, rounded down, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = min(map(cpu_quota, control_groups()), default=math.inf)
    return max(1, int(min(cores, quota)))


def allowed_memory_bytes() -> int:
    """Physical memory, or the control group's limit where that is less."""
    limit = min(map(memory_limit_bytes, control_groups()), default=math.inf)
    return int(min(psutil.virtual_memory().total, limit))


def control_groups(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> Iterator[Path]:
    """Folders of the control groups (version 2) this process is in, innermost first.

    Args:
        root: where control groups are mounted.
        membership: the file that says which one the process is in; need not exist.

    Yields:
        The folders, ending with `root`.
    """
    if not membership.is_file():
        return
    for line in membership.read_text().splitlines():
        hierarchy, _, inside = line.partition("::")
        if hierarchy == "0":
            folder = root / inside.strip("/")
            yield folder
            yield from (outer for outer in folder.parents if outer.is_relative_to(root))


def cpu_quota(group: Path) -> float:
    """Cores' worth of time a control group grants; inf when unlimited."""
    quota, period = (_read(group / "cpu.max") or "max 1").split()
    return math.inf if quota == "max" else int(quota) / int(period)


def memory_limit_bytes(group: Path) -> float:
    """Memory a control group grants; inf when unlimited."""
    limit = _read(group / "memory.max") or "max"
    return math.inf if limit == "max" else int(limit)


def _read(file: Path) -> str:
    return file.read_text().strip() if file.is_file() else ""
