"""DRAM: one channel that all readers share, whole bursts, and banks that limit random reads.

A row of an embedding table lies at a random address, so it costs its bursts, each at the share of
the bandwidth that random bursts reach, and it opens a page of some bank:

> t = max(n ceil(v / burst) burst / (efficiency bandwidth), n t_RC / (banks channels))

for n rows of v bytes. Runs of bytes, such as weights, move at the whole bandwidth.
"""

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Value
from recfunnel.hardware.memory.checks import BANDWIDTH, CAPACITY, COUNT, LATENCY, amounts, check


class Dram(Value, frozen=True):
    """A DRAM and its channels.

    Args:
        bandwidth_bytes_per_s: of all channels.
        latency_s: from asking to the first byte.
        burst_bytes: least that is moved; 64 for DDR4.
        efficiency: share of the bandwidth that random bursts reach, 0.3 to 0.6 for DDR4.
        row_cycle_s: t_RC, between two openings of pages in one bank.
        banks: of each channel.
        channels: whose banks work side by side.
        capacity_bytes: what it holds.
    """

    bandwidth_bytes_per_s: float = 32e9
    latency_s: float = 100e-9
    burst_bytes: int = 64
    efficiency: float = 0.5
    row_cycle_s: float = 46e-9
    banks: int = 16
    channels: int = 2
    capacity_bytes: float = 32 * 2**30

    def __post_init__(self) -> None:
        check("bandwidth of DRAM", self.bandwidth_bytes_per_s, BANDWIDTH)
        check("latency of DRAM", self.latency_s, LATENCY)
        check("burst of DRAM", self.burst_bytes, COUNT)
        check("efficiency of DRAM", self.efficiency, (1e-3, 1.0, ""))
        check("row cycle of DRAM", self.row_cycle_s, LATENCY)
        check("banks of DRAM", self.banks, COUNT)
        check("channels of DRAM", self.channels, COUNT)
        check("capacity of DRAM", self.capacity_bytes, CAPACITY)

    def moved_bytes(self, num_rows: ArrayLike, row_bytes: ArrayLike) -> DoubleArray:
        """What rows move, in whole bursts.

        Args:
            num_rows: rows read, each at an address of its own; a mean need not be whole.
            row_bytes: v.

        Returns:
            Bytes, of the shape both broadcast to.
        """
        bursts = np.ceil(amounts("bytes of a row", row_bytes) / self.burst_bytes)
        return np.asarray(amounts("rows read", num_rows) * bursts * self.burst_bytes)

    def gather_s(self, num_rows: ArrayLike, row_bytes: ArrayLike) -> DoubleArray:
        """How long the channel is taken by random rows, without the latency.

        Args:
            num_rows: rows read; duplicates are the caller's to leave out.
            row_bytes: v.

        Returns:
            Seconds, of the shape both broadcast to.

        Raises:
            StudyError: a negative number.
        """
        moving = self.moved_bytes(num_rows, row_bytes)
        moving_s = moving / (self.efficiency * self.bandwidth_bytes_per_s)
        opening_s = amounts("rows read", num_rows) * (
            self.row_cycle_s / (self.banks * self.channels)
        )
        return np.asarray(np.maximum(moving_s, opening_s))

    def stream_s(self, num_bytes: ArrayLike) -> DoubleArray:
        """How long the channel is taken by bytes that lie in a run, without the latency."""
        return np.asarray(amounts("bytes streamed", num_bytes) / self.bandwidth_bytes_per_s)
