"""Rows of computed tables in float64 numpy, and what they cost.

A row depends on its id alone, bit for bit, not on what else it is computed with: whatever rows are
kept and whatever are made when they are asked for, scores are the same.

Letters: n ids, d dimensions, k codes, N outputs and K inputs of a layer.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.computed import (
    Activation,
    AnyComputed,
    BatchNorm,
    Decoded,
    DecoderLayer,
    HashedRows,
    QuotientRemainder,
)
from recfunnel.core.errors import InvalidInput
from recfunnel.core.hashing import buckets

ROWS_AT_ONCE = 96
"""Decoders are always run on so many ids: a matrix product's last bits may depend on its shape."""

RowMaker = Callable[[AnyComputed, Parameters, IntArray], NDArray[Any]]
"""Makes rows (n, d) of a computed table from ids (n,)."""


def computed_rows(table: AnyComputed, parameters: Parameters, ids: IntArray) -> DoubleArray:
    """Rows of a computed table.

    Args:
        table: which.
        parameters: by name.
        ids: (n,), 0 to num_ids - 1.

    Returns:
        (n, d).

    Raises:
        InvalidInput: an id outside the table.
    """
    if ids.size and (ids.min() < 0 or ids.max() >= table.num_ids):
        raise InvalidInput(
            f"table {table.name!r} has rows 0 to {table.num_ids - 1}, asked for "
            f"{ids.min()} to {ids.max()}"
        )
    match table:
        case Decoded():
            return _decoded(table, parameters, ids)
        case HashedRows():
            rows = parameters[table.table]
            return _doubles(rows[buckets(ids, rows.shape[0], table.seed)])
        case QuotientRemainder():
            high = _doubles(parameters[table.quotient][ids // table.num_remainders])
            low = _doubles(parameters[table.remainder][ids % table.num_remainders])
            return high * low if table.combine == "multiply" else high + low


def _decoded(table: Decoded, parameters: Parameters, ids: IntArray) -> DoubleArray:
    layers = [_Layer(layer, parameters) for layer in table.layers]
    rows = np.empty((ids.size, table.dim))
    for start in range(0, ids.size, ROWS_AT_ONCE):
        own = ids[start : start + ROWS_AT_ONCE]
        padded = np.zeros(ROWS_AT_ONCE, np.int64)
        padded[: own.size] = own
        x = _through(layers, table.codes.encode(padded))
        rows[start : start + ROWS_AT_ONCE] = x[: own.size]
    return rows


def decode(table: Decoded, parameters: Parameters, values: DoubleArray) -> DoubleArray:
    """What a decoder makes of any values (n, k) in the place of an id's codes: (n, d)."""
    return _through([_Layer(layer, parameters) for layer in table.layers], values)


def _through(layers: "list[_Layer]", x: DoubleArray) -> DoubleArray:
    for layer in layers:
        x = layer(x)
    return x


class _Layer:
    """One layer of a decoder, its parameters in float64."""

    def __init__(self, layer: DecoderLayer, parameters: Parameters) -> None:
        self.weight = _doubles(parameters[layer.weight]).T
        self.scale = np.ones(self.weight.shape[1])
        self.shift = _doubles(parameters[layer.bias])
        self.activation = layer.activation
        if layer.norm is not None:
            self._join(layer.norm, parameters)

    def _join(self, norm: BatchNorm, parameters: Parameters) -> None:
        """(x + bias - mean) / deviation · weight + bias as a scale and a shift."""
        deviation = np.sqrt(_doubles(parameters[norm.variance]) + norm.epsilon)
        self.scale = _doubles(parameters[norm.weight]) / deviation
        self.shift = (self.shift - _doubles(parameters[norm.mean])) * self.scale
        self.shift = self.shift + _doubles(parameters[norm.bias])

    def __call__(self, x: DoubleArray) -> DoubleArray:
        return activated(x @ self.weight * self.scale + self.shift, self.activation)


def activated(x: DoubleArray, activation: Activation) -> DoubleArray:
    """An activation applied to each number."""
    match activation:
        case "relu":
            return np.maximum(x, 0.0)
        case "mish":
            return x * np.tanh(np.logaddexp(0.0, x))
        case "sigmoid":
            return np.exp(-np.logaddexp(0.0, -x))
        case "none":
            return x


def _doubles(array: NDArray[Any]) -> DoubleArray:
    return np.asarray(array, np.float64)


def row_flops(table: AnyComputed, parameters: Parameters) -> int:
    """Arithmetic of one row, in floating point; hashing is none."""
    match table:
        case Decoded():
            return sum(2 * int(parameters[layer.weight].size) for layer in table.layers)
        case HashedRows():
            return 0
        case QuotientRemainder():
            return table.dim


def row_bytes_read(table: AnyComputed, parameters: Parameters) -> int:
    """Bytes of table rows read for one row; decoders stay in the cache and count as none."""
    match table:
        case Decoded():
            return 0
        case HashedRows():
            return table.dim * parameters[table.table].itemsize
        case QuotientRemainder():
            names = (table.quotient, table.remainder)
            return sum(table.dim * parameters[name].itemsize for name in names)


def stored_type(table: AnyComputed, parameters: Parameters) -> np.dtype[Any]:
    """What the numbers of its rows are kept as: float32, or float64 where its parameters are."""
    return np.result_type(np.float32, *(parameters[n].dtype for n in table.parameter_names))


def stored_bytes(table: AnyComputed, parameters: Parameters) -> int:
    """Bytes of the table with all its rows stored."""
    return table.num_ids * table.dim * stored_type(table, parameters).itemsize


def stored_table(
    table: AnyComputed,
    parameters: Parameters,
    ids: IntArray | None = None,
    *,
    make_rows: RowMaker = computed_rows,
    rows_at_once: int = 1 << 14,
) -> NDArray[Any]:
    """Rows of a computed table as an ordinary table keeps them.

    Args:
        table: which.
        parameters: by name.
        ids: (n,) whose rows; None for all, in order.
        make_rows: who computes them.
        rows_at_once: computed before they are rounded; bounds memory besides the result.

    Returns:
        (n, d) or (num_ids, d), rounded to `stored_type`.
    """
    num_rows = table.num_ids if ids is None else ids.size
    rows = np.empty((num_rows, table.dim), stored_type(table, parameters))
    for start in range(0, num_rows, rows_at_once):
        stop = min(start + rows_at_once, num_rows)
        some = np.arange(start, stop) if ids is None else ids[start:stop]
        rows[start:stop] = make_rows(table, parameters, some)
    return rows
