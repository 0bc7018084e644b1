"""Exact work of a graph: arithmetic and bytes, once a query and for each candidate.

One multiply-add is 2 FLOPs. As in `ModelCost`, biases, affine steps, activations and the sums that
join parts of a layer are not counted; a multi-valued feature counts as one lookup, since no schema
says how long its lists are. Weights do not count as read: they stay in the cache, those of decoders
too. A row of a computed table counts as computed for each lookup; hashing is no floating-point work
and is not counted.

Letters: V and U vectors side by side, d dimensions, K inputs and N outputs of a layer.
"""

from collections.abc import Iterator, Mapping, Sequence

from recfunnel.compile.computed import row_bytes_read, row_flops
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.computed import AnyComputed
from recfunnel.core.graph import (
    AnyOp,
    CrossDots,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    NodeSide,
    PairDots,
    Pool,
    RankingGraph,
    Record,
    RowSum,
    ScaledLinear,
)
from recfunnel.core.spec import Value

ID_BYTES = 8
NUMBER_BYTES = 4


class Work(Value, frozen=True):
    """Arithmetic and traffic of a graph.

    Args:
        flops_per_query: done once, whatever the number of candidates.
        flops_per_candidate: done for each candidate.
        bytes_per_query: features and table rows read once.
        bytes_per_candidate: features, table rows, records and given scores read for each.
        parameter_bytes: size of all parameters.
    """

    flops_per_query: int
    flops_per_candidate: int
    bytes_per_query: int
    bytes_per_candidate: int
    parameter_bytes: int


def graph_work(graph: RankingGraph, parameters: Parameters) -> Work:
    """Count the work of a graph in float32.

    Args:
        graph: without nodes that nobody reads, for they would count.
        parameters: by name.
    """
    widths, sides = node_widths(graph, parameters), graph.sides()
    computed = graph.computed_by_name
    flops: dict[NodeSide, int] = {"context": 0, "candidate": 0, "pair": 0}
    for position, op in enumerate(graph.nodes):
        flops[sides[position]] += _flops(op, widths, widths[position])
        flops["context"] += _flops_of_matrix(op, widths, widths[position])
        if isinstance(op, Lookup | Pool) and op.table in computed:
            flops[sides[position]] += row_flops(computed[op.table], parameters)
        if isinstance(op, RowSum) and op.table in computed:
            flops["context"] += row_flops(computed[op.table], parameters)
    read: dict[NodeSide, int] = {"context": 0, "candidate": 0, "pair": 0}
    reads = {item for op in graph.nodes for item in _items_read(op, parameters, computed)}
    for side, _, size in reads:
        read[side] += size
    return Work(
        flops_per_query=flops["context"],
        flops_per_candidate=flops["candidate"] + flops["pair"],
        bytes_per_query=read["context"],
        bytes_per_candidate=read["candidate"] + read["pair"],
        parameter_bytes=sum(parameters[name].nbytes for name in graph.parameter_names),
    )


def _flops(op: AnyOp, widths: Sequence[int], width: int) -> int:
    """On the node's own side."""
    match op:
        case Linear() | ScaledLinear():
            return 2 * width * widths[op.x_of]
        case CrossLinear():
            return 2 * width * widths[op.x_of]
        case PairDots():
            return 2 * width * op.dim
        case CrossDots():
            return 2 * width * op.dim
        case Pool():
            return 2 * width
        case RowSum():
            return 2
        case Multiply():
            return width
    return 0


def _flops_of_matrix(op: AnyOp, widths: Sequence[int], width: int) -> int:
    """To make a layer's matrix, once a query."""
    if isinstance(op, CrossLinear):
        return 2 * width * widths[op.x_of] * widths[op.y_of] // op.dim
    if isinstance(op, ScaledLinear):
        return (2 if op.base else 1) * width * widths[op.x_of]
    return 0


def _items_read(
    op: AnyOp, parameters: Parameters, computed: Mapping[str, AnyComputed]
) -> Iterator[tuple[NodeSide, str, int]]:
    """What a node reads from memory: side, name, bytes. The same name is read once."""
    match op:
        case Lookup() | Pool():
            kind = "id" if isinstance(op, Lookup) else "list"
            yield op.side, f"{kind} {op.column}", ID_BYTES
            row_bytes = _row_bytes(op.table, parameters, computed)
            yield op.side, f"{kind} {op.column} of {op.table}", row_bytes
        case RowSum():
            yield "context", f"list {op.list_column}", ID_BYTES
            yield "candidate", f"id {op.id_column}", ID_BYTES
            size = NUMBER_BYTES if op.table in computed else parameters[op.table].itemsize
            yield "pair", f"{op.table} {op.list_column}", size
        case Dense():
            yield from ((op.side, f"number {column}", NUMBER_BYTES) for column in op.columns)
        case Record():
            for column in range(op.start, op.stop):
                yield "candidate", f"record {column}", NUMBER_BYTES
        case Given():
            yield "pair", "given", NUMBER_BYTES * op.width


def _row_bytes(name: str, parameters: Parameters, computed: Mapping[str, AnyComputed]) -> int:
    """Bytes read for a row of a table."""
    if name in computed:
        return row_bytes_read(computed[name], parameters)
    table = parameters[name]
    return int(table.itemsize * (table.size // max(1, table.shape[0])))
