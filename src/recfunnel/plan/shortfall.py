"""Why a target cannot be met, and what would help, each remedy computed and not guessed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recfunnel.core.pipeline import Mapping, Station
from recfunnel.core.results import Estimate, Shortfall
from recfunnel.plan.evaluate import Design, Evaluator
from recfunnel.plan.prune import Placement
from recfunnel.plan.select import Target, level_name

MAX_CORES_FACTOR = 64
"""How many times the machine's cores are tried before more cores are said not to help."""

_BATCH_SIZE = 8


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """A design with the one figure it was looked for."""

    design: Design
    estimate: Estimate


def explain_shortfall(
    designs: Sequence[Design],
    target: Target,
    evaluator: Evaluator,
    *,
    num_cores: int,
) -> Shortfall:
    """Say which bound cannot be met and what would change that.

    The deadline binds when even a lone query is late, and where capacity and load are so close that
    only the latency tells; otherwise the load does.

    Args:
        designs: that fit the memory; at least one.
        target: what was asked.
        evaluator: simulates.
        num_cores: of the machine.

    Returns:
        The requirement with both numbers, and remedies, most promising first.
    """
    capacity = most_capacity(designs, target, evaluator)
    tail = shortest_tail(designs, target, evaluator)
    level = target.service_level
    remedies = [
        *_cores_remedy(capacity.design, target, evaluator, num_cores),
        *_deadline_remedy(tail, target),
        *_load_remedy(capacity, target),
    ]
    if capacity.estimate.mean <= 0:
        lone = _lone_tail(designs, evaluator, level.quantile)
        return Shortfall(
            requirement=f"p{100 * level.quantile:g} latency of a query that never waits",
            needed=level.deadline_s,
            available=lone.estimate.mean,
            unit="s",
            remedies=(
                f"allow at least {_ms(lone.estimate.mean)} for {lone.design.path.pipeline.name}, "
                "the fastest pipeline there is; a cheaper first model or fewer candidates too",
                *remedies,
            ),
        )
    if capacity.estimate.mean >= target.rate_qps and tail.estimate.mean < math.inf:
        return Shortfall(
            requirement=f"p{100 * level.quantile:g} latency at {target.rate_qps:g} queries/s",
            needed=level.deadline_s,
            available=tail.estimate.mean,
            unit="s",
            remedies=tuple(remedies),
        )
    return Shortfall(
        requirement=f"load served with {level_name(level)}",
        needed=target.rate_qps,
        available=_sure_qps(capacity.estimate, target.rate_qps),
        unit="queries/s",
        remedies=tuple(remedies),
    )


def _sure_qps(capacity: Estimate, rate_qps: float) -> float:
    """The capacity; where only some replications carry the load, the lower end of its interval."""
    if capacity.mean < rate_qps:
        return capacity.mean
    return min(capacity.interval()[0], rate_qps)


def memory_shortfall(needed_bytes: int, memory_bytes: int, smallest: str) -> Shortfall:
    """Nothing fits the machine's memory.

    Args:
        needed_bytes: of the path that needs least.
        memory_bytes: of the machine.
        smallest: name of that path.
    """
    return Shortfall(
        requirement=f"memory of {smallest}, the path that needs least",
        needed=float(needed_bytes),
        available=float(memory_bytes),
        unit="bytes",
        remedies=(
            f"a machine with at least {needed_bytes / 2**30:.3g} GiB",
            "smaller models or embedding tables",
        ),
    )


def most_capacity(designs: Sequence[Design], target: Target, evaluator: Evaluator) -> Found:
    """The design of highest capacity: simulated from the highest upper bound down."""
    return _first_best(
        sorted(designs, key=lambda d: -d.capacity_bound_qps),
        bound=lambda d: -d.capacity_bound_qps,
        simulate=lambda batch: evaluator.capacities(batch, target.service_level),
        sign=-1.0,
    )


