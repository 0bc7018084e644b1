"""Paired comparison of pipelines: intervals cover what theory says, verdicts mean what they say."""

import math

import numpy as np
import pytest

from recfunnel.core.errors import InvalidInput
from recfunnel.quality.compare import Verdict, compare


def pair(
    rng: np.random.Generator, num_queries: int, loss: float, noise: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Two pipelines whose queries share most of their difficulty."""
    reference = rng.uniform(0.2, 0.8, num_queries)
    return reference, reference - loss + rng.normal(0, noise, num_queries)


def test_the_interval_agrees_with_the_normal_one_for_many_queries() -> None:
    reference, challenger = pair(np.random.default_rng(1), 5000, 0.001)
    found = compare(reference, challenger, np.random.default_rng(2), num_resamples=4000)
    low, high = found.difference.interval(0.95)

    # The end of a percentile interval from 4,000 resamples has a standard error of 0.042 standard
    # errors of the mean (sqrt(p (1 - p) / 4000) / density); 5 of them are 0.21.
    slack = 0.21 * found.difference.stderr
    assert found.interval[0] == pytest.approx(low, abs=slack)
    assert found.interval[1] == pytest.approx(high, abs=slack)
    paired = (challenger - reference).std(ddof=1) / math.sqrt(5000)
    assert found.difference.stderr == pytest.approx(paired, rel=1e-12)


def test_pairing_beats_comparing_two_means() -> None:
    reference, challenger = pair(np.random.default_rng(3), 2000, 0.005)
    found = compare(reference, challenger, np.random.default_rng(4))

    unpaired = math.hypot(found.reference.stderr, found.challenger.stderr)
    assert found.difference.stderr < unpaired / 3


def test_intervals_cover_the_true_difference_as_often_as_they_claim() -> None:
    rng = np.random.default_rng(5)
    num_studies, covered = 400, 0
    for _ in range(num_studies):
        reference, challenger = pair(rng, 200, 0.02, noise=0.1)
        low, high = compare(reference, challenger, rng, confidence=0.9, num_resamples=400).interval
        covered += low <= -0.02 <= high

    # Binomial with 400 studies at 0.9: a standard error of 0.015; 4 of them are 0.06. A
    # percentile interval of 200 queries is about 0.005 too narrow, well inside.
    assert covered / num_studies == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize(
    ("loss", "num_queries", "verdict"),
    [
        (0.0, 20_000, "same"),
        (0.001, 20_000, "same"),  # 0.2 % of 0.5: a real loss, but within 0.5 %
        (-0.01, 20_000, "better"),
        (0.01, 20_000, "worse"),
        (0.0, 40, "undecided"),
        (0.0025, 1000, "undecided"),  # exactly the tolerance
    ],
)
def test_verdicts(loss: float, num_queries: int, verdict: Verdict) -> None:
    reference, challenger = pair(np.random.default_rng(7), num_queries, loss)
    found = compare(reference, challenger, np.random.default_rng(8), 0.005)

    assert found.verdict == verdict
    assert found.within_tolerance == (verdict in ("same", "better"))


def test_same_is_seldom_said_of_a_loss_larger_than_the_tolerance() -> None:
    rng = np.random.default_rng(9)
    wrong = 0
    for _ in range(300):
        reference, challenger = pair(rng, 300, 0.0, noise=0.02)
        challenger = challenger - 0.01 * reference  # a relative loss of 1 %
        wrong += compare(reference, challenger, rng, 0.01, num_resamples=300).within_tolerance

    # One-sided 2.5 %: 7.5 of 300 expected, standard error 2.7; 5 of them above is 21.
    assert wrong <= 21


def test_swapping_the_sides_mirrors_the_answer() -> None:
    reference, challenger = pair(np.random.default_rng(10), 500, 0.02)
    there = compare(reference, challenger, np.random.default_rng(11))
    back = compare(challenger, reference, np.random.default_rng(11))

    assert back.difference.mean == -there.difference.mean
    np.testing.assert_allclose(back.interval, np.negative(there.interval)[::-1], atol=1e-12)
    assert (there.verdict, back.verdict) == ("worse", "better")


def test_a_pipeline_is_the_same_as_itself_and_the_seed_decides() -> None:
    reference, challenger = pair(np.random.default_rng(12), 300, 0.0)
    itself = compare(reference, reference, np.random.default_rng(13))

    assert (itself.verdict, itself.interval) == ("same", (0.0, 0.0))
    first, second = (compare(reference, challenger, np.random.default_rng(14)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("reference", "challenger", "tolerance", "message"),
    [
        (np.ones(3), np.ones(4), 0.005, r"only the same queries can be compared; got \(3,\)"),
        (np.ones(1), np.ones(1), 0.005, "1 queries give no interval"),
        (np.array([1, np.nan]), np.ones(2), 0.005, "no value"),
        (np.zeros(5), np.ones(5), 0.005, "0 on average"),
        (np.ones(5), np.ones(5), 1.5, "tolerance 1.5"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    reference: np.ndarray, challenger: np.ndarray, tolerance: float, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        compare(reference, challenger, np.random.default_rng(0), tolerance)
