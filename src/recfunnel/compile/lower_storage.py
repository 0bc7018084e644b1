"""Rows of numbers as they are stored: float32, float16, bfloat16, or int8 with a scale a row.

Letters: N rows, d columns.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.program import Storage
from recfunnel.core.arrays import FloatArray

SCALE_BYTES = 4
"""An int8 row begins with its float32 scale."""


def row_bytes(dim: int, storage: Storage) -> int:
    """Bytes of a stored row."""
    size: dict[Storage, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
    return dim * size[storage] + SCALE_BYTES * (storage == "int8")


def to_storage(rows: NDArray[Any], storage: Storage) -> NDArray[Any]:
    """Rows as they are stored.

    Args:
        rows: (N, d).
        storage: as what.

    Returns:
        (N, d) float32, float16, or uint16 (bfloat16, rounded to nearest even); for int8 uint8
        (N, 4 + d): the scale, largest |value| / 127, then the values in its units.
    """
    plain: FloatArray = np.ascontiguousarray(rows, np.float32)
    if storage == "float32":
        return plain
    if storage == "float16":
        return plain.astype(np.float16)
    if storage == "bfloat16":
        bits = plain.view(np.uint32)
        rounded: NDArray[Any] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return rounded
    scale = (np.abs(plain).max(axis=1, initial=0.0) / 127).astype(np.float32)
    units = np.where(scale > 0, scale, 1)[:, None]
    stored = np.empty((plain.shape[0], SCALE_BYTES + plain.shape[1]), np.uint8)
    stored[:, :SCALE_BYTES] = scale[:, None].view(np.uint8)
    stored[:, SCALE_BYTES:] = np.rint(plain / units).astype(np.int8).view(np.uint8)
    return stored


def from_storage(stored: NDArray[Any], storage: Storage) -> FloatArray:
    """The float32 values of stored rows, (N, d)."""
    if storage == "bfloat16":
        widened: FloatArray = (stored.astype(np.uint32) << 16).view(np.float32)
        return widened
    if storage == "int8":
        scale = np.ascontiguousarray(stored[:, :SCALE_BYTES]).view(np.float32)
        units: FloatArray = stored[:, SCALE_BYTES:].view(np.int8) * scale
        return units
    return stored.astype(np.float32)
