"""Whether a design fits its chip: room on the array, and every SRAM.

Letters: D designs, S stages.
"""

import numpy as np

from recfunnel.core.arrays import BoolArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import Design, DesignColumns
from recfunnel.hardware.accel.work import QueryWork
from recfunnel.hardware.systolic.fission import Partition, place


def check_fits(chip: Chip, work: QueryWork, design: Design) -> Partition:
    """Hold a design to what the chip has.

    Args:
        chip: what is built.
        work: what a query asks.
        design: how it is used.

    Returns:
        Where its sub-arrays lie, stage by stage, copy by copy; those of a stage that shares
        another's are that one's.

    Raises:
        StudyError: sub-arrays that have no room, caches and buffers above the embedding SRAM, or
            fewer candidates than sub-batches somewhere.
    """
    shapes = [
        (stage.rows, stage.cols)
        for stage in design.stages
        if stage.shares_with is None
        for _ in range(stage.copies)
    ]
    partition = place(chip.array, shapes)
    asked = sum(stage.static_bytes + stage.ahead_bytes for stage in design.stages)
    held = chip.embedding_sram.capacity_bytes
    if asked > held:
        raise StudyError(
            f"static caches and look-ahead buffers of {asked:,} bytes in an embedding SRAM of "
            f"{held:,}; make them smaller"
        )
    for number, read in enumerate(work.kept[:-1]):
        if read < design.sub_batches:
            raise StudyError(
                f"stage {number} reads {read} candidates in {design.sub_batches} sub-batches; "
                f"give it at most {read}"
            )
    return partition


def used_elements(designs: DesignColumns) -> IntArray:
    """(D,), processing elements of all sub-arrays, each counted once.

    Not more than the array has is enough for sub-arrays that are squares whose sides divide each
    other and the array's; others may still find no room beside each other.
    """
    own = designs.group == np.arange(designs.num_stages)
    return np.asarray((designs.rows * designs.cols * designs.copies * own).sum(axis=1))


def used_embedding_bytes(designs: DesignColumns) -> IntArray:
    """(D,), embedding SRAM of all static caches and look-ahead buffers."""
    return np.asarray((designs.static_bytes + designs.ahead_bytes).sum(axis=1))


def what_fits(chip: Chip, work: QueryWork, designs: DesignColumns) -> dict[str, BoolArray]:
    """Which designs keep each rule of a chip: a search prices those that keep all.

    Args:
        chip: what is built.
        work: networks of the stages.
        designs: D.

    Returns:
        bool (D,) by what is short where it is false: `array` (by elements, see `used_elements`),
        `embedding SRAM`, `activation SRAM` (one candidate), `weight SRAM` (two tiles to stream
        through, where not all weights fit) and `candidates` (one a sub-batch).
    """
    elements = designs.rows * designs.cols
    widest = np.array([stage.widest() for stage in work.stages]) * chip.word_bytes
    room = chip.activation_sram_bytes * (elements / chip.array.num_elements)
    weights = sum(stage.weight_bytes(chip.word_bytes) for stage in work.stages)
    tiles = 2 * elements.max(axis=1) * chip.word_bytes
    fits = weights <= chip.weight_sram_bytes
    return {
        "array": used_elements(designs) <= chip.array.num_elements,
        "embedding SRAM": used_embedding_bytes(designs) <= chip.embedding_sram.capacity_bytes,
        "activation SRAM": (room >= widest).all(axis=1),
        "weight SRAM": fits | (tiles <= chip.weight_sram_bytes),
        "candidates": (designs.kept[:, :-1] >= designs.sub_batches).all(axis=1),
    }
