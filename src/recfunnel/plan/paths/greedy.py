"""The mapping MP-Rec describes (Hsia et al., ASPLOS 2023), as recalled: the baseline.

For each platform the most accurate representation that fits; then, where room is left, the fastest
one, then the one of fewest bytes. Load and deadline play no part.
"""

from collections.abc import Callable

from recfunnel.plan.paths.problem import PathProblem


def greedy_mapping(problem: PathProblem) -> tuple[int, ...]:
    """Positions of the candidates it keeps.

    A candidate that is served on several platforms counts for the first of them, and must fit all.
    """
    chosen: list[int] = []
    for platform in problem.platforms:
        own = [
            p for p, c in enumerate(problem.candidates) if c.path.stations[0].platform == platform
        ]
        for order in _orders(problem):
            room = [p for p in own if p not in chosen and problem.fits((*chosen, p))]
            if room:
                best = min(room, key=order)
                if not any(order(p) <= order(best) for p in own if p in chosen):
                    chosen.append(best)
    return tuple(sorted(chosen))


def _orders(problem: PathProblem) -> tuple[Callable[[int], tuple[float, ...]], ...]:
    """What is looked for, in turn; less is better, ties fall to the first candidate."""
    total_s = (problem.busy_s.sum(axis=1) * problem.weights).sum(axis=1)

    def accurate(p: int) -> tuple[float, ...]:
        return (-float(problem.quality[p]), float(total_s[p]))

    def fast(p: int) -> tuple[float, ...]:
        return (float(total_s[p]), -float(problem.quality[p]))

    def compact(p: int) -> tuple[float, ...]:
        return (float(sum(problem.bytes_of([p]).values())), -float(problem.quality[p]))

    return accurate, fast, compact
