"""Energy of a query on every one of many designs.

Letters: D designs, S stages, B sub-batches.
"""

from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import DesignColumns
from recfunnel.hardware.accel.rows import RowDemand
from recfunnel.hardware.accel.times import UnitTimes
from recfunnel.hardware.accel.work import QueryWork, StageWork
from recfunnel.hardware.energy.access import USUAL, AccessEnergies
from recfunnel.hardware.energy.query import leakage_w
from recfunnel.hardware.systolic.traffic import sram_words


def query_energy_j(
    chip: Chip,
    work: QueryWork,
    designs: DesignColumns,
    demands: Sequence[RowDemand],
    times: UnitTimes,
    *,
    area_um2: DoubleArray,
    seconds_per_query: DoubleArray,
    energies: AccessEnergies = USUAL,
) -> dict[str, DoubleArray]:
    """Energy of a query, component by component; simulated.

    Args:
        chip: what is built.
        work: what a query asks.
        designs: D.
        demands: (S,), what each stage's sub-batches fetch.
        times: `unit_times` of all these.
        area_um2: (D,), all of which leaks.
        seconds_per_query: (D,), during which it leaks: a query's latency where one is alone, the
            time between two under load.
        energies: of the operations.

    Returns:
        (D,) joules by component; their sum is the query's.
    """
    counts = {
        name: np.zeros(len(designs)) for name in ("macs", "hops", "activations", "weights", "rows")
    }
    fetched, pages = np.zeros(len(designs)), np.zeros(len(designs))
    moved = np.zeros(len(designs))
    for stage, (asked, demand) in enumerate(zip(work.stages, demands, strict=True)):
        for name, count in _layers(chip, asked, designs, times, stage).items():
            counts[name] += count
        items = times.num_items[:, stage]
        held = designs.static_bytes[:, stage, np.newaxis] // asked.vector_bytes
        missed = demand.fetched(items, held)
        on_ssd = np.minimum(demand.from_ssd(items), missed)
        counts["rows"] += asked.vector_bytes * (items * asked.num_tables + missed).sum(axis=1)
        moved += chip.dram.moved_bytes(missed - on_ssd, asked.vector_bytes).sum(axis=1)
        fetched += (missed - on_ssd).sum(axis=1)
        pages += on_ssd.sum(axis=1)
    moved += _streamed_bytes(chip, designs, times)
    bus_s = times.pcie_in.sum(axis=(1, 2)) + times.pcie_out.sum(axis=1)
    leaks_w = leakage_w(1.0).value * area_um2
    return {
        "multiply-adds": counts["macs"] * energies.mac_j.value,
        "registers": counts["hops"] * energies.hop_j.value,
        "activation SRAM": counts["activations"] * energies.activation_byte_j.value,
        "weight SRAM": counts["weights"] * energies.weight_byte_j.value,
        "row SRAM": counts["rows"] * energies.row_byte_j.value,
        "DRAM transfers": moved * energies.dram_byte_j.value,
        "DRAM rows opened": fetched * energies.dram_activate_j.value,
        "SSD": pages * energies.ssd_page_j.value,
        "PCIe": bus_s * chip.pcie.bandwidth_bytes_per_s * energies.bus_byte_j.value,
        "leakage": leaks_w * seconds_per_query,
    }


def _layers(
    chip: Chip, asked: StageWork, designs: DesignColumns, times: UnitTimes, stage: int
) -> dict[str, DoubleArray]:
    """(D,) multiply-adds, hops, and bytes of both memories, of one stage."""
    items = times.num_items[:, stage]
    there = items > 0
    rows, cols = designs.rows[:, stage, np.newaxis], designs.cols[:, stage, np.newaxis]
    dots = 0 if asked.shape.interaction is None else 2 * asked.shape.interaction.macs
    hops, weights = np.zeros(items.shape), np.zeros(items.shape)
    activations = (dots * items).astype(np.float64)
    for layer in asked.shape.layers:
        words = sram_words(np.maximum(items, 1), layer.num_outputs, layer.num_inputs, rows, cols)
        hops += there * (words.inputs * cols + (words.weights + words.outputs) * rows)
        activations += there * (words.inputs + words.outputs + words.partial_sums)
        weights += there * words.weights
    return {
        "macs": asked.shape.macs * items.sum(axis=1).astype(np.float64),
        "hops": hops.sum(axis=1),
        "activations": chip.word_bytes * activations.sum(axis=1),
        "weights": chip.word_bytes * weights.sum(axis=1),
    }


def _streamed_bytes(chip: Chip, designs: DesignColumns, times: UnitTimes) -> DoubleArray:
    """(D,), weights from DRAM; a partitioned channel moves them at a stage's share."""
    elements = (designs.rows * designs.cols * designs.copies).astype(np.float64)
    shares = elements / elements.sum(axis=1, keepdims=True)
    speed = np.where(designs.partitioned[:, np.newaxis], shares, 1.0)
    streamed_s = (times.weights.sum(axis=2) * speed).sum(axis=1)
    return np.asarray(streamed_s * chip.dram.bandwidth_bytes_per_s)
