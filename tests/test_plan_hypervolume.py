"""The exact hypervolume against counting unit cubes, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recfunnel.core.errors import InvalidInput
from recfunnel.core.pareto import is_efficient
from recfunnel.plan.hypervolume import hypervolume

SIDE = 6
POINTS = arrays(
    np.float64, st.tuples(st.integers(0, 8), st.just(3)), elements=st.integers(0, SIDE).map(float)
)
REFERENCE = np.full(3, float(SIDE))


def count_cubes(costs: np.ndarray) -> int:
    """Cubes of a SIDE³ lattice that some point covers."""
    corners = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    covered = (costs[None] <= corners[:, None]).all(axis=2).any(axis=1)
    return int(covered.sum())


@settings(deadline=None, max_examples=60)
@given(POINTS)
def test_it_counts_the_unit_cubes_that_some_point_covers(costs: np.ndarray) -> None:
    assert hypervolume(costs, REFERENCE) == count_cubes(costs)


@settings(deadline=None, max_examples=60)
@given(POINTS)
def test_dominated_points_add_nothing(costs: np.ndarray) -> None:
    front = costs[is_efficient(costs)]
    assert hypervolume(front, REFERENCE) == hypervolume(costs, REFERENCE)


@settings(deadline=None, max_examples=60)
@given(POINTS, POINTS)
def test_more_points_never_cover_less(first: np.ndarray, second: np.ndarray) -> None:
    both = np.concatenate([first, second])
    assert hypervolume(both, REFERENCE) >= hypervolume(first, REFERENCE)


def test_an_infinite_cost_covers_nothing() -> None:
    assert hypervolume(np.array([[0.0, np.inf, 0.0]]), REFERENCE) == 0


@pytest.mark.parametrize(
    ("costs", "reference"), [(np.zeros((1, 2)), REFERENCE), (np.zeros((1, 3)), np.full(3, np.inf))]
)
def test_other_shapes_and_infinite_references_are_refused(
    costs: np.ndarray, reference: np.ndarray
) -> None:
    with pytest.raises(InvalidInput):
        hypervolume(costs, reference)
