"""A ranking network as the matrix products an accelerator does, and their cycles.

Letters: M candidates, F vectors that meet in the interaction, each of D numbers, an R x C array.
Numbers of candidates and sizes of arrays may be arrays themselves, which broadcast against each
other: many designs at once.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.systolic.cycles import gemm_cycles
from recfunnel.hardware.systolic.sizes import Dataflow, ceil_div, checked


class Layer(Value, frozen=True):
    """A linear layer.

    Args:
        num_inputs: K.
        num_outputs: N.
    """

    num_inputs: int
    num_outputs: int

    def __post_init__(self) -> None:
        checked("inputs of a layer", self.num_inputs)
        checked("outputs of a layer", self.num_outputs)

    @property
    def num_weights(self) -> int:
        """Its multiply-adds for a candidate, too."""
        return self.num_inputs * self.num_outputs


class DotInteraction(Value, frozen=True):
    """The dot product of every two of a candidate's vectors.

    Args:
        num_vectors: F.
        width: D.
    """

    num_vectors: int
    width: int

    def __post_init__(self) -> None:
        checked("vectors of an interaction", self.num_vectors)
        checked("width of an interaction", self.width)

    @property
    def num_dots(self) -> int:
        """Pairs, each once."""
        return self.num_vectors * (self.num_vectors - 1) // 2

    @property
    def macs(self) -> int:
        """Multiply-adds for a candidate."""
        return self.num_dots * self.width


class NetworkShape(Value, frozen=True):
    """The work of a network for each candidate.

    Args:
        layers: in the order they are run.
        interaction: None where vectors are only set side by side, which costs nothing.
    """

    layers: tuple[Layer, ...]
    interaction: DotInteraction | None = None

    @property
    def num_weights(self) -> int:
        """Words of all layers."""
        return sum(layer.num_weights for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for a candidate, the interaction's included."""
        return self.num_weights + (self.interaction.macs if self.interaction else 0)


def dlrm_shape(
    bottom: tuple[int, ...],
    top: tuple[int, ...],
    num_tables: int,
    interaction: Literal["dot", "cat"] = "dot",
) -> NetworkShape:
    """A DLRM: a network on dense features, interactions with the tables' vectors, one more network.

    Args:
        bottom: sizes from the dense features to the width D of a vector.
        top: sizes of the last network's layers, without its inputs.
        num_tables: one vector each; the bottom network's output is one more.
        interaction: `dot` gives the last network D + F (F - 1) / 2 inputs, `cat` F D.

    Returns:
        Its shape.

    Raises:
        StudyError: no table, too few sizes, or a size below 1.
    """
    if len(bottom) < 2 or not top or num_tables < 1:
        raise StudyError(
            f"a DLRM of bottom {bottom}, top {top} and {num_tables} tables; it needs two sizes "
            "below, one above and a table"
        )
    dots = DotInteraction(num_vectors=num_tables + 1, width=bottom[-1])
    joined = bottom[-1] + dots.num_dots if interaction == "dot" else dots.num_vectors * dots.width
    sizes = (*pairwise(bottom), *pairwise((joined, *top)))
    return NetworkShape(
        layers=tuple(Layer(num_inputs=k, num_outputs=n) for k, n in sizes),
        interaction=dots if interaction == "dot" else None,
    )


def dots_on_array(
    num_items: ArrayLike,
    dots: DotInteraction,
    rows: ArrayLike,
    cols: ArrayLike,
    *,
    overlap: bool = False,
) -> IntArray:
    """Cycles of the dots of every two vectors of M candidates on the array.

    A weight-stationary product of F rows for each candidate, whose own vectors are the weights, so
    nothing is kept from one candidate to the next; all F^2 dots are made. Where vectors are short,
    candidates share the array as blocks on a diagonal: min(R // D, C // F) at a time, as far as
    that is above 1.

    Args:
        num_items: M.
        dots: what meets.
        rows: R.
        cols: C.
        overlap: vectors of the next candidates are loaded behind the computing.

    Returns:
        int64, of the shape all sizes broadcast to.

    Raises:
        StudyError: fewer than 1 candidate, row or column.
    """
    items = checked("candidates", num_items)
    height, width = checked("rows", rows), checked("cols", cols)
    abreast = np.minimum(height // dots.width, width // dots.num_vectors)
    tiles = ceil_div(np.int64(dots.width), height) * ceil_div(np.int64(dots.num_vectors), width)
    together = ceil_div(items, np.maximum(abreast, 1))
    count = np.where(abreast > 1, together, items * tiles)
    # As many folds as a product with so many times the inputs.
    return gemm_cycles(dots.num_vectors, 1, count * height, height, width, overlap=overlap)


def dots_on_lanes(num_items: ArrayLike, dots: DotInteraction, num_lanes: ArrayLike) -> IntArray:
    """Cycles of the dots on multiply-adders beside the array: each pair of vectors once.

    Args:
        num_items: M.
        dots: what meets.
        num_lanes: multiply-adds a cycle.

    Returns:
        int64, of the shape both broadcast to.

    Raises:
        StudyError: fewer than 1 candidate or lane.
    """
    return ceil_div(checked("candidates", num_items) * dots.macs, checked("lanes", num_lanes))


def network_cycles(
    shape: NetworkShape,
    num_items: ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
    dataflow: Dataflow = "ws",
    *,
    overlap: bool = False,
    num_lanes: ArrayLike | None = None,
) -> IntArray:
    """Cycles of all layers one after another, and of the interaction between them.

    A layer begins when the one before has ended: its inputs are that one's outputs.

    Args:
        shape: the network.
        num_items: M, candidates at once.
        rows: R.
        cols: C.
        dataflow: of the layers.
        overlap: folds of a layer overlap.
        num_lanes: of multiply-adders that do the interaction; None for the array itself.

    Returns:
        int64, of the shape all sizes broadcast to.

    Raises:
        StudyError: fewer than 1 candidate, row, column or lane, or no such dataflow.
    """
    cycles = [
        gemm_cycles(
            num_items, each.num_outputs, each.num_inputs, rows, cols, dataflow, overlap=overlap
        )
        for each in shape.layers
    ]
    if shape.interaction is not None and num_lanes is None:
        cycles.append(dots_on_array(num_items, shape.interaction, rows, cols, overlap=overlap))
    elif shape.interaction is not None and num_lanes is not None:
        cycles.append(dots_on_lanes(num_items, shape.interaction, num_lanes))
    total: IntArray = sum(cycles, start=np.zeros((), np.int64))
    return total
