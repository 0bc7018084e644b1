"""Sizes of matrix products and arrays, checked once for whole columns of them.

Letters: M rows of inputs (candidates), K inputs and N outputs of a layer, R x C processing
elements. All of them may be arrays; they broadcast against each other.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value

Dataflow = Literal["ws", "os", "is"]
"""What stays in the processing elements: weights (`ws`), outputs (`os`) or inputs (`is`)."""

DATAFLOWS: tuple[Dataflow, ...] = ("ws", "os", "is")

MOST = 2**31
"""No size is larger; a product of three of them may still be too large to count."""


class SystolicArray(Value, frozen=True):
    """A grid of processing elements, each a multiply-add a cycle.

    Args:
        rows: R.
        cols: C.
        block: side of the smallest sub-array it can be cut into; RPAccel's synthesis has 4.
    """

    rows: int
    cols: int
    block: int = 4

    def __post_init__(self) -> None:
        if min(self.rows, self.cols, self.block) < 1:
            raise StudyError(
                f"a systolic array of {self.rows} x {self.cols} elements in blocks of "
                f"{self.block}; all three must be 1 or more"
            )
        checked("rows", self.rows)
        checked("cols", self.cols)

    @property
    def num_elements(self) -> int:
        """Processing elements."""
        return self.rows * self.cols


def checked(name: str, sizes: ArrayLike) -> IntArray:
    """Whole numbers of 1 to 2^31.

    Args:
        name: what they are, for the error.
        sizes: a number or an array of any shape.

    Returns:
        The same as int64.

    Raises:
        StudyError: a size is no whole number, below 1 or above 2^31.
    """
    given = np.asarray(sizes)
    if given.dtype.kind not in "iu":
        raise StudyError(f"{name} must be whole numbers, got {given.dtype}")
    if given.size and not 1 <= (worst := _worst(given)) <= MOST:
        raise StudyError(f"{name} is {worst}; it must be between 1 and {MOST:,}")
    return given.astype(np.int64, copy=False)


def check_dataflow(dataflow: str) -> None:
    """Refuse a dataflow that does not exist.

    Raises:
        StudyError: names the known ones.
    """
    if dataflow not in DATAFLOWS:
        raise StudyError(f"no dataflow {dataflow!r}; known: {', '.join(DATAFLOWS)}")


def ceil_div(value: IntArray | np.int64, by: IntArray) -> IntArray:
    """Quotient rounded up."""
    quotient: IntArray = -(-value // by)
    return quotient


def _worst(given: NDArray[np.integer]) -> int:
    least = int(given.min())
    return least if least < 1 else int(given.max())
