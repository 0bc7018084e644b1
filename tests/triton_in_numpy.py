"""The part of Triton's language that our kernels use, in numpy, one program after the other.

Every read and write is held against the ends of its array, which a GPU would not do.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class Block(np.ndarray):
    """An array with Triton's `to`."""

    def to(self, dtype: Any) -> "Block":
        return self.astype(dtype)


def block(values: Any) -> Block:
    return np.asarray(values).view(Block)


@dataclass
class Pointer:
    """Elements of an array, by number."""

    array: NDArray[Any]
    at: Any = 0

    def __add__(self, more: Any) -> "Pointer":
        return Pointer(self.array, np.asarray(self.at) + np.asarray(more, np.int64))

    def checked(self, mask: Any) -> NDArray[np.int64]:
        """Positions, those that are masked out at 0."""
        at = np.where(np.asarray(mask), self.at, 0)
        assert at.size == 0 or (at.min() >= 0 and at.max() < self.array.size), "outside its array"
        return at


class Language(ModuleType):
    """`triton.language`."""

    constexpr = object()
    float32, int64 = np.float32, np.int64
    program = 0

    def program_id(self, axis: int) -> int:
        assert axis == 0
        return Language.program

    def arange(self, start: int, stop: int) -> Block:
        assert stop & (stop - 1) == 0, "Triton's ranges are powers of two"
        return block(np.arange(start, stop, dtype=np.int32))

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Block:
        return block(np.zeros(shape, dtype))

    def load(self, pointer: Pointer, mask: Any = True, other: Any = 0) -> Block:
        found = pointer.array[pointer.checked(mask)]
        return block(np.where(np.asarray(mask), found, np.asarray(other, pointer.array.dtype)))

    def store(self, pointer: Pointer, values: Any, mask: Any = True) -> None:
        pointer.array[pointer.checked(mask)[mask]] = np.asarray(values)[mask]

    def dot(self, a: Any, b: Any, added: Any, input_precision: str) -> Block:
        assert input_precision == "ieee"
        assert min(*a.shape, *b.shape) >= 16, "matrix units take no fewer"
        return block(added + np.asarray(a, np.float32) @ np.asarray(b, np.float32))

    def maximum(self, a: Any, b: Any) -> Block:
        return block(np.maximum(a, b))

    def sum(self, values: Any, axis: int) -> Block:
        return block(np.sum(values, axis=axis))


class Kernel:
    """What `triton.jit` makes."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: Any, num_warps: int) -> None:
            assert num_warps in {1, 2, 4, 8}
            passed = [
                Pointer(a.reshape(-1).numpy()) if isinstance(a, torch.Tensor) else a
                for a in arguments
            ]
            for program in range(grid[0]):
                Language.program = program
                self.function(*passed)

        return launch


@contextmanager
def triton_in_numpy() -> Iterator[None]:
    """Inside, `import triton` finds this; our kernels are loaded anew and forgotten afterwards."""
    ours, language = "recfunnel.runtime.gpu.triton_head", Language("triton.language")
    fake = ModuleType("triton")
    vars(fake).update(
        jit=Kernel,
        language=language,
        cdiv=lambda a, b: -(-a // b),
        next_power_of_2=lambda n: 1 << (n - 1).bit_length(),
    )
    names = ("triton", "triton.language", ours)
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.modules.update({"triton": fake, "triton.language": language})
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update({name: m for name, m in before.items() if m is not None})
