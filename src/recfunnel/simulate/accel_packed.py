"""Unit times as the compiled loops read them: few arrays, what is read together side by side.

Letters: D designs (or kinds of query), S stages, B sub-batches.

A compiled function counts the references of every array it is given; with a tuple of twenty of them
that would take longer than the work.
"""

from typing import NamedTuple

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.hardware.accel.times import UnitTimes

ENTER, SRAM, DRAM, SSD, WEIGHTS, ARRAY, TOPK, NEED = range(8)
"""Columns of a sub-batch: seconds on each unit, and bytes of the look-ahead buffer."""

AFTER, SORT, LEAVE, ROOM = range(4)
"""Columns of a stage: seconds of its filter, the host and the link at the end; bytes of buffer."""

COPIES, GROUP, CHANNEL, BARRIER, HOST, AHEAD, PRELOADED = range(7)
"""Columns of how a stage is done."""

LINK, MEMORY, DISK = range(3)
"""Latencies."""

TICK = 1e-12
"""Seconds that do not count: a sub-array that is free so soon is free, however sums are rounded."""


class PackedTimes(NamedTuple):
    """Unit times, packed.

    Args:
        batch: (D, S, B, 8).
        stage: (D, S, 4).
        how: int64 (D, S, 7).
        latency_s: (3,).
    """

    batch: DoubleArray
    stage: DoubleArray
    how: IntArray
    latency_s: DoubleArray


def packed(t: UnitTimes) -> PackedTimes:
    """Unit times in the form of the loops."""
    batch = (t.pcie_in, t.sram, t.dram, t.ssd, t.weights, t.array, t.topk, t.need_bytes)
    preloaded = np.broadcast_to(t.preloaded[:, np.newaxis], t.copies.shape)
    how = (t.copies, t.group, t.channel, t.barrier, t.host, t.ahead, preloaded)
    return PackedTimes(
        np.stack(batch, axis=-1),
        np.stack((t.after, t.sort, t.pcie_out, t.room_bytes), axis=-1),
        np.stack(how, axis=-1, dtype=np.int64, casting="unsafe"),
        np.array([t.pcie_latency_s, t.dram_latency_s, t.ssd_latency_s]),
    )
