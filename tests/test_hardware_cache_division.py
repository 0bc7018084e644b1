"""Dividing memory between caches: no other division costs less."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cache_oracles import lru, static
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.caches.belady import Belady
from recfunnel.hardware.caches.curves import Memory, miss_curve, split_with_static
from recfunnel.hardware.caches.divide import best_division
from recfunnel.hardware.caches.lru import Lru
from recfunnel.hardware.caches.static import Static
from recfunnel.hardware.caches.trace import RowTrace, row_trace
from recfunnel.workload.lookups import ZipfLookups


def least_cost(costs: NDArray[np.float64]) -> float:
    """Of all divisions."""
    num_units = costs.shape[1] - 1
    return min(
        sum(float(costs[cache, n]) for cache, n in enumerate(units))
        for units in product(range(num_units + 1), repeat=len(costs))
        if sum(units) <= num_units
    )


@st.composite
def curves(draw: st.DrawFn, convex: bool) -> NDArray[np.float64]:
    """Whole costs, so that sums are exact."""
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    steps = draw(st.lists(st.integers(-3, 9), min_size=shape[0] * shape[1]))
    saved = np.array(steps[: shape[0] * shape[1]], np.float64).reshape(shape)
    if convex:
        saved = -np.sort(-np.maximum(saved, 0), axis=1)
    return 100 - np.concatenate([np.zeros((shape[0], 1)), saved.cumsum(axis=1)], axis=1)


@settings(deadline=None)
@given(costs=curves(convex=False))
def test_no_division_of_any_curves_costs_less(costs: NDArray[np.float64]) -> None:
    found = best_division(list(costs))
    assert found.cost == least_cost(costs)
    assert found.cost == sum(costs[cache, n] for cache, n in enumerate(found.units))
    assert sum(found.units) <= costs.shape[1] - 1


@settings(deadline=None)
@given(costs=curves(convex=True))
def test_convex_curves_are_divided_by_savings(costs: NDArray[np.float64]) -> None:
    found = best_division(list(costs))
    assert found.method == "marginal savings"
    assert found.cost == least_cost(costs)


def test_a_knee_is_passed_only_by_comparing() -> None:
    # nothing is saved until three units hold the whole table
    knee, slope = np.array([10.0, 10, 10, 0]), np.array([10.0, 8, 6, 4])
    found = best_division([knee, slope])
    assert (found.units, found.cost, found.method) == ((3, 0), 10.0, "dynamic programming")


def test_units_that_would_do_harm_stay_unused() -> None:
    assert best_division([np.array([9.0, 3, 4])]).units == (1,)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ([], "no cache"),
        ([np.zeros(3), np.zeros(2)], r"curves of \[2, 3\] sizes"),
        ([np.zeros(3), np.array([1, np.inf, 0])], "cache 1 costs inf with 1 units"),
    ],
)
def test_curves_that_cannot_be_compared_are_refused(
    costs: list[NDArray[np.float64]], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        best_division(costs)


def zipf_trace(churn: float) -> RowTrace:
    lookups = ZipfLookups(num_rows=400, exponent=0.9, churn=churn, period=500)
    return row_trace(lookups.ids(6_000, rng_for(1, "division", churn != 0))).warmed_up_by(3_000)


def test_a_curve_has_the_misses_of_every_size() -> None:
    trace = zipf_trace(0.0)
    curve = miss_curve(Lru(), trace, Memory(num_units=5, unit_bytes=100, row_bytes=64))
    rows = trace.rows.tolist()
    expected = [sum(not hit for hit in lru(rows, c)[3_000:]) for c in (1, 3, 4, 6, 7)]
    assert curve.tolist() == [3_000, *expected]


def test_units_smaller_than_a_row_hold_none() -> None:
    curve = miss_curve(Lru(), zipf_trace(0.0), Memory(num_units=3, unit_bytes=32, row_bytes=64))
    assert curve[0] == curve[1] == 3_000
    assert curve[2] == curve[3] < 3_000


def test_pinned_rows_do_not_pass_the_dynamic_part() -> None:
    trace = zipf_trace(0.3)
    found = split_with_static(Lru(), trace, Memory(num_units=6, unit_bytes=20, row_bytes=1))
    rows = trace.rows.tolist()
    for pinned, rest in ((0, 6), (2, 4), (4, 1)):
        hot = set(np.argsort(-np.bincount(rows[:3_000]), kind="stable")[: 20 * pinned].tolist())
        others = [row for row in rows if row not in hot]
        first = sum(row not in hot for row in rows[:3_000])
        misses = sum(not hit for hit in lru(others, 20 * rest)[first:])
        assert found.table[pinned, rest] == misses
    alone = [sum(not hit for hit in static(rows, 20 * n, 3_000)) for n in range(1, 7)]
    assert found.table[1:, 0].tolist() == alone


def test_steady_popularity_wants_static_rows_and_changing_popularity_does_not() -> None:
    memory = Memory(num_units=8, unit_bytes=10, row_bytes=1)
    steady, changing = (split_with_static(Lru(), zipf_trace(c), memory) for c in (0.0, 0.9))
    assert steady.static_units[-1] >= 6
    assert changing.static_units[-1] <= 2
    for found in (steady, changing):
        whole = found.table[np.arange(9), 8 - np.arange(9)]
        assert found.misses[-1] == whole.min() == whole[found.static_units[-1]]


def test_two_stages_share_memory_by_what_their_misses_cost() -> None:
    # the same lookups behind both, but a miss of the second moves eight times the bytes
    front = miss_curve(Static(), zipf_trace(0.0), Memory(16, 128, 128))
    found = best_division([16 * front, 128 * front])
    assert found.units[1] > found.units[0]
    assert sum(found.units) == 16


def test_all_rows_pinned_leaves_no_miss() -> None:
    trace = row_trace(np.array([1, 2, 1, 2])).warmed_up_by(2)
    found = split_with_static(Belady(), trace, Memory(num_units=2, unit_bytes=1, row_bytes=1))
    assert found.misses.tolist() == [2, 1, 0]


@pytest.mark.parametrize("name", ["num_units", "unit_bytes", "row_bytes"])
def test_a_memory_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(StudyError, match=f"{name} of a memory is 0"):
        Memory(**{"num_units": 1, "unit_bytes": 1, "row_bytes": 1, name: 0})
