"""Rows of computed tables stored in fewer bits: float16, int8, or int4.

The decoder is not needed any more, and what is lost is a rounding of its outputs. Beside MP-Cache's
decoder tier this is the other way to make a computed table cheap at some loss.

Letters: n ids, d dimensions.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.computed import RowMaker, computed_rows
from recfunnel.compile.lower_storage import from_storage, row_bytes, to_storage
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.computed import AnyComputed

Bits = Literal["float32", "float16", "int8", "int4"]

INT4_STEPS = 15
INT4_SCALE_BYTES = 4
"""An int4 row has its least value and its step, both float16."""


@dataclass(frozen=True, slots=True)
class QuantisedRows:
    """Makes rows as they are read back from storage; a `RowMaker` for `store_computed`.

    int8 has one scale a row, its largest magnitude over 127, as the engine's tables have. int4 has
    sixteen levels from a row's least to its largest value, both rounded to float16.

    Args:
        storage: of the rows.
        make_rows: who computes them.
    """

    storage: Bits
    make_rows: RowMaker = computed_rows

    def __call__(self, table: AnyComputed, parameters: Parameters, ids: IntArray) -> FloatArray:
        """(n, d), what storage keeps of the rows of ids (n,)."""
        rows = self.make_rows(table, parameters, ids)
        if self.storage == "int4":
            return int4_levels(rows)
        return from_storage(to_storage(rows, self.storage), self.storage)

    def size_bytes(self, table: AnyComputed) -> int:
        """Of the table with all its rows."""
        if self.storage == "int4":
            return table.num_ids * (-(-table.dim // 2) + INT4_SCALE_BYTES)
        return table.num_ids * row_bytes(table.dim, self.storage)


def int4_levels(rows: NDArray[Any]) -> FloatArray:
    """Rows (n, d) rounded to sixteen levels each."""
    plain = np.asarray(rows, np.float32)
    least = plain.min(axis=1, keepdims=True).astype(np.float16).astype(np.float32)
    span = plain.max(axis=1, keepdims=True) - least
    step = (span / INT4_STEPS).astype(np.float16).astype(np.float32)
    levels = np.rint((plain - least) / np.where(step > 0, step, 1))
    found: FloatArray = np.clip(levels, 0, INT4_STEPS) * step + least
    return found
