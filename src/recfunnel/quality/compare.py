"""Is one pipeline as good as another? A paired bootstrap over the queries both answered.

Letters: J judged queries, B resamples.
"""

from typing import Literal

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.results import Estimate
from recfunnel.core.spec import Value

Verdict = Literal["better", "same", "worse", "undecided"]
"""See `Comparison`."""

_DRAWS_A_BLOCK = 1_000_000


class Comparison(Value, frozen=True):
    """A challenger held against a reference on the same queries.

    The verdict reads the bootstrap interval of the relative difference:
    `better` when it lies above 0; else `same` when it excludes a loss larger than the tolerance;
    else `worse` when it lies below 0; else `undecided`, which more queries would settle.

    Args:
        reference: mean of the reference.
        challenger: mean of the challenger.
        difference: mean of challenger - reference over queries, with its analytic standard error.
        interval: percentile bootstrap interval of the difference.
        relative_difference: difference / reference mean.
        relative_interval: percentile bootstrap interval of it; the reference mean is resampled too.
        tolerance: largest relative loss that still counts as the same quality, 0.005 is 0.5 %.
        confidence: of both two-sided intervals.
        num_resamples: B.
        verdict: in one word.
    """

    reference: Estimate
    challenger: Estimate
    difference: Estimate
    interval: tuple[float, float]
    relative_difference: float
    relative_interval: tuple[float, float]
    tolerance: float
    confidence: float
    num_resamples: int
    verdict: Verdict

    @property
    def within_tolerance(self) -> bool:
        """True when a loss larger than the tolerance is excluded (`same` or `better`)."""
        return self.verdict in ("same", "better")


def compare(
    reference: DoubleArray,
    challenger: DoubleArray,
    rng: np.random.Generator,
    tolerance: float = 0.005,
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
) -> Comparison:
    """Compare two pipelines query by query.

    Args:
        reference: (J,), a metric of each query that must not be below 0, such as NDCG.
        challenger: (J,), the same queries in the same order.
        rng: draws the resamples; the same state gives the same answer.
        tolerance: largest relative loss that still counts as the same quality, 0 to 1.
        confidence: of the intervals, between 0 and 1.
        num_resamples: B.

    Returns:
        The comparison.

    Raises:
        InvalidInput: lengths differ, a value is nan, fewer than 2 queries, the reference is 0 on
            average (no relative loss exists), or a setting is out of range.
    """
    _check(reference, challenger, tolerance, confidence, num_resamples)
    means = _resampled_means(np.stack([reference, challenger - reference]), rng, num_resamples)
    if not (means[0] > 0).all():
        raise InvalidInput(
            "the reference is 0 on average in some resample, so no relative loss exists; "
            "judge it on more queries"
        )
    low, high = _percentiles(means[1] / means[0], confidence)
    difference = Estimate.of(challenger - reference)
    return Comparison(
        reference=Estimate.of(reference),
        challenger=Estimate.of(challenger),
        difference=difference,
        interval=_percentiles(means[1], confidence),
        relative_difference=difference.mean / float(reference.mean()),
        relative_interval=(low, high),
        tolerance=tolerance,
        confidence=confidence,
        num_resamples=num_resamples,
        verdict=_verdict(low, high, tolerance),
    )


def _verdict(low: float, high: float, tolerance: float) -> Verdict:
    if low > 0:
        return "better"
    if low > -tolerance:
        return "same"
    return "worse" if high < 0 else "undecided"


def _resampled_means(values: DoubleArray, rng: np.random.Generator, num: int) -> DoubleArray:
    """(M, B) means of values (M, J) over the same J queries drawn with replacement."""
    num_queries = values.shape[1]
    means = np.empty((values.shape[0], num))
    step = max(1, _DRAWS_A_BLOCK // num_queries)
    for start in range(0, num, step):
        stop = min(start + step, num)
        picks = rng.integers(0, num_queries, (stop - start, num_queries), dtype=np.int32)
        for row, value in enumerate(values):
            means[row, start:stop] = value[picks].mean(axis=1)
    return means


def _percentiles(samples: DoubleArray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def _check(
    reference: DoubleArray,
    challenger: DoubleArray,
    tolerance: float,
    confidence: float,
    num_resamples: int,
) -> None:
    if reference.shape != challenger.shape or reference.ndim != 1:
        raise InvalidInput(
            f"only the same queries can be compared; got {reference.shape} and {challenger.shape}"
        )
    if reference.size < 2:
        raise InvalidInput(f"{reference.size} queries give no interval; judge at least 2")
    if np.isnan(reference).any() or np.isnan(challenger).any():
        raise InvalidInput("a query has no value (nan); compare judged queries only")
    if not 0 <= tolerance < 1 or not 0 < confidence < 1 or num_resamples < 100:
        raise InvalidInput(
            f"tolerance {tolerance} must be 0 to below 1, confidence {confidence} between 0 and 1, "
            f"resamples {num_resamples} at least 100"
        )
