"""Area and power of a chip that is cut for a design, for many designs at once.

Letters: D designs.

What a partition needs is read off the published chips: an accumulator for each column of every
sub-array (128 of one array, 1,024 of 64 of 16 x 16), a macro of activations for each of their rows
(128 of 32 KiB, 1,024 of 4 KiB), a crossbar for each 64 elements once the array can be cut at all.
"""

import math

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import HOST, DesignColumns
from recfunnel.hardware.energy.chip import ChipParts, Sram, area_of, bill, power_of

MACRO_BYTES = 256 * 2**10
"""Of weights and rows."""

ELEMENTS_A_CROSSBAR = 64
NUM_BUFFERS = 2
"""Of scores behind each filter, used in turn."""


def chip_parts(
    chip: Chip,
    *,
    num_rows: int,
    num_cols: int,
    num_sub_arrays: int,
    num_filters: int,
    filter_entries: int,
) -> ChipParts:
    """What a chip is built of when it is cut into sub-arrays.

    Args:
        chip: its array and memories.
        num_rows: of all sub-arrays together.
        num_cols: of all together.
        num_sub_arrays: how many.
        num_filters: behind them; those of stages that the host sorts have none.
        filter_entries: scores each filter holds, all its buffers together.

    Returns:
        Its parts.
    """
    cut = num_sub_arrays > 1
    return ChipParts(
        num_elements=chip.array.num_elements,
        fissionable=cut,
        num_accumulators=num_cols,
        num_crossbars=chip.array.num_elements // ELEMENTS_A_CROSSBAR if cut else 0,
        num_filters=num_filters * chip.topk.lanes,
        activations=Sram(
            macro_bytes=max(1, chip.activation_sram_bytes // num_rows), num_macros=num_rows
        ),
        weights=_whole_macros(chip.weight_sram_bytes),
        rows=_whole_macros(chip.embedding_sram.capacity_bytes),
        filter_entries=filter_entries // chip.topk.lanes,
        num_lanes=chip.lanes or 0,
    )


def area_and_power(chip: Chip, designs: DesignColumns) -> tuple[DoubleArray, DoubleArray]:
    """Area and power of the chip that each design needs.

    A filter holds the scores of its stage's largest sub-batch, twice. Lanes for dot products are
    the chip's, of which each sub-array has its share.

    Args:
        chip: what all are built on.
        designs: D.

    Returns:
        (D,) square micrometres and (D,) watts, at the activity of the published reports.
    """
    needs, place = np.unique(_needs(designs), axis=0, return_inverse=True)
    found = np.array([_priced(chip, need) for need in needs])
    areas, powers = found[place.ravel()].T
    return areas, powers


def _needs(designs: DesignColumns) -> IntArray:
    """(D, 5): rows, columns, sub-arrays, filters, and entries of a filter."""
    own = designs.group == np.arange(designs.num_stages)
    filtered = own & (designs.policy != HOST)
    reads = designs.kept[:, :-1].max(axis=1)
    return np.stack(
        [
            (designs.rows * designs.copies * own).sum(axis=1),
            (designs.cols * designs.copies * own).sum(axis=1),
            (designs.copies * own).sum(axis=1),
            (designs.copies * filtered).sum(axis=1),
            NUM_BUFFERS * -(-reads // designs.sub_batches),
        ],
        axis=1,
    )


def _priced(chip: Chip, need: IntArray) -> tuple[float, float]:
    rows, cols, sub_arrays, filters, entries = (int(each) for each in need)
    lines = bill(
        chip_parts(
            chip,
            num_rows=rows,
            num_cols=cols,
            num_sub_arrays=sub_arrays,
            num_filters=filters,
            filter_entries=entries,
        )
    )
    return area_of(lines).value, power_of(lines).value


def _whole_macros(num_bytes: int) -> Sram:
    return Sram(macro_bytes=MACRO_BYTES, num_macros=math.ceil(num_bytes / MACRO_BYTES))
