"""Area and power of a chip, component by component."""

import math
from collections.abc import Sequence

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.energy import blocks
from recfunnel.hardware.energy.blocks import Block
from recfunnel.hardware.energy.quantity import Quantity, banded, exact

KIB, MIB = 2**10, 2**20

CACTI_MACROS_UM2 = ((1 * MIB, 467_058.0), (4 * MIB, 1_664_482.0), (16 * MIB, 8_260_145.0))
"""(bytes, area) of larger macros by CACTI 7, scaled from 22 to 12 nm."""

CALIBRATION = 183_290 / 117_911
"""Area of the published macro of 256 KiB over CACTI's; applied to CACTI's larger ones."""

SCORE_BITS = 16 + 12
"""Of an entry of the filter's buffer: a score, and a number below 4,096."""


class Sram(Value, frozen=True):
    """A memory of equal macros.

    Args:
        macro_bytes: of each.
        num_macros: 0 for no memory.
    """

    macro_bytes: int
    num_macros: int

    def __post_init__(self) -> None:
        if self.macro_bytes < 1 or self.num_macros < 0:
            raise StudyError(
                f"{self.num_macros} macros of {self.macro_bytes} bytes; give 1 byte or more each"
            )

    @property
    def num_bytes(self) -> int:
        """Of all macros."""
        return self.macro_bytes * self.num_macros


class ChipParts(Value, frozen=True):
    """What a chip is built of.

    Args:
        num_elements: of the systolic array.
        fissionable: whether it can be cut into blocks of 4 x 4.
        num_accumulators: beside it.
        num_crossbars: 4 x 4, between blocks.
        num_filters: top-k.
        activations: their memory.
        weights: their memory.
        rows: memory of embedding rows.
        filter_entries: scores that each filter's buffer holds; 0 for one register, as published.
        num_lanes: multiply-adders beside the array, each as large as an element of it; none on the
            published chips.
    """

    num_elements: int
    fissionable: bool
    num_accumulators: int
    num_crossbars: int
    num_filters: int
    activations: Sram
    weights: Sram
    rows: Sram
    filter_entries: int = 0
    num_lanes: int = 0

    def __post_init__(self) -> None:
        counts = (
            *(self.num_accumulators, self.num_crossbars, self.num_filters),
            *(self.filter_entries, self.num_lanes),
        )
        if self.num_elements < 1 or min(counts) < 0:
            raise StudyError(
                f"a chip of {self.num_elements} elements and {counts} accumulators, crossbars, "
                "filters, entries and lanes; give 1 element or more and no negative count"
            )


class Component(Value, frozen=True):
    """A line of the bill.

    Args:
        name: of the component.
        count: of its blocks; a part of one where an array is smaller than the synthesised one.
        area_um2: of all.
        power_w: of all, at the activity of the reports.
    """

    name: str
    count: float
    area_um2: Quantity
    power_w: Quantity


def bill(parts: ChipParts, *, as_published: bool = False) -> tuple[Component, ...]:
    """Area and power of every component; chips are their sums.

    Args:
        parts: of the chip.
        as_published: with areas cut to whole square micrometres and powers rounded to 2 or 3
            digits before they are multiplied, as the published scaling does.

    Returns:
        One line a component; those without blocks are 0.

    Raises:
        StudyError: `as_published` and a memory macro that was not published.
    """
    array = blocks.FISSION_ARRAY if parts.fissionable else blocks.PLAIN_ARRAY
    num_arrays = parts.num_elements / blocks.ARRAY_ELEMENTS
    lines = [
        _line("systolic array", array, num_arrays, as_published),
        _line("accumulators", blocks.ACCUMULATOR, parts.num_accumulators, as_published),
        _line("crossbars", blocks.CROSSBAR, parts.num_crossbars, as_published),
        _line("top-k filters", blocks.FILTER, parts.num_filters, as_published),
        _memory("activation SRAM", parts.activations, as_published),
        _memory("weight SRAM", parts.weights, as_published),
        _memory("row SRAM", parts.rows, as_published),
    ]
    if parts.num_lanes:
        num_arrays = parts.num_lanes / blocks.ARRAY_ELEMENTS
        lines.append(_line("lanes for dots", blocks.PLAIN_ARRAY, num_arrays, as_published))
    if parts.filter_entries and parts.num_filters:
        buffer = Sram(
            macro_bytes=math.ceil(parts.filter_entries * SCORE_BITS / 8),
            num_macros=parts.num_filters,
        )
        lines.append(_memory("filters' score buffers", buffer, as_published))
    return tuple(lines)


