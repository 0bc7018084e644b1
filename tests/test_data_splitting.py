"""Splits: every row in one part, sizes as asked, equal times together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.data.splitting import (
    check_fractions,
    ordered_parts,
    random_parts,
    time_parts,
)

SHARES = (0.8, 0.1, 0.1)


def test_random_parts_have_the_stated_probabilities() -> None:
    num_rows = 100_000
    counts = np.bincount(random_parts(num_rows, SHARES, rng_for(3, "split")), minlength=3)
    expected = num_rows * np.array(SHARES)
    stderr = np.sqrt(expected * (1 - np.array(SHARES)))
    assert np.all(np.abs(counts - expected) < 4 * stderr)  # 4 standard errors: 1 in 5,000 by chance


def test_random_parts_of_a_row_do_not_depend_on_its_value() -> None:
    one, other = (random_parts(500, SHARES, rng_for(3, "split")) for _ in range(2))
    assert np.array_equal(one, other)


def test_ordered_parts_follow_the_file() -> None:
    assert ordered_parts(10, SHARES).tolist() == [0] * 8 + [1, 2]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_time_never_runs_backwards_between_parts(times: list[int]) -> None:
    array = np.array(times)
    parts = time_parts(array, SHARES)
    for earlier in range(2):
        if np.any(parts == earlier) and np.any(parts > earlier):
            assert array[parts == earlier].max() < array[parts > earlier].min()


def test_distinct_times_are_cut_at_the_shares() -> None:
    times = np.random.default_rng(0).permutation(1000)
    parts = time_parts(times, SHARES)
    assert np.bincount(parts).tolist() == [800, 100, 100]
    assert np.array_equal(parts, (times >= 800).astype(int) + (times >= 900))


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (1.1, -0.05, -0.05)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(StudyError, match="must each be above 0 and sum to 1"):
        check_fractions(shares)
