"""The rows that a run of lookups reads, in order: what every row cache is measured on.

Letters: L lookups, T tables, N entries of a trace (one candidate's T lookups, or one lookup).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import DataError

Rows = NDArray[np.uint32]

MOST_LOOKUPS = 2**31
"""Longest trace: the policies' clocks are 32 bits wide."""

_SPARSE = 4
"""Ids up to so many times the number of lookups are numbered through a table, else by sorting."""


@dataclass(frozen=True, eq=False, slots=True)
class RowTrace:
    """Lookups in order, over rows that are numbered without gaps.

    Args:
        rows: uint32 (L,), 0 to num_rows - 1, in the order of the ids they stand for.
        num_rows: different rows in the trace.
        num_warm_up: lookups at the front that fill a cache, or let rows be chosen, and are not
            counted; below L.
        num_tables: T; lookups of one candidate lie side by side.
    """

    rows: Rows
    num_rows: int
    num_warm_up: int = 0
    num_tables: int = 1

    def __post_init__(self) -> None:
        # the compiled loops index by rows and do not look whether they may
        if self.rows.dtype != np.uint32 or self.rows.ndim != 1 or not self.rows.size:
            raise DataError(
                f"rows of a trace are {self.rows.dtype} {self.rows.shape}, must be uint32 (L,); "
                "row_trace() makes them of ids"
            )
        if int(self.rows.max()) >= self.num_rows:
            raise DataError(f"row {int(self.rows.max())} in a trace of {self.num_rows} rows")
        if not 0 <= self.num_warm_up < self.rows.size:
            raise DataError(
                f"{self.num_warm_up} of {self.rows.size} lookups are warm-up; "
                "at least one must remain to be counted"
            )

    @property
    def num_counted(self) -> int:
        """Lookups after the warm-up."""
        return self.rows.size - self.num_warm_up

    def once_per_sub_batch(self, num_entries: int) -> "RowTrace":
        """The trace of a memory that fetches each row once a sub-batch.

        Args:
            num_entries: N of a sub-batch; the last one before the counted part, and the last of
                all, may be shorter.

        Returns:
            The first lookup of each row in each sub-batch.

        Raises:
            DataError: a sub-batch has no entries.
        """
        if num_entries < 1:
            raise DataError(f"a sub-batch has {num_entries} entries, must have at least 1")
        size = num_entries * self.num_tables
        newest = np.zeros(self.num_rows, np.uint32)
        keep = np.empty(self.rows.size, np.bool_)
        _mark_first(self.rows, self.num_warm_up, size, newest, keep)
        warm_up = int(np.count_nonzero(keep[: self.num_warm_up]))
        # lookups of one candidate no longer lie side by side, so this trace has no tables
        return RowTrace(self.rows[keep], self.num_rows, warm_up)

    def warmed_up_by(self, num_lookups: int) -> "RowTrace":
        """The same lookups, the first so many not counted."""
        return replace(self, num_warm_up=num_lookups)


def row_trace(
    ids: NDArray[Any],
    *,
    before: NDArray[Any] | None = None,
    table_rows: Sequence[int] | None = None,
) -> RowTrace:
    """Number the rows that ids stand for.

    Args:
        ids: whole numbers of at least 0: (L,) of one table or address space, or (N, T), each
            column the ids of one table.
        before: ids of the same form that are looked up first and not counted.
        table_rows: (T,), rows of each table; their largest ids + 1 when not given.

    Returns:
        The trace, `before` first as its warm-up.

    Raises:
        DataError: not whole numbers, a negative id, no ids, more than two dimensions, an id
            outside its table, or more than 2^31 lookups.
    """
    parts = [_checked(part) for part in ((before, ids) if before is not None else (ids,))]
    widths = {part.shape[1:] for part in parts}
    if len(widths) > 1:
        raise DataError(
            f"a trace of shape {parts[1].shape} follows one of shape {parts[0].shape}; "
            "both must have the same tables"
        )
    num_lookups = sum(part.size for part in parts)
    if num_lookups > MOST_LOOKUPS:
        raise DataError(f"a trace of {num_lookups} lookups; at most {MOST_LOOKUPS} are played")
    num_tables = parts[0].shape[1] if parts[0].ndim == 2 else 1
    if parts[0].ndim == 2 or table_rows is not None:
        parts = _one_address_space(parts, table_rows)
    rows, num_rows = _numbered(np.concatenate(parts) if len(parts) > 1 else parts[0])
    return RowTrace(rows, num_rows, num_lookups - parts[-1].size, num_tables)


