"""Computed tables in the native library: what makes their rows, in a query and when compiling.

Rows that are stored, kept or computed in a query come from the same function, so that they agree to
the last bit. Letters: n ids, d dimensions, m values of a code.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.lower_computed import lower_computed
from recfunnel.compile.program import Precision
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray, FloatArray, IntArray
from recfunnel.core.codes import Codes, MultiplyShift
from recfunnel.core.computed import AnyComputed, Decoded, HashedRows, QuotientRemainder
from recfunnel.core.hashing import mixed_seed
from recfunnel.runtime import _native

WORD_BITS = 32


def native_table(
    table: AnyComputed,
    arrays: Mapping[str, NDArray[Any]],
    precision: Precision = "float32",
    isa: str = "",
) -> _native.ComputedTable:
    """A computed table ready to make rows.

    Args:
        table: lowered, see `lower_computed`.
        arrays: float32, that it names.
        precision: of all layers of a decoder but the last.
        isa: instruction set; empty takes the best, or RECFUNNEL_ISA's.

    Raises:
        _native.ProgramError: layers and codes do not fit together.
    """
    match table:
        case Decoded():
            layers = [(arrays[x.weight], arrays[x.bias], x.activation) for x in table.layers]
            return _native.DecodedTable(
                isa, table.num_ids, table.dim, *_functions(table.codes), layers, precision
            )
        case HashedRows():
            seed = mixed_seed(table.seed)
            return _native.HashedTable(table.num_ids, table.dim, arrays[table.table], seed)
        case QuotientRemainder():
            remainders = arrays[table.remainder][: table.num_remainders]
            return _native.SplitTable(
                table.num_ids,
                table.dim,
                arrays[table.quotient],
                remainders,
                table.combine == "multiply",
            )


Words = NDArray[np.uint32]
NormalValues = tuple[DoubleArray, DoubleArray, DoubleArray]
Functions = tuple[int, int, int, Words, Words, IntArray | None, NormalValues | None]
"""Number of values, mixed seed, shift, multipliers, addends, primes, tables of normal values."""


def _functions(codes: Codes) -> Functions:
    m = codes.num_values
    normal = _normal_values(m) if codes.values == "gaussian" else None
    if isinstance(codes, MultiplyShift):
        a, b = codes.coefficients()
        seed = mixed_seed(codes.seed)
        return m, seed, WORD_BITS - codes.num_bits, _words(a), _words(b), None, normal
    a, b, p = codes.coefficients()
    return m, 0, 0, _words(a), _words(b), np.ascontiguousarray(p), normal


def _words(numbers: NDArray[Any]) -> Words:
    return np.ascontiguousarray(numbers, np.uint32)


@lru_cache(maxsize=4)
def _normal_values(num_values: int) -> NormalValues:
    """Radius, cosine and sine of each code (m,), as `CodeFamily.counted_as` has them."""
    uniform = (np.arange(num_values) + 0.5) / num_values
    angle = 2.0 * np.pi * uniform
    return np.sqrt(-2.0 * np.log(uniform)), np.cos(angle), np.sin(angle)


class NativeRows:
    """Makes rows when a model is compiled; a `RowMaker`.

    Args:
        precision: of decoders.
        num_threads: cores to use.
    """

    def __init__(self, precision: Precision, num_threads: int = 1) -> None:
        self._precision, self._num_threads = precision, num_threads
        self._last: tuple[AnyComputed, Parameters, _native.ComputedTable] | None = None

    def __call__(self, table: AnyComputed, parameters: Parameters, ids: IntArray) -> FloatArray:
        """Rows (n, d) of ids (n,)."""
        if self._last is None or self._last[0] != table or self._last[1] is not parameters:
            made = native_table(*lower_computed(table, parameters), self._precision)
            self._last = (table, parameters, made)
        return self._last[2].rows(ids.astype(np.uint32), self._num_threads)
