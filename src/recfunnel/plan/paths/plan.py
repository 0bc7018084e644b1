"""A chosen set of paths as a value and a file that schedulers and engines read."""

from pathlib import Path

import msgspec

from recfunnel.core.errors import StorageError, StudyError
from recfunnel.core.results import Estimate, ProfileSource, Shortfall
from recfunnel.core.servable import PathMenu
from recfunnel.core.spec import Value
from recfunnel.core.storage import content_hash, read_json, write_json
from recfunnel.plan.paths.greedy import greedy_mapping
from recfunnel.plan.paths.problem import PathProblem, PathTarget
from recfunnel.plan.paths.prune import LeftOut, mib, prune
from recfunnel.plan.paths.routing import TIE, Routing, best_routing, capacity_qps
from recfunnel.plan.paths.search import best_set, capacity_objective, quality_objective
from recfunnel.plan.paths.shortfall import explain_shortfall

LEAST_GAIN = 0.01
"""Relative gain in the load that can be carried for which a path is kept in reserve."""


class PathShare(Value, frozen=True):
    """How much of a load one path serves.

    Args:
        path: its name.
        by_class: share of all queries, for each class of sizes.
    """

    path: str
    by_class: tuple[float, ...]


class LoadRouting(Value, frozen=True):
    """The best way to share one load, by expectation; a scheduler decides query by query.

    Args:
        rate_qps: the load.
        quality: mean over all queries.
        shares: of each path.
        utilisation: (platform, 0 to 1).
    """

    rate_qps: float
    quality: float
    shares: tuple[PathShare, ...]
    utilisation: tuple[tuple[str, float], ...]


class ClassRange(Value, frozen=True):
    """Which queries a class of sizes holds.

    Args:
        weight: share of all queries.
        smallest: candidates.
        largest: candidates.
    """

    weight: float
    smallest: int
    largest: int


class MemoryUse(Value, frozen=True):
    """Memory the chosen paths take of a platform."""

    platform: str
    used_bytes: int
    available_bytes: int


class Alternative(Value, frozen=True):
    """Another way to choose, under the same load.

    Args:
        name: of the rule.
        paths: it keeps.
        quality: mean over the loads; None where it cannot serve them all.
        capacity_qps: highest load it serves.
    """

    name: str
    paths: tuple[str, ...]
    quality: float | None
    capacity_qps: float


class LoadCheck(Value, frozen=True):
    """What a simulation of the menu under a scheduler delivered at one load.

    Args:
        rate_qps: the load.
        scheduler: kind of the policy.
        delivered_quality: mean over all queries, 0 where late or never answered.
        violation_rate: share of queries late or never answered.
        holds: whether that is within what the service level allows.
    """

    rate_qps: float
    scheduler: str
    delivered_quality: Estimate
    violation_rate: Estimate
    holds: bool


class PathPlan(Value, frozen=True):
    """Which paths to keep ready, and why.

    Args:
        menu: the chosen paths; None when nothing serves the load, then `shortfall` says why.
        reserve: names of those in the menu that serve nothing at the loads asked for: kept where
            memory is left, because they raise the load that can be carried.
        reason: in words.
        target: what was asked.
        classes: of query sizes.
        quality: expected, mean over the loads; 0 when infeasible.
        capacity_qps: highest load the chosen paths serve.
        routing: for each load.
        memory: of each platform.
        left_out: every other candidate, with the reason.
        alternatives: the recalled greedy mapping, and the best single path.
        source: `measured` when every profile is.
        shortfall: what is missing when infeasible.
        checks: of each load by simulation; empty where none was made.
        content_hash: of all the rest.
    """

    menu: PathMenu | None
    reserve: tuple[str, ...]
    reason: str
    target: PathTarget
    classes: tuple[ClassRange, ...]
    quality: float
    capacity_qps: float
    routing: tuple[LoadRouting, ...]
    memory: tuple[MemoryUse, ...]
    left_out: tuple[LeftOut, ...]
    alternatives: tuple[Alternative, ...]
    source: ProfileSource
    shortfall: Shortfall | None = None
    checks: tuple[LoadCheck, ...] = ()
    content_hash: str = ""

    def __post_init__(self) -> None:
        if (self.menu is None) == (self.shortfall is None):
            raise StudyError("a plan of paths either has a menu or says what falls short")


