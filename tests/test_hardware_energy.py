"""Area, power and energy of the simulated accelerator."""

import dataclasses
import math
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.errors import MissingExtraError, StudyError
from recfunnel.hardware.energy import blocks, cacti
from recfunnel.hardware.energy.access import USUAL, sram_read_j
from recfunnel.hardware.energy.activity import Activity, gather_activity, network_activity
from recfunnel.hardware.energy.chip import (
    BASELINE,
    RPACCEL,
    Sram,
    area_of,
    bill,
    macro_area_um2,
    macro_power_w,
    power_of,
)
from recfunnel.hardware.energy.quantity import Quantity, banded
from recfunnel.hardware.energy.query import energy_of, leakage_w, total_j
from recfunnel.hardware.systolic.network import Layer, NetworkShape, dlrm_shape
from recfunnel.hardware.systolic.traffic import sram_words

PUBLISHED_MM2 = {
    "systolic array": ("8.110", "8.445"),
    "accumulators": ("0.0136", "0.1085"),
    "crossbars": ("0", "0.0735"),
    "top-k filters": ("0", "0.464"),
    "activation SRAM": ("3.730", "4.796"),
    "weight SRAM": ("2.933", "2.933"),
    "row SRAM": ("11.731", "11.731"),
}
PUBLISHED_MW = {
    "systolic array": ("2656", "2736"),
    "accumulators": ("17.9", "143.4"),
    "crossbars": ("0", "81.9"),
    "top-k filters": ("0", "202.8"),
    "activation SRAM": ("307.2", "819.2"),
    "weight SRAM": ("134.4", "134.4"),
    "row SRAM": ("537.6", "537.6"),
}

counts = st.floats(0, 1e12)
activities = st.builds(Activity, **{field.name: counts for field in dataclasses.fields(Activity)})


def printed(value: float, text: str) -> str:
    return f"{value:.{len(text.partition('.')[2])}f}"


@pytest.mark.parametrize("name", PUBLISHED_MM2)
def test_every_component_of_figure_11_is_the_published_one(name: str) -> None:
    for chip, place in ((BASELINE, 0), (RPACCEL, 1)):
        line = next(line for line in bill(chip, as_published=True) if line.name == name)
        mm2, mw = PUBLISHED_MM2[name][place], PUBLISHED_MW[name][place]
        assert printed(line.area_um2.value / 1e6, mm2) == mm2
        assert printed(line.power_w.value * 1e3, mw) == mw


def test_chips_have_the_published_area_and_power() -> None:
    before, after = (bill(chip, as_published=True) for chip in (BASELINE, RPACCEL))
    areas = [area_of(lines).value / 1e6 for lines in (before, after)]
    powers = [power_of(lines).value * 1e3 for lines in (before, after)]
    assert [printed(area, "26.517") for area in areas] == ["26.517", "28.550"]
    assert [printed(power, "3653.1") for power in powers] == ["3653.1", "4655.2"]
    assert 100 * (areas[1] / areas[0] - 1) == pytest.approx(7.67, abs=0.005)
    assert 100 * (powers[1] / powers[0] - 1) == pytest.approx(27.4, abs=0.05)


def test_rounding_before_scaling_costs_7_mw_of_the_baseline() -> None:
    exact, published = (bill(BASELINE, as_published=flag) for flag in (False, True))
    gap_w = power_of(exact).value - power_of(published).value
    assert gap_w == pytest.approx(6.77e-3, abs=1e-5)
    assert area_of(exact).value == pytest.approx(area_of(published).value, rel=2e-6)


def test_the_parts_of_an_arrays_power_are_the_whole() -> None:
    for array in (blocks.PLAIN_ARRAY, blocks.FISSION_ARRAY):
        parts = (array.internal_w, array.switching_w, array.leakage_w)
        assert sum(part or 0 for part in parts) == pytest.approx(array.power_w, abs=3e-5)


