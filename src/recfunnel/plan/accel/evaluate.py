"""What many designs of one pipeline do without waiting, and what they are built of.

Letters: D designs, S stages.
"""

import dataclasses
from dataclasses import dataclass

import msgspec
import numpy as np

from recfunnel.core.arrays import BoolArray, DoubleArray
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import DesignColumns
from recfunnel.hardware.accel.times import UnitTimes, unit_times
from recfunnel.hardware.energy.design_area import area_and_power
from recfunnel.hardware.energy.design_energy import query_energy_j
from recfunnel.hardware.systolic.sizes import SystolicArray
from recfunnel.plan.accel.problem import AccelPipeline, AccelProblem
from recfunnel.simulate.accel_query import busy_s, query_latency_s


@dataclass(frozen=True, eq=False, slots=True)
class Priced:
    """Figures of D designs.

    Args:
        alone_s: (D,), latency of a query that has the accelerator to itself.
        limit_qps: (D,), load at which the busiest unit is always busy.
        energy_j: (D,), of a query at the load of the target.
        area_mm2: (D,).
        power_w: (D,).
    """

    alone_s: DoubleArray
    limit_qps: DoubleArray
    energy_j: DoubleArray
    area_mm2: DoubleArray
    power_w: DoubleArray


def chip_of(problem: AccelProblem, array_side: int, row_bytes: int, weight_bytes: int) -> Chip:
    """The problem's chip with another array and other memories; ports grow with the memory."""
    chip = problem.chip
    sram = chip.embedding_sram
    ports = max(1, sram.ports * row_bytes // sram.capacity_bytes)
    return msgspec.structs.replace(
        chip,
        array=SystolicArray(rows=array_side, cols=array_side, block=chip.array.block),
        weight_sram_bytes=weight_bytes,
        embedding_sram=msgspec.structs.replace(sram, capacity_bytes=row_bytes, ports=ports),
    )


def times_for(
    problem: AccelProblem, pipeline: AccelPipeline, chip: Chip, designs: DesignColumns
) -> UnitTimes:
    """Unit times of designs of a pipeline on a chip."""
    demands = [problem.models[name].demand for name in pipeline.models]
    return unit_times(chip, pipeline.work(problem.models), designs, demands)


def price(
    problem: AccelProblem,
    pipeline: AccelPipeline,
    chip: Chip,
    designs: DesignColumns,
    rate_qps: float,
) -> Priced:
    """Service times, limits, energy, area and power of all designs at once.

    Args:
        problem: models.
        pipeline: which of them.
        chip: what is built.
        designs: D.
        rate_qps: load that the leakage is spread over.
    """
    times = times_for(problem, pipeline, chip, designs)
    work = pipeline.work(problem.models)
    demands = [problem.models[name].demand for name in pipeline.models]
    area_um2, power_w = area_and_power(chip, designs)
    energy = query_energy_j(
        chip,
        work,
        designs,
        demands,
        times,
        area_um2=area_um2,
        seconds_per_query=np.full(len(designs), 1 / rate_qps),
    )
    return Priced(
        alone_s=query_latency_s(times),
        limit_qps=limit_qps(times),
        energy_j=np.sum(list(energy.values()), axis=0),
        area_mm2=area_um2 / 1e6,
        power_w=power_w,
    )


def limit_qps(times: UnitTimes) -> DoubleArray:
    """(D,), queries a second that keep the busiest unit always busy."""
    busy = busy_s(times)
    by_unit = [busy["pcie_in"], busy["sram"], busy["ssd"], busy["pcie_out"]]
    num_stages = times.copies.shape[1]
    for unit in range(num_stages):
        of_channel = times.channel == unit
        by_unit.append((busy["dram"] * of_channel).sum(axis=1))
        of_group = (times.group == unit) / times.copies
        by_unit += [(busy["array"] * of_group).sum(axis=1), (busy["topk"] * of_group).sum(axis=1)]
    return np.asarray(1.0 / np.max(by_unit, axis=0))


def picked(designs: DesignColumns, where: BoolArray) -> DesignColumns:
    """Some of the designs."""
    arrays = {
        name: getattr(designs, name)[where]
        for name in DesignColumns.__dataclass_fields__
        if name != "sub_batches"
    }
    return dataclasses.replace(designs, **arrays)