def read_ids(path: Path) -> NDArray[Any]:
    """Ids from a `.npy` file, memory-mapped.

    Raises:
        DataError: missing, or not an array that numpy saved.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give an array of row ids as numpy saves it (.npy)")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path} is not an array that numpy saved (.npy): {error}") from error
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path} holds several arrays; save one with numpy.save")
    return found


def _checked(ids: NDArray[Any]) -> NDArray[Any]:
    if ids.dtype.kind not in "iu":
        raise DataError(
            f"a trace of {ids.dtype} numbers; row ids are whole numbers, "
            "save them as int64, int32 or uint32"
        )
    if ids.ndim not in (1, 2):
        raise DataError(
            f"a trace of {ids.ndim} dimensions; give (lookups,) or (candidates, tables)"
        )
    if not ids.size:
        raise DataError("a trace without lookups; give at least one row id")
    if ids.dtype.kind == "i" and int(ids.min()) < 0:
        place = int(np.argmax(ids.ravel() < 0))
        raise DataError(
            f"row id {int(ids.min())} (the first below 0 is lookup {place}); ids are 0 or more"
        )
    if int(ids.max()) > np.iinfo(np.int64).max:
        raise DataError(f"row id {int(ids.max())} is above {np.iinfo(np.int64).max}")
    return ids


def _one_address_space(
    parts: Sequence[NDArray[Any]], table_rows: Sequence[int] | None
) -> list[NDArray[Any]]:
    """Lay tables one behind the other; (L,) each, a candidate's lookups side by side."""
    columns = [part.reshape(part.shape[0], -1) for part in parts]
    largest = np.max([part.max(axis=0) for part in columns], axis=0).astype(np.int64)
    sizes = largest + 1 if table_rows is None else np.asarray(table_rows, np.int64)
    if sizes.shape != largest.shape:
        raise DataError(f"rows of {sizes.size} tables are given, the trace has {largest.size}")
    outside = np.flatnonzero(largest >= sizes)
    if outside.size:
        table = int(outside[0])
        raise DataError(f"table {table} has {sizes[table]} rows, the trace reads {largest[table]}")
    if float(sizes.sum(dtype=np.float64)) > np.iinfo(np.int64).max:
        raise DataError("the tables' rows together pass 2^63; give ids within each table")
    starts: IntArray = np.cumsum(sizes) - sizes
    return [(part.astype(np.int64) + starts).ravel() for part in columns]


def _numbered(ids: NDArray[Any]) -> tuple[Rows, int]:
    """Each id's place among the different ids, and how many there are."""
    largest = int(ids.max())
    if largest > _SPARSE * ids.size + 2**20:
        different, places = np.unique(ids, return_inverse=True)
        return places.astype(np.uint32).ravel(), different.size
    label = np.zeros(largest + 1, np.uint32)
    rows = np.empty(ids.size, np.uint32)
    num_rows = _number_by_table(np.ascontiguousarray(ids), label, rows)
    return rows, int(num_rows)


@njit(nogil=True, cache=True)
def _number_by_table(ids: NDArray[Any], label: Rows, rows: Rows) -> int:
    for i in range(ids.size):
        label[ids[i]] = 1
    num_rows = 0
    for k in range(label.size):
        if label[k]:
            label[k] = num_rows
            num_rows += 1
    for i in range(ids.size):
        rows[i] = label[ids[i]]
    return num_rows


@njit(nogil=True, cache=True)
def _mark_first(
    rows: Rows, num_warm_up: int, size: int, newest: Rows, keep: NDArray[np.bool_]
) -> None:
    """Mark the first lookup of each row in each run of `size`; a run ends with the warm-up."""
    batch = 0
    for i in range(rows.size):
        place = i if i < num_warm_up else i - num_warm_up
        if place % size == 0:
            batch += 1
        row = rows[i]
        keep[i] = newest[row] != batch
        newest[row] = batch
