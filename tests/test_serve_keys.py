"""Rows are found by the source's own keys, whatever their order and kind."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import InvalidInput
from recfunnel.serve.keys import UNKNOWN, Keys

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PATIENT
@given(st.lists(st.integers(-(2**62), 2**62), unique=True, min_size=1, max_size=40))
def test_numbers_are_found_in_any_order(keys: list[int]) -> None:
    found = Keys("user", np.array(keys, np.int64), len(keys))

    assert found.rows(keys).tolist() == list(range(len(keys)))
    assert found.of_rows(np.arange(len(keys))) == keys
    stranger = next(i for i in range(len(keys) + 1) if i not in keys)
    assert found.row(stranger) == UNKNOWN


@PATIENT
@given(st.lists(st.text(max_size=6).filter(lambda t: "\x00" not in t), unique=True, min_size=1))
def test_texts_are_found_and_longer_ones_are_not_cut(keys: list[str]) -> None:
    found = Keys("item", np.array(keys, np.str_), len(keys))

    assert found.rows(keys).tolist() == list(range(len(keys)))
    assert found.row(keys[0] + "more than any key has") == UNKNOWN


def test_without_keys_rows_are_their_own() -> None:
    found = Keys("item", None, 5)

    assert found.rows([0, 4, 5, -1, 2**40]).tolist() == [0, 4, UNKNOWN, UNKNOWN, UNKNOWN]
    assert found.rows([]).size == 0


@pytest.mark.parametrize("keys", [[1, "2"], ["a"], [True]])
def test_a_key_of_another_kind_is_refused(keys: list[int | str]) -> None:
    with pytest.raises(InvalidInput, match="numbers"):
        Keys("user", np.array([1, 2]), 2).rows(keys)


def test_a_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(InvalidInput, match="64 bits"):
        Keys("user", np.array([1, 2]), 2).row(1 << 70)
