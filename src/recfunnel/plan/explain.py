"""Say in words, with numbers, why a point was chosen and its neighbours were not."""

from collections.abc import Sequence

from recfunnel.core.results import DesignPoint, Shortfall
from recfunnel.plan.select import Target, level_name, meets


def reason_for(
    chosen: DesignPoint,
    front: Sequence[DesignPoint],
    target: Target,
    *,
    best_ndcg: float,
    num_pipelines: int,
) -> str:
    """One paragraph about the choice.

    Args:
        chosen: the point.
        front: all points of the front.
        target: what was asked.
        best_ndcg: of the best pipeline in the space, whether or not it can carry the load.
        num_pipelines: that were considered.

    Returns:
        Full sentences.
    """
    got = chosen.objectives
    loss = 1 - got.ndcg.mean / best_ndcg
    sentences = [
        f"Of {num_pipelines} pipelines, {chosen.path.pipeline.name} on {chosen.path.mapping.name} "
        f"was chosen for {target.name}.",
        f"It ranks with NDCG {got.ndcg.mean:.4f} ± {got.ndcg.stderr:.4f} "
        f"({_relative(loss)} the best in the space, {best_ndcg:.4f}), answers with a "
        f"p{100 * target.service_level.quantile:g} of {_ms(got.tail_latency_s.mean)} at that load "
        f"({_share(got.tail_latency_s.mean, target.service_level.deadline_s)} of the deadline) "
        f"and can carry {got.capacity_qps.mean:.4g} queries/s.",
        _rule(target),
        *_neighbours(chosen, front, target),
    ]
    return " ".join(sentences)


def reason_against(shortfall: Shortfall, target: Target) -> str:
    """One paragraph about why nothing was chosen."""
    first = f"Nothing meets {target.name}: {shortfall.requirement} would have to be "
    numbers = f"{shortfall.needed:.4g} {shortfall.unit}, the best is {shortfall.available:.4g}."
    helps = f" What would help: {'; '.join(shortfall.remedies)}." if shortfall.remedies else ""
    return first + numbers + helps


def _rule(target: Target) -> str:
    if target.objective == "quality":
        return (
            "Of the points that meet the deadline, that the queries cannot tell from the best and "
            f"whose loss is shown to be at most {100 * target.tolerance:g} %, it has the most "
            "capacity."
        )
    return (
        "Of the points that meet the deadline and whose loss against the best of them is shown to "
        f"be at most {100 * target.tolerance:g} % (paired over queries), it has the most capacity."
    )


def _neighbours(chosen: DesignPoint, front: Sequence[DesignPoint], target: Target) -> list[str]:
    """Why not the next better and the next faster point of the front."""
    ndcg = chosen.objectives.ndcg.mean
    better = [p for p in front if p.objectives.ndcg.mean > ndcg]
    worse = [p for p in front if p.objectives.ndcg.mean < ndcg]
    sentences = []
    if better:
        sentences.append(_why_not_better(min(better, key=_ndcg), chosen, target))
    if worse:
        sentences.append(_why_not_worse(max(worse, key=_ndcg), chosen))
    return sentences


def _why_not_better(point: DesignPoint, chosen: DesignPoint, target: Target) -> str:
    gain = point.objectives.ndcg.mean - chosen.objectives.ndcg.mean
    start = f"{point.path.name} would gain {gain:.4f} NDCG but"
    if not meets(point, target):
        return (
            f"{start} its p{100 * target.service_level.quantile:g} is "
            f"{_ms(point.objectives.tail_latency_s.mean)}, not {level_name(target.service_level)}."
        )
    capacity = point.objectives.capacity_qps.mean
    return (
        f"{start} not beyond what may be chance or is tolerated, and carries only "
        f"{capacity:.4g} queries/s."
        if capacity < chosen.objectives.capacity_qps.mean
        else f"{start} carries {capacity:.4g} queries/s."
    )


def _why_not_worse(point: DesignPoint, chosen: DesignPoint) -> str:
    loss = chosen.objectives.ndcg.mean - point.objectives.ndcg.mean
    gain = point.objectives.capacity_qps.mean / chosen.objectives.capacity_qps.mean
    return (
        f"{point.path.name} has {gain:.3g} times the capacity and a tail of "
        f"{_ms(point.objectives.tail_latency_s.mean)}, but loses {loss:.4f} NDCG."
    )


def _ndcg(point: DesignPoint) -> float:
    return point.objectives.ndcg.mean


def _relative(loss: float) -> str:
    return "equal to" if abs(loss) < 5e-5 else f"{100 * loss:.2f} % below"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
