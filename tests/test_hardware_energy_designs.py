"""Area and energy of accelerator designs, many at once."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from accel_world import HALF, PROTOTYPE, TWO_STAGES, design, random_design, use
from recfunnel.core.arrays import DoubleArray
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import Design, columns_of
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.accel.times import unit_times
from recfunnel.hardware.energy.access import USUAL
from recfunnel.hardware.energy.activity import gather_activity, network_activity
from recfunnel.hardware.energy.chip import BASELINE, RPACCEL, area_of, bill
from recfunnel.hardware.energy.design_area import area_and_power, chip_parts
from recfunnel.hardware.energy.design_energy import query_energy_j
from recfunnel.hardware.energy.query import leakage_w
from recfunnel.hardware.memory.dram import Dram
from recfunnel.hardware.memory.sram import Sram

PUBLISHED = Chip(embedding_sram=Sram(capacity_bytes=16 << 20), lanes=None)


def energy(
    designs: list[Design], chip: Chip = PROTOTYPE, demands: tuple[RowRates, ...] = HALF, **more: Any
) -> dict[str, DoubleArray]:
    columns = columns_of(TWO_STAGES, designs)
    times = unit_times(chip, TWO_STAGES, columns, demands)
    given = {
        "area_um2": np.full(len(designs), 28e6),
        "seconds_per_query": np.full(len(designs), 1e-3),
    }
    return query_energy_j(chip, TWO_STAGES, columns, demands, times, **(given | more))


def test_the_published_chips_are_partitions_of_one_array() -> None:
    """64 sub-arrays of 16 x 16 with a filter an accumulator, and the array in one piece."""
    cut = chip_parts(
        PUBLISHED,
        num_rows=1024,
        num_cols=1024,
        num_sub_arrays=64,
        num_filters=1024,
        filter_entries=0,
    )
    whole = chip_parts(
        PUBLISHED, num_rows=128, num_cols=128, num_sub_arrays=1, num_filters=0, filter_entries=0
    )
    assert cut == RPACCEL
    assert whole == BASELINE


def test_a_design_alone_and_among_others_has_the_same_area() -> None:
    rng = np.random.default_rng(5)
    designs = [random_design(rng, sub_batches=4) for _ in range(40)]
    areas, powers = area_and_power(PROTOTYPE, columns_of(TWO_STAGES, designs))
    for place in (0, 13, 39):
        alone = area_and_power(PROTOTYPE, columns_of(TWO_STAGES, [designs[place]]))
        assert (areas[place], powers[place]) == (alone[0][0], alone[1][0])


def test_every_part_of_a_designs_area_is_counted() -> None:
    two = columns_of(TWO_STAGES, [design(use(64, copies=2), use(32, policy="host"))])
    area, _ = area_and_power(PROTOTYPE, two)
    parts = chip_parts(
        PROTOTYPE,
        num_rows=2 * 64 + 32,
        num_cols=2 * 64 + 32,
        num_sub_arrays=3,
        num_filters=2,
        filter_entries=2 * 4096,
    )
    assert area[0] == area_of(bill(parts)).value
    assert parts.num_lanes == PROTOTYPE.lanes
    assert parts.fissionable


def test_finer_sub_batches_need_smaller_filters() -> None:
    areas = [
        area_and_power(PROTOTYPE, columns_of(TWO_STAGES, [design(sub_batches=number)]))[0][0]
        for number in (1, 2, 4, 8, 16)
    ]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[-1]


def test_sub_arrays_that_two_stages_share_are_paid_once() -> None:
    shared = design(use(64), use(64, shares_with=0))
    apart = design(use(64), use(64))
    areas, _ = area_and_power(PROTOTYPE, columns_of(TWO_STAGES, [shared, apart]))
    assert areas[0] < areas[1]


def test_one_sub_batch_has_the_energy_of_its_counted_operations() -> None:
    found = energy([design(use(64), use(64), sub_batches=1)])
    hits = 0.5
    layers = [
        network_activity(stage.shape, items, 64, 64)
        for stage, items in zip(TWO_STAGES.stages, (4096, 512), strict=True)
    ]
    macs = sum(each.macs for each in layers)
    assert found["multiply-adds"][0] == pytest.approx(macs * USUAL.mac_j.value)
    hops = sum(each.hops for each in layers)
    assert found["registers"][0] == pytest.approx(hops * USUAL.hop_j.value)
    weights = sum(each.weight_bytes for each in layers)
    assert found["weight SRAM"][0] == pytest.approx(weights * USUAL.weight_byte_j.value)
    activations = sum(each.activation_bytes for each in layers)
    assert found["activation SRAM"][0] == pytest.approx(activations * USUAL.activation_byte_j.value)
    rows = [gather_activity(4096, (16,) * 26, hits), gather_activity(512, (128,) * 26, hits)]
    moved = sum(each.dram_bytes for each in rows)
    assert found["DRAM transfers"][0] == pytest.approx(moved * USUAL.dram_byte_j.value)
    opened = sum(each.dram_activates for each in rows)
    assert found["DRAM rows opened"][0] == pytest.approx(opened * USUAL.dram_activate_j.value)
    read = sum(each.row_bytes for each in rows)
    written = hits * 26 * (4096 * 16 + 512 * 128)
    assert found["row SRAM"][0] == pytest.approx((read + written) * USUAL.row_byte_j.value)
    bus = 4096 * (26 * 8 + 13 * 4) + 64 * 8
    assert found["PCIe"][0] == pytest.approx(bus * USUAL.bus_byte_j.value)
    assert found["leakage"][0] == pytest.approx(1e-3 * leakage_w(28e6).value)


def test_energy_never_rises_with_the_hit_rate() -> None:
    totals = []
    for rate in (0.0, 0.3, 0.6, 0.9, 1.0):
        demands = tuple(RowRates(num_tables=26, hit_rate=rate) for _ in range(2))
        totals.append(sum(part[0] for part in energy([design()], demands=demands).values()))
    assert totals == sorted(totals, reverse=True)


def test_energy_of_what_is_done_does_not_know_the_clock_or_the_bandwidth() -> None:
    fast = replace(PROTOTYPE, clock_hz=2e9, dram=Dram(bandwidth_bytes_per_s=64e9))
    designs = [design(sub_batches=4)]
    for name, part in energy(designs).items():
        assert energy(designs, chip=fast)[name] == pytest.approx(part), name


def test_streamed_weights_are_paid_in_dram_bytes() -> None:
    small = replace(PROTOTYPE, weight_sram_bytes=64 * 2**10)
    for channel in ("shared", "partitioned"):
        designs = [replace(design(), dram=channel)]
        more_j = energy(designs, chip=small)["DRAM transfers"] - energy(designs)["DRAM transfers"]
        streamed = 2 * TWO_STAGES.stages[1].shape.num_weights
        assert more_j[0] == pytest.approx(streamed * USUAL.dram_byte_j.value)
