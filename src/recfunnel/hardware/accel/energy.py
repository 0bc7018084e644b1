"""Energy of a query on each of many designs.

Letters: D designs, S stages, B sub-batches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.hardware.accel.batches import sub_batch_sizes
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import HOST, DesignColumns
from recfunnel.hardware.accel.rows import RowDemand
from recfunnel.hardware.accel.times import UnitTimes
from recfunnel.hardware.accel.work import ANSWER_BYTES, SCORE_BYTES, QueryWork, StageWork
from recfunnel.hardware.energy.access import USUAL, AccessEnergies
from recfunnel.hardware.energy.query import leakage_w
from recfunnel.hardware.systolic.traffic import sram_words


class EnergyColumns(NamedTuple):
    """Joules of a query by what they are spent on, each (D,); all but leakage, which is power.

    Args:
        array_j: multiply-adds and words passed from element to element.
        sram_j: activations, weights and rows.
        dram_j: rows and streamed weights.
        pcie_j: ids and answers.
        leakage_w: of the whole chip, for as long as it is switched on.
    """

    array_j: DoubleArray
    sram_j: DoubleArray
    dram_j: DoubleArray
    pcie_j: DoubleArray
    leakage_w: DoubleArray

    def query_j(self, rate_qps: float) -> DoubleArray:
        """(D,), of a query at a load: its own work, and its share of the leakage."""
        own = self.array_j + self.sram_j + self.dram_j + self.pcie_j
        return np.asarray(own + self.leakage_w / rate_qps)


def query_energy(
    chip: Chip,
    work: QueryWork,
    designs: DesignColumns,
    demands: Sequence[RowDemand],
    times: UnitTimes,
    area_mm2: DoubleArray,
    energies: AccessEnergies = USUAL,
) -> EnergyColumns:
    """What a query of each design costs; counts as in `recfunnel.hardware.energy.activity`.

    Args:
        chip: what is built.
        work: networks and tables of the stages.
        designs: D.
        demands: (S,), what each stage's sub-batches fetch.
        times: of the designs, which tell what weights are streamed.
        area_mm2: (D,), all of which leaks.
        energies: of the operations.

    Returns:
        By component.
    """
    sizes, answers = sub_batch_sizes(designs)
    array_j, sram_j, dram_j = (np.zeros(len(designs)) for _ in range(3))
    word = chip.word_bytes / 2
    for stage, each in enumerate(work.stages):
        num_items = sizes[:, stage]
        total = num_items.sum(axis=1)
        hops, activations, weights = _words(each, designs, num_items, stage)
        array_j += total * each.shape.macs * energies.mac_j.value * word
        array_j += hops * energies.hop_j.value * word
        sram_j += activations * chip.word_bytes * energies.activation_byte_j.value
        sram_j += weights * chip.word_bytes * energies.weight_byte_j.value
        sram_j += total * each.num_tables * each.vector_bytes * energies.row_byte_j.value
        held = designs.static_bytes[:, stage, np.newaxis] // each.vector_bytes
        fetched = demands[stage].fetched(num_items, held).sum(axis=1)
        dram_j += chip.dram.moved_bytes(fetched, each.vector_bytes) * energies.dram_byte_j.value
        dram_j += fetched * energies.dram_activate_j.value
    bandwidth = chip.dram.bandwidth_bytes_per_s * _shares(designs)
    dram_j += (times.weights.sum(axis=2) * bandwidth).sum(axis=1) * energies.dram_byte_j.value
    pcie_j = _pcie_bytes(work, designs, sizes.sum(axis=2), answers) * energies.bus_byte_j.value
    leak = leakage_w(1e6).value * area_mm2
    return EnergyColumns(array_j, sram_j, dram_j, pcie_j, leak)


def _words(
    work: StageWork, designs: DesignColumns, num_items: IntArray, stage: int
) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """(D,) each: words passed on in the array, of activation memory, of weight memory."""
    rows, cols = designs.rows[:, stage, np.newaxis], designs.cols[:, stage, np.newaxis]
    at_least_one = np.maximum(num_items, 1)
    some = num_items > 0
    hops, activations, weights = (np.zeros(num_items.shape) for _ in range(3))
    for layer in work.shape.layers:
        words = sram_words(at_least_one, layer.num_outputs, layer.num_inputs, rows, cols)
        hops += some * (words.inputs * cols + words.weights * rows + words.outputs * rows)
        activations += some * (words.inputs + words.outputs + words.partial_sums)
        weights += some * words.weights
    if work.shape.interaction is not None:
        activations += 2.0 * num_items * work.shape.interaction.macs
    return hops.sum(axis=1), activations.sum(axis=1), weights.sum(axis=1)


def _shares(designs: DesignColumns) -> DoubleArray:
    """(D, S), of the bandwidth that streamed weights moved at."""
    elements = (designs.rows * designs.cols * designs.copies).astype(np.float64)
    shares = elements / elements.sum(axis=1, keepdims=True)
    return np.where(designs.partitioned[:, np.newaxis], shares, 1.0)


def _pcie_bytes(
    work: QueryWork, designs: DesignColumns, read: IntArray, answers: IntArray
) -> DoubleArray:
    """(D,), both ways; behind a host that sorts, scores go out and ids come in again."""
    host = designs.policy == HOST
    total = read[:, 0] * float(max(stage.input_bytes for stage in work.stages))
    for stage in range(1, len(work.stages)):
        total += np.where(host[:, stage - 1], read[:, stage] * work.stages[stage].input_bytes, 0)
    total += np.where(host[:, :-1], read[:, :-1] * SCORE_BYTES, 0).sum(axis=1)
    return np.asarray(
        total + np.where(host[:, -1], read[:, -1] * SCORE_BYTES, answers * ANSWER_BYTES)
    )
