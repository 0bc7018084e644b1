"""The blocks a design needs on its chip, for area and power.

An accumulator, and a macro of activation memory, stand behind each column of each sub-array; a
crossbar behind four of those; a filter, with a buffer for the longest run of scores it sees at
once, behind each sub-array whose stage filters on the chip. The whole array and RPAccel's finest
cut then have the accumulators, crossbars and macros of the two published chips.

Letters: D designs, S stages.
"""

from typing import NamedTuple

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import GLOBAL, HOST, DesignColumns
from recfunnel.hardware.energy.chip import ChipParts, Sram, area_of, bill, power_of

MACRO_BYTES = 2**18
"""Of weight and row memory, as published."""

LEAST_MACRO_BYTES = 64


class Bills(NamedTuple):
    """Of D designs.

    Args:
        area_mm2: (D,).
        power_w: (D,), at the activity of the published synthesis.
    """

    area_mm2: DoubleArray
    power_w: DoubleArray


def bills(chip: Chip, designs: DesignColumns) -> Bills:
    """Area and power of each design's chip.

    Args:
        chip: what all of them have.
        designs: D.

    Returns:
        Both; designs of equal blocks are billed once.
    """
    keys = _blocks(designs)
    different, place = np.unique(keys, axis=0, return_inverse=True)
    lines = [bill(_parts(chip, *map(int, key))) for key in different]
    area = np.array([area_of(each).value / 1e6 for each in lines])
    power = np.array([power_of(each).value for each in lines])
    where = place.reshape(-1)
    return Bills(area[where], power[where])


def parts_of(chip: Chip, designs: DesignColumns, design: int = 0) -> ChipParts:
    """The blocks of one of the designs."""
    return _parts(chip, *map(int, _blocks(designs)[design]))


def _blocks(designs: DesignColumns) -> IntArray:
    """(D, 4): whether the array is cut, columns of sub-arrays, filters, entries of each."""
    own = designs.group == np.arange(designs.num_stages)
    copies = np.where(own, designs.copies, 0)
    longest = _entries(designs)
    filtering = designs.policy != HOST
    # a filter serves all stages of its sub-array, so the group has it if any stage filters
    group = np.zeros(designs.rows.shape, np.int64)
    np.maximum.at(group, (np.arange(len(designs))[:, None], designs.group), filtering * 1)
    return np.stack(
        [
            (copies.sum(axis=1) > 1) * 1,
            (copies * designs.cols).sum(axis=1),
            (copies * group).sum(axis=1),
            np.where(filtering, longest, 0).max(axis=1),
        ],
        axis=1,
    )


def _entries(designs: DesignColumns) -> IntArray:
    """(D, S), scores a filter holds at once: a sub-batch's, or all of the query's."""
    read = designs.kept[:, :-1]
    run = -(-read // designs.sub_batches)
    return np.where(designs.policy == GLOBAL, read, run)


def _parts(chip: Chip, cut: int, columns: int, filters: int, entries: int) -> ChipParts:
    macro = max(LEAST_MACRO_BYTES, chip.activation_sram_bytes // columns)
    return ChipParts(
        num_elements=chip.array.num_elements,
        fissionable=bool(cut),
        num_accumulators=columns,
        num_crossbars=columns // 4 if cut else 0,
        num_filters=filters,
        activations=Sram(macro_bytes=macro, num_macros=columns),
        weights=_memory("weight SRAM", chip.weight_sram_bytes),
        rows=_memory("embedding SRAM", chip.embedding_sram.capacity_bytes),
        filter_entries=entries if filters else 0,
    )


def _memory(name: str, num_bytes: int) -> Sram:
    if num_bytes % MACRO_BYTES:
        raise StudyError(
            f"{name} of {num_bytes:,} bytes; its area is that of macros of {MACRO_BYTES:,} bytes, "
            "give a whole number of them"
        )
    return Sram(macro_bytes=MACRO_BYTES, num_macros=num_bytes // MACRO_BYTES)