def plan_paths(problem: PathProblem) -> PathPlan:
    """Choose the set of paths of highest expected quality.

    Where memory is left, paths that raise the load that can be carried most are kept as well, so
    that a scheduler has something to fall back on.

    Returns:
        The plan; one that no set solves has no menu and says what falls short.
    """
    kept, dropped = prune(problem)
    objective = quality_objective(problem)
    best = best_set(problem, objective, kept)
    chosen = () if best is None else with_reserve(problem, kept, best.chosen)
    sources = {candidate.path.source for candidate in problem.candidates}
    plan = PathPlan(
        menu=None if best is None else _menu(problem, chosen),
        reserve=() if best is None else problem.names(sorted({*chosen} - {*best.chosen})),
        reason="",
        target=problem.target,
        classes=tuple(
            ClassRange(weight=c.weight, smallest=c.sizes[0], largest=c.largest)
            for c in problem.classes
        ),
        quality=0.0 if best is None else mean_quality(problem, chosen) or 0.0,
        capacity_qps=0.0 if best is None else capacity_qps(problem, chosen)[0],
        routing=() if best is None else _routings(problem, chosen),
        memory=_memory(problem, chosen),
        left_out=(*dropped, *(_why_not(problem, chosen, kept, p) for p in kept if p not in chosen)),
        alternatives=alternatives(problem),
        source="measured" if sources == {"measured"} else "modelled",
        shortfall=explain_shortfall(problem) if best is None else None,
    )
    return sealed(msgspec.structs.replace(plan, reason=_reason(plan)))


def with_reserve(
    problem: PathProblem, candidates: tuple[int, ...], chosen: tuple[int, ...]
) -> tuple[int, ...]:
    """The chosen paths, and those of the others that fit beside them and carry most with them."""
    alone, _ = capacity_qps(problem, chosen)
    found = best_set(problem, capacity_objective(problem), candidates, kept=chosen)
    if found is None or found.value <= alone * (1 + LEAST_GAIN):
        return chosen
    return found.chosen


def alternatives(problem: PathProblem) -> tuple[Alternative, ...]:
    """The recalled greedy mapping, then the best single path."""
    singles = [(p,) for p in range(len(problem.candidates)) if problem.fits([p])]
    greedy = _alternative(problem, "greedy mapping (recalled)", greedy_mapping(problem))
    if not singles:
        return (greedy,)
    found = [_alternative(problem, "best single path", single) for single in singles]
    return greedy, max(found, key=lambda a: (a.quality or 0.0, a.capacity_qps))


def _alternative(problem: PathProblem, name: str, chosen: tuple[int, ...]) -> Alternative:
    if not chosen:
        return Alternative(name=name, paths=(), quality=None, capacity_qps=0.0)
    return Alternative(
        name=name,
        paths=problem.names(chosen),
        quality=mean_quality(problem, chosen),
        capacity_qps=capacity_qps(problem, chosen)[0],
    )


def mean_quality(problem: PathProblem, chosen: tuple[int, ...]) -> float | None:
    """Best quality of a set of paths, mean over the loads; None where it cannot serve them all."""
    levels = problem.target.loads
    found = [best_routing(problem, chosen, level.rate_qps) for level in levels]
    served = [routing.quality for routing in found if routing is not None]
    if len(served) < len(levels):
        return None
    weights = [level.weight for level in levels]
    pairs = zip(weights, served, strict=True)
    return sum(weight * quality for weight, quality in pairs) / sum(weights)


def _menu(problem: PathProblem, chosen: tuple[int, ...]) -> PathMenu:
    return PathMenu(paths=tuple(problem.candidates[p].path for p in chosen))


def _routings(problem: PathProblem, chosen: tuple[int, ...]) -> tuple[LoadRouting, ...]:
    found = [best_routing(problem, chosen, level.rate_qps) for level in problem.target.loads]
    return tuple(_routing(problem, chosen, routing) for routing in found if routing is not None)


