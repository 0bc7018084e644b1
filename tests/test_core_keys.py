"""Sorted sets of keys say what numpy's sets say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.keys import among, distinct

keys = st.lists(st.integers(-5, 5) | st.integers(-(2**62), 2**62), max_size=40)


@given(keys)
def test_distinct_keys_are_numpys(values: list[int]) -> None:
    given_keys = np.array(values, np.int64)
    np.testing.assert_array_equal(distinct(given_keys), np.unique(given_keys))


@given(keys, keys)
def test_membership_is_numpys_in_any_shape(asked: list[int], values: list[int]) -> None:
    ordered = distinct(np.array(values, np.int64))
    column = np.array(asked, np.int64).reshape(-1, 1)
    found = among(column, ordered)
    assert found.shape == column.shape
    np.testing.assert_array_equal(found, np.isin(column, ordered))
