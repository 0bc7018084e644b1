"""The published mappings on our own model of the accelerator.

The chip has the published array, clock, bandwidths and memories. It has what the published model
lacks: sub-batches, copies that work on one query together, rows fetched ahead, one channel of DRAM
for all, and bursts that do not reach its bandwidth. Each stage has an equal part of the SRAM for
rows, half for the hottest and half to fetch ahead into; each sub-array has its share of the lanes.
"""

from collections.abc import Sequence

from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import Design, StageUse, columns_of
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.accel.times import UnitTimes, unit_times
from recfunnel.hardware.accel.work import QueryWork, dlrm_work
from recfunnel.hardware.artifact import constants as at
from recfunnel.hardware.artifact.mappings import mapping
from recfunnel.hardware.artifact.timing import Stage, hit_share
from recfunnel.hardware.memory.dram import Dram
from recfunnel.hardware.memory.pcie import Pcie
from recfunnel.hardware.memory.sram import Sram
from recfunnel.simulate.accel_query import busy_s, query_latency_s

SUB_BATCHES = (1, 2, 4, 8, 16)
"""Tried for every mapping; the one that answers a query alone soonest is taken."""

NUM_TABLES = 26
NUM_ANSWERS = 64
WORD_BYTES = 2
ITEM_BYTES = 8 * NUM_TABLES + 4 * 13

CHIP = Chip(
    clock_hz=1 / at.CLOCK_PERIOD_S,
    word_bytes=WORD_BYTES,
    weight_sram_bytes=at.AREA_WEIGHT_SRAM_BYTES,
    embedding_sram=Sram(
        capacity_bytes=at.AREA_ROW_SRAM_BYTES,
        ports=at.NUM_ROW_MACROS,
        width_bytes=at.MACRO_BYTES_PER_CYCLE,
    ),
    dram=Dram(
        bandwidth_bytes_per_s=at.ENGINES[1].dram_bytes_per_s,
        latency_s=at.DRAM_LATENCY_CYCLES * at.CLOCK_PERIOD_S,
    ),
    pcie=Pcie(
        latency_s=at.PCIE_IN_BASE * at.PCIE_UNIT_CYCLES * at.CLOCK_PERIOD_S,
        bandwidth_bytes_per_s=at.PCIE_FULL_ITEMS
        * ITEM_BYTES
        / (at.PCIE_IN_FULL * at.PCIE_UNIT_CYCLES * at.CLOCK_PERIOD_S),
    ),
    lanes=at.NUM_LANES,
)
"""With the published constants; what they do not say is the model's own."""


def best_times(
    fission: Sequence[int], items: Sequence[int] | None = None, *, host_sort: bool = False
) -> UnitTimes:
    """Unit times of a published mapping with the best of `SUB_BATCHES`.

    Args:
        fission: the part of the chip that each stage's sub-arrays are.
        items: each stage reads, instead of the pipeline's own.
        host_sort: the host sorts behind every stage, to which all scores go.

    Returns:
        Of one design.

    Raises:
        StudyError: no such mapping.
    """
    stages = mapping(fission, items)
    tried = [times_with(stages, number, host_sort=host_sort) for number in SUB_BATCHES]
    return min(tried, key=lambda times: float(query_latency_s(times)[0]))


def alone_s(times: UnitTimes) -> float:
    """Latency of one query that has the accelerator to itself, simulated."""
    return float(query_latency_s(times)[0])


def capacity_qps(times: UnitTimes) -> float:
    """Queries a second that the busiest unit can do, however they are overlapped."""
    busy = busy_s(times)
    one_each = [float(busy[name][0]) for name in ("pcie_in", "sram", "ssd", "pcie_out")]
    shared_dram = float(busy["dram"].sum())
    arrays = busy["array"][0] / times.copies[0]
    return 1 / max(*one_each, shared_dram, float(arrays.max()))


def times_with(stages: Sequence[Stage], sub_batches: int, *, host_sort: bool = False) -> UnitTimes:
    """Unit times of a published pipeline cut into so many sub-batches, of one design."""
    num_out = [*(stage.num_items for stage in stages[1:]), NUM_ANSWERS]
    work = QueryWork(
        num_in=stages[0].num_items,
        stages=tuple(
            dlrm_work(
                stage.network.bottom, stage.network.top, NUM_TABLES, kept, word_bytes=WORD_BYTES
            )
            for stage, kept in zip(stages, num_out, strict=True)
        ),
    )
    part_bytes = at.AREA_ROW_SRAM_BYTES // len(stages) // 2
    design = Design(
        stages=tuple(
            StageUse(
                rows=stage.engine.side,
                cols=stage.engine.side,
                copies=stage.num_engines,
                static_bytes=part_bytes,
                ahead_bytes=part_bytes,
                policy="host" if host_sort else "quota",
            )
            for stage in stages
        ),
        sub_batches=sub_batches,
    )
    demands = [
        RowRates(num_tables=NUM_TABLES, hit_rate=hit_share(part_bytes / each.vector_bytes))
        for each in work.stages
    ]
    columns = columns_of(work, [design])
    return unit_times(CHIP, work, columns, demands)
