"""Is one way to train better than another? Paired differences over training seeds and queries.

Letters: S seeds, J judged queries (or rows).
"""

import math
from statistics import NormalDist

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import InvalidInput, MissingExtraError
from recfunnel.core.spec import Value


class RepeatedComparison(Value, frozen=True):
    """A challenger held against a reference, both trained anew with each of several seeds.

    Args:
        reference: mean over seeds and queries.
        challenger: mean over seeds and queries.
        difference: challenger - reference.
        interval: of the difference, two-sided; it covers a new seed and new queries.
        of_seeds: difference of each seed.
        confidence: of the interval.
    """

    reference: float
    challenger: float
    difference: float
    interval: tuple[float, float]
    of_seeds: tuple[float, ...]
    confidence: float

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


def compare_repeats(
    reference: DoubleArray, challenger: DoubleArray, *, confidence: float = 0.95
) -> RepeatedComparison:
    """Compare two ways to train.

    Seeds differ by t(S - 1) · s / √S, s the deviation of the seeds' mean differences; queries by a
    normal share, from each query's difference averaged over seeds. The two half-widths are added
    as squares. Seeds that have queries of their own carry the queries' noise in s as well, so the
    interval errs on the wide side.

    Args:
        reference: (S, J), a metric; row s of both arrays has the same queries.
        challenger: (S, J).
        confidence: of the interval, between 0 and 1.

    Returns:
        The comparison.

    Raises:
        InvalidInput: shapes differ, fewer than 2 seeds or queries, or a value is not finite.
        MissingExtraError: scipy is not installed.
    """
    if reference.shape != challenger.shape or reference.ndim != 2 or min(reference.shape) < 2:
        raise InvalidInput(
            f"two ways to train need the same queries and at least 2 seeds and 2 queries; got "
            f"{reference.shape} and {challenger.shape}"
        )
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence is {confidence}, must be between 0 and 1")
    differences = challenger.astype(np.float64) - reference
    if not np.isfinite(differences).all():
        raise InvalidInput("a query has no value (nan or inf); compare judged queries only")
    num_seeds, num_queries = differences.shape
    of_seeds = differences.mean(axis=1)
    middle, tail = float(of_seeds.mean()), 0.5 + confidence / 2
    seeds = _student(num_seeds - 1, tail) * of_seeds.std(ddof=1) / math.sqrt(num_seeds)
    spread = differences.mean(axis=0).std(ddof=1) / math.sqrt(num_queries)
    half = math.hypot(seeds, NormalDist().inv_cdf(tail) * spread)
    return RepeatedComparison(
        reference=float(reference.mean()),
        challenger=float(challenger.mean()),
        difference=middle,
        interval=(middle - half, middle + half),
        of_seeds=tuple(float(value) for value in of_seeds),
        confidence=confidence,
    )


def _student(degrees: int, probability: float) -> float:
    """Quantile of Student's t."""
    try:
        from scipy.special import stdtrit
    except ImportError as error:
        raise MissingExtraError("scipy", "train") from error
    return float(stdtrit(degrees, probability))
