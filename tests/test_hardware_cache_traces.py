"""Traces of row lookups: numbering, tables in one address space, sub-batches, bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recfunnel.core.errors import DataError
from recfunnel.hardware.caches.base import count_hits
from recfunnel.hardware.caches.lru import Lru
from recfunnel.hardware.caches.trace import RowTrace, read_ids, row_trace


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 9), min_size=1, max_size=50))
def test_rows_are_the_places_of_ids_among_the_different_ids(ids: list[int]) -> None:
    trace = row_trace(np.array(ids, np.int64))
    different = sorted(set(ids))
    assert trace.rows.tolist() == [different.index(row) for row in ids]
    assert trace.num_rows == len(different)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_every_width_of_whole_numbers_is_read(dtype: type[np.integer[Any]]) -> None:
    assert row_trace(np.array([3, 1, 3, 100], dtype)).rows.tolist() == [1, 0, 1, 2]


def test_tables_lie_one_behind_the_other() -> None:
    ids = np.array([[0, 0], [4, 1], [0, 1]])
    trace = row_trace(ids, table_rows=(5, 2))
    flat = row_trace(np.array([0, 5, 4, 6, 0, 6]))
    assert trace.rows.tolist() == flat.rows.tolist()
    assert trace.num_tables == 2
    assert row_trace(ids).rows.tolist() == trace.rows.tolist()


def test_the_same_id_of_two_tables_is_two_rows() -> None:
    trace = row_trace(np.array([[7, 7], [7, 7]]))
    assert count_hits(Lru(), trace, [2]).hits.tolist() == [2]
    assert count_hits(Lru(), trace, [1]).hits.tolist() == [0]


def test_what_is_looked_up_before_warms_up_and_is_not_counted() -> None:
    trace = row_trace(np.array([5, 9]), before=np.array([9, 5]))
    assert (trace.num_warm_up, trace.num_counted) == (2, 2)
    assert count_hits(Lru(), trace, [2]).hits.tolist() == [2]


def sub_batches(trace: NDArray[np.int64], size: int) -> list[int]:
    """Different ids of each sub-batch in the order of their first lookup."""
    parts = (trace[first : first + size].tolist() for first in range(0, trace.size, size))
    return [row for part in parts for row in dict.fromkeys(part)]


@settings(deadline=None)
@given(
    ids=st.lists(st.integers(0, 9), min_size=2, max_size=60),
    size=st.integers(1, 20),
    warm_up=st.integers(0, 59),
)
def test_a_sub_batch_looks_each_row_up_once(ids: list[int], size: int, warm_up: int) -> None:
    trace = row_trace(np.array(ids)).warmed_up_by(min(warm_up, len(ids) - 1))
    once = trace.once_per_sub_batch(size)
    rows = trace.rows.astype(np.int64)
    before = sub_batches(rows[: trace.num_warm_up], size)
    assert once.rows.tolist() == before + sub_batches(rows[trace.num_warm_up :], size)
    assert once.num_warm_up == len(before)


def test_a_sub_batch_of_candidates_has_the_lookups_of_all_tables() -> None:
    ids = np.array([[1, 1], [1, 2], [1, 2], [3, 2]])
    assert row_trace(ids).once_per_sub_batch(2).rows.tolist() == [0, 2, 3, 0, 3, 1]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1.0, 2.0]), "trace of float64 numbers"),
        (np.array([True]), "trace of bool numbers"),
        (np.array(["a"]), "row ids are whole numbers"),
        (np.array([4, -1, -2]), r"row id -2 \(the first below 0 is lookup 1\)"),
        (np.array([], np.int64), "without lookups"),
        (np.zeros((2, 2, 2), np.int64), "3 dimensions"),
        (np.array([2**63], np.uint64), "is above"),
    ],
)
def test_what_is_no_trace_is_refused(ids: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        row_trace(ids)


def test_ids_outside_their_table_are_refused() -> None:
    with pytest.raises(DataError, match="table 1 has 2 rows, the trace reads 2"):
        row_trace(np.array([[0, 2]]), table_rows=(1, 2))
    with pytest.raises(DataError, match="rows of 3 tables are given, the trace has 2"):
        row_trace(np.array([[0, 2]]), table_rows=(1, 2, 3))
    with pytest.raises(DataError, match="same tables"):
        row_trace(np.array([[0, 2]]), before=np.array([1]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([0, 3], np.uint32), "row 3 in a trace of 3 rows"),
        (np.array([0, 1]), r"rows of a trace are int64 \(2,\)"),
        (np.zeros((1, 2), np.uint32), r"\(1, 2\), must be uint32 \(L,\)"),
    ],
)
def test_rows_that_compiled_loops_would_misread_are_refused(
    rows: NDArray[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        RowTrace(rows, 3)


def test_a_warm_up_leaves_something_to_count() -> None:
    with pytest.raises(DataError, match="2 of 2 lookups are warm-up"):
        row_trace(np.array([1, 2])).warmed_up_by(2)
    with pytest.raises(DataError, match="sub-batch has 0 entries"):
        row_trace(np.array([1, 2])).once_per_sub_batch(0)


def test_files_that_hold_no_array_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_ids(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("1 2 3")
    with pytest.raises(DataError, match="not an array that numpy saved"):
        read_ids(tmp_path / "text.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    with pytest.raises(DataError, match="not an array that numpy saved"):
        read_ids(tmp_path / "objects.npy")
    np.savez(tmp_path / "several.npz", a=np.arange(3))
    with pytest.raises(DataError, match="several arrays"):
        read_ids(tmp_path / "several.npz")
    np.save(tmp_path / "ids.npy", np.arange(3))
    assert read_ids(tmp_path / "ids.npy").tolist() == [0, 1, 2]
