"""Figure 11: area and power of the published chips; and energy of a query, which has no figure."""

from collections.abc import Sequence

from recfunnel.hardware.artifact.constants import BURST_BYTES, engine
from recfunnel.hardware.artifact.faults import CORRECTED
from recfunnel.hardware.artifact.mappings import mapping, mapping_name
from recfunnel.hardware.artifact.timing import (
    Stage,
    miss_share_of,
    service_times,
    total_s,
    weights_stay,
)
from recfunnel.hardware.energy.activity import (
    WORD_BYTES,
    Activity,
    gather_activity,
    network_activity,
)
from recfunnel.hardware.energy.chip import (
    BASELINE,
    RPACCEL,
    ChipParts,
    Component,
    area_of,
    bill,
    power_of,
)
from recfunnel.hardware.energy.query import energy_of
from recfunnel.hardware.systolic.network import dlrm_shape
from recfunnel.report.recpipe import ComponentRow, EnergyRow

ITEM_BYTES = 26 * 8 + 13 * 4
"""Ids and numbers of an item, from the host."""

ANSWER_BYTES = 8
NUM_ANSWERS = 64

ENERGY_MAPPINGS = ((1,), (16,), (4, 4), (16, 16), (4, 4, 4), (16, 4, 16))


def component_rows() -> tuple[ComponentRow, ...]:
    """Every component, and the whole chips last."""
    published = [bill(chip, as_published=True) for chip in (BASELINE, RPACCEL)]
    exact = [bill(chip) for chip in (BASELINE, RPACCEL)]
    rows = [
        _component_row(lines[0][0].name, lines[0], lines[1])
        for lines in zip(zip(*published, strict=True), zip(*exact, strict=True), strict=True)
    ]
    return (*rows, _whole_row(published, exact))


def _component_row(
    name: str, published: Sequence[Component], exact: Sequence[Component]
) -> ComponentRow:
    before, after = published
    return ComponentRow(
        name=name,
        num_blocks=(before.count, after.count),
        published_mm2=(before.area_um2.value / 1e6, after.area_um2.value / 1e6),
        area_mm2=(exact[0].area_um2.value / 1e6, exact[1].area_um2.value / 1e6),
        published_w=(before.power_w.value, after.power_w.value),
        power_w=(exact[0].power_w.value, exact[1].power_w.value),
    )


def _whole_row(
    published: list[tuple[Component, ...]], exact: list[tuple[Component, ...]]
) -> ComponentRow:
    areas = [[area_of(lines).value / 1e6 for lines in bills] for bills in (published, exact)]
    powers = [[power_of(lines).value for lines in bills] for bills in (published, exact)]
    return ComponentRow(
        name="all",
        num_blocks=(1, 1),
        published_mm2=(areas[0][0], areas[0][1]),
        area_mm2=(areas[1][0], areas[1][1]),
        published_w=(powers[0][0], powers[0][1]),
        power_w=(powers[1][0], powers[1][1]),
    )


def energy_rows(
    mappings: Sequence[tuple[int, ...]] = ENERGY_MAPPINGS, chip: ChipParts = RPACCEL
) -> tuple[EnergyRow, ...]:
    """Energy of a query alone on the corrected model of some mappings, component by component."""
    area_um2 = area_of(bill(chip)).value
    return tuple(
        EnergyRow(
            mapping=mapping_name(fission),
            component=energy.name,
            energy_j=energy.energy_j,
            low_j=energy.low_j,
            high_j=energy.high_j,
            source=energy.source,
        )
        for fission in mappings
        for energy in energy_of(query_activity(mapping(fission)), area_um2)
    )


def query_activity(stages: Sequence[Stage]) -> Activity:
    """What one query of a pipeline does on the corrected model, alone on the chip.

    Args:
        stages: in order.

    Returns:
        Counts of all stages, for as long as the query takes.
    """
    bus_bytes = stages[0].num_items * ITEM_BYTES + NUM_ANSWERS * ANSWER_BYTES
    taken_s = total_s(service_times(stages, CORRECTED))
    whole = Activity(bus_bytes=float(bus_bytes), time_s=taken_s)
    for stage in stages:
        whole += _stage_activity(stage)
    return whole


def _stage_activity(stage: Stage) -> Activity:
    network, part = stage.network, engine(stage.engine.fission)
    shape = dlrm_shape(network.bottom, network.top, len(network.lookups))
    misses = miss_share_of(network, part, CORRECTED)
    row_bytes = tuple(WORD_BYTES * width for width in network.lookups)
    done = network_activity(shape, stage.num_items, part.side, part.side)
    done += gather_activity(stage.num_items, row_bytes, misses, burst_bytes=BURST_BYTES)
    if not weights_stay(network, part, CORRECTED):
        done += Activity(dram_bytes=float(WORD_BYTES * shape.num_weights))
    return done
