"""Cycles of a matrix product on a systolic array, in closed form.

Letters: an (M, K) input times (K, N) weights on R x C processing elements. The dataflow says which
two sizes lie over the array's rows and columns, in folds, and which one streams through:

| dataflow | over rows | over columns | streams |
|---|---|---|---|
| `ws` | K | N | M |
| `os` | M | N | K |
| `is` | K | M | N |

Serial forms equal SCALE-Sim 3.0.0's compute cycles, which name the last cycle counted from 0: one
less than the cycles that pass. A fold loads what stays (`ws`, `is`: R cycles), streams, and leaves
over both edges, before the next one begins.

Overlapped forms let a fold begin while the one before still works. For `ws` and `is` it is the
issue rule of ONNXim's weight-stationary core: a second set of registers is loaded behind the
computing, so folds begin max(stream, R, 4) apart; the first waits 2 R - 1 cycles, R for its way
from the buffer and R - 1 for its way through the array. For `os`, which ONNXim does not have, a
second set of accumulators leaves through the R rows behind the next fold, so folds begin
max(stream, R) apart: our derivation.
"""

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.hardware.systolic.sizes import Dataflow, ceil_div, check_dataflow, checked

LEAST_ISSUE = 4
"""ONNXim issues no product of fewer rows than this; a shorter one takes as long."""

MOST_CYCLES = 2.0**62


def folds(
    m: ArrayLike, n: ArrayLike, k: ArrayLike, rows: ArrayLike, cols: ArrayLike, dataflow: Dataflow
) -> tuple[IntArray, IntArray, IntArray]:
    """How often a product covers the array.

    Args:
        m: rows of inputs.
        n: outputs.
        k: inputs.
        rows: R.
        cols: C.
        dataflow: what stays in the array.

    Returns:
        Folds over the rows, folds over the columns, and the length of what streams; int64, each
        of the shape its own sizes broadcast to.

    Raises:
        StudyError: a size below 1 or above 2^31, or no such dataflow.
    """
    check_dataflow(dataflow)
    heights, widths, depths = checked("M", m), checked("N", n), checked("K", k)
    down, across, stream = {
        "ws": (depths, widths, heights),
        "os": (heights, widths, depths),
        "is": (depths, heights, widths),
    }[dataflow]
    return ceil_div(down, checked("rows", rows)), ceil_div(across, checked("cols", cols)), stream


def gemm_cycles(
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
    dataflow: Dataflow = "ws",
    *,
    overlap: bool = False,
) -> IntArray:
    """Cycles of a product whose operands lie ready in SRAM.

    Args:
        m: rows of inputs.
        n: outputs.
        k: inputs.
        rows: R.
        cols: C.
        dataflow: what stays in the array.
        overlap: folds overlap, else each waits for the one before.

    Returns:
        int64, of the shape all sizes broadcast to.

    Raises:
        StudyError: a size below 1 or above 2^31, no such dataflow, or more than 2^62 cycles.
    """
    down, across, stream = folds(m, n, k, rows, cols, dataflow)
    height, width = checked("rows", rows), checked("cols", cols)
    count = _countable(down, across, 3 * height + width + stream + LEAST_ISSUE)
    way = height + width - 2
    if not overlap:
        load = 0 if dataflow == "os" else height
        return count * (load + way + stream) - 1
    if dataflow == "os":
        return (count - 1) * np.maximum(stream, height) + way + stream - 1
    issued = np.maximum(stream, LEAST_ISSUE)
    return 2 * height - 1 + (count - 1) * np.maximum(issued, height) + way + issued


def utilisation(
    m: ArrayLike, n: ArrayLike, k: ArrayLike, rows: ArrayLike, cols: ArrayLike, cycles: ArrayLike
) -> DoubleArray:
    """Share of all elements' cycles that multiply, SCALE-Sim's overall utilisation.

    Args:
        m: rows of inputs.
        n: outputs.
        k: inputs.
        rows: R.
        cols: C.
        cycles: as `gemm_cycles` gives them.

    Returns:
        float64, 0 to 1.

    Raises:
        StudyError: a size below 1 or above 2^31.
    """
    done = checked("M", m).astype(np.float64) * checked("N", n) * checked("K", k)
    offered = checked("rows", rows) * checked("cols", cols) * np.asarray(cycles, np.float64)
    return np.asarray(done / offered)


def _countable(down: IntArray, across: IntArray, longest: IntArray) -> IntArray:
    """All folds, if their cycles can be counted."""
    most = down.astype(np.float64) * across * longest
    if most.size and most.max() > MOST_CYCLES:
        raise StudyError(
            f"a product takes {most.max():.3g} cycles, more than {MOST_CYCLES:.3g} can be counted; "
            "check the units of its sizes"
        )
    return down * across
