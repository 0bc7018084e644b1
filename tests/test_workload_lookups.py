"""Zipf lookups: the stated law, the stated seed, and popularity that changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.workload.lookups import ZipfLookups


@settings(deadline=None)
@given(
    num_rows=st.integers(1, 300),
    exponent=st.floats(0, 3),
    shift=st.floats(0, 10),
    seed=st.integers(0, 10),
)
def test_ids_are_the_inverse_of_the_cumulative_probability(
    num_rows: int, exponent: float, shift: float, seed: int
) -> None:
    weights = (np.arange(1, num_rows + 1, dtype=np.float64) + shift) ** -exponent
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    uniform = rng_for(seed, "lookups").random(200)
    expected = np.minimum(np.searchsorted(cumulative, uniform, side="right"), num_rows - 1)
    lookups = ZipfLookups(num_rows=num_rows, exponent=exponent, shift=shift)
    drawn = lookups.ids(200, rng_for(seed, "lookups"))
    assert drawn.tolist() == expected.tolist()


def test_ranks_are_drawn_as_often_as_the_law_says() -> None:
    drawn = ZipfLookups(num_rows=50, exponent=0.8).ids(200_000, rng_for(1, "law"))
    weights = np.arange(1, 51, dtype=np.float64) ** -0.8
    expected = 200_000 * weights / weights.sum()
    # each count is binomial: 4.5 standard errors over 50 rows fail once in 3,000 seeds
    miss = (np.bincount(drawn, minlength=50) - expected) / np.sqrt(expected)
    assert np.abs(miss).max() < 4.5


def test_a_seed_gives_one_trace_however_long() -> None:
    lookups = ZipfLookups(num_rows=1_000)
    long, short = (lookups.ids(n, rng_for(3, "trace")) for n in (5_000, 2_000))
    assert long[:2_000].tolist() == short.tolist()
    assert long.tolist() != lookups.ids(5_000, rng_for(4, "trace")).tolist()


def test_popularity_changes_once_a_period() -> None:
    lookups = ZipfLookups(num_rows=2_000, exponent=1.5, churn=1.0, period=10_000)
    parts = lookups.ids(40_000, rng_for(5, "churn")).reshape(4, 10_000)
    favourites = [int(np.bincount(part).argmax()) for part in parts]
    assert favourites[0] == 0
    assert len(set(favourites)) == 4
    halves = parts[1].reshape(2, 5_000)
    assert np.bincount(halves[0]).argmax() == np.bincount(halves[1]).argmax() == favourites[1]


def test_some_rows_keep_their_rank_when_only_some_change() -> None:
    lookups = ZipfLookups(num_rows=100, exponent=0.0, churn=0.1, period=10)
    order = np.arange(100, dtype=np.uint32)
    lookups._change(order, rng_for(6, "churn"))
    assert sorted(order.tolist()) == list(range(100))
    assert 80 <= np.count_nonzero(order == np.arange(100)) < 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_rows": 0}, "num_rows is 0"),
        ({"num_rows": 2**32}, "must be 1 to 4294967295"),
        ({"exponent": -0.1}, "exponent is -0.1"),
        ({"shift": -1.0}, "shift of ranks is -1.0"),
        ({"churn": 1.1}, "churn is 1.1"),
        ({"period": 0}, "period is 0 lookups"),
    ],
)
def test_absurd_tables_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        ZipfLookups(**{"num_rows": 10, **change})  # type: ignore[arg-type]