def total(quantities: list[Quantity]) -> Quantity:
    """Sum of figures, and of their ranges: as if all erred the same way."""
    known = {quantity.known for quantity in quantities}
    return Quantity(
        value=sum(quantity.value for quantity in quantities),
        low=sum(quantity.low for quantity in quantities),
        high=sum(quantity.high for quantity in quantities),
        known=known.pop() if len(known) == 1 else "assumed",
        source="sum of its components",
    )


def area_of(lines: tuple[Component, ...]) -> Quantity:
    """Square micrometres of a bill."""
    return total([line.area_um2 for line in lines])


def power_of(lines: tuple[Component, ...]) -> Quantity:
    """Watts of a bill, at the activity of the reports."""
    return total([line.power_w for line in lines])


def macro_area_um2(macro_bytes: int) -> Quantity:
    """Area of a memory macro.

    The three published ones as they are. Others lie on the line, in logarithms, between them and
    CACTI's larger ones brought to the scale of the published ones.

    Raises:
        StudyError: no bytes.
    """
    if macro_bytes < 1:
        raise StudyError(f"a macro of {macro_bytes} bytes; give 1 or more")
    for size, block in blocks.MACROS.items():
        if size == macro_bytes:
            return exact(block.area_um2, "memory compiler", "RecPipe, GF 12LP")
    published = ((size, block.area_um2) for size, block in blocks.MACROS.items())
    larger = ((size, CALIBRATION * area) for size, area in CACTI_MACROS_UM2)
    points = [*published, *larger]
    return banded(_on_line(macro_bytes, points), "CACTI", "between published macros and CACTI's")


def macro_power_w(macro_bytes: int) -> Quantity:
    """Power of a memory macro, as `macro_area_um2`; beyond the largest as its area grows."""
    for size, block in blocks.MACROS.items():
        if size == macro_bytes:
            return exact(block.power_w, "memory compiler", "RecPipe, GF 12LP")
    points = [(size, block.power_w) for size, block in blocks.MACROS.items()]
    return banded(_on_line(macro_bytes, points), "assumed", "on the line through published macros")


def _on_line(size: int, points: Sequence[tuple[int, float]]) -> float:
    """Between two neighbours on logarithmic scales; beyond the ends, on the last line."""
    sizes, values = np.log(np.array(points, np.float64)).T
    place = int(np.clip(np.searchsorted(sizes, np.log(size)) - 1, 0, sizes.size - 2))
    slope = (values[place + 1] - values[place]) / (sizes[place + 1] - sizes[place])
    return float(np.exp(values[place] + slope * (np.log(size) - sizes[place])))


def _line(name: str, block: Block, count: float, as_published: bool) -> Component:
    area, power = (
        (block.whole_um2, block.rounded_w) if as_published else (block.area_um2, block.power_w)
    )
    return Component(
        name=name,
        count=count,
        area_um2=exact(count * area, "synthesis", "RecPipe, GF 12LP"),
        power_w=exact(count * power, "synthesis", "RecPipe, GF 12LP; no clock or activity stated"),
    )


def _memory(name: str, memory: Sram, as_published: bool) -> Component:
    area, power = macro_area_um2(memory.macro_bytes), macro_power_w(memory.macro_bytes)
    if as_published and area.known != "memory compiler" and memory.num_macros:
        raise StudyError(
            f"{name} has macros of {memory.macro_bytes} bytes; published are "
            f"{', '.join(map(str, blocks.MACROS))}"
        )
    return Component(
        name=name,
        count=memory.num_macros,
        area_um2=_times(area, memory.num_macros),
        power_w=_times(power, memory.num_macros),
    )


def _times(quantity: Quantity, count: float) -> Quantity:
    return Quantity(
        value=count * quantity.value,
        low=count * quantity.low,
        high=count * quantity.high,
        known=quantity.known,
        source=quantity.source,
    )


BASELINE = ChipParts(
    num_elements=128 * 128,
    fissionable=False,
    num_accumulators=128,
    num_crossbars=0,
    num_filters=0,
    activations=Sram(macro_bytes=32 * KIB, num_macros=128),
    weights=Sram(macro_bytes=256 * KIB, num_macros=16),
    rows=Sram(macro_bytes=256 * KIB, num_macros=64),
)
"""The array that RPAccel is compared with in figure 11."""

RPACCEL = ChipParts(
    num_elements=128 * 128,
    fissionable=True,
    num_accumulators=1024,
    num_crossbars=256,
    num_filters=1024,
    activations=Sram(macro_bytes=4 * KIB, num_macros=1024),
    weights=Sram(macro_bytes=256 * KIB, num_macros=16),
    rows=Sram(macro_bytes=256 * KIB, num_macros=64),
)
"""RPAccel of figure 11."""
