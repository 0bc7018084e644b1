"""Which layers and tables are kept in fewer bits: a choice, no arithmetic.

Letters: K inputs of a layer.
"""

from recfunnel.compile.program import Precision, Storage
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.graph import (
    CrossDots,
    CrossLinear,
    Linear,
    Lookup,
    PairDots,
    Pool,
    RankingGraph,
    ScaledLinear,
)
from recfunnel.core.spec import Value

SMALLEST_K = 32
"""Layers with fewer inputs stay float32: packing their inputs costs what shorter weights save, and
a short sum has few rounding errors to average out. With 40 inputs, as RM_small's layer on a record
has, bfloat16 still saves a quarter of a query."""

SMALLEST_WEIGHT = 8192
"""Weights of a layer that is computed once a query from which on it takes bfloat16: each meets one
input, so reading them is what it costs. RM_large's bottom network takes half the time for it."""

MOST_INT8_INPUTS = 66_000
"""Inputs of a layer whose sum of products in int8 is exact in 32 bits: 255 times 127 each."""


class Precisions(Value, frozen=True):
    """Precision of each layer and storage of each table; float32 for what is not named.

    Args:
        layers: by position in the graph; those of dots among them.
        tables: by parameter name.
        too_wide: positions of layers that were wished in int8 and have too many inputs for it.
    """

    layers: dict[int, Precision] = {}  # noqa: RUF012 - msgspec copies the default
    tables: dict[str, Storage] = {}  # noqa: RUF012
    too_wide: tuple[int, ...] = ()


def choose_precisions(
    graph: RankingGraph,
    parameters: Parameters,
    *,
    layers: Precision = "float32",
    tables: Storage = "float32",
) -> Precisions:
    """Say which layers and tables are kept how.

    Layers of at least `SMALLEST_K` inputs take the wished precision when they are computed for
    every candidate, and dots take bfloat16, if layers do not stay float32. What is done once a
    query stays float32 but for layers of at least `SMALLEST_WEIGHT` weights, which take bfloat16,
    not int8; so do layers of more inputs than int8 can add up, `MOST_INT8_INPUTS`. Stored tables
    of lookups and pools take the wished storage; others are float32.

    Args:
        graph: compiled.
        parameters: by name.
        layers: wished for layers.
        tables: wished for tables.

    Returns:
        What differs from float32.
    """
    widths, sides = node_widths(graph, parameters), graph.sides()
    chosen: dict[int, Precision] = {}
    stored: dict[str, Storage] = {}
    too_wide: list[int] = []
    for position, op in enumerate(graph.nodes):
        if isinstance(op, Linear | CrossLinear | ScaledLinear) and layers != "float32":
            inputs, once = widths[op.x_of], sides[position] == "context"
            is_large = isinstance(op, Linear) and inputs * widths[position] >= SMALLEST_WEIGHT
            if inputs >= SMALLEST_K and (is_large or not once):
                is_wide = layers == "int8" and not once and inputs > MOST_INT8_INPUTS
                too_wide += [position] if is_wide else []
                chosen[position] = "bfloat16" if once or is_wide else layers
        elif isinstance(op, PairDots | CrossDots) and layers != "float32":
            if sides[position] != "context":
                chosen[position] = "bfloat16"
        elif isinstance(op, Lookup | Pool) and tables != "float32" and op.table in parameters:
            stored[op.table] = tables
    return Precisions(layers=chosen, tables=stored, too_wide=tuple(too_wide))
