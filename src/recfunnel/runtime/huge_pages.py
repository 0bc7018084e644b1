"""Whether memory really lies in huge pages, as the system counts it."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

_MAPPINGS = Path("/proc/self/smaps")


def huge_share(array: NDArray[Any]) -> float | None:
    """Share of an array's memory that lies in huge pages, 0 to 1.

    Args:
        array: contiguous, touched, of at least a byte.

    Returns:
        The share, counted over the whole mapping the array is in; None where the system does not
        say.
    """
    if not _MAPPINGS.is_file():
        return None
    start = array.__array_interface__["data"][0]
    inside = False
    for line in _MAPPINGS.read_text().splitlines():
        first, *rest = line.split()
        if "-" in first:
            low, high = (int(end, 16) for end in first.split("-"))
            inside = low <= start < high
        elif inside and first == "AnonHugePages:":
            return min(1.0, int(rest[0]) * 1024 / array.nbytes)
    return None
