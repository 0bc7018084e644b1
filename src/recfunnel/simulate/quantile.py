"""Latency quantiles of runs, with what the replications say about their error."""

import math
from collections.abc import Sequence

import numpy as np

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import StudyError
from recfunnel.core.results import Estimate, SimulationResult


def tail_of(latency_s: DoubleArray, quantile: float) -> float:
    """The smallest of the latencies (N,) within which at least a share `quantile` of them lies.

    An order statistic, not an interpolation: it is at most a deadline exactly when that share of
    the queries met the deadline.

    Raises:
        StudyError: the quantile is not between 0 and 1.
    """
    if not 0 < quantile < 1:
        raise StudyError(f"the quantile is {quantile}, must be between 0 and 1")
    # 0.99 * 20_000 is a hair above 19_800; without the allowance one query more would be asked for
    rank = max(math.ceil(quantile * latency_s.size - 1e-6), 1) - 1
    return float(np.partition(latency_s, rank)[rank])


def over_replications(samples: Sequence[float], *, steady: bool) -> Estimate:
    """Mean and standard error of one number a replication; inf when not steady."""
    if not steady:
        return Estimate(mean=math.inf, stderr=0.0, num_samples=len(samples))
    return Estimate.of(np.array(samples, np.float64))


def latency_quantile(runs: Sequence[SimulationResult], quantile: float) -> Estimate:
    """A latency quantile over independent runs.

    Args:
        runs: independent replications of one load.
        quantile: between 0 and 1.

    Returns:
        Mean and standard error of the runs' quantiles; inf when any run was not steady.
    """
    samples = [tail_of(run.latency_s, quantile) for run in runs]
    return over_replications(samples, steady=all(run.steady for run in runs))
