"""Ragged rows as rectangles hold every value once, and nothing else but zeros."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.arrays import Ragged
from recfunnel.core.padding import padded

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=4)


@given(rows=ROWS, weighted=st.booleans())
def test_a_rectangle_holds_what_the_rows_hold(rows: list[list[int]], weighted: bool) -> None:
    weights = [[float(value + 1) for value in row] for row in rows] if weighted else None
    ids, found, present = padded(Ragged.from_rows(rows, weights))
    longest = max(1, *(len(row) for row in rows))
    assert ids.shape == found.shape == present.shape == (len(rows), longest)
    assert (ids.dtype, found.dtype, present.dtype) == (np.int64, np.float32, np.float32)
    for number, row in enumerate(rows):
        size = len(row)
        assert ids[number].tolist() == row + [0] * (longest - size)
        expected = [value + 1.0 for value in row] if weighted else [1.0] * size
        assert found[number].tolist() == expected + [0.0] * (longest - size)
        assert present[number].tolist() == [1.0] * size + [0.0] * (longest - size)
