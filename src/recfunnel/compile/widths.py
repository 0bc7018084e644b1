"""How wide each node of a graph is, which the shapes of its parameters tell.

Letters: K inputs and N outputs of a layer, d dimensions, U and V vectors side by side.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from recfunnel.core.computed import (
    AnyComputed,
    Decoded,
    DecoderLayer,
    HashedRows,
    QuotientRemainder,
)
from recfunnel.core.errors import ModelError
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Concat,
    CrossDots,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    PairDots,
    Pool,
    RankingGraph,
    Record,
    Relu,
    RowSum,
    ScaledLinear,
    Slice,
    Sum,
)

Parameters = Mapping[str, NDArray[Any]]
"""Parameters by name; big ones may be mapped to a file."""

NO_TABLES: Mapping[str, AnyComputed] = {}


def node_widths(graph: RankingGraph, parameters: Parameters) -> tuple[int, ...]:
    """The width of each node.

    Raises:
        ModelError: a parameter is missing or does not fit, or widths do not agree.
    """
    widths: list[int] = []
    computed = graph.computed_by_name
    for table in graph.computed:
        _check_computed(table, parameters)
    for position, op in enumerate(graph.nodes):
        try:
            widths.append(width_of(op, widths, parameters, computed))
        except KeyError as error:
            raise ModelError(
                f"node {position} reads the parameter {error}, which is not there"
            ) from error
        except ModelError as error:
            raise ModelError(f"node {position} of a ranking graph: {error}") from error
    return tuple(widths)


def _check_computed(table: AnyComputed, parameters: Parameters) -> None:
    """Hold the shapes of a computed table's parameters against each other.

    Raises:
        ModelError: a parameter is missing, or shapes do not chain or give rows of another length.
    """
    if table.name in parameters:
        raise ModelError(f"{table.name!r} is both a parameter and a computed table")
    try:
        _check_shapes(table, parameters)
    except KeyError as error:
        raise ModelError(
            f"computed table {table.name!r} reads the parameter {error}, which is not there"
        ) from error
    except ModelError as error:
        raise ModelError(f"computed table {table.name!r}: {error}") from error


def _check_shapes(table: AnyComputed, parameters: Parameters) -> None:
    match table:
        case Decoded():
            width = table.codes.num_codes
            for layer in table.layers:
                width = _check_layer(layer, parameters, width)
            _agree("the last layer's output", (width,), (table.dim,))
        case HashedRows():
            shape = parameters[table.table].shape
            _agree(table.table, shape, (max(1, shape[0]), table.dim))
        case QuotientRemainder():
            needed = -(-table.num_ids // table.num_remainders)
            shape = parameters[table.quotient].shape
            _agree(table.quotient, shape, (max(needed, shape[0]), table.dim))
            wanted = (table.num_remainders, table.dim)
            _agree(table.remainder, parameters[table.remainder].shape, wanted)


def _check_layer(layer: DecoderLayer, parameters: Parameters, num_inputs: int) -> int:
    """N, with all shapes of a layer held against it."""
    num_outputs = int(parameters[layer.weight].shape[0])
    _agree(layer.weight, parameters[layer.weight].shape, (num_outputs, num_inputs))
    for name in layer.parameter_names[1:]:
        _agree(name, parameters[name].shape, (num_outputs,))
    return num_outputs


def width_of(
    op: AnyOp,
    widths: Sequence[int],
    parameters: Parameters,
    computed: Mapping[str, AnyComputed] = NO_TABLES,
) -> int:
    """The width of an operation.

    Args:
        op: an operation.
        widths: of all earlier nodes.
        parameters: by name.
        computed: computed tables by name.

    Raises:
        KeyError: a parameter is not there.
        ModelError: widths or shapes do not agree.
    """
    match op:
        case Lookup() | Pool() if op.table in computed:
            return computed[op.table].dim
        case Lookup() | Pool():
            return _table_width(parameters[op.table].shape)
        case RowSum():
            return 1
        case Dense():
            return len(op.columns)
        case Given():
            return op.width
        case Record():
            return op.stop - op.start
        case Affine():
            for name in filter(None, (op.subtract, op.divide, op.multiply)):
                _agree(name, parameters[name].shape, (widths[op.x_of],))
            return widths[op.x_of]
        case Relu():
            return widths[op.x_of]
        case Linear():
            return _layer(op.weight, parameters, widths[op.x_of], op.bias)
        case Sum():
            for term in op.terms_of:
                _agree("a term", (widths[term],), (widths[op.terms_of[0]],))
            return widths[op.terms_of[0]]
        case Multiply():
            _agree("a factor", (widths[op.y_of],), (widths[op.x_of],))
            return widths[op.x_of]
        case Concat():
            return sum(widths[part] for part in op.parts_of)
        case Slice():
            if not 0 <= op.start <= op.stop <= widths[op.x_of]:
                raise ModelError(
                    f"columns {op.start} to {op.stop} of a value {widths[op.x_of]} wide"
                )
            return op.stop - op.start
        case PairDots():
            V = _vectors(widths[op.x_of], op.dim)
            return V * (V - 1) // 2
        case CrossDots():
            return _vectors(widths[op.x_of], op.dim) * _vectors(widths[op.y_of], op.dim)
        case CrossLinear():
            pairs = _vectors(widths[op.x_of], op.dim) * _vectors(widths[op.y_of], op.dim)
            return _layer(op.weight, parameters, pairs)
        case ScaledLinear():
            _agree("a factor", (widths[op.y_of],), (widths[op.x_of],))
            if op.base:
                _layer(op.base, parameters, widths[op.x_of])
            return _layer(op.weight, parameters, widths[op.x_of])


def _table_width(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) == 2 else 1


def _layer(weight: str, parameters: Parameters, num_inputs: int, bias: str = "") -> int:
    """N, with K and the bias held against it."""
    shape: tuple[int, ...] = parameters[weight].shape
    shape = (1, *shape) if len(shape) == 1 else shape
    _agree(weight, shape[1:], (num_inputs,))
    if bias:
        _agree(bias, parameters[bias].shape, shape[:1])
    return shape[0]


def _vectors(width: int, dim: int) -> int:
    if width % dim:
        raise ModelError(f"{width} values are no whole number of vectors {dim} long")
    return width // dim


def _agree(what: str, has: tuple[int, ...], wants: tuple[int, ...]) -> None:
    if has != wants:
        raise ModelError(f"{what} has shape {has}, must have {wants}")
