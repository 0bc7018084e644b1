"""What NVIDIA's driver says of a GPU, asked through its management library and nothing else.

Constants and signatures are those of `nvml.h`, stable since the library's version 2 calls.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

from recfunnel.core.errors import StudyError

LIBRARY = "libnvidia-ml.so.1"
SM_CLOCK, MEMORY_CLOCK = 1, 2
NAME_BYTES = 96

NO_DRIVER = (
    "no NVIDIA driver answers here ({}); describe the GPU with kind 'roofline' and its datasheet"
)


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One GPU as its driver describes it.

    Args:
        name: the product's.
        memory_bytes: all of it.
        memory_clock_hz: highest; data moves twice a cycle.
        bus_bits: width of the way to memory.
        core_clock_hz: highest.
        num_lanes: fp32 units, each a multiply-add a cycle.
    """

    name: str
    memory_bytes: int
    memory_clock_hz: float
    bus_bits: int
    core_clock_hz: float
    num_lanes: int

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Peak of the memory."""
        return 2 * self.memory_clock_hz * self.bus_bits / 8

    @property
    def compute_flops_per_s(self) -> float:
        """Peak in fp32, outside the tensor cores; a multiply-add is 2."""
        return 2 * self.core_clock_hz * self.num_lanes


def gpu_facts(number: int) -> GpuFacts:
    """Ask the driver.

    Args:
        number: of the GPU, from 0, in the driver's order.

    Raises:
        StudyError: there is no driver, or no such GPU.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise StudyError(NO_DRIVER.format(error)) from error
    _call(library, "nvmlInit_v2")
    try:
        return _facts(library, number)
    finally:
        library.nvmlShutdown()


def _facts(library: Any, number: int) -> GpuFacts:
    device = ctypes.c_void_p()
    _call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(number), ctypes.byref(device))
    name, memory = ctypes.create_string_buffer(NAME_BYTES), _Memory()
    _call(library, "nvmlDeviceGetName", device, name, ctypes.c_uint(NAME_BYTES))
    _call(library, "nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
    return GpuFacts(
        name=name.value.decode(),
        memory_bytes=int(memory.total),
        memory_clock_hz=1e6 * _number(library, "nvmlDeviceGetMaxClockInfo", device, MEMORY_CLOCK),
        bus_bits=_number(library, "nvmlDeviceGetMemoryBusWidth", device),
        core_clock_hz=1e6 * _number(library, "nvmlDeviceGetMaxClockInfo", device, SM_CLOCK),
        num_lanes=_number(library, "nvmlDeviceGetNumGpuCores", device),
    )


def _number(library: Any, function: str, device: ctypes.c_void_p, *arguments: int) -> int:
    found = ctypes.c_uint()
    _call(library, function, device, *map(ctypes.c_uint, arguments), ctypes.byref(found))
    return int(found.value)


def _call(library: Any, function: str, *arguments: Any) -> None:
    """Call a function that returns 0 when it worked."""
    try:
        code = getattr(library, function)(*arguments)
    except AttributeError as error:
        raise StudyError(NO_DRIVER.format(f"its library has no {function}")) from error
    if code:
        raise StudyError(NO_DRIVER.format(f"{function} returned {code}"))
