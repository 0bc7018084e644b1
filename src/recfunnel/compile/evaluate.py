"""What a ranking graph means: every node in float64 numpy, as plainly as it can be said.

The oracle every runtime and every pass is held against; slow, and large in memory.

Letters: Q queries, N item rows, C candidates, S given scores, w width of a node, V values of a
multi-valued feature.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.computed import computed_rows
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray, Ragged
from recfunnel.core.computed import AnyComputed
from recfunnel.core.errors import InvalidInput, ModelError
from recfunnel.core.features import Features, Side
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
    Norm,
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

SMALLEST_NORM = 1e-12


@dataclass(frozen=True, eq=False, slots=True)
class _Call:
    """What a graph is evaluated on; the parts a graph does not read may be None.

    Values of nodes are (Q, 1, w) on the context's side, (1 or Q, C, w) on the others, so that all
    of them broadcast.
    """

    parameters: Parameters
    computed: Mapping[str, AnyComputed]
    context: Features | None = None
    items: Features | None = None
    candidates: IntArray | None = None
    given: NDArray[Any] | None = None
    records: NDArray[Any] | None = None

    def features(self, side: Side) -> Features:
        found = self.context if side == "context" else self.items
        if found is None:
            raise InvalidInput(f"the graph reads features of the {side}, but none were given")
        return found

    def place(self, rows: DoubleArray, side: Side) -> DoubleArray:
        """Rows of a side, (Q, w) or (N, w), where they broadcast over queries and candidates."""
        if side == "context":
            return rows[:, None, :]
        return rows[None] if self.candidates is None else rows[self.candidates]

    def weight(self, name: str) -> DoubleArray:
        """A layer's (N, K)."""
        return np.atleast_2d(np.asarray(self.parameters[name], np.float64))

    def vector(self, name: str) -> DoubleArray:
        """A (w,) parameter."""
        return np.asarray(self.parameters[name], np.float64)

    def rows(self, name: str, ids: IntArray) -> DoubleArray:
        """Table rows (ids, d)."""
        if name in self.computed:
            different, place = np.unique(ids, return_inverse=True)
            return computed_rows(self.computed[name], self.parameters, different)[place]
        table = self.parameters[name]
        if ids.size and (ids.min() < 0 or ids.max() >= table.shape[0]):
            raise InvalidInput(
                f"table {name!r} has rows 0 to {table.shape[0] - 1}, asked for "
                f"{ids.min()} to {ids.max()}"
            )
        found = np.asarray(table[ids], np.float64)
        return found[:, None] if found.ndim == 1 else found


def evaluate(
    graph: RankingGraph,
    parameters: Parameters,
    context: Features,
    items: Features,
    candidates: IntArray | None = None,
    given: FloatArray | None = None,
    records: NDArray[Any] | None = None,
) -> DoubleArray:
    """Scores of a graph.

    Args:
        graph: a whole model.
        parameters: by name.
        context: Q rows.
        items: N rows.
        candidates: int64 (Q, C), rows of `items`; None means all of them in order (C = N).
        given: (Q, C, S), scores of other models; None when the graph reads none.
        records: (N, width), rows of a compiled catalogue; None when the graph reads none.

    Returns:
        (Q, C).

    Raises:
        InvalidInput: an id outside its table, or features, scores or records that are read but
            not given.
    """
    call = _Call(parameters, graph.computed_by_name, context, items, candidates, given, records)
    values = _run(call, graph, range(len(graph.nodes)))
    num_columns = len(items) if candidates is None else candidates.shape[1]
    score = np.broadcast_to(values[graph.score_of], (len(context), num_columns, 1))
    return score[:, :, 0].copy()


def evaluate_side(
    graph: RankingGraph,
    parameters: Parameters,
    features: Features,
    side: Side,
    records: NDArray[Any] | None = None,
) -> dict[int, DoubleArray]:
    """Every node of one side.

    Args:
        graph: a whole model.
        parameters: by name.
        features: N rows of that side.
        side: which.
        records: (N, width), rows of a compiled catalogue; None when the graph reads none.

    Returns:
        By position: (N, w).
    """
    wanted = [position for position, found in enumerate(graph.sides()) if found == side]
    computed = graph.computed_by_name
    if side == "context":
        values = _run(_Call(parameters, computed, context=features), graph, wanted)
        return {position: value[:, 0] for position, value in values.items()}
    values = _run(_Call(parameters, computed, items=features, records=records), graph, wanted)
    return {position: value[0] for position, value in values.items()}


def _run(call: _Call, graph: RankingGraph, wanted: Iterable[int]) -> dict[int, DoubleArray]:
    values: dict[int, DoubleArray] = {}
    for position in wanted:
        values[position] = _value(call, graph.nodes[position], values)
    return values


