"""How many candidates each sub-batch of each stage has.

Letters: D designs, S stages, B sub-batches, n candidates, k wanted.
"""

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.hardware.accel.design import RUNNING, DesignColumns


def sub_batch_sizes(designs: DesignColumns) -> tuple[IntArray, IntArray]:
    """Candidates of every sub-batch, and what the last stage passes.

    The first stage's run b ends at (b + 1) n // B. A filter passes `overshoot` times what is
    wanted, cut into runs the same way; a running threshold passes
    min(1, margin (b + 1) / B) k / (b + 1) of run b, candidates in random order; no run passes more
    than it has.

    Args:
        designs: D.

    Returns:
        int64 (D, S, B), and int64 (D,).
    """
    b = np.arange(designs.sub_batches)
    num_stages = designs.num_stages
    sizes = np.empty((len(designs), num_stages, b.size), np.int64)
    sizes[:, 0] = _runs(designs.kept[:, 0], b)
    for stage in range(num_stages):
        passed = _passed(designs, stage, sizes[:, stage])
        if stage + 1 < num_stages:
            sizes[:, stage + 1] = passed
    return sizes, np.asarray(passed.sum(axis=1))


def _passed(designs: DesignColumns, stage: int, sizes: IntArray) -> IntArray:
    """(D, B), what each run of a stage passes on."""
    b = np.arange(designs.sub_batches)
    wanted = designs.kept[:, stage + 1] * designs.overshoot[:, stage]
    passed = _runs(np.ceil(np.minimum(wanted, sizes.sum(axis=1))).astype(np.int64), b)
    running = designs.policy[:, stage] == RUNNING
    if running.any():
        passed = np.where(running[:, np.newaxis], _running(designs, stage, wanted, b), passed)
        passed = np.minimum(passed, sizes)
    return passed


def _running(designs: DesignColumns, stage: int, wanted: DoubleArray, b: IntArray) -> IntArray:
    seen = designs.margin[:, stage, np.newaxis] * ((b + 1) / designs.sub_batches)
    share = np.minimum(1.0, seen) / (b + 1)
    return np.ceil(wanted[:, np.newaxis] * share - 1e-9).astype(np.int64)


def _runs(num: IntArray, b: IntArray) -> IntArray:
    """(D, B), as equal as whole numbers can be."""
    column = num[:, np.newaxis]
    runs: IntArray = (b + 1) * column // b.size - b * column // b.size
    return runs
