"""SSD: pages, of which so many are read a second, so many at once, and so many bytes of them.

> t = max(n / IOPS, n latency / queue depth, n page / bandwidth), and the latency of the last one

for n rows, each in a page of its own.
"""

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Value
from recfunnel.hardware.memory.checks import BANDWIDTH, COUNT, LATENCY, amounts, check


class Ssd(Value, frozen=True):
    """A solid-state disk behind DRAM.

    Args:
        iops: random reads a second that it can do.
        latency_s: of one read.
        queue_depth: reads under way at once.
        page_bytes: least that is read.
        bandwidth_bytes_per_s: of its link.
    """

    iops: float = 600e3
    latency_s: float = 80e-6
    queue_depth: int = 128
    page_bytes: int = 4096
    bandwidth_bytes_per_s: float = 3.2e9

    def __post_init__(self) -> None:
        check("reads of an SSD", self.iops, (1.0, 1e9, "a second"))
        check("latency of an SSD", self.latency_s, LATENCY)
        check("queue depth of an SSD", self.queue_depth, COUNT)
        check("page of an SSD", self.page_bytes, COUNT)
        check("bandwidth of an SSD", self.bandwidth_bytes_per_s, BANDWIDTH)

    @property
    def row_s(self) -> float:
        """Seconds that each row takes of a busy disk: the slowest of its three limits."""
        return max(
            1 / self.iops,
            self.latency_s / self.queue_depth,
            self.page_bytes / self.bandwidth_bytes_per_s,
        )

    def read_s(self, num_rows: ArrayLike) -> DoubleArray:
        """How long the disk is taken by rows, without the latency of the last one.

        Args:
            num_rows: rows read, each in a page of its own; a mean need not be whole.

        Returns:
            Seconds, of that shape.

        Raises:
            StudyError: a negative number.
        """
        return np.asarray(amounts("rows read", num_rows) * self.row_s)