def test_the_published_scaling_rounds_every_block_by_less_than_one_part_in_300() -> None:
    every = (blocks.PLAIN_ARRAY, blocks.FISSION_ARRAY, blocks.ACCUMULATOR, blocks.CROSSBAR)
    for block in (*every, blocks.FILTER, *blocks.MACROS.values()):
        assert 0 <= block.area_um2 - block.whole_um2 < 1
        assert block.rounded_w == pytest.approx(block.power_w, rel=1 / 300)
    grown = blocks.FISSION_ARRAY.area_um2 / blocks.PLAIN_ARRAY.area_um2
    assert printed(100 * (grown - 1), "4.1") == "4.1"


def test_real_score_buffers_are_most_of_a_filters_area() -> None:
    """The published filter has one register for 4,096 entries of 28 bits, 14 KiB."""
    buffered = bill(msgspec.structs.replace(RPACCEL, filter_entries=4096))
    added = area_of(buffered).value - area_of(bill(RPACCEL)).value
    assert 10 < added / (1024 * blocks.FILTER.area_um2) < 60
    assert buffered[-1].area_um2.low * 2.5 == pytest.approx(added)


def test_macros_grow_with_their_size_and_guesses_have_a_band() -> None:
    sizes = [1024, 4096, 14_336, 32_768, 100_000, 262_144, 2**20, 2**22, 2**24, 2**26]
    areas = [macro_area_um2(size) for size in sizes]
    assert [area.value for area in areas] == sorted(area.value for area in areas)
    for size, area in zip(sizes, areas, strict=True):
        known = size in blocks.MACROS
        assert (area.low == area.value == area.high) is known
        if not known:
            assert area.high == pytest.approx(2.5 * area.value)
    assert macro_area_um2(2**20).value == pytest.approx(467_058 * 183_290 / 117_911)
    assert macro_power_w(32_768).value == 2.4e-3


@pytest.mark.parametrize(
    ("macro_bytes", "width_bits", "cacti_pj"),
    [(4096, 16, 0.87), (262_144, 32, 5.44), (2**20, 128, 26.8), (2**24, 1024, 758.0)],
)
def test_sram_energies_hold_cactis_in_their_band(
    macro_bytes: int, width_bits: int, cacti_pj: float
) -> None:
    read = sram_read_j(macro_bytes, width_bits)
    assert read.low <= cacti_pj * 1e-12 <= read.high
    assert read.value == pytest.approx(cacti_pj * 1e-12, rel=0.56)


@given(activities, activities)
def test_energy_adds_up(one: Activity, other: Activity) -> None:
    parts = [total_j(energy_of(each, 28e6)) for each in (one, other)]
    assert total_j(energy_of(one + other, 28e6)) == pytest.approx(sum(parts), rel=1e-9)


@given(activities)
def test_every_component_lies_in_its_band_and_none_is_negative(activity: Activity) -> None:
    for energy in energy_of(activity, 28e6):
        assert 0 <= energy.low_j <= energy.energy_j <= energy.high_j


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Activity)])
def test_every_count_is_paid_for_once(name: str) -> None:
    paid = [energy for energy in energy_of(Activity(**{name: 1.0}), 28e6) if energy.energy_j > 0]
    assert len(paid) == 1
    whole = Activity(**{field.name: 1.0 for field in dataclasses.fields(Activity)})
    assert paid[0] in energy_of(whole, 28e6)


def test_a_layers_work_is_counted_where_it_happens() -> None:
    """64 x 32 weights on 16 x 16 elements: 4 folds down, 2 across."""
    shape = NetworkShape(layers=(Layer(num_inputs=64, num_outputs=32),))
    done = network_activity(shape, 100, 16, 16)
    words = sram_words(100, 32, 64, 16, 16)
    assert done.macs == 100 * 64 * 32
    assert int(words.inputs) == 2 * 100 * 64
    assert done.weight_bytes == 2 * 64 * 32
    assert done.activation_bytes == 2 * (2 * 6400 + 4 * 3200 + 3 * 3200)
    assert done.hops == 16 * (2 * 6400 + 64 * 32 + 4 * 3200)


def test_dots_are_read_off_the_array() -> None:
    shape = dlrm_shape((13, 4), (1,), 26)
    dots = network_activity(shape, 10, 16, 16)
    plain = network_activity(msgspec.structs.replace(shape, interaction=None), 10, 16, 16)
    assert dots.activation_bytes - plain.activation_bytes == 4 * 10 * 351 * 4
    assert dots.macs - plain.macs == 10 * 351 * 4


