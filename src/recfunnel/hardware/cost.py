"""What a model's work costs on a platform: the roofline, and whether it fits at all."""

import math
from dataclasses import dataclass

from recfunnel.core.errors import StudyError
from recfunnel.core.model import ModelCost
from recfunnel.core.platform import Platform
from recfunnel.core.results import Shortfall


@dataclass(frozen=True, slots=True)
class Roofs:
    """Least times of the parts of one model call; the longest of them bounds it.

    Args:
        launch_s: before anything runs, added to the longest.
        compute_s: arithmetic at the peak.
        memory_s: bytes read from the large memory, at its bandwidth.
        on_chip_s: bytes read from the memory on the chip; 0 where there is none.
    """

    launch_s: float
    compute_s: float
    memory_s: float
    on_chip_s: float

    @property
    def total_s(self) -> float:
        """The bound on the whole call."""
        return self.launch_s + max(self.compute_s, self.memory_s, self.on_chip_s)

    @property
    def bound_by(self) -> str:
        """What takes longest: `launch`, `compute`, `memory` or `on-chip memory`."""
        times_s = {
            "launch": self.launch_s,
            "compute": self.compute_s,
            "memory": self.memory_s,
            "on-chip memory": self.on_chip_s,
        }
        return max(times_s, key=lambda name: times_s[name])


def latency_s(cost: ModelCost, platform: Platform, num_items: int, num_threads: int = 1) -> float:
    """Least time of one model call; see `roofs`."""
    return roofs(cost, platform, num_items, num_threads).total_s


def roofs(cost: ModelCost, platform: Platform, num_items: int, num_threads: int = 1) -> Roofs:
    """The roofline of Williams, Waterman and Patterson (2009) with one more level of memory.

    Launch overhead plus the longest of computing and reading from each memory. Computing takes the
    threads' share of the cores' peak; bandwidth is not divided, because one core can draw most of
    it while the others rest. Weights are streamed once a call, table rows are read a row a lookup
    in whole lines. The memory on the chip holds weights first, then an equal share of every table,
    as where all ids are equally likely. A bound from below: a real call reaches no peak.

    Args:
        cost: work of one query.
        platform: where.
        num_items: candidates in the call, 0 or more.
        num_threads: cores it may use, 1 to the platform's.

    Returns:
        The parts.

    Raises:
        StudyError: fewer items than 0, or threads the platform has no cores for.
    """
    if num_items < 0:
        raise StudyError(f"a call has {num_items} items, must be 0 or more")
    if not 1 <= num_threads <= platform.num_cores:
        raise StudyError(
            f"{num_threads} threads on platform {platform.name!r}, which has {platform.num_cores} "
            f"cores; use 1 to {platform.num_cores}"
        )
    share = num_threads / platform.num_cores
    flops = cost.flops_per_query + cost.flops_per_item * num_items
    weights, rows = cost.read_bytes_per_query, moved_bytes_per_item(cost, platform) * num_items
    weights_here, rows_here = on_chip_shares(cost, platform)
    near = weights_here * weights + rows_here * rows
    far = (1 - weights_here) * weights + (1 - rows_here) * rows
    return Roofs(
        launch_s=platform.launch_overhead_s,
        compute_s=flops / (platform.compute_flops_per_s * share),
        memory_s=far / platform.bandwidth_bytes_per_s,
        on_chip_s=near / platform.on_chip_bandwidth_bytes_per_s if near else 0.0,
    )


def moved_bytes_per_item(cost: ModelCost, platform: Platform) -> float:
    """Bytes the memory moves for a candidate's rows: whole lines, at their mean length.

    A model that does not state how many rows it reads is charged the bytes alone.
    """
    if not cost.reads_per_item:
        return cost.read_bytes_per_item
    row_bytes = cost.read_bytes_per_item / cost.reads_per_item
    lines = math.ceil(row_bytes / platform.access_bytes)
    return cost.reads_per_item * lines * platform.access_bytes


def on_chip_shares(cost: ModelCost, platform: Platform) -> tuple[float, float]:
    """Which shares of the weights and of the tables lie on the chip, each 0 to 1."""
    if not platform.on_chip_bytes:
        return 0.0, 0.0
    weights, left = cost.read_bytes_per_query, float(platform.on_chip_bytes)
    weights_here = min(1.0, left / weights) if weights else 1.0
    tables = max(0.0, cost.parameter_bytes - weights)
    left -= weights_here * weights
    return weights_here, min(1.0, left / tables) if tables else 1.0


def fits(cost: ModelCost, platform: Platform) -> Shortfall | None:
    """Whether the platform's memory holds the model.

    Returns:
        None when it does, else what is missing.
    """
    if cost.parameter_bytes <= platform.memory_bytes:
        return None
    return Shortfall(
        requirement=f"memory for the model's parameters on {platform.name!r}",
        needed=float(cost.parameter_bytes),
        available=float(platform.memory_bytes),
        unit="bytes",
        remedies=(
            "a smaller embedding dimension",
            "hashed or computed embeddings",
            "a platform with more memory",
        ),
    )
