"""The building blocks whose synthesis was published with RecPipe.

GlobalFoundries 12LP with ARM's 10.5-track library of lowest threshold, typical corner, 0.70 V,
25 °C, reports of April 2021 by Synopsys Design Compiler. No clock period is stated, switching
activity is not annotated and wires have no load, so power is worth less than area. The memory
macros' figures were given without their reports.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Block:
    """A synthesised block.

    Args:
        name: short.
        area_um2: of its cells.
        internal_w: power inside cells.
        switching_w: power of wires between them.
        leakage_w: power at rest.
        power_w: all of it; macros have no parts.
        whole_um2: area as the published scaling has it.
        rounded_w: power as the published scaling has it.
    """

    name: str
    area_um2: float
    internal_w: float | None
    switching_w: float | None
    leakage_w: float | None
    power_w: float
    whole_um2: float
    rounded_w: float


ARRAY_ELEMENTS = 32 * 32
"""Of the two arrays; operands of 16 bits, sums of 64."""

PLAIN_ARRAY = Block(
    "32 x 32 array", 506_891.58, 109.72e-3, 54.86e-3, 1.83e-3, 166.42e-3, 506_891.0, 166e-3
)
FISSION_ARRAY = Block(
    "32 x 32 array in blocks of 4 x 4",
    527_807.82,
    110.12e-3,
    59.01e-3,
    1.90e-3,
    171.01e-3,
    527_807.0,
    171e-3,
)
ACCUMULATOR = Block("accumulator", 106.18, None, None, None, 0.1404e-3, 106.0, 0.14e-3)
CROSSBAR = Block("crossbar 4 x 4", 287.66, None, None, None, 0.3195e-3, 287.0, 0.32e-3)
FILTER = Block("top-k filter", 453.33, None, None, None, 0.1983e-3, 453.0, 0.198e-3)

Macro = Literal[4096, 32_768, 262_144]

MACROS: dict[Macro, Block] = {
    4096: Block("SRAM 4 KiB", 4684.0, None, None, None, 0.8e-3, 4684.0, 0.8e-3),
    32_768: Block("SRAM 32 KiB", 29_142.0, None, None, None, 2.4e-3, 29_142.0, 2.4e-3),
    262_144: Block("SRAM 256 KiB", 183_290.0, None, None, None, 8.4e-3, 183_290.0, 8.4e-3),
}
"""By size in bytes: high density, high speed, high density."""

LEAKAGE_W_PER_UM2 = 1.83e-3 / 506_891.58
"""Of the plain array's cells; assumed of everything else, for which none was published."""