def test_a_miss_moves_bursts_and_opens_a_row() -> None:
    done = gather_activity(100, (8, 64, 65), 0.5)
    assert done.row_bytes == 100 * 137
    assert done.dram_bytes == 50 * (64 + 64 + 128)
    assert done.dram_activates == 50 * 3
    assert gather_activity(100, (8,), 0.0).dram_bytes == 0


def test_leakage_follows_area() -> None:
    assert leakage_w(blocks.PLAIN_ARRAY.area_um2).value == blocks.PLAIN_ARRAY.leakage_w == 1.83e-3


def test_figures_and_counts_out_of_range_are_refused() -> None:
    with pytest.raises(StudyError, match="low <= value <= high"):
        Quantity(value=1.0, low=2.0, high=3.0, known="assumed", source="")
    with pytest.raises(StudyError, match=r"macs is -1\.0; it must be 0 or more"):
        Activity(macs=-1.0)
    with pytest.raises(StudyError, match=r"share of 1\.1 misses"):
        gather_activity(1, (8,), 1.1)
    with pytest.raises(StudyError, match="a chip of 0 elements"):
        msgspec.structs.replace(RPACCEL, num_elements=0)
    with pytest.raises(StudyError, match="-1 macros of 4096 bytes"):
        Sram(macro_bytes=4096, num_macros=-1)
    odd = msgspec.structs.replace(RPACCEL, weights=Sram(macro_bytes=2**20, num_macros=4))
    with pytest.raises(StudyError, match="published are 4096, 32768, 262144"):
        bill(odd, as_published=True)
    assert banded(2.0, "assumed", "").low == 0.8
    assert USUAL.mac_j.low < USUAL.mac_j.value


def test_cacti_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 11, 9))
    with pytest.raises(
        MissingExtraError, match=r"Python 3.12 or newer, not 3.11.*recfunnel\[cacti"
    ):
        cacti.cacti_sram(4096, 16)
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setitem(sys.modules, "hwcomponents_cacti", None)
    with pytest.raises(MissingExtraError, match=r"'hwcomponents-cacti' is not installed"):
        cacti.cacti_sram(4096, 16)
    with pytest.raises(StudyError, match="whole words of 16 bits"):
        cacti.cacti_sram(4097, 16)


def test_energies_of_operations_are_the_documented_ones() -> None:
    """The table in the page about RPAccel, in picojoules; its sources are named beside each."""
    documented = {
        "mac_j": (0.16, 0.25, 1.29),
        "hop_j": (0.012, 0.03, 0.075),
        "dram_byte_j": (64, 120, 560),
        "dram_activate_j": (1200, 3000, 7500),
        "ssd_page_j": (4e6, 1e7, 2.5e7),
        "bus_byte_j": (24, 60, 150),
    }
    for name, figures in documented.items():
        found = getattr(USUAL, name)
        assert (found.low, found.value, found.high) == pytest.approx([f * 1e-12 for f in figures])
        assert found.source
    assert USUAL.activation_byte_j.value == pytest.approx(sram_read_j(4096, 16).value / 2)
    assert USUAL.row_byte_j.value == pytest.approx(sram_read_j(262_144, 32).value / 4)
    assert USUAL.weight_byte_j == USUAL.row_byte_j
    assert 1e6 * leakage_w(1e6).value == pytest.approx(3610, rel=1e-3)  # microwatts a mm2


def test_the_power_law_of_sram_energies_is_the_fit_of_cactis_points() -> None:
    points = (
        *((4096, 16, 0.87), (32_768, 16, 2.09), (262_144, 32, 5.44), (262_144, 128, 13.1)),
        *((2**20, 128, 26.8), (2**22, 128, 55.4), (2**24, 1024, 758.0)),
    )
    ratios = [1e12 * sram_read_j(size, width).value / pj for size, width, pj in points]
    assert math.prod(ratios) == pytest.approx(1, abs=2e-3)  # least squares in logarithms
    assert (min(ratios), max(ratios)) == pytest.approx((0.7146, 1.5460), rel=1e-3)