def shortest_tail(designs: Sequence[Design], target: Target, evaluator: Evaluator) -> Found:
    """The design of shortest tail at the load: simulated from the lowest bound up."""
    quantile = target.service_level.quantile
    return _first_best(
        sorted(designs, key=lambda d: d.bare_tail_s),
        bound=lambda d: d.bare_tail_s if d.steady_bound_qps > target.rate_qps else math.inf,
        simulate=lambda batch: evaluator.tails(batch, target.rate_qps, quantile),
        sign=1.0,
    )


def _lone_tail(designs: Sequence[Design], evaluator: Evaluator, quantile: float) -> Found:
    """The shortest tail where queries hardly ever meet."""
    lone_qps = min(design.steady_bound_qps for design in designs) / 1000
    return _first_best(
        sorted(designs, key=lambda d: d.bare_tail_s),
        bound=lambda d: d.bare_tail_s,
        simulate=lambda batch: evaluator.tails(batch, lone_qps, quantile),
        sign=1.0,
    )


def _first_best(
    designs: Sequence[Design],
    *,
    bound: Callable[[Design], float],
    simulate: Callable[[Sequence[Design]], list[Estimate]],
    sign: float,
) -> Found:
    """The design of least sign * figure; those whose bound is no better are never simulated."""
    best = Found(designs[0], Estimate.exact(sign * math.inf))
    for start in range(0, len(designs), _BATCH_SIZE):
        batch = list(designs[start : start + _BATCH_SIZE])
        open_ones = [d for d in batch if bound(d) < sign * best.estimate.mean]
        for design, estimate in zip(open_ones, simulate(open_ones), strict=True):
            if sign * estimate.mean < sign * best.estimate.mean:
                best = Found(design, estimate)
    return best


def _deadline_remedy(tail: Found, target: Target) -> list[str]:
    if not tail.estimate.mean < math.inf or tail.estimate.mean <= target.service_level.deadline_s:
        return []
    return [
        f"a deadline of {_ms(tail.estimate.mean)} is met at {target.rate_qps:g} queries/s by "
        f"{tail.design.path.name}"
    ]


def _load_remedy(capacity: Found, target: Target) -> list[str]:
    if capacity.estimate.mean <= 0:
        return []
    return [
        f"up to {capacity.estimate.mean:.4g} queries/s are served with "
        f"{level_name(target.service_level)} by {capacity.design.path.name}"
    ]


def _cores_remedy(
    design: Design, target: Target, evaluator: Evaluator, num_cores: int
) -> list[str]:
    """How many cores would do, found by simulating the pipeline on one station of that many."""
    deadline_s = target.service_level.deadline_s
    most = MAX_CORES_FACTOR * num_cores
    if _tail_on(design, most, target, evaluator) > deadline_s:
        return []
    low, high = num_cores, num_cores
    while _tail_on(design, high, target, evaluator) > deadline_s:
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        meets = _tail_on(design, middle, target, evaluator) <= deadline_s
        low, high = (low, middle) if meets else (middle, high)
    tail_s = _tail_on(design, high, target, evaluator)
    return [
        f"{high} cores instead of {num_cores}: {design.path.pipeline.name} then answers with a "
        f"simulated p{100 * target.service_level.quantile:g} of {_ms(tail_s)}"
    ]


def _tail_on(design: Design, num_cores: int, target: Target, evaluator: Evaluator) -> float:
    pipeline, first = design.path.pipeline, design.path.mapping.stations[0]
    station = Station(
        platform=first.platform,
        num_stages=len(pipeline.stages),
        num_servers=max(1, num_cores // first.num_threads),
        num_threads=first.num_threads,
    )
    placement = Placement(pipeline, (len(pipeline.stages),), design.ndcg)
    quantile = target.service_level.quantile
    wider = evaluator.design(placement, Mapping(stations=(station,)), quantile)
    return evaluator.tails([wider], target.rate_qps, quantile)[0].mean


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
