"""The array cut into sub-arrays that work on their own: fission.

RPAccel's elements stand in blocks; a multiplexer at each block's inputs takes data from its
neighbour or from outside, and partial sums from its neighbour or zero, so any rectangle of whole
blocks can work as an array of its own.
"""

from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import BoolArray, IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.systolic.sizes import SystolicArray


class SubArray(Value, frozen=True):
    """A rectangle of the array.

    Args:
        top: row of its first element.
        left: column of its first element.
        rows: R.
        cols: C.
    """

    top: int
    left: int
    rows: int
    cols: int

    @property
    def num_elements(self) -> int:
        """Processing elements."""
        return self.rows * self.cols

    def in_blocks(self, block: int) -> tuple[slice, slice]:
        """The rows and columns of blocks it lies on."""
        bottom, right = self.top + self.rows, self.left + self.cols
        return (
            slice(self.top // block, bottom // block),
            slice(self.left // block, right // block),
        )


class Partition(Value, frozen=True):
    """An array and the sub-arrays it is cut into; what none of them covers rests.

    Args:
        array: the whole.
        parts: each of whole blocks, inside the array and beside the others.
    """

    array: SystolicArray
    parts: tuple[SubArray, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise StudyError("a partition needs a sub-array; for the whole array give one of it")
        taken = _no_blocks(self.array)
        for part in self.parts:
            _check_part(self.array, part)
            where = part.in_blocks(self.array.block)
            if taken[where].any():
                raise StudyError(f"sub-array {_words(part)} lies on another one; move or shrink it")
            taken[where] = True

    @property
    def arrays(self) -> tuple[SystolicArray, ...]:
        """Each sub-array as an array of its own."""
        block = self.array.block
        return tuple(SystolicArray(rows=p.rows, cols=p.cols, block=block) for p in self.parts)

    @property
    def share_used(self) -> float:
        """Of the array's elements."""
        return sum(part.num_elements for part in self.parts) / self.array.num_elements

    @property
    def shares(self) -> tuple[float, ...]:
        """Each sub-array's part of the elements that are used."""
        used = sum(part.num_elements for part in self.parts)
        return tuple(part.num_elements / used for part in self.parts)


def cut_equally(array: SystolicArray, rows: int, cols: int) -> Partition:
    """As many sub-arrays of one shape as the array holds side by side.

    Args:
        array: the whole.
        rows: of each.
        cols: of each.

    Returns:
        The partition; its last rows or columns rest where the shape does not divide the array.

    Raises:
        StudyError: the shape is no whole number of blocks or larger than the array.
    """
    _check_part(array, SubArray(top=0, left=0, rows=rows, cols=cols))
    return Partition(
        array=array,
        parts=tuple(
            SubArray(top=top, left=left, rows=rows, cols=cols)
            for top in range(0, array.rows - rows + 1, rows)
            for left in range(0, array.cols - cols + 1, cols)
        ),
    )


def place(array: SystolicArray, shapes: Sequence[tuple[int, int]]) -> Partition:
    """Find room for sub-arrays of given shapes: largest first, at the first free place.

    Always finds it for squares whose sides divide each other and the array's; others may be
    refused although they would fit, and can then be placed by hand as a `Partition`.

    Args:
        array: the whole.
        shapes: rows and columns of each.

    Returns:
        The partition, its parts in the order of `shapes`.

    Raises:
        StudyError: a shape is no whole number of blocks or larger than the array, all together are
            larger, or no room was found.
    """
    needed = sum(rows * cols for rows, cols in shapes)
    if needed > array.num_elements:
        raise StudyError(
            f"sub-arrays of {needed} elements in an array of {array.num_elements}; "
            "take fewer or smaller ones"
        )
    taken = _no_blocks(array)
    placed: dict[int, SubArray] = {}
    for number in sorted(range(len(shapes)), key=lambda i: _size_key(shapes[i])):
        part = _first_room(array, taken, *shapes[number])
        taken[part.in_blocks(array.block)] = True
        placed[number] = part
    return Partition(array=array, parts=tuple(placed[i] for i in range(len(shapes))))


def reconfiguration_cycles(array: SystolicArray, bits_per_cycle: int = 64) -> int:
    """Cycles from the last result under one partition to the first input under another.

    What is under way leaves (R + C - 2), then 2 bits for each block, one for each multiplexer, are
    written through a port. Neither the paper nor its RTL states a cost: an assumption.

    Args:
        array: the whole.
        bits_per_cycle: width of the port.

    Raises:
        StudyError: the port is narrower than a bit.
    """
    if bits_per_cycle < 1:
        raise StudyError(f"a configuration port of {bits_per_cycle} bits; it needs 1 or more")
    bits = 2 * _no_blocks(array).size
    return array.rows + array.cols - 2 + -(-bits // bits_per_cycle)


def _size_key(shape: tuple[int, int]) -> tuple[int, int]:
    rows, cols = shape
    return (-rows * cols, -rows)


def _first_room(array: SystolicArray, taken: BoolArray, rows: int, cols: int) -> SubArray:
    block = array.block
    _check_part(array, SubArray(top=0, left=0, rows=rows, cols=cols))
    down, across = np.nonzero(_blocks_in_the_way(taken, rows // block, cols // block) == 0)
    if not down.size:
        raise StudyError(
            f"no room found for a sub-array of {rows} x {cols} in {array.rows} x {array.cols} "
            "beside the larger ones; take fewer, or place them by hand"
        )
    top, left = block * int(down[0]), block * int(across[0])
    return SubArray(top=top, left=left, rows=rows, cols=cols)


def _blocks_in_the_way(taken: BoolArray, height: int, width: int) -> IntArray:
    """Of a rectangle of blocks at each place, how many are taken: differences of running sums."""
    sums = np.pad(taken.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    below = sums[height:] - sums[:-height]
    count: IntArray = below[:, width:] - below[:, :-width]
    return count


def _no_blocks(array: SystolicArray) -> BoolArray:
    return np.zeros((array.rows // array.block, array.cols // array.block), np.bool_)


def _check_part(array: SystolicArray, part: SubArray) -> None:
    if part.rows < 1 or part.cols < 1:
        raise StudyError(f"sub-array {_words(part)} has no elements; give it 1 block or more")
    if any(x % array.block for x in (part.top, part.left, part.rows, part.cols)):
        raise StudyError(
            f"sub-array {_words(part)} is not made of whole blocks of {array.block} x {array.block}"
        )
    bottom, right = part.top + part.rows, part.left + part.cols
    if part.top < 0 or part.left < 0 or bottom > array.rows or right > array.cols:
        raise StudyError(
            f"sub-array {_words(part)} is not inside the array of {array.rows} x {array.cols}"
        )


def _words(part: SubArray) -> str:
    return f"{part.rows} x {part.cols} at ({part.top}, {part.left})"
