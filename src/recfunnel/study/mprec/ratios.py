"""The paper's headline ratios, ours beside them, and what each of ours hangs on."""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from recfunnel.core.arrays import IntArray
from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.datasheets import SYSTEMS
from recfunnel.report.mprec import Published, RatioRow, SensitivityRow
from recfunnel.study.mprec.assumptions import BOUND, RANGES, Assumptions, changed
from recfunnel.study.mprec.design_points import (
    GREEDY,
    NO_DEADLINE_S,
    NUM_SAMPLES,
    DesignPointSpec,
    choices,
    correct_per_s,
    paper_problem,
    quality_of,
)
from recfunnel.study.mprec.published import CPU_SLOWDOWN, MEAN_SIZE, SPEED_UP
from recfunnel.study.mprec.service import call_s, machine, query_sizes, service_times
from recfunnel.study.mprec.shapes import (
    KAGGLE,
    NETWORKS,
    PAPER,
    TABLE,
    Network,
    Representation,
    cost,
)

Ratio = Callable[[Assumptions], tuple[float, tuple[str, ...]]]
"""A ratio under assumptions, and the paths it is reached with."""

THROUGHPUT = "correct predictions a second over the table on the CPU"
SLOWDOWN = f"time over the table's, both on the CPU, {MEAN_SIZE} candidates"

_SCAN = 9
_HALVINGS = 14


def ratio_rows(assumptions: Assumptions) -> tuple[RatioRow, ...]:
    """Every published ratio beside ours."""
    return tuple(
        RatioRow(
            name=name,
            network=network,
            what=what,
            published=published,
            bound=ratio(BOUND)[0],
            expected=ratio(assumptions)[0],
            paths=ratio(assumptions)[1],
        )
        for name, network, what, published, ratio in _ratios()
    )


def sensitivity_rows(assumptions: Assumptions) -> tuple[SensitivityRow, ...]:
    """Each assumption varied alone, for every published ratio it changes by 1 % or more."""
    rows = [
        _sensitivity(f"{name}, {network}", published, ratio, assumptions, assumption)
        for name, network, _, published, ratio in _ratios()
        for assumption in RANGES
    ]
    return tuple(row for row in rows if max(row.ratios) > 1.01 * min(row.ratios))


def _ratios() -> list[tuple[str, str, str, Published, Ratio]]:
    found = [
        (name, network, THROUGHPUT, published, speed_up(name, network))
        for (name, network), published in SPEED_UP.items()
    ]
    slow = [
        (f"{kind} on the CPU", KAGGLE.name, SLOWDOWN, published, slowdown(kind))
        for kind, published in CPU_SLOWDOWN.items()
    ]
    return [*found, *slow]


def speed_up(name: str, network_name: str) -> Ratio:
    """Throughput of correct predictions over that of the table on the CPU.

    A CPU-GPU design point serves by the paths of the recalled mapping, without a deadline; another
    system by the one representation that earns it most.
    """
    network = next(n for n in NETWORKS if n.name == network_name)

    def ratio(assumptions: Assumptions) -> tuple[float, tuple[str, ...]]:
        base = static_correct_per_s("broadwell", network, TABLE, assumptions)
        if name not in SYSTEMS:
            correct, paths = _mapped(name, network, assumptions)
            return correct / base, paths
        earned = {r.name: static_correct_per_s(name, network, r, assumptions) for r in PAPER}
        best = max(earned, key=lambda r: earned[r])
        return earned[best] / base, (f"{best} on {name}",)

    return ratio


def slowdown(kind: str) -> Ratio:
    """Time of a representation over the table's, on the CPU with Kaggle's network."""
    representation = _representation(kind)

    def ratio(assumptions: Assumptions) -> tuple[float, tuple[str, ...]]:
        took_s = [
            call_s(
                machine(SYSTEMS["broadwell"], cost(KAGGLE, r), assumptions),
                KAGGLE,
                r,
                MEAN_SIZE,
                assumptions,
            )
            for r in (representation, TABLE)
        ]
        return took_s[0] / took_s[1], (f"{kind} on broadwell",)

    return ratio


def _representation(name: str) -> Representation:
    for representation in PAPER:
        if representation.name == name:
            return representation
    raise StudyError(f"no representation {name!r}; known: {', '.join(r.name for r in PAPER)}")


def static_correct_per_s(
    system: str, network: Network, representation: Representation, assumptions: Assumptions
) -> float:
    """What one representation on a whole system predicts rightly a second, always busy."""
    on = machine(SYSTEMS[system], cost(network, representation), assumptions)
    sizes = _sizes(assumptions.size_sigma)
    busy_s = service_times(on, network, representation, assumptions).medians_s(sizes).mean()
    quality = quality_of(network, representation)
    return float(on.num_servers / busy_s * sizes.mean() * quality)


@cache
def _sizes(sigma: float) -> IntArray:
    return query_sizes(Assumptions(size_sigma=sigma), rng_for(0, "mprec sizes"), NUM_SAMPLES)


def _mapped(name: str, network: Network, assumptions: Assumptions) -> tuple[float, tuple[str, ...]]:
    spec = DesignPointSpec(name, network, assumptions, deadline_s=NO_DEADLINE_S)
    problem = paper_problem(spec)
    chosen = next(c.chosen for c in choices(problem) if c.policy == GREEDY)
    limit = problem.target.utilisation_limit  # a saturated platform is always busy
    return correct_per_s(problem, chosen)[2] / limit, problem.names(chosen)


def _sensitivity(
    name: str, published: Published, ratio: Ratio, assumptions: Assumptions, assumption: str
) -> SensitivityRow:
    low, high, unit = RANGES[assumption]

    def at(value: float) -> float:
        return ratio(changed(assumptions, assumption, value))[0]

    assumed = float(getattr(assumptions, assumption))
    values = (low, assumed, high)
    return SensitivityRow(
        ratio=name,
        assumption=assumption,
        unit=unit,
        values=values,
        ratios=(at(low), at(assumed), at(high)),
        explains=_crossing(at, _scan(low, high), published.value),
    )


def _scan(low: float, high: float) -> Sequence[float]:
    """Values from low to high, in equal ratios where low is above 0."""
    if low > 0:
        return tuple(np.geomspace(low, high, _SCAN).tolist())
    return (low, *np.geomspace(high / 256, high, _SCAN - 1).tolist())


def _crossing(at: Callable[[float], float], values: Sequence[float], wanted: float) -> float | None:
    """The first value, between scanned ones, at which a function is what is wanted."""
    above = [at(value) - wanted for value in values]
    for left, right, before, after in zip(values, values[1:], above, above[1:], strict=False):
        if before == 0:
            return left
        if before * after < 0:
            return _bisected(at, left, right, wanted, rising=after > 0)
    return None


def _bisected(
    at: Callable[[float], float], left: float, right: float, wanted: float, *, rising: bool
) -> float:
    for _ in range(_HALVINGS):
        middle = math.sqrt(left * right) if left > 0 else (left + right) / 2
        if (at(middle) > wanted) == rising:
            right = middle
        else:
            left = middle
    return (left + right) / 2
