"""Processors by name, and what more than one level of memory does to a price."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.core.model import ModelCost
from recfunnel.hardware.cost import latency_s, moved_bytes_per_item, on_chip_shares, roofs
from recfunnel.hardware.datasheets import BROADWELL, DATASHEETS, IPU_GC200, SYSTEMS, V100, system
from recfunnel.hardware.roofline import Roofline
from recfunnel.testing.platform import PlatformContract

TWO_LEVELS = Roofline(
    name="two levels",
    description="made up",
    memory_bytes=2**30,
    bandwidth_bytes_per_s=1e10,
    compute_flops_per_s=1e12,
    on_chip_bytes=1_000_000,
    on_chip_bandwidth_bytes_per_s=1e11,
    access_bytes=64,
)


class TestV100(PlatformContract):
    spec = V100.roofline()


class TestSixteenIPUs(PlatformContract):
    spec = IPU_GC200.roofline("float16", num_chips=16, compute_efficiency=0.5)


def cost_of(weights: float, tables: int, rows: float = 10, row_bytes: float = 64) -> ModelCost:
    return ModelCost(
        flops_per_query=0.0,
        flops_per_item=0.0,
        read_bytes_per_item=rows * row_bytes,
        parameter_bytes=int(weights) + tables,
        read_bytes_per_query=weights,
        reads_per_item=rows,
    )


def test_weights_are_read_once_a_call_and_rows_once_a_candidate() -> None:
    cost, platform = cost_of(weights=4e6, tables=0, row_bytes=64), TWO_LEVELS.build()
    # a quarter of 4 MB of weights is on the chip: 3 MB at 10 GB/s, 1 MB at 100 GB/s
    assert roofs(cost, platform, 0).memory_s == pytest.approx(3e6 / 1e10)
    assert roofs(cost, platform, 0).on_chip_s == pytest.approx(1e6 / 1e11)


def test_what_weights_leave_of_the_chip_holds_a_share_of_the_tables() -> None:
    cost, platform = cost_of(weights=600_000, tables=800_000), TWO_LEVELS.build()
    assert on_chip_shares(cost, platform) == (1.0, pytest.approx(0.5))
    took = roofs(cost, platform, 1000)
    assert took.memory_s == pytest.approx(0.5 * 640_000 / 1e10)
    assert took.on_chip_s == pytest.approx((600_000 + 0.5 * 640_000) / 1e11)
    assert took.total_s == max(took.memory_s, took.on_chip_s)


def test_a_short_row_moves_a_whole_line_and_a_long_one_whole_lines() -> None:
    platform = TWO_LEVELS.build()
    assert moved_bytes_per_item(cost_of(0, 0, rows=10, row_bytes=16), platform) == 640
    assert moved_bytes_per_item(cost_of(0, 0, rows=10, row_bytes=65), platform) == 1280


def test_a_model_that_states_no_rows_is_charged_its_bytes() -> None:
    cost = ModelCost(
        flops_per_query=0, flops_per_item=0, read_bytes_per_item=17, parameter_bytes=2**29
    )
    assert moved_bytes_per_item(cost, TWO_LEVELS.build()) == 17


@pytest.mark.parametrize(
    ("flops", "weights", "bound"),
    [(1e12, 0.0, "compute"), (1.0, 5e8, "memory"), (1.0, 9e5, "on-chip memory")],
)
def test_the_bound_is_named(flops: float, weights: float, bound: str) -> None:
    cost = ModelCost(
        flops_per_query=flops,
        flops_per_item=0,
        read_bytes_per_item=0,
        parameter_bytes=int(weights),
        read_bytes_per_query=weights,
    )
    assert roofs(cost, TWO_LEVELS.build(), 1).bound_by == bound


@given(st.floats(0.05, 1), st.floats(0.05, 1), st.integers(0, 4096))
def test_less_efficiency_never_takes_less_time(compute: float, memory: float, items: int) -> None:
    cost = ModelCost(
        flops_per_query=1e6,
        flops_per_item=1e5,
        read_bytes_per_item=26 * 64,
        parameter_bytes=10**8,
        read_bytes_per_query=1e6,
        reads_per_item=26,
    )
    less = V100.roofline(compute_efficiency=compute, bandwidth_efficiency=memory).build()
    assert latency_s(cost, less, items) >= latency_s(cost, V100.roofline().build(), items)


def test_every_figure_says_how_it_is_known_and_from_where() -> None:
    for sheet in DATASHEETS.values():
        for name, figure in sheet.figures():
            assert figure.value > 0, name
            assert figure.source, name


def test_every_processor_can_be_priced_and_is_labelled_modelled() -> None:
    for found in SYSTEMS.values():
        built = found.chip.roofline(num_chips=found.num_chips).build()
        assert built.simulated
        assert built.description.startswith("modelled: ")


def test_peaks_that_are_public_in_full() -> None:
    assert V100.peak("float32").value == 15.7e12
    assert system("tpu_v3_chip").num_chips * system("tpu_v3_core").chip.peak("bfloat16").value == (
        123e12
    )
    assert system("ipu_pod16").num_chips * IPU_GC200.peak("float16").value == 4e15
    assert BROADWELL.peak("float32").value == pytest.approx(1.0752e12)


def test_several_chips_are_all_their_arithmetic_and_memory() -> None:
    one, four = IPU_GC200.roofline().build(), IPU_GC200.roofline(num_chips=4).build()
    assert four.compute_flops_per_s == 4 * one.compute_flops_per_s
    assert four.on_chip_bytes == 4 * one.on_chip_bytes
    assert four.launch_overhead_s == one.launch_overhead_s


def test_what_is_not_known_is_refused_with_what_is() -> None:
    with pytest.raises(StudyError, match=r"no datasheet of 'v10'.* did you mean 'v100'"):
        system("v10")
    with pytest.raises(StudyError, match=r"E5-2680 v4.* has no bfloat16 arithmetic; known: float3"):
        BROADWELL.roofline("bfloat16")
    with pytest.raises(StudyError, match="0 chips of"):
        V100.roofline(num_chips=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compute_efficiency": 1.1}, "compute_efficiency is 1.1, must be above 0 and up to 1"),
        ({"access_bytes": 0}, "access_bytes is 0, must be above 0"),
        ({"on_chip_bandwidth_bytes_per_s": 1.0}, "must be at least the memory's 1e.10"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(change: dict[str, float], message: str) -> None:
    plain = {name: getattr(TWO_LEVELS, name) for name in TWO_LEVELS.__struct_fields__}
    with pytest.raises(StudyError, match=message):
        Roofline(**{**plain, **change})


def test_the_page_of_platforms_has_every_figure_s_source() -> None:
    page = (Path(__file__).parents[1] / "docs" / "platforms.md").read_text()
    for sheet in DATASHEETS.values():
        assert sheet.product in page
        for name, figure in sheet.figures():
            assert f"| {figure.known} | {figure.source} |" in page, (sheet.name, name)
