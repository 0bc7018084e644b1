"""SRAM, DRAM, SSD and PCIe: worked figures, laws, and units that cannot be right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from recfunnel.core.errors import StudyError
from recfunnel.hardware.memory.dram import Dram
from recfunnel.hardware.memory.pcie import Pcie
from recfunnel.hardware.memory.sram import Sram
from recfunnel.hardware.memory.ssd import Ssd

rows = st.floats(0, 1e6)
widths = st.integers(1, 600)
more = st.floats(1, 50)


def test_a_row_shorter_than_a_burst_moves_a_whole_burst() -> None:
    dram = Dram(bandwidth_bytes_per_s=32e9, efficiency=0.5, banks=1024)

    assert dram.moved_bytes(1000, 16) == 64_000
    assert dram.moved_bytes(1000, [64, 65, 128]).tolist() == [64_000, 128_000, 128_000]
    assert math.isclose(dram.gather_s(1000, 16), 64_000 / 16e9)


def test_banks_limit_short_rows_and_bandwidth_long_ones() -> None:
    dram = Dram(bandwidth_bytes_per_s=32e9, efficiency=1.0, row_cycle_s=48e-9, banks=4, channels=2)

    assert math.isclose(dram.gather_s(1000, 64), 1000 * 6e-9)  # its bytes alone: 2 us
    assert math.isclose(dram.gather_s(1000, 640), 1000 * 20e-9)


def test_a_run_of_bytes_moves_at_the_whole_bandwidth() -> None:
    assert math.isclose(Dram(bandwidth_bytes_per_s=10e9).stream_s(5e6), 0.5e-3)


def test_an_sram_port_takes_one_access_a_cycle() -> None:
    sram = Sram(ports=4, width_bytes=64)

    assert math.isclose(sram.access_s(1000, 16, 1e9), 250e-9)
    assert math.isclose(sram.access_s(1000, 65, 1e9), 500e-9)
    assert math.isclose(sram.access_s(1000, 16, 500e6), 500e-9)


def test_the_slowest_of_its_three_limits_is_the_speed_of_an_ssd() -> None:
    fast = Ssd(iops=1e6, latency_s=50e-6, queue_depth=100, bandwidth_bytes_per_s=8192e6)

    assert math.isclose(fast.read_s(1000), 1e-3)
    assert math.isclose(replace(fast, queue_depth=10).read_s(1000), 5e-3)
    assert math.isclose(replace(fast, bandwidth_bytes_per_s=409.6e6).read_s(1000), 10e-3)


def test_pcie_takes_its_latency_and_its_bytes() -> None:
    pcie = Pcie(latency_s=10e-6, bandwidth_bytes_per_s=10e9)

    assert math.isclose(pcie.transfer_s(1e6), 110e-6)
    assert math.isclose(pcie.occupied_s(1e6), 100e-6)


@given(num=rows, width=widths, by=more)
def test_no_time_rises_with_bandwidth_banks_ports_or_width(
    num: float, width: int, by: float
) -> None:
    times = int(by)
    dram, sram, ssd = Dram(), Sram(), Ssd()
    for better in (
        replace(dram, bandwidth_bytes_per_s=dram.bandwidth_bytes_per_s * by),
        replace(dram, efficiency=min(1.0, dram.efficiency * by)),
        replace(dram, banks=dram.banks * times),
        replace(dram, channels=dram.channels * times),
    ):
        assert better.gather_s(num, width) <= dram.gather_s(num, width)
        assert better.stream_s(num) <= dram.stream_s(num)
    for wider in (replace(sram, ports=8 * times), replace(sram, width_bytes=64 * times)):
        assert wider.access_s(num, width, 1e9) <= sram.access_s(num, width, 1e9)
    for quicker in (replace(ssd, iops=ssd.iops * by), replace(ssd, queue_depth=128 * times)):
        assert quicker.read_s(num) <= ssd.read_s(num)


@given(num=rows, width=widths)
def test_a_gather_is_never_faster_than_its_bytes_in_a_run(num: float, width: int) -> None:
    dram = Dram()

    assert dram.gather_s(num, width) >= dram.stream_s(num * width) * (1 - 1e-12)


def test_columns_of_many_designs_are_priced_at_once() -> None:
    num, width = np.array([[10.0], [20.0]]), np.array([16, 128, 200])

    found = Dram().gather_s(num, width)

    assert found.shape == (2, 3)
    assert found[1, 2] == Dram().gather_s(20.0, 200)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Dram(bandwidth_bytes_per_s=32), r"bandwidth of DRAM is 32 bytes/s; .*check"),
        (lambda: Dram(bandwidth_bytes_per_s=-1e9), "bandwidth of DRAM is -1e"),
        (lambda: Dram(latency_s=100), r"latency of DRAM is 100 s; it must be 0 to 1"),
        (lambda: Dram(efficiency=1.5), "efficiency of DRAM is 1.5; it must"),
        (lambda: Dram(banks=0), "banks of DRAM is 0"),
        (lambda: Dram(bandwidth_bytes_per_s=math.nan), "bandwidth of DRAM is nan"),
        (lambda: Sram(ports=0), "ports of SRAM is 0"),
        (lambda: Sram(capacity_bytes=-1), "capacity of SRAM is -1 bytes"),
        (lambda: Sram().access_s(1, 1, 8), "clock is 8 Hz"),
        (lambda: Ssd(iops=0), "reads of an SSD is 0 a second"),
        (lambda: Ssd(page_bytes=0), "page of an SSD is 0"),
        (lambda: Pcie(latency_s=-1e-6), "latency of PCIe is -1e-06 s"),
        (lambda: Pcie().occupied_s(-1), "bytes over PCIe: -1; must be 0 or more"),
        (lambda: Dram().gather_s(math.inf, 16), "rows read: inf"),
    ],
)
def test_units_that_cannot_be_right_are_refused(build, says) -> None:
    with pytest.raises(StudyError, match=says):
        build()