def _routing(problem: PathProblem, chosen: tuple[int, ...], routing: Routing) -> LoadRouting:
    return LoadRouting(
        rate_qps=routing.rate_qps,
        quality=routing.quality,
        shares=tuple(
            PathShare(path=name, by_class=tuple(routing.shares[p].tolist()))
            for p, name in zip(chosen, problem.names(chosen), strict=True)
        ),
        utilisation=tuple(zip(problem.platforms, routing.utilisation.tolist(), strict=True)),
    )


def _memory(problem: PathProblem, chosen: tuple[int, ...]) -> tuple[MemoryUse, ...]:
    used = problem.bytes_of(chosen)
    return tuple(
        MemoryUse(platform=name, used_bytes=used[name], available_bytes=limit)
        for name, limit in problem.memory_bytes.items()
    )


def _why_not(
    problem: PathProblem, chosen: tuple[int, ...], kept: tuple[int, ...], p: int
) -> LeftOut:
    """What the best set that keeps it would be."""
    name = problem.names([p])[0]
    if problem.fits((*chosen, p)):
        words = "there is room for it, but it serves no query better and carries no more"
        return LeftOut(name=name, reason="unused", words=words)
    forced = best_set(problem, quality_objective(problem), kept, kept=(p,))
    over = _over(problem, chosen, p)
    if forced is None:
        words = f"{over}; beside it no set of paths serves the load"
        return LeftOut(name=name, reason="displaced", words=words)
    quality = mean_quality(problem, forced.chosen) or 0.0
    loss = (mean_quality(problem, chosen) or 0.0) - quality
    words = f"{over}; the best set with it has {loss:.2g} less quality"
    if loss <= TIE:
        words = f"{over}; the best set with it is no better and carries no more"
    return LeftOut(name=name, reason="displaced", words=words, quality_with=quality)


def _over(problem: PathProblem, chosen: tuple[int, ...], p: int) -> str:
    used = problem.bytes_of((*chosen, p))
    platform = max(used, key=lambda name: used[name] - problem.memory_bytes[name])
    over = used[platform] - problem.memory_bytes[platform]
    return f"{mib(over)} more than {platform} has beside what was chosen"


def _reason(plan: PathPlan) -> str:
    if plan.menu is None:
        assert plan.shortfall is not None, "a plan says what falls short"
        lack = plan.shortfall
        return (
            f"Nothing serves the load: {lack.requirement} would have to be {lack.needed:.4g} "
            f"{lack.unit}, {lack.available:.4g} is what there is."
        )
    names = ", ".join(p.name for p in plan.menu.paths if p.name not in plan.reserve)
    spare = f" {', '.join(plan.reserve)} are kept in reserve." if plan.reserve else ""
    used = "; ".join(
        f"{m.platform}: {mib(m.used_bytes)} of {mib(m.available_bytes)}" for m in plan.memory
    )
    greedy = plan.alternatives[0]
    beside = f"The recalled greedy mapping keeps {', '.join(greedy.paths) or 'nothing'} and " + (
        "cannot serve the load."
        if greedy.quality is None
        else f"delivers {greedy.quality:.5f} ({plan.quality - greedy.quality:+.2g} for ours)."
    )
    return (
        f"{names} deliver an expected quality of {plan.quality:.5f} at the load and carry up to "
        f"{plan.capacity_qps:.4g} queries/s ({used}).{spare} {beside}"
    )


def sealed(plan: PathPlan) -> PathPlan:
    """The plan with the hash of its content."""
    blank = msgspec.structs.replace(plan, content_hash="")
    return msgspec.structs.replace(plan, content_hash=content_hash(blank))


def save_path_plan(path: Path, plan: PathPlan) -> None:
    """Store a plan as JSON, whole or not at all.

    Raises:
        StorageError: no space, no permission.
    """
    write_json(path, plan)


def load_path_plan(path: Path) -> PathPlan:
    """Read what `save_path_plan` wrote.

    Raises:
        StorageError: missing, damaged, or changed since it was made.
    """
    plan = read_json(path, PathPlan)
    if sealed(plan) != plan:
        raise StorageError(
            f"{path} was changed after it was made: its content hash does not match; plan again"
        )
    return plan
