"""Candidates that no best set needs, each with the reason: exact, so nothing is lost."""

from typing import Literal

from recfunnel.core.results import Shortfall
from recfunnel.core.spec import Value
from recfunnel.plan.paths.problem import PathProblem

Reason = Literal["memory", "deadline", "dominated", "displaced", "unused"]
"""`memory`: does not fit alone. `deadline`: in time for no query. `dominated`: another candidate is
nowhere worse. `displaced`: keeping it costs quality. `unused`: nothing is gained by it."""


class LeftOut(Value, frozen=True):
    """A candidate that was not chosen.

    Args:
        name: of the path.
        reason: in one word.
        words: in a sentence, with the numbers.
        shortfall: for memory and deadline, what is missing.
        quality_with: of the best set that keeps it; None where there is none.
    """

    name: str
    reason: Reason
    words: str
    shortfall: Shortfall | None = None
    quality_with: float | None = None


def prune(problem: PathProblem) -> tuple[tuple[int, ...], tuple[LeftOut, ...]]:
    """Candidates worth looking at, and those that are not.

    Returns:
        The first as positions, in order.
    """
    out: dict[int, LeftOut] = {}
    for p in range(len(problem.candidates)):
        found = _no_memory(problem, p) or _never_in_time(problem, p)
        if found is not None:
            out[p] = found
    for p in range(len(problem.candidates)):
        better = (o for o in range(len(problem.candidates)) if o != p and o not in out)
        beaten_by = next((o for o in better if _beats(problem, o, p)), None)
        if p not in out and beaten_by is not None:
            out[p] = _dominated(problem, p, beaten_by)
    kept = tuple(p for p in range(len(problem.candidates)) if p not in out)
    return kept, tuple(out[p] for p in sorted(out))


def _no_memory(problem: PathProblem, p: int) -> LeftOut | None:
    name, needed = problem.candidates[p].path.name, problem.bytes_of([p])
    for platform, limit in problem.memory_bytes.items():
        if needed[platform] > limit:
            missing = Shortfall(
                requirement=f"memory of {name!r} on {platform!r}",
                needed=float(needed[platform]),
                available=float(limit),
                unit="bytes",
                remedies=("a smaller hot store", "a computed or quantised representation"),
            )
            words = f"needs {mib(needed[platform])} on {platform}, which has {mib(limit)}"
            return LeftOut(name=name, reason="memory", words=words, shortfall=missing)
    return None


def _never_in_time(problem: PathProblem, p: int) -> LeftOut | None:
    if problem.in_time[p].any():
        return None
    name, least_s = problem.candidates[p].path.name, float(problem.tail_s[p].min())
    budget_s = problem.target.service_budget_s
    missing = Shortfall(
        requirement=f"tail of the service time of {name!r} for the smallest queries",
        needed=budget_s,
        available=least_s,
        unit="s",
        remedies=("a later deadline", "a faster platform", "a larger hot store"),
    )
    words = (
        f"takes {1e3 * least_s:.3g} ms for the smallest queries, {1e3 * budget_s:.3g} ms are left"
    )
    return LeftOut(name=name, reason="deadline", words=words, shortfall=missing)


def _beats(problem: PathProblem, better: int, worse: int) -> bool:
    """Whether every set stays as good when the one replaces the other.

    Of two equal candidates the first beats the second.
    """
    pair = (better, worse)
    quality, busy_s, in_time = problem.quality, problem.busy_s, problem.in_time
    no_worse = (
        quality[better] >= quality[worse]
        and bool((busy_s[better] <= busy_s[worse]).all())
        and bool((in_time[better] >= in_time[worse]).all())
        and _no_more_memory(problem, *pair)
    )
    if not no_worse:
        return False
    equal = (
        quality[better] == quality[worse]
        and bool((busy_s[better] == busy_s[worse]).all())
        and bool((in_time[better] == in_time[worse]).all())
        and _no_more_memory(problem, worse, better)
    )
    return better < worse or not equal


def _no_more_memory(problem: PathProblem, less: int, more: int) -> bool:
    """Whether one needs no more memory beside any other candidates."""
    parts = [{(m.platform, m.name) for m in problem.candidates[p].memory} for p in (less, more)]
    if parts[0] <= parts[1]:
        return True
    others = (o for o in range(len(problem.candidates)) if o not in (less, more))
    shared = any(
        (m.platform, m.name) in parts[1] for o in others for m in problem.candidates[o].memory
    )
    needed = problem.bytes_of([less]), problem.bytes_of([more])
    return not shared and all(needed[0][name] <= needed[1][name] for name in needed[0])


def _dominated(problem: PathProblem, p: int, beaten_by: int) -> LeftOut:
    name, better = problem.names((p, beaten_by))
    return LeftOut(
        name=name,
        reason="dominated",
        words=f"{better} is as good, as fast and as small everywhere",
    )


def mib(num_bytes: float) -> str:
    """Memory as people read it."""
    if num_bytes >= 0.9995 * 2**30:
        return f"{num_bytes / 2**30:.3g} GiB"
    return f"{num_bytes / 2**20:.3g} MiB"
