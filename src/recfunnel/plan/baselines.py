"""The simple alternatives: every single model alone ranks everything. Always evaluated."""

from collections.abc import Sequence

from recfunnel.core.pipeline import Pipeline
from recfunnel.core.results import DesignPoint, Estimate
from recfunnel.core.workload import ServiceLevel
from recfunnel.plan.evaluate import Evaluator
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.mappings import enumerate_mappings
from recfunnel.plan.prune import Placement
from recfunnel.plan.space import single_stage


def baseline_pipelines(inputs: PlanInputs) -> tuple[Pipeline, ...]:
    """Each model of the study alone, those outside the search space too."""
    return tuple(
        single_stage(model, inputs.num_candidates, inputs.space.num_answers)
        for model in inputs.models
    )


def evaluate_baselines(
    inputs: PlanInputs,
    quality: dict[Pipeline, Estimate],
    evaluator: Evaluator,
    rate_qps: float,
    level: ServiceLevel,
) -> tuple[DesignPoint, ...]:
    """Each single model on its best mapping: most capacity, then the shortest tail.

    Args:
        inputs: of the plan.
        quality: NDCG of each baseline.
        evaluator: simulates.
        rate_qps: load of the tail.
        level: service level of the capacity.

    Returns:
        One point a model, in the order of the study.
    """
    mappings = enumerate_mappings(
        1,
        inputs.platform.num_cores,
        platform=inputs.platform.name,
        thread_counts=inputs.space.thread_counts,
    )
    points: list[DesignPoint] = []
    for pipeline in baseline_pipelines(inputs):
        placement = Placement(pipeline, (1,), quality[pipeline])
        designs = [evaluator.design(placement, mapping, level.quantile) for mapping in mappings]
        points.append(_best(evaluator.points(designs, rate_qps, level)))
    return tuple(points)


def _best(points: Sequence[DesignPoint]) -> DesignPoint:
    return min(
        points,
        key=lambda p: (-p.objectives.capacity_qps.mean, p.objectives.tail_latency_s.mean),
    )


def best_single(baselines: Sequence[DesignPoint]) -> DesignPoint:
    """The single model of the highest NDCG; of equals the one with more capacity."""
    return max(baselines, key=lambda p: (p.objectives.ndcg.mean, p.objectives.capacity_qps.mean))
