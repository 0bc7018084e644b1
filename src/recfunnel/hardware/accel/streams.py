"""Weights that do not fit: which stages' are kept on chip, and what the others move.

Letters: D designs, S stages, B sub-batches.
"""

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import DesignColumns
from recfunnel.hardware.accel.work import QueryWork
from recfunnel.hardware.systolic.sharing import StageWeights, place_weights


def weight_bytes_moved(
    chip: Chip, work: QueryWork, designs: DesignColumns, blocks: IntArray
) -> DoubleArray:
    """Weights that each sub-batch moves over DRAM.

    None where all stages fit into weight SRAM. Else the set that leaves fewest bytes is kept. What
    is streamed is moved once a query if the room left over holds a stage whole, with its first
    sub-batch, and else once a block of each sub-batch, tile by tile.

    Args:
        chip: what is built.
        work: the networks.
        designs: D.
        blocks: (D, S, B), blocks that a sub-batch is worked off in.

    Returns:
        Bytes (D, S, B).

    Raises:
        StudyError: weight SRAM does not even hold two tiles to stream through.
    """
    sizes = [stage.weight_bytes(chip.word_bytes) for stage in work.stages]
    moved = np.zeros(blocks.shape)
    if sum(sizes) <= chip.weight_sram_bytes:
        return moved
    tiles = 2 * (designs.rows * designs.cols).max(axis=1) * chip.word_bytes
    stages = [StageWeights(num_bytes=size) for size in sizes]
    for tile in np.unique(tiles):
        picked = np.flatnonzero(tiles == tile)
        placed = place_weights(stages, chip.weight_sram_bytes, "shared", stream_bytes=int(tile))
        kept = sum(size for size, stays in zip(sizes, placed.resident, strict=True) if stays)
        for number, streamed in enumerate(placed.streamed_bytes):
            if streamed > chip.weight_sram_bytes - kept:
                moved[picked, number] = streamed * blocks[picked, number]
            else:
                moved[picked, number, 0] = streamed
    return moved
