"""Memory for large tables: looked for before it is taken, and in huge pages where there are any."""

import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike, NDArray

from recfunnel.core.errors import StudyError
from recfunnel.hardware.limits import allowed_memory_bytes

HUGE_PAGE = 2 << 20

_GIB = 1 << 30


def free_memory_bytes() -> int:
    """What can be taken without the machine running out: available, and within the limit."""
    return int(min(psutil.virtual_memory().available, allowed_memory_bytes()))


def check_memory(what: str, needed_bytes: float, remedy: str) -> None:
    """Refuse to start what would not fit.

    Args:
        what: that needs it, for the message.
        needed_bytes: by a cautious estimate.
        remedy: what to try instead.

    Raises:
        StudyError: more than is free.
    """
    has = free_memory_bytes()
    if needed_bytes > has:
        raise StudyError(
            f"{what} needs {needed_bytes / _GIB:.1f} GiB, has {has / _GIB:.1f} GiB; {remedy}"
        )


def huge_array(shape: Sequence[int], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Zeros that begin at a huge page and ask for huge pages, which halve the time of gathers.

    Args:
        shape: of the array.
        dtype: of its elements.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(block, np.uint8)
    start = -whole.ctypes.data % HUGE_PAGE
    return whole[start : start + size].view(dtype).reshape(tuple(shape))
