"""The Pareto front: nothing on it is beaten, everything off it is."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recfunnel.core.pareto import is_efficient

COSTS = arrays(
    np.float64,
    st.tuples(st.integers(0, 30), st.integers(1, 4)),
    elements=st.one_of(st.integers(0, 5).map(float), st.just(np.inf)),
)


def dominates(first: np.ndarray, second: np.ndarray) -> bool:
    return bool((first <= second).all() and (first < second).any())


@settings(deadline=None, max_examples=60)
@given(COSTS)
def test_the_marks_are_those_of_comparing_every_pair(costs: np.ndarray) -> None:
    wanted = [not any(dominates(other, point) for other in costs) for point in costs]
    assert is_efficient(costs).tolist() == wanted


@settings(deadline=None, max_examples=60)
@given(COSTS)
def test_a_point_off_the_front_is_dominated_by_one_on_it(costs: np.ndarray) -> None:
    efficient = is_efficient(costs)
    for point in costs[~efficient]:
        assert any(dominates(other, point) for other in costs[efficient])


@settings(deadline=None, max_examples=60)
@given(COSTS, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(costs: np.ndarray, random: object) -> None:
    order = list(range(len(costs)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert is_efficient(costs[order]).tolist() == is_efficient(costs)[order].tolist()


@settings(deadline=None, max_examples=60)
@given(COSTS)
def test_rescaling_an_objective_changes_nothing(costs: np.ndarray) -> None:
    scaled = costs * np.arange(2.0, 2.0 + costs.shape[1])
    assert is_efficient(scaled).tolist() == is_efficient(costs).tolist()


def test_equal_points_do_not_dominate_each_other() -> None:
    assert is_efficient(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 2.0]])).tolist() == [
        True,
        True,
        False,
    ]
