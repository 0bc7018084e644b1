"""SRAM: ports of some width, one access each a cycle."""

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.spec import Value
from recfunnel.hardware.memory.checks import CAPACITY, CLOCK, COUNT, amounts, check


class Sram(Value, frozen=True):
    """An on-chip memory.

    Args:
        capacity_bytes: what it holds.
        ports: accesses a cycle, reads or writes.
        width_bytes: of a port.
    """

    capacity_bytes: int = 16 * 2**20
    ports: int = 8
    width_bytes: int = 64

    def __post_init__(self) -> None:
        check("capacity of SRAM", self.capacity_bytes, CAPACITY)
        check("ports of SRAM", self.ports, COUNT)
        check("width of an SRAM port", self.width_bytes, COUNT)

    def access_s(self, num_rows: ArrayLike, row_bytes: ArrayLike, clock_hz: float) -> DoubleArray:
        """How long reading or writing rows takes all ports.

        Args:
            num_rows: rows read or written; a mean need not be whole.
            row_bytes: v; a row takes ceil(v / width) accesses.
            clock_hz: of the chip.

        Returns:
            Seconds, of the shape rows and bytes broadcast to.

        Raises:
            StudyError: a negative number, or a clock outside 1 MHz to 100 GHz.
        """
        check("clock", clock_hz, CLOCK)
        accesses = np.ceil(amounts("bytes of a row", row_bytes) / self.width_bytes)
        return np.asarray(amounts("rows", num_rows) * accesses / (self.ports * clock_hz))