def _value(call: _Call, op: AnyOp, values: Mapping[int, DoubleArray]) -> DoubleArray:
    match op:
        case Lookup():
            ids = call.features(op.side).categorical[:, op.column]
            return call.place(call.rows(op.table, ids), op.side)
        case Pool():
            lists = call.features(op.side).multi_valued[op.column]
            return call.place(_pooled(call.rows(op.table, lists.values), lists, op.norm), op.side)
        case RowSum():
            return _row_sums(call, op)
        case Dense():
            columns = call.features(op.side).dense[:, list(op.columns)]
            return call.place(np.asarray(columns, np.float64), op.side)
        case Given():
            if call.given is None or call.given.shape[-1] != op.width:
                have = None if call.given is None else call.given.shape
                raise ModelError(f"the graph reads {op.width} given scores, was given {have}")
            return np.asarray(call.given, np.float64)
        case Record():
            if call.records is None:
                raise InvalidInput("the graph reads a compiled catalogue, but none was given")
            columns = call.records[:, op.start : op.stop]
            return call.place(np.asarray(columns, np.float64), "candidate")
        case Affine():
            return _affine(call, op, values[op.x_of])
        case Linear():
            product = values[op.x_of] @ call.weight(op.weight).T
            return product + call.vector(op.bias) if op.bias else product
        case Relu():
            return np.maximum(values[op.x_of], 0.0)
        case Sum():
            total = values[op.terms_of[0]]
            for term in op.terms_of[1:]:
                total = total + values[term]
            return total
        case Multiply():
            return values[op.x_of] * values[op.y_of]
        case Concat():
            return _side_by_side([values[part] for part in op.parts_of])
        case Slice():
            return values[op.x_of][..., op.start : op.stop]
        case PairDots():
            x = _vectors(values[op.x_of], op.dim)
            low, high = np.tril_indices(x.shape[2], -1)
            dots: DoubleArray = np.einsum("qcpi,qcpi->qcp", x[:, :, low], x[:, :, high])
            return dots
        case CrossDots():
            return _cross_dots(values[op.x_of], values[op.y_of], op.dim)
        case CrossLinear():
            crossed = _cross_dots(values[op.x_of], values[op.y_of], op.dim)
            return crossed @ call.weight(op.weight).T
        case ScaledLinear():
            x = values[op.x_of]
            scaled = (x * values[op.y_of]) @ call.weight(op.weight).T
            return scaled + x @ call.weight(op.base).T if op.base else scaled


def _pooled(rows: DoubleArray, lists: Ragged, norm: Norm) -> DoubleArray:
    """(N, d) from table rows (V, d)."""
    weights = np.ones(lists.values.shape) if lists.weights is None else lists.weights
    weights = np.asarray(weights, np.float64)
    total, sizes = np.zeros((len(lists), rows.shape[1])), np.zeros(len(lists))
    np.add.at(total, lists.row_ids(), weights[:, None] * rows)
    if norm == "sum":
        return total
    np.add.at(sizes, lists.row_ids(), np.abs(weights) if norm == "mean" else weights**2)
    sizes = sizes if norm == "mean" else np.sqrt(sizes)
    return total / np.maximum(sizes, SMALLEST_NORM)[:, None]


def _row_sums(call: _Call, op: RowSum) -> DoubleArray:
    """(Q, C, 1)."""
    lists = call.features("context").multi_valued[op.list_column]
    ids = call.features("candidate").categorical[:, op.id_column]
    sums = []
    for query in range(len(lists)):
        columns = ids if call.candidates is None else ids[call.candidates[query]]
        weights = np.asarray(lists.row_weights(query), np.float64)
        if op.weighting:
            counts_as = call.vector(op.weighting)
            weights = np.interp(weights, np.arange(1, counts_as.size + 1), counts_as)
        sums.append(weights @ call.rows(op.table, lists.row(query))[:, columns])
    return np.stack(sums)[:, :, None]


def _affine(call: _Call, op: Affine, x: DoubleArray) -> DoubleArray:
    if op.subtract:
        x = x - call.vector(op.subtract)
    if op.divide:
        x = x / call.vector(op.divide)
    return x * call.vector(op.multiply) if op.multiply else x


def _side_by_side(parts: list[DoubleArray]) -> DoubleArray:
    shape = np.broadcast_shapes(*(part.shape[:2] for part in parts))
    whole = [np.broadcast_to(part, (*shape, part.shape[2])) for part in parts]
    return np.concatenate(whole, axis=2)


def _vectors(x: DoubleArray, dim: int) -> DoubleArray:
    """(Q, C, V·d) to (Q, C, V, d)."""
    return x.reshape(*x.shape[:2], -1, dim)


def _cross_dots(x: DoubleArray, y: DoubleArray, dim: int) -> DoubleArray:
    """(Q, C, V·U), x outermost."""
    dots = _vectors(x, dim) @ np.swapaxes(_vectors(y, dim), 2, 3)
    return dots.reshape(*dots.shape[:2], -1)
