"""PCIe: the way to the host and back, whose time has nothing to do with the chip's clock."""

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Value
from recfunnel.hardware.memory.checks import BANDWIDTH, LATENCY, amounts, check


class Pcie(Value, frozen=True):
    """A link of two directions, each with the same bandwidth.

    Args:
        latency_s: from handing over the first byte to its arrival, software included.
        bandwidth_bytes_per_s: of each direction.
    """

    latency_s: float = 5e-6
    bandwidth_bytes_per_s: float = 12e9

    def __post_init__(self) -> None:
        check("latency of PCIe", self.latency_s, LATENCY)
        check("bandwidth of PCIe", self.bandwidth_bytes_per_s, BANDWIDTH)

    def occupied_s(self, num_bytes: ArrayLike) -> DoubleArray:
        """How long bytes take a direction, without the latency."""
        return np.asarray(amounts("bytes over PCIe", num_bytes) / self.bandwidth_bytes_per_s)

    def transfer_s(self, num_bytes: ArrayLike) -> DoubleArray:
        """From handing over to the last byte's arrival, if nothing else is on the link."""
        return np.asarray(self.latency_s + self.occupied_s(num_bytes))
