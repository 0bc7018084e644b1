"""A GPU as a platform: what the driver says, and what is said without one."""

import ctypes
from typing import Any

import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.platform import platforms
from recfunnel.hardware import nvml
from recfunnel.hardware.gpu import Gpu
from recfunnel.testing.platform import PlatformContract

CLOCKS_MHZ = {nvml.SM_CLOCK: 1980, nvml.MEMORY_CLOCK: 3201}


class FakeDriver:
    """One GPU with the figures of an H200."""

    is_open = False

    def nvmlInit_v2(self) -> int:  # noqa: N802 - the library's own names
        FakeDriver.is_open = True
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        FakeDriver.is_open = False
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: Any, device: Any) -> int:  # noqa: N802
        device._obj.value = 77
        return 0 if number.value == 0 else 2

    def nvmlDeviceGetName(self, device: Any, name: Any, size: Any) -> int:  # noqa: N802
        assert (device.value, size.value) == (77, 96)
        name.value = b"NVIDIA H200"
        return 0

    def nvmlDeviceGetMemoryInfo(self, device: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.total = 150_754_820_096
        return 0

    def nvmlDeviceGetMaxClockInfo(self, device: Any, kind: Any, clock: Any) -> int:  # noqa: N802
        clock._obj.value = CLOCKS_MHZ[kind.value]
        return 0

    def nvmlDeviceGetMemoryBusWidth(self, device: Any, width: Any) -> int:  # noqa: N802
        width._obj.value = 6144
        return 0

    def nvmlDeviceGetNumGpuCores(self, device: Any, count: Any) -> int:  # noqa: N802
        count._obj.value = 16_896
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: {nvml.LIBRARY: FakeDriver()}[name])


@pytest.mark.usefixtures("driver")
class TestGpu(PlatformContract):
    spec = Gpu()


@pytest.mark.usefixtures("driver")
def test_peaks_are_those_of_the_datasheet() -> None:
    platform = Gpu(name="h200").build()
    assert (platform.name, platform.description) == ("h200", "NVIDIA H200")
    # The datasheet says 4.8 TB/s and 67 TFLOP/s.
    assert platform.bandwidth_bytes_per_s == pytest.approx(4.8e12, rel=0.03)
    assert platform.compute_flops_per_s == pytest.approx(67e12, rel=0.01)
    assert platform.num_cores == 1
    assert not FakeDriver.is_open


@pytest.mark.usefixtures("driver")
def test_a_gpu_that_is_not_there_is_named_by_what_the_driver_returned() -> None:
    with pytest.raises(StudyError, match="GetHandleByIndex_v2 returned 2"):
        Gpu(number=1).build()
    assert not FakeDriver.is_open


def test_without_a_driver_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "LIBRARY", "libno-such-driver.so.1")
    with pytest.raises(StudyError, match=r"no NVIDIA driver answers here .* kind 'roofline'"):
        Gpu().build()


def test_a_driver_without_a_function_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with pytest.raises(StudyError, match="its library has no nvmlInit_v2"):
        Gpu().build()


def test_a_study_names_it_by_its_kind() -> None:
    assert platforms.parse({"kind": "gpu", "name": "fast", "number": 1}) == Gpu(
        name="fast", number=1
    )
    with pytest.raises(StudyError, match="number and launch_overhead_s must be 0 or more"):
        Gpu(number=-1)
