"""The chosen point against the best single model: does the funnel pay?"""

from collections.abc import Sequence

from recfunnel.core.results import DesignPoint, Estimate
from recfunnel.core.spec import Value
from recfunnel.plan.baselines import best_single
from recfunnel.plan.select import PairedTests
from recfunnel.quality.compare import Comparison


class SingleModelComparison(Value, frozen=True):
    """The chosen point against the best single model.

    Args:
        single: the single model of highest NDCG on its best mapping.
        ndcg: the single model as reference, the chosen pipeline as challenger.
        capacity_ratio: capacity of the chosen over the single model's; inf when that has none.
    """

    single: DesignPoint
    ndcg: Comparison
    capacity_ratio: Estimate


def versus_single(
    chosen: DesignPoint, baselines: Sequence[DesignPoint], tests: PairedTests
) -> SingleModelComparison:
    """Compare quality by the paired test, and capacity by its ratio.

    Args:
        chosen: the point to deploy.
        baselines: every single model.
        tests: compare pipelines.

    Returns:
        The comparison with the single model of highest NDCG.
    """
    single = best_single(baselines)
    return SingleModelComparison(
        single=single,
        ndcg=tests.compare(single.path.pipeline, chosen.path.pipeline),
        capacity_ratio=ratio(chosen.objectives.capacity_qps, single.objectives.capacity_qps),
    )


def ratio(over: Estimate, under: Estimate) -> Estimate:
    """Quotient of two estimates, its standard error by the delta method as if independent.

    Common random numbers make them rise and fall together, so the error is rather overstated.
    """
    if under.mean == 0:
        return Estimate(mean=float("inf"), stderr=0.0, num_samples=over.num_samples)
    value = over.mean / under.mean
    relative = [e.stderr / e.mean for e in (over, under) if e.mean > 0]
    stderr = value * float(sum(part**2 for part in relative)) ** 0.5
    return Estimate(mean=value, stderr=stderr, num_samples=min(over.num_samples, under.num_samples))
