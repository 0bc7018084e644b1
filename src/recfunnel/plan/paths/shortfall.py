"""Why no set of paths serves a load, and what would help, each remedy computed."""

import dataclasses
import math
from bisect import bisect_left

import msgspec
import numpy as np

from recfunnel.core.results import Shortfall
from recfunnel.plan.paths.problem import PathProblem, PathTarget
from recfunnel.plan.paths.prune import mib
from recfunnel.plan.paths.routing import capacity_qps
from recfunnel.plan.paths.search import best_set, capacity_objective

MAX_MEMORY_FACTOR = 1024.0
"""How many times each memory is tried before more memory is said not to help."""

_PRECISION = 1.02


def explain_shortfall(problem: PathProblem) -> Shortfall:
    """Name the constraint that binds, looked for in the order memory, deadline, load.

    Args:
        problem: that no set of paths solves.

    Returns:
        The requirement with both numbers, and remedies.
    """
    everything = range(len(problem.candidates))
    if not any(problem.fits([p]) for p in everything):
        return _nothing_fits(problem)
    if not problem.in_time.any(axis=0).all():
        return _too_slow(problem)
    rate_qps = max(level.rate_qps for level in problem.target.loads)
    found = best_set(problem, capacity_objective(problem), tuple(everything))
    available = 0.0 if found is None else found.value
    unlimited, _ = capacity_qps(problem, everything)
    if unlimited >= rate_qps:
        return _too_little_memory(problem, rate_qps, available)
    return Shortfall(
        requirement=(
            f"load served with a utilisation of at most {problem.target.utilisation_limit:g}"
        ),
        needed=rate_qps,
        available=available,
        unit="queries/s",
        remedies=(
            *_load_remedy(problem, found.chosen if found else (), available),
            *_deadline_remedy(problem, rate_qps),
            f"even with unlimited memory {unlimited:.4g} queries/s would be served; "
            f"{math.ceil(rate_qps / unlimited)} times the servers carry the load",
        ),
    )


def _nothing_fits(problem: PathProblem) -> Shortfall:
    """The candidate that lacks least."""

    def lack(p: int) -> float:
        needed = problem.bytes_of([p])
        return max(needed[name] - limit for name, limit in problem.memory_bytes.items())

    least = min(range(len(problem.candidates)), key=lack)
    needed = problem.bytes_of([least])
    platform = max(problem.memory_bytes, key=lambda n: needed[n] - problem.memory_bytes[n])
    return Shortfall(
        requirement=f"memory on {platform!r} for {problem.names([least])[0]!r}, which lacks least",
        needed=float(needed[platform]),
        available=float(problem.memory_bytes[platform]),
        unit="bytes",
        remedies=(
            f"{mib(needed[platform])} on {platform}",
            "a computed, hashed or quantised representation, or a smaller hot store",
        ),
    )


def _too_slow(problem: PathProblem) -> Shortfall:
    """The class of sizes whose fastest path is furthest from the deadline."""
    fastest_s = problem.tail_s.min(axis=0)
    worst = int(fastest_s.argmax())
    path = problem.names([int(problem.tail_s[:, worst].argmin())])[0]
    needed_s = float(fastest_s[worst]) / (1 - problem.target.wait_share)
    return Shortfall(
        requirement=(
            f"p{100 * problem.target.service_level.quantile:g} service time of queries with "
            f"{problem.classes[worst].largest} candidates"
        ),
        needed=problem.target.service_budget_s,
        available=float(fastest_s[worst]),
        unit="s",
        remedies=(
            f"a deadline of {1e3 * needed_s:.3g} ms, with {path}",
            "fewer candidates a query, or queries split over servers",
        ),
    )


def _too_little_memory(problem: PathProblem, rate_qps: float, available_qps: float) -> Shortfall:
    """All paths together would do; the least common factor on all memories that does."""
    factor = _least_factor(problem, rate_qps)
    larger = _with_memory(problem, factor)
    found = best_set(larger, capacity_objective(larger), range(len(problem.candidates)))
    assert found is not None, "the factor was tried"
    used = larger.bytes_of(found.chosen)
    over = {name: used[name] - limit for name, limit in problem.memory_bytes.items()}
    platform = max(over, key=lambda name: over[name])
    return Shortfall(
        requirement=f"memory on {platform!r} for paths that carry {rate_qps:g} queries/s",
        needed=float(used[platform]),
        available=float(problem.memory_bytes[platform]),
        unit="bytes",
        remedies=(
            f"with {factor:.3g} times the memory, {', '.join(larger.names(found.chosen))} fit",
            f"up to {available_qps:.4g} queries/s are served within the memory there is",
        ),
    )


def _least_factor(problem: PathProblem, rate_qps: float) -> float:
    """Smallest factor on all memories, to 2 %, with which the load is served."""

    def serves(factor: float) -> bool:
        larger = _with_memory(problem, factor)
        found = best_set(larger, capacity_objective(larger), range(len(problem.candidates)))
        return found is not None and found.value >= rate_qps

    low, high = 1.0, 2.0
    while not serves(high) and high < MAX_MEMORY_FACTOR:
        low, high = high, 2 * high
    if not serves(high):
        return _everything_factor(problem)
    while high / low > _PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if serves(middle) else (middle, high)
    return high


def _everything_factor(problem: PathProblem) -> float:
    """The factor with which all candidates fit together."""
    used = problem.bytes_of(range(len(problem.candidates)))
    return max(used[name] / max(1, limit) for name, limit in problem.memory_bytes.items())


def _with_memory(problem: PathProblem, factor: float) -> PathProblem:
    memories = problem.memory_bytes.items()
    larger = {name: math.ceil(factor * max(1, limit)) for name, limit in memories}
    return dataclasses.replace(problem, memory_bytes=larger)


def _load_remedy(problem: PathProblem, chosen: tuple[int, ...], rate_qps: float) -> list[str]:
    if not rate_qps > 0:
        return []
    return [f"up to {rate_qps:.4g} queries/s are served by {', '.join(problem.names(chosen))}"]


def _deadline_remedy(problem: PathProblem, rate_qps: float) -> list[str]:
    """The earliest deadline with which the load is served, where a later one helps at all."""
    tails_s = np.unique(problem.tail_s[problem.tail_s > problem.target.service_budget_s])
    first = bisect_left(tails_s, True, key=lambda tail_s: _carries(problem, tail_s, rate_qps))
    if first == tails_s.size:
        return []
    needed_s = float(tails_s[first]) / (1 - problem.target.wait_share)
    return [f"a deadline of {1e3 * needed_s:.4g} ms"]


def _carries(problem: PathProblem, tail_s: float, rate_qps: float) -> bool:
    level = problem.target.service_level
    deadline_s = tail_s / (1 - problem.target.wait_share) * (1 + 1e-12)
    level = msgspec.structs.replace(level, deadline_s=deadline_s)
    target: PathTarget = msgspec.structs.replace(problem.target, service_level=level)
    later = dataclasses.replace(problem, target=target)
    found = best_set(later, capacity_objective(later), range(len(problem.candidates)))
    return found is not None and found.value >= rate_qps
