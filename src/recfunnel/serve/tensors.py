"""Tensors of the Open Inference Protocol, version 2: in JSON, or as bytes behind it.

Letters: N numbers or texts of a tensor.
"""

import math
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from recfunnel.core.errors import InvalidInput

Datatype = Literal["BOOL", "INT32", "INT64", "FP32", "FP64", "BYTES"]

_TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}

MOST_ELEMENTS = 1 << 22
"""Of one tensor."""

_BINARY_SIZE = "binary_data_size"


class Tensor(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One tensor as it is written down.

    Args:
        name: of the input or output.
        datatype: of each element.
        shape: its product is N.
        data: N elements, nested or flat; None where they follow as bytes.
        parameters: `binary_data_size` of those bytes.
    """

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


def read_tensor(tensor: Tensor, rest: memoryview) -> tuple[NDArray[Any], memoryview]:
    """Elements of a tensor.

    Args:
        tensor: as it was written.
        rest: bytes behind the JSON that no tensor before it took.

    Returns:
        An array of the tensor's shape, texts as Python objects, and the bytes that are left.

    Raises:
        InvalidInput: shape, type and data do not fit each other.
    """
    count = _count(tensor)
    size = (tensor.parameters or {}).get(_BINARY_SIZE)
    if size is not None:
        return _read_binary(tensor, size, count, rest)
    if tensor.data is None:
        raise InvalidInput(f"input {tensor.name!r} has neither data nor {_BINARY_SIZE}")
    flat = _flat(tensor.data, len(tensor.shape))
    if len(flat) != count:
        raise InvalidInput(
            f"input {tensor.name!r} has {len(flat)} elements, its shape {tensor.shape} {count}"
        )
    return _typed(tensor, flat).reshape(tensor.shape), rest


def _count(tensor: Tensor) -> int:
    if tensor.datatype not in _TYPES and tensor.datatype != "BYTES":
        known = ", ".join([*_TYPES, "BYTES"])
        raise InvalidInput(
            f"input {tensor.name!r} has datatype {tensor.datatype!r}; known: {known}"
        )
    if any(size < 0 for size in tensor.shape) or not 1 <= len(tensor.shape) <= 4:
        raise InvalidInput(
            f"input {tensor.name!r} has shape {tensor.shape}; give 1 to 4 sizes of 0 or more"
        )
    count = math.prod(tensor.shape)
    if count > MOST_ELEMENTS:
        raise InvalidInput(
            f"input {tensor.name!r} has {count} elements, at most {MOST_ELEMENTS} are read"
        )
    return count


def _flat(data: list[Any], depth: int) -> list[Any]:
    """Elements of lists nested up to so deep."""
    for _ in range(depth - 1):
        if not any(isinstance(one, list) for one in data):
            break
        if not all(isinstance(one, list) for one in data):
            raise InvalidInput("data is nested unevenly")
        data = [one for part in data for one in part]
    return data


def _typed(tensor: Tensor, flat: list[Any]) -> NDArray[Any]:
    wanted: tuple[type, ...] = {
        "BYTES": (str,), "BOOL": (bool,), "INT32": (int,), "INT64": (int,)
    }.get(tensor.datatype, (int, float))  # fmt: skip
    for one in flat:
        if type(one) not in wanted:
            raise InvalidInput(f"input {tensor.name!r} of {tensor.datatype} holds {one!r}")
    if tensor.datatype == "BYTES":
        return _texts(flat)
    try:
        return np.array(flat, _TYPES[tensor.datatype])
    except OverflowError as error:
        raise InvalidInput(
            f"input {tensor.name!r}: a number is beyond {tensor.datatype}"
        ) from error


def _texts(texts: list[str]) -> NDArray[Any]:
    found = np.empty(len(texts), object)
    found[:] = texts
    return found


def _read_binary(
    tensor: Tensor, size: Any, count: int, rest: memoryview
) -> tuple[NDArray[Any], memoryview]:
    if type(size) is not int or not 0 <= size <= len(rest):
        raise InvalidInput(
            f"input {tensor.name!r} says {size!r} bytes, {len(rest)} are left behind the JSON"
        )
    own, after = rest[:size], rest[size:]
    if tensor.datatype == "BYTES":
        return _read_texts(tensor, own, count).reshape(tensor.shape), after
    kind = _TYPES[tensor.datatype]
    if size != count * kind.itemsize:
        raise InvalidInput(
            f"input {tensor.name!r} has {size} bytes, its shape {tensor.shape} of "
            f"{tensor.datatype} takes {count * kind.itemsize}"
        )
    if tensor.datatype == "BOOL":
        return np.frombuffer(own, np.uint8).astype(np.bool_).reshape(tensor.shape), after
    return np.frombuffer(own, kind).reshape(tensor.shape), after


def _read_texts(tensor: Tensor, own: memoryview, count: int) -> NDArray[Any]:
    """Each text is four bytes of length, then itself."""
    texts: list[str] = []
    place = 0
    for _ in range(count):
        end = place + 4
        length = int.from_bytes(own[place:end], "little") if end <= len(own) else len(own)
        if end + length > len(own):
            raise InvalidInput(f"input {tensor.name!r} ends in the middle of a text")
        try:
            texts.append(str(own[end : end + length], "utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInput(f"input {tensor.name!r} holds bytes that are no UTF-8") from error
        place = end + length
    if place != len(own):
        raise InvalidInput(f"input {tensor.name!r} has bytes behind its last text")
    return _texts(texts)


def written(name: str, array: NDArray[Any], *, binary: bool) -> tuple[Tensor, bytes]:
    """A tensor to answer with, and the bytes that go behind the JSON.

    Args:
        name: of the output.
        array: bool, int64, float32, or objects that are texts.
        binary: as bytes; otherwise as JSON.
    """
    datatype = _datatype(array)
    shape = list(array.shape)
    if not binary:
        data = array.ravel().tolist()
        return Tensor(name=name, datatype=datatype, shape=shape, data=data), b""
    if datatype == "BYTES":
        encoded = [text.encode() for text in array.ravel().tolist()]
        blob = b"".join(len(one).to_bytes(4, "little") + one for one in encoded)
    else:
        blob = np.ascontiguousarray(array, _TYPES[datatype]).tobytes()
    parameters = {_BINARY_SIZE: len(blob)}
    return Tensor(name=name, datatype=datatype, shape=shape, parameters=parameters), blob


def _datatype(array: NDArray[Any]) -> Datatype:
    kinds: dict[str, Datatype] = {"b": "BOOL", "i": "INT64", "f": "FP32", "O": "BYTES"}
    return kinds[array.dtype.kind]
