"""How often each kind of operation happens: of a stage, a query, or any sum of them."""

import dataclasses
from dataclasses import dataclass

from recfunnel.core.errors import StudyError
from recfunnel.hardware.systolic.network import NetworkShape
from recfunnel.hardware.systolic.sizes import Dataflow
from recfunnel.hardware.systolic.traffic import sram_words

WORD_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Counts; they add up.

    Args:
        macs: multiply-adds.
        hops: 16-bit words passed from element to element.
        activation_bytes: to and from the activations' memory.
        weight_bytes: from the weights' memory.
        row_bytes: from the rows' memory.
        dram_bytes: moved.
        dram_activates: DRAM rows opened.
        ssd_pages: read.
        bus_bytes: over PCIe.
        time_s: during which the chip leaks.
    """

    macs: float = 0.0
    hops: float = 0.0
    activation_bytes: float = 0.0
    weight_bytes: float = 0.0
    row_bytes: float = 0.0
    dram_bytes: float = 0.0
    dram_activates: float = 0.0
    ssd_pages: float = 0.0
    bus_bytes: float = 0.0
    time_s: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise StudyError(
                    f"{field.name} is {getattr(self, field.name)}; it must be 0 or more and finite"
                )

    def __add__(self, other: "Activity") -> "Activity":
        """Of both; times add up as well, so add what happens one after the other."""
        return Activity(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in dataclasses.fields(self)
            }
        )


def network_activity(
    shape: NetworkShape, num_items: int, rows: int, cols: int, dataflow: Dataflow = "ws"
) -> Activity:
    """What a network does on an array whose operands lie in SRAM.

    A word that enters the array passes its whole width or height. Vectors that meet in dot products
    are read from the activations' memory once for each product, off the array.

    Args:
        shape: its layers.
        num_items: candidates at once.
        rows: of the array.
        cols: of the array.
        dataflow: what stays.

    Returns:
        Multiply-adds, hops and bytes of SRAM.

    Raises:
        StudyError: a size below 1, or no such dataflow.
    """
    whole = Activity(macs=float(num_items * shape.macs))
    for layer in shape.layers:
        words = sram_words(num_items, layer.num_outputs, layer.num_inputs, rows, cols, dataflow)
        inputs, weights, sums = int(words.inputs), int(words.weights), int(words.partial_sums)
        outputs = int(words.outputs)
        whole += Activity(
            hops=float(inputs * cols + weights * rows + outputs * rows),
            activation_bytes=float(WORD_BYTES * (inputs + outputs + sums)),
            weight_bytes=float(WORD_BYTES * weights),
        )
    if shape.interaction is not None:
        read = 2 * WORD_BYTES * num_items * shape.interaction.macs
        whole += Activity(activation_bytes=float(read))
    return whole


def gather_activity(
    num_items: int, row_bytes: tuple[int, ...], miss_share: float, *, burst_bytes: int = 64
) -> Activity:
    """Looking up the rows of every candidate: hits are read from SRAM, misses from DRAM.

    Every miss opens a DRAM row, moves whole bursts, and is read from SRAM once it is there.

    Args:
        num_items: candidates.
        row_bytes: of each table's row.
        miss_share: of lookups, 0 to 1.
        burst_bytes: that DRAM moves at least.

    Returns:
        Bytes of SRAM and DRAM, and DRAM rows opened.

    Raises:
        StudyError: a share outside 0 to 1, or a row or burst without bytes.
    """
    if not 0 <= miss_share <= 1 or burst_bytes < 1 or min(row_bytes, default=0) < 1:
        raise StudyError(
            f"rows of {row_bytes} bytes, bursts of {burst_bytes} and a share of {miss_share:g} "
            "misses; give rows and bursts of 1 byte or more and a share of 0 to 1"
        )
    bursts = sum(burst_bytes * -(-size // burst_bytes) for size in row_bytes)
    return Activity(
        row_bytes=float(num_items * sum(row_bytes)),
        dram_bytes=num_items * miss_share * bursts,
        dram_activates=num_items * miss_share * len(row_bytes),
    )
