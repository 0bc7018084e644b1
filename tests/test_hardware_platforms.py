"""Platforms: this machine as it is, described ones as told, and what work costs on them."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.core.model import ModelCost
from recfunnel.core.platform import Platform, platforms
from recfunnel.hardware.cost import fits, latency_s
from recfunnel.hardware.cpu import Cpu
from recfunnel.hardware.limits import (
    allowed_memory_bytes,
    control_groups,
    cpu_quota,
    memory_limit_bytes,
    num_allowed_cores,
)
from recfunnel.hardware.processor import processor_name, vector_instructions
from recfunnel.hardware.roofline import Roofline
from recfunnel.testing.platform import PlatformContract

BOX = Roofline(
    name="box",
    description="made up",
    memory_bytes=2**30,
    bandwidth_bytes_per_s=1e10,
    compute_flops_per_s=4e11,
    launch_overhead_s=1e-5,
    num_cores=4,
)


class TestRoofline(PlatformContract):
    spec = BOX


class TestCpu(PlatformContract):
    spec = Cpu(num_cores=1, measure_seconds=0.0)


def test_every_kind_is_found_by_its_name() -> None:
    assert set(platforms.kinds()) >= {"cpu", "roofline"}


def test_a_described_machine_is_labelled_simulated_and_this_one_is_not() -> None:
    assert BOX.build().simulated
    assert not Cpu(num_cores=1, measure_seconds=0.0).build().simulated


def test_this_machine_is_used_as_far_as_allowed() -> None:
    platform = Cpu(measure_seconds=0.0).build()
    assert platform.num_cores == num_allowed_cores()
    assert platform.memory_bytes == allowed_memory_bytes()
    assert platform.description.startswith(processor_name())
    with pytest.raises(StudyError, match="asks for 100000 cores, this process may use"):
        Cpu(num_cores=100_000).build()


def cost_of(flops: float, read_bytes: float, parameter_bytes: int = 0) -> ModelCost:
    return ModelCost(
        flops_per_query=0.0,
        flops_per_item=flops,
        read_bytes_per_item=read_bytes,
        parameter_bytes=parameter_bytes,
    )


def test_the_roofline_by_hand() -> None:
    platform = BOX.build()
    # 1000 items of 1 MFLOP at 1e11 FLOP/s a core: 10 ms, 2.5 ms on all four
    assert latency_s(cost_of(1e6, 1), platform, 1000, 1) == pytest.approx(0.01 + 1e-5)
    assert latency_s(cost_of(1e6, 1), platform, 1000, 4) == pytest.approx(0.0025 + 1e-5)
    # 1000 items of 1 MB at 1e10 B/s: 100 ms, whatever the threads
    assert latency_s(cost_of(1, 1e6), platform, 1000, 1) == pytest.approx(0.1 + 1e-5)
    assert latency_s(cost_of(1, 1e6), platform, 1000, 4) == pytest.approx(0.1 + 1e-5)


def test_work_done_once_a_query_is_paid_without_any_item() -> None:
    cost = ModelCost(
        flops_per_query=1e9, flops_per_item=1, read_bytes_per_item=1, parameter_bytes=0
    )
    assert latency_s(cost, BOX.build(), 0, 1) == pytest.approx(0.01 + 1e-5)


@settings(deadline=None)
@given(st.floats(1, 1e9), st.floats(1, 1e9), st.integers(0, 5000), st.integers(1, 4))
def test_no_call_beats_either_roof(
    flops: float, read_bytes: float, num_items: int, num_threads: int
) -> None:
    platform = BOX.build()
    took_s = latency_s(cost_of(flops, read_bytes), platform, num_items, num_threads)
    assert took_s >= platform.launch_overhead_s
    assert took_s >= flops * num_items / platform.compute_flops_per_s
    assert took_s >= read_bytes * num_items / platform.bandwidth_bytes_per_s


@pytest.mark.parametrize(("num_items", "num_threads"), [(-1, 1), (1, 0), (1, 5)])
def test_a_call_that_cannot_be_is_refused(num_items: int, num_threads: int) -> None:
    with pytest.raises(StudyError):
        latency_s(cost_of(1, 1), BOX.build(), num_items, num_threads)


def test_what_does_not_fit_says_by_how_much() -> None:
    shortfall = fits(cost_of(1, 1, parameter_bytes=3 * 2**30), BOX.build())
    assert shortfall is not None
    assert "'box'" in shortfall.requirement
    assert (shortfall.needed, shortfall.available, shortfall.unit) == (3 * 2**30, 2**30, "bytes")
    assert shortfall.remedies


@pytest.mark.parametrize(
    "field", ["memory_bytes", "bandwidth_bytes_per_s", "compute_flops_per_s", "num_cores"]
)
def test_a_machine_without_something_is_refused(field: str) -> None:
    plain = {name: getattr(BOX, name) for name in BOX.__struct_fields__} | {field: 0}
    with pytest.raises(StudyError, match=f"'box': {field} is 0, must be above 0"):
        Roofline(**plain)


def test_control_groups_are_read_from_the_inside_out(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("150000 100000\n")
    (inner / "memory.max").write_text("max\n")
    (tmp_path / "a" / "memory.max").write_text("1048576\n")
    (tmp_path / "member").write_text("1:cpu:/elsewhere\n0::/a/b\n")
    groups = list(control_groups(tmp_path, tmp_path / "member"))
    assert groups == [inner, tmp_path / "a", tmp_path]
    assert [cpu_quota(group) for group in groups] == [1.5, math.inf, math.inf]
    assert [memory_limit_bytes(group) for group in groups] == [math.inf, 2**20, math.inf]
    assert list(control_groups(tmp_path, tmp_path / "none")) == []


def test_the_processor_tells_its_name_and_instructions(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Fast 9000\nflags\t\t: fpu avx2 fma x\n\nmodel name: No\n")
    assert processor_name(cpuinfo) == "Fast 9000"
    assert vector_instructions(cpuinfo) == ("fma", "avx2")
    assert vector_instructions(tmp_path / "none") == ()
    assert processor_name(tmp_path / "none")


def test_a_platform_is_a_plain_value() -> None:
    assert BOX.build() == BOX.build()
    assert isinstance(BOX.build(), Platform)
