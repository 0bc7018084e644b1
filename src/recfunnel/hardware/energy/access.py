"""Energy of one operation of each kind."""

import math

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.energy.quantity import Quantity, banded

PJ = 1e-12

SRAM_FIT = (0.0035176e-12, 0.35706, 0.86631)
"""Joules, exponent of the bytes, exponent of the width in bits.

Least squares in logarithms through seven points of CACTI 7 at 12 nm, 4 KiB to 16 MiB and 16 to
1,024 bits, all of which it meets within a factor of 0.71 to 1.55. Writing costs as much; CACTI at
22 nm has 0.66 to 1.03 of it.
"""


def sram_read_j(macro_bytes: int, width_bits: int) -> Quantity:
    """Energy of reading a word of a memory macro at 12 nm.

    Raises:
        StudyError: no bytes or bits.
    """
    if min(macro_bytes, width_bits) < 1:
        raise StudyError(f"a macro of {macro_bytes} bytes and {width_bits} bits; give 1 or more")
    scale, by_bytes, by_bits = SRAM_FIT
    energy = scale * math.pow(macro_bytes, by_bytes) * math.pow(width_bits, by_bits)
    return banded(energy, "CACTI", "CACTI 7 at 12 nm, a power law through seven points")


class AccessEnergies(Value, frozen=True):
    """Joules of one operation of each kind.

    Args:
        mac_j: multiply-add of 16-bit operands.
        hop_j: a 16-bit word from one element's register to the next one's.
        activation_byte_j: to or from the activations' memory.
        weight_byte_j: from the weights' memory.
        row_byte_j: from the rows' memory.
        dram_byte_j: moved.
        dram_activate_j: a DRAM row opened and closed.
        ssd_page_j: a page read.
        bus_byte_j: over PCIe, both ends.
    """

    mac_j: Quantity
    hop_j: Quantity
    activation_byte_j: Quantity
    weight_byte_j: Quantity
    row_byte_j: Quantity
    dram_byte_j: Quantity
    dram_activate_j: Quantity
    ssd_page_j: Quantity
    bus_byte_j: Quantity


def _byte_j(macro_bytes: int, width_bits: int) -> Quantity:
    read = sram_read_j(macro_bytes, width_bits)
    return banded(8 * read.value / width_bits, read.known, read.source)


USUAL = AccessEnergies(
    mac_j=Quantity(
        value=0.25 * PJ,
        low=0.16 * PJ,
        high=1.29 * PJ,
        known="assumed",
        source="about 1 pJ at 45 nm (Horowitz 2014, between 8 and 32 bits), a quarter at 12 nm; "
        "the published array's dynamic power is 0.16 pJ an element and cycle at 1 GHz, 1.29 pJ at "
        "the artifact's 125 MHz",
    ),
    hop_j=banded(0.03 * PJ, "assumed", "16 registers of 2 fJ"),
    activation_byte_j=_byte_j(4096, 16),
    weight_byte_j=_byte_j(262_144, 32),
    row_byte_j=_byte_j(262_144, 32),
    dram_byte_j=Quantity(
        value=8 * 15 * PJ,
        low=8 * 8 * PJ,
        high=8 * 70 * PJ,
        known="assumed",
        source="15 pJ a bit, between LPDDR4 (8) and DDR3 (70) of hwcomponents-cacti",
    ),
    dram_activate_j=banded(3e-9, "recalled", "currents of DDR4 data sheets"),
    ssd_page_j=banded(10e-6, "recalled", "a drive of 8 W at 800,000 pages a second"),
    bus_byte_j=banded(8 * 7.5 * PJ, "recalled", "7.5 pJ a bit, PCIe 3, both ends"),
)
"""Of the simulated chip at 12 nm beside DDR4."""
