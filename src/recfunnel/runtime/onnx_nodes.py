"""The nodes of a ranking graph in ONNX's operators, see `recfunnel.runtime.export_onnx`.

Letters: R rows (1 of a context, C of candidates), K inputs and N outputs of a layer, d dimensions,
U and V vectors side by side, L values of a list, S given scores.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.evaluate import SMALLEST_NORM
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.arrays import IntArray
from recfunnel.core.features import FeatureSchema, Side
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
from recfunnel.runtime.feeds import (
    GIVEN,
    RECORDS,
    categorical_name,
    dense_name,
    list_name,
)
from recfunnel.runtime.onnx_writer import OnnxWriter

TABLE_BYTES = 1 << 20
"""Tables at least this large stay outside the ONNX file, so that processes share them."""


@dataclass(frozen=True, eq=False, slots=True)
class _Value:
    """A node's value in ONNX.

    Args:
        name: of a float32 (R, K) tensor.
        columns: where the node's columns are among the K; None means they are all, in order.
        width: K.
        is_row: whether R is 1 (the context's side).
    """

    name: str
    width: int
    is_row: bool
    columns: IntArray | None = None


def _constant(name: str) -> str:
    """What a parameter is called in the file: nothing else is called so."""
    return f"parameters/{name}"


class NodeExporter:
    """Writes each node of a graph once.

    Args:
        graph: a whole model.
        parameters: by name.
        schema: features it is called with.
    """

    def __init__(self, graph: RankingGraph, parameters: Parameters, schema: FeatureSchema) -> None:
        self.write = OnnxWriter()
        self.tables: dict[str, NDArray[Any]] = {}
        self._graph, self._parameters, self._schema = graph, parameters, schema
        self._sides, self._widths = graph.sides(), node_widths(graph, parameters)
        self._values: dict[int, _Value] = {}

    def score(self) -> str:
        """Write everything; the name of the score, (R, 1)."""
        for position, op in enumerate(self._graph.nodes):
            name, columns, width = self._written(op, position)
            is_row = self._sides[position] == "context"
            self._values[position] = _Value(name, width, is_row, columns)
        return self._plain(self._graph.score_of)

    def _written(self, op: AnyOp, position: int) -> tuple[str, IntArray | None, int]:
        """Name, columns and K of a node's value."""
        match op:
            case PairDots():
                return self._pair_dots(op)
            case CrossDots():
                return self._cross_dots(op.x_of, op.y_of, op.dim)
            case Concat():
                return self._concat(op)
            case Slice(start=start, stop=stop):
                x = self._values[op.x_of]
                if x.columns is not None:
                    return x.name, x.columns[start:stop], x.width
                return self._columns(x.name, start, stop, x.width), None, stop - start
            case _:
                return self._dense_value(op), None, self._widths[position]

    def _dense_value(self, op: AnyOp) -> str:
        """Name of the value of an operation whose columns come out in order."""
        match op:
            case Lookup():
                ids = self._gathered_ids(op.side, op.column)
                return self._table_rows(op.table, ids)
            case Pool():
                return self._pool(op)
            case RowSum():
                return self._row_sum(op)
            case Dense():
                return self._dense(op)
            case Given():
                return self.write.input(GIVEN, "float32", ("C", op.width))
            case Record():
                width = max(o.stop for o in self._graph.nodes if isinstance(o, Record))
                records = self.write.input(RECORDS, "float32", ("C", width))
                return self._columns(records, op.start, op.stop, width)
            case Affine():
                return self._affine(op)
            case Linear():
                return self._linear(self._values[op.x_of], op.weight, op.bias)
            case Relu():
                return self.write.add("Relu", self._plain(op.x_of))
            case Sum():
                total = self._plain(op.terms_of[0])
                for term in op.terms_of[1:]:
                    total = self.write.add("Add", total, self._plain(term))
                return total
            case Multiply():
                return self.write.add("Mul", self._plain(op.x_of), self._plain(op.y_of))
            case CrossLinear():
                return self._cross_linear(op)
            case ScaledLinear():
                return self._scaled_linear(op)
            case _:
                raise AssertionError(f"no ONNX form of {type(op).__name__}")

    # What is read

    def _rows_letter(self, side: Side) -> int | str:
        return 1 if side == "context" else "C"

    def _gathered_ids(self, side: Side, column: int) -> str:
        """(R,), one categorical feature."""
        num_columns = len(self._schema.select(side, "categorical"))
        shape = (self._rows_letter(side), num_columns)
        ids = self.write.input(categorical_name(side), "int64", shape)
        place = self.write.constant(np.array(column, np.int64))
        return self.write.add("Gather", ids, place, axis=1)

    def _list_part(self, side: Side, column: int, part: str) -> str:
        """(R, L), a part of one multi-valued feature."""
        dtype = "int64" if part == "ids" else "float32"
        shape = (self._rows_letter(side), f"L_{side}{column}")
        return self.write.input(list_name(side, column, part), dtype, shape)

    def _dense(self, op: Dense) -> str:
        num_columns = len(self._schema.select(op.side, "dense"))
        shape = (self._rows_letter(op.side), num_columns)
        dense = self.write.input(dense_name(op.side), "float32", shape)
        if op.columns == tuple(range(num_columns)):
            return dense
        return self.write.add("Gather", dense, self.write.shape(*op.columns), axis=1)

    def _table(self, name: str) -> tuple[str, bool]:
        """Name of a table (ids, d), and whether it is float32."""
        table = self._parameters[name]
        table = np.ascontiguousarray(table[:, None] if table.ndim == 1 else table)
        if table.nbytes >= TABLE_BYTES:
            self.tables[_constant(name)] = table
            self.write.input(_constant(name), table.dtype.name, table.shape)
        else:
            self.write.constant(table, _constant(name))
        return _constant(name), bool(table.dtype == np.float32)

    def _table_rows(self, table: str, ids: str) -> str:
        """Table rows as float32: the shape of the ids, and d."""
        name, is_float32 = self._table(table)
        rows = self.write.add("Gather", name, ids, axis=0)
        return rows if is_float32 else self.write.add("Cast", rows, to=1)

    def _weight(self, name: str) -> NDArray[np.float32]:
        """A layer's (N, K)."""
        return np.atleast_2d(np.asarray(self._parameters[name], np.float32))

    def _vector(self, name: str) -> str:
        return self.write.constant(np.asarray(self._parameters[name], np.float32), _constant(name))

    # Shapes

    def _plain(self, position: int) -> str:
        """A node's value with exactly its own columns."""
        value = self._values[position]
        if value.columns is None:
            return value.name
        return self.write.add("Gather", value.name, self.write.constant(value.columns), axis=1)

    def _columns(self, name: str, start: int, stop: int, width: int) -> str:
        if (start, stop) == (0, width):
            return name
        shape = self.write.shape
        return self.write.add("Slice", name, shape(start), shape(stop), shape(1))

    def _vectors(self, position: int, dim: int, *, across: bool = False) -> str:
        """(R, V, d), or (R, d, V) across."""
        plain, num_vectors = self._plain(position), self._widths[position] // dim
        vectors = self.write.add("Reshape", plain, self.write.shape(-1, num_vectors, dim))
        return self.write.add("Transpose", vectors, perm=(0, 2, 1)) if across else vectors

    def _concat(self, op: Concat) -> tuple[str, IntArray | None, int]:
        parts = [self._values[part] for part in op.parts_of]
        full = next((part for part in parts if not part.is_row), None)
        names, columns, offset = [], [], 0
        for part in parts:
            names.append(self._expanded(part, full))
            own = np.arange(part.width) if part.columns is None else part.columns
            columns.append(offset + own)
            offset += part.width
        whole = self.write.add("Concat", *names, axis=1)
        all_plain = all(part.columns is None for part in parts)
        return whole, None if all_plain else np.concatenate(columns), offset

    def _expanded(self, part: _Value, full: _Value | None) -> str:
        """A part with as many rows as the full ones have, where there are any."""
        if full is None or not part.is_row:
            return part.name
        num_rows = self.write.add("Shape", full.name, start=0, end=1)
        shape = self.write.add("Concat", num_rows, self.write.shape(part.width), axis=0)
        return self.write.add("Expand", part.name, shape)

    # Operations

    def _pool(self, op: Pool) -> str:
        ids = self._list_part(op.side, op.column, "ids")
        weights = self._list_part(op.side, op.column, "weights")
        row = self.write.add("Unsqueeze", weights, self.write.shape(1))
        pooled = self.write.add("MatMul", row, self._table_rows(op.table, ids))
        pooled = self.write.add("Squeeze", pooled, self.write.shape(1))
        if op.norm == "sum":
            return pooled
        smallest = self.write.constant(np.array(SMALLEST_NORM, np.float32))
        return self.write.add(
            "Div", pooled, self.write.add("Max", self._size(op, weights), smallest)
        )

    def _size(self, op: Pool, weights: str) -> str:
        """(R, 1), the norm of each row's weights before the smallest is taken for it.

        OpenVINO 2026.4 takes ReduceL1 and ReduceL2 over all axes, so they are spelled out.
        """
        axis = self.write.shape(1)
        if op.norm == "mean":
            return self.write.add("ReduceSum", self.write.add("Abs", weights), axis)
        squares = self.write.add("ReduceSum", self.write.add("Mul", weights, weights), axis)
        return self.write.add("Sqrt", squares)

    def _row_sum(self, op: RowSum) -> str:
        weights = self._list_part("context", op.list_column, "weights")
        if op.weighting:
            weights = self._weighted(weights, op)
        rows = self._table_rows(op.table, self._list_part("context", op.list_column, "ids"))
        row = self.write.add("Unsqueeze", weights, self.write.shape(1))
        sums = self.write.add("Reshape", self.write.add("MatMul", row, rows), self.write.shape(-1))
        ids = self._gathered_ids("candidate", op.id_column)
        picked = self.write.add("Gather", sums, ids, axis=0)
        return self.write.add("Reshape", picked, self.write.shape(-1, 1))

    def _weighted(self, weights: str, op: RowSum) -> str:
        """What weights count as: linear between whole numbers, constant outside; filling is 0."""
        counts_as, write = self._vector(op.weighting), self.write
        last = self._parameters[op.weighting].size
        one, top = (write.constant(np.array(x, np.float32)) for x in (1, last))
        inside = write.add("Clip", weights, one, top)
        floor = write.add("Floor", inside)
        low = write.add("Cast", write.add("Sub", floor, one), to=7)
        place = write.constant(np.array(last - 1, np.int64))
        above = write.add("Add", low, write.constant(np.array(1, np.int64)))
        at_low = write.add("Gather", counts_as, low, axis=0)
        at_high = write.add("Gather", counts_as, write.add("Min", above, place), axis=0)
        rise = write.add("Mul", write.add("Sub", inside, floor), write.add("Sub", at_high, at_low))
        present = self._list_part("context", op.list_column, "present")
        return write.add("Mul", write.add("Add", at_low, rise), present)

    def _affine(self, op: Affine) -> str:
        value = self._plain(op.x_of)
        for operator, name in (("Sub", op.subtract), ("Div", op.divide), ("Mul", op.multiply)):
            if name:
                value = self.write.add(operator, value, self._vector(name))
        return value

    def _linear(self, x: _Value, weight: str, bias: str = "") -> str:
        layer, name = self._weight(weight), _constant(weight)
        if x.columns is not None:
            whole = np.zeros((layer.shape[0], x.width), np.float32)
            whole[:, x.columns] = layer
            layer, name = whole, ""
        inputs = [x.name, self.write.constant(layer, name)]
        return self.write.add("Gemm", *inputs, *([self._vector(bias)] if bias else []), transB=1)

    def _pair_dots(self, op: PairDots) -> tuple[str, IntArray, int]:
        num_vectors = self._widths[op.x_of] // op.dim
        x, turned = (self._vectors(op.x_of, op.dim, across=a) for a in (False, True))
        gram = self.write.add("MatMul", x, turned)
        flat = self.write.add("Reshape", gram, self.write.shape(-1, num_vectors**2))
        low, high = np.tril_indices(num_vectors, -1)
        return flat, low * num_vectors + high, num_vectors**2

    def _cross_dots(self, x_of: int, y_of: int, dim: int) -> tuple[str, IntArray | None, int]:
        V, U = self._widths[x_of] // dim, self._widths[y_of] // dim
        write, x, y = self.write, self._values[x_of], self._values[y_of]
        if y.is_row:
            matrix = self._matrix_of_row(y_of, U, dim, across=True)
            vectors = write.add("Reshape", self._plain(x_of), write.shape(-1, dim))
            dots = write.add("MatMul", vectors, matrix)
            return write.add("Reshape", dots, write.shape(-1, V * U)), None, V * U
        if x.is_row:
            matrix = self._matrix_of_row(x_of, V, dim, across=True)
            vectors = write.add("Reshape", self._plain(y_of), write.shape(-1, dim))
            dots = write.add("MatMul", vectors, matrix)
            turned = np.arange(V * U).reshape(U, V).T.reshape(-1)
            return write.add("Reshape", dots, write.shape(-1, U * V)), turned, V * U
        dots = write.add("MatMul", self._vectors(x_of, dim), self._vectors(y_of, dim, across=True))
        return write.add("Reshape", dots, write.shape(-1, V * U)), None, V * U

    def _matrix_of_row(self, position: int, num_vectors: int, dim: int, *, across: bool) -> str:
        """(V, d) of a context's vectors, or (d, V) across."""
        shape = self.write.shape(num_vectors, dim)
        matrix = self.write.add("Reshape", self._plain(position), shape)
        return self.write.add("Transpose", matrix, perm=(1, 0)) if across else matrix

    def _cross_linear(self, op: CrossLinear) -> str:
        V, U = self._widths[op.x_of] // op.dim, self._widths[op.y_of] // op.dim
        layer = self._weight(op.weight)
        if self._values[op.y_of].is_row:
            folded = layer.reshape(-1, U)
            return self._by_matrix(op.x_of, folded, (op.y_of, U, op.dim), V * op.dim)
        if self._values[op.x_of].is_row:
            folded = layer.reshape(-1, V, U).swapaxes(1, 2).reshape(-1, V)
            return self._by_matrix(op.y_of, folded, (op.x_of, V, op.dim), U * op.dim)
        name, _, width = self._cross_dots(op.x_of, op.y_of, op.dim)
        return self._linear(_Value(name, width, is_row=False), op.weight)

    def _by_matrix(
        self, position: int, folded: NDArray[np.float32], row: tuple[int, int, int], width: int
    ) -> str:
        """A value times a matrix (N, width) that is made of a context's vectors, once a query."""
        vectors = self._matrix_of_row(*row, across=False)
        matrix = self.write.add("MatMul", self.write.constant(folded), vectors)
        matrix = self.write.add("Reshape", matrix, self.write.shape(-1, width))
        return self.write.add("Gemm", self._plain(position), matrix, transB=1)

    def _scaled_linear(self, op: ScaledLinear) -> str:
        x, y = self._plain(op.x_of), self._plain(op.y_of)
        weight = self.write.constant(self._weight(op.weight), _constant(op.weight))
        base = self.write.constant(self._weight(op.base), _constant(op.base)) if op.base else ""
        if self._values[op.y_of].is_row:
            matrix = self.write.add("Mul", weight, y)
            matrix = self.write.add("Add", matrix, base) if base else matrix
            return self.write.add("Gemm", x, matrix, transB=1)
        scaled = self.write.add("Gemm", self.write.add("Mul", x, y), weight, transB=1)
        if not base:
            return scaled
        return self.write.add("Add", scaled, self.write.add("Gemm", x, base, transB=1))
