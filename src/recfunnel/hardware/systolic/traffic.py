"""Words a matrix product moves: between SRAM and the array, and between DRAM and SRAM.

Letters: an (M, K) input times (K, N) weights on R x C processing elements.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.systolic.cycles import folds, gemm_cycles
from recfunnel.hardware.systolic.sizes import Dataflow, checked

Channel = Literal["private", "shared"]
"""Whether inputs, weights and outputs have a DRAM channel each, as in SCALE-Sim, or share one."""


@dataclass(frozen=True, eq=False, slots=True)
class Words:
    """Words of each operand that are moved; int64, of one shape.

    Args:
        inputs: read.
        weights: read.
        outputs: written.
        partial_sums: of the outputs written, those that are read again to be added to; SCALE-Sim
            does not count them, because its accumulators stand outside the array.
    """

    inputs: IntArray
    weights: IntArray
    outputs: IntArray
    partial_sums: IntArray

    @property
    def total(self) -> IntArray:
        """Read and written, partial sums once more."""
        return self.inputs + self.weights + self.outputs + self.partial_sums


class OperandBuffers(Value, frozen=True):
    """SRAM of each operand, half of it in use while the other half is filled.

    Args:
        inputs: words.
        weights: words.
        outputs: words.
    """

    inputs: int
    weights: int
    outputs: int

    def __post_init__(self) -> None:
        if min(self.inputs, self.weights, self.outputs) < 2:
            raise StudyError(
                f"buffers of {self.inputs}, {self.weights} and {self.outputs} words; each is used "
                "in two halves and must hold 2 or more"
            )


def sram_words(
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
    dataflow: Dataflow = "ws",
) -> Words:
    """Words between SRAM and the array.

    What stays is read once; what streams is read once for each fold that lies across it; outputs
    leave once for each fold over K. Equal to SCALE-Sim's counts, but for its output-stationary
    outputs, to which it adds R + C for each fold; they do not exist.

    Args:
        m: rows of inputs.
        n: outputs.
        k: inputs.
        rows: R.
        cols: C.
        dataflow: what stays in the array.

    Returns:
        Words, of the shape all sizes broadcast to.

    Raises:
        StudyError: a size below 1 or above 2^31, or no such dataflow.
    """
    down, across, _ = folds(m, n, k, rows, cols, dataflow)
    once = _operands(m, n, k)
    inputs = once[0] if dataflow == "is" else once[0] * across
    weights = once[1] if dataflow == "ws" else once[1] * (down if dataflow == "os" else across)
    outputs = once[2] if dataflow == "os" else once[2] * down
    return Words(*np.broadcast_arrays(inputs, weights, outputs, outputs - once[2]))


def dram_words(
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
    buffers: OperandBuffers,
    dataflow: Dataflow = "ws",
) -> Words:
    """Words between DRAM and the buffers: an operand that fits into its buffer is read once.

    One that does not is read anew for each pass over it. Output-stationary inputs pass a whole row
    of folds from half the buffer, where min(M, R) rows of K fit. Outputs are added up on chip and
    leave once.

    Args:
        m: rows of inputs.
        n: outputs.
        k: inputs.
        rows: R.
        cols: C.
        buffers: SRAM of each operand.
        dataflow: what stays in the array.

    Returns:
        Words, of the shape all sizes broadcast to.

    Raises:
        StudyError: a size below 1 or above 2^31, or no such dataflow.
    """
    passes = sram_words(m, n, k, rows, cols, dataflow)
    inputs, weights, outputs = _operands(m, n, k)
    fits = inputs <= buffers.inputs
    if dataflow == "os":
        a_fold = np.minimum(checked("M", m), checked("rows", rows)) * checked("K", k)
        fits = fits | (a_fold <= buffers.inputs // 2)
    read = np.where(fits, inputs, passes.inputs)
    read_weights = np.where(weights <= buffers.weights, weights, passes.weights)
    none = np.zeros_like(passes.outputs)
    return Words(*np.broadcast_arrays(read, read_weights, outputs, none))


def bandwidth_cycles(
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
    buffers: OperandBuffers,
    words_per_cycle: float,
    dataflow: Dataflow = "ws",
    *,
    overlap: bool = False,
    channel: Channel = "private",
    prefilled: bool = True,
) -> IntArray:
    """Cycles of a product whose operands come from DRAM: the longer of computing and moving.

    At least max(compute, (words - words prefilled) / bandwidth), which nothing can beat, and at
    most what SCALE-Sim 3.0.0 reports with its twice counted stalls put right: it waits for a whole
    half buffer before it goes on.

    Args:
        m: rows of inputs.
        n: outputs.
        k: inputs.
        rows: R.
        cols: C.
        buffers: SRAM of each operand.
        words_per_cycle: of DRAM; with private channels, of each.
        dataflow: what stays in the array.
        overlap: folds overlap.
        channel: one for each operand, or one for all.
        prefilled: half of the input and weight buffers is filled before the first cycle, and what
            the output buffer holds leaves after the last; SCALE-Sim's convention.

    Returns:
        int64, of the shape all sizes broadcast to; never below `gemm_cycles`.

    Raises:
        StudyError: bandwidth not above 0, a size below 1 or above 2^31, or no such dataflow.
    """
    if not 0 < words_per_cycle < np.inf:
        raise StudyError(f"DRAM moves {words_per_cycle} words a cycle; it must be above 0")
    compute = gemm_cycles(m, n, k, rows, cols, dataflow, overlap=overlap)
    words = dram_words(m, n, k, rows, cols, buffers, dataflow)
    free = (buffers.inputs // 2, buffers.weights // 2, buffers.outputs) if prefilled else (0, 0, 0)
    operands = (words.inputs, words.weights, words.outputs)
    waits = [np.maximum(moved - ready, 0) for moved, ready in zip(operands, free, strict=True)]
    longest = np.maximum.reduce(waits) if channel == "private" else np.add.reduce(waits)
    moving = np.ceil(longest / words_per_cycle).astype(np.int64)
    slower: IntArray = np.maximum(compute, moving)
    return slower


def _operands(m: ArrayLike, n: ArrayLike, k: ArrayLike) -> tuple[IntArray, IntArray, IntArray]:
    """Words of the inputs, the weights and the outputs."""
    height, width, depth = checked("M", m), checked("N", n), checked("K", k)
    return height * depth, depth * width, height * width
