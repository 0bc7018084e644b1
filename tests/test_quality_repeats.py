"""Ways to train, compared over seeds: intervals cover what a new seed and new queries would say."""

import numpy as np
import pytest

from recfunnel.core.errors import InvalidInput
from recfunnel.quality.repeats import compare_repeats


def trained(
    rng: np.random.Generator, num_seeds: int, num_queries: int, gain: float, seed_noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """A reference and a challenger whose seeds and queries both differ."""
    hard = rng.uniform(0.2, 0.8, num_queries)
    taste = rng.normal(0, 0.2, num_queries)  # what a query gains from the challenger
    shape = (num_seeds, num_queries)
    reference = hard + rng.normal(0, seed_noise, (num_seeds, 1)) + rng.normal(0, 0.1, shape)
    luck = rng.normal(0, seed_noise, (num_seeds, 1))
    return reference, hard + gain + taste + luck + rng.normal(0, 0.1, shape)


@pytest.mark.parametrize("seed_noise", [0.0, 0.05])
def test_intervals_cover_the_true_difference_as_often_as_they_claim(seed_noise: float) -> None:
    rng = np.random.default_rng(1)
    num_studies, covered = 600, 0
    for _ in range(num_studies):
        found = compare_repeats(*trained(rng, 3, 300, 0.01, seed_noise), confidence=0.9)
        covered += found.interval[0] <= 0.01 <= found.interval[1]

    # Binomial with 600 studies at 0.9: a standard error of 0.012, of which 4 are allowed below. The
    # sum of squares of a t and a normal half-width is a little wide, never narrow.
    assert covered / num_studies > 0.9 - 4 * 0.012


def test_more_seeds_narrow_what_seeds_blur() -> None:
    rng = np.random.default_rng(2)

    def width(num_seeds: int) -> float:
        found = compare_repeats(*trained(rng, num_seeds, 2000, 0.0, 0.05))
        return found.interval[1] - found.interval[0]

    assert np.mean([width(10) for _ in range(20)]) < 0.5 * np.mean([width(3) for _ in range(20)])


def test_a_way_against_itself_differs_by_nothing() -> None:
    values, _ = trained(np.random.default_rng(3), 3, 50, 0.0, 0.05)
    found = compare_repeats(values, values)

    assert found.difference == 0
    assert found.interval == (0, 0)
    assert not found.decided


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3, 5), (3, 6)), "same queries"),
        (((1, 5), (1, 5)), "at least 2 seeds"),
        (((3, 1), (3, 1)), "2 queries"),
    ],
)
def test_what_gives_no_interval_is_refused(
    shapes: tuple[tuple[int, int], tuple[int, int]], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        compare_repeats(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_a_query_without_a_value_is_refused() -> None:
    values = np.zeros((2, 4))
    values[1, 2] = np.nan
    with pytest.raises(InvalidInput, match="has no value"):
        compare_repeats(values, np.zeros((2, 4)))
