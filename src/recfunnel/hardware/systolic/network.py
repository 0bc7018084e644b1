"""A ranking network as the matrix products an accelerator does, and their cycles.

Letters: M candidates, F vectors that meet in the interaction, each of D numbers, an R x C array.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value
from recfunnel.hardware.systolic.cycles import gemm_cycles
from recfunnel.hardware.systolic.sizes import Dataflow, SystolicArray, ceil_div, checked


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


class SimdLanes(Value, frozen=True):
    """Multiply-adders beside the array.

    Args:
        num_lanes: multiply-adds a cycle.
    """

    num_lanes: int

    def __post_init__(self) -> None:
        checked("lanes", self.num_lanes)


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


def interaction_cycles(
    num_items: ArrayLike,
    dots: DotInteraction,
    unit: SystolicArray | SimdLanes,
    *,
    overlap: bool = False,
) -> IntArray:
    """Cycles of the dots of every two vectors of M candidates.

    On lanes, F (F - 1) / 2 dots of D. On the array, a weight-stationary product of F rows for each
    candidate, whose own vectors are the weights, so nothing is kept from one candidate to the next;
    the array does all F^2 dots. Where vectors are short, candidates share it as blocks on a
    diagonal: min(R // D, C // F) at a time, as far as that is above 1.

    Args:
        num_items: M, 1 or more; any shape.
        dots: what meets.
        unit: who multiplies.
        overlap: on the array, vectors of the next candidates are loaded behind the computing.

    Returns:
        int64, the shape of `num_items`.

    Raises:
        StudyError: fewer than 1 candidate.
    """
    items = checked("candidates", num_items)
    if isinstance(unit, SimdLanes):
        return ceil_div(items * dots.macs, unit.num_lanes)
    abreast = min(unit.rows // dots.width, unit.cols // dots.num_vectors)
    if abreast > 1:
        times, tiles = ceil_div(items, abreast), 1
    else:
        down = -(-dots.width // unit.rows)
        times, tiles = items, down * -(-dots.num_vectors // unit.cols)
    # As many folds as a product with so many times the inputs.
    return gemm_cycles(
        m=dots.num_vectors,
        n=1,
        k=times * tiles * unit.rows,
        rows=unit.rows,
        cols=unit.cols,
        overlap=overlap,
    )


def network_cycles(
    shape: NetworkShape,
    num_items: ArrayLike,
    array: SystolicArray,
    dataflow: Dataflow = "ws",
    *,
    overlap: bool = False,
    lanes: SimdLanes | None = None,
) -> IntArray:
    """Cycles of all layers one after another, and of the interaction between them.

    A layer begins when the one before has ended: its inputs are that one's outputs.

    Args:
        shape: the network.
        num_items: M, candidates at once; any shape.
        array: who multiplies.
        dataflow: of the layers.
        overlap: folds of a layer overlap.
        lanes: do the interaction instead of the array.

    Returns:
        int64, the shape of `num_items`.

    Raises:
        StudyError: fewer than 1 candidate, or no such dataflow.
    """
    items = checked("candidates", num_items)
    total = np.zeros_like(items)
    for layer in shape.layers:
        size = (items, layer.num_outputs, layer.num_inputs)
        total = total + gemm_cycles(*size, array.rows, array.cols, dataflow, overlap=overlap)
    if shape.interaction is not None:
        unit = array if lanes is None else lanes
        total = total + interaction_cycles(items, shape.interaction, unit, overlap=overlap)
    return total
