"""Array types used in signatures, and the ragged array (rows of different lengths)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.errors import InvalidInput

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Ragged:
    """N rows of different lengths, in the compressed sparse row layout.

    Row i is `values[offsets[i]:offsets[i + 1]]`.

    Args:
        values: int64 (V,).
        offsets: int64 (N + 1,), from 0 to V, never falling.
        weights: float32 (V,), one a value; None means all are 1.
    """

    values: IntArray
    offsets: IntArray
    weights: FloatArray | None = None

    def __post_init__(self) -> None:
        ends_right = self.offsets.size and self.offsets[0] == 0
        if not ends_right or self.offsets[-1] != self.values.size:
            raise InvalidInput(
                f"ragged offsets must run from 0 to {self.values.size}, the number of values"
            )
        if self.offsets.size > 2 and np.any(np.diff(self.offsets) < 0):  # two cannot fall
            raise InvalidInput("ragged offsets must never fall")
        if self.weights is not None and self.weights.shape != self.values.shape:
            raise InvalidInput(
                f"{self.weights.size} weights for {self.values.size} values; one a value"
            )

    def __len__(self) -> int:
        return self.offsets.size - 1

    @property
    def lengths(self) -> IntArray:
        """(N,), the number of values in each row."""
        return np.diff(self.offsets)

    def row(self, index: int) -> IntArray:
        """Values of one row."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def row_weights(self, index: int) -> FloatArray:
        """Weights of one row; ones where there are none."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        if self.weights is None:
            return np.ones(span.stop - span.start, np.float32)
        return self.weights[span]

    def row_ids(self) -> IntArray:
        """(V,), the row each value belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def take(self, rows: IntArray) -> "Ragged":
        """The given rows, in the given order, repeats allowed."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        picks = np.arange(offsets[-1], dtype=np.int64) + shift
        weights = None if self.weights is None else self.weights[picks]
        return Ragged(self.values[picks], offsets, weights)

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Arrays to store, under names that begin with `prefix`."""
        arrays: dict[str, NDArray[Any]] = {
            f"{prefix}.values": self.values,
            f"{prefix}.offsets": self.offsets,
        }
        if self.weights is not None:
            arrays[f"{prefix}.weights"] = self.weights
        return arrays

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]], prefix: str) -> "Ragged":
        """The inverse of `to_arrays`."""
        return Ragged(
            arrays[f"{prefix}.values"],
            arrays[f"{prefix}.offsets"],
            arrays.get(f"{prefix}.weights"),
        )

    @staticmethod
    def from_rows(
        rows: Sequence[Sequence[int]], weights: Sequence[Sequence[float]] | None = None
    ) -> "Ragged":
        """Build from nested sequences; for small data and tests."""
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        values = np.array([v for row in rows for v in row], np.int64)
        flat = None if weights is None else np.array([w for r in weights for w in r], np.float32)
        return Ragged(values, offsets, flat)

    @staticmethod
    def from_pairs(
        rows: IntArray, values: IntArray, num_rows: int, weights: FloatArray | None = None
    ) -> "Ragged":
        """Group (row, value) pairs by row; within a row the pairs keep their order.

        Args:
            rows: (V,), row of each pair, 0 to num_rows - 1.
            values: (V,).
            num_rows: N.
            weights: (V,) or None.

        Returns:
            N rows.
        """
        order = np.argsort(rows, kind="stable")
        counts = np.bincount(rows, minlength=num_rows)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        ordered = None if weights is None else weights[order].astype(np.float32)
        return Ragged(values[order].astype(np.int64), offsets, ordered)
