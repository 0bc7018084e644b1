"""Reading safetensors files: arrays that stay where they are, mapped to the file.

The format (huggingface/safetensors, README): 8 bytes of little-endian length, so many bytes of JSON
with dtype, shape and place of each tensor, then the tensors, row-major.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.errors import StorageError

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
"""Element types read, as numpy names them; others (bfloat16) have no numpy type."""

LENGTH_BYTES = 8


def map_safetensors(file: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a file by name, read-only; pages are read when they are touched.

    Raises:
        StorageError: missing, damaged, truncated, or of an element type numpy does not have.
    """
    try:
        whole = np.memmap(file, np.uint8, mode="r")
    except FileNotFoundError as error:
        raise StorageError(f"{file} does not exist; train the model again") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{file} is damaged: {error}; train the model again") from error
    try:
        start = LENGTH_BYTES + int.from_bytes(whole[:LENGTH_BYTES].tobytes(), "little")
        header = json.loads(whole[LENGTH_BYTES:start].tobytes())
        header.pop("__metadata__", None)
        return {name: _array(whole[start:], entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{file} is damaged: {error}; train the model again") from error


def _array(data: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[Any]:
    """One array, checked against the bytes there are."""
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"element type {entry['dtype']} is not among {', '.join(DTYPES)}")
    dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= data.size or end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - begin} bytes at {begin} of {data.size} for shape {shape}")
    array: NDArray[Any] = np.asarray(data[begin:end]).view(dtype).reshape(shape)
    return array
