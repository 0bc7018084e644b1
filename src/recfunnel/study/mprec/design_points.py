"""The CPU-GPU design points: which paths fit, which are chosen, and what they carry."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.core.servable import ServablePath
from recfunnel.core.workload import ServiceLevel
from recfunnel.hardware.datasheets import SYSTEMS
from recfunnel.plan.paths.greedy import greedy_mapping
from recfunnel.plan.paths.plan import plan_paths
from recfunnel.plan.paths.problem import (
    LoadLevel,
    PathCandidate,
    PathProblem,
    PathTarget,
    SizeClass,
    size_classes,
)
from recfunnel.plan.paths.routing import best_routing, capacity_qps
from recfunnel.study.mprec.assumptions import Assumptions
from recfunnel.study.mprec.published import ACCURACY, DEADLINE_S, HW_MEMORY_BYTES, MEAN_SIZE
from recfunnel.study.mprec.service import machine, query_sizes, servable
from recfunnel.study.mprec.shapes import (
    DHE,
    HYBRID,
    PAPER,
    STORED,
    Network,
    Representation,
    cost,
    hot_store,
)

CHIPS = {"cpu": "broadwell", "gpu": "v100"}
"""The hardware of HW-1 and HW-2."""

PLANNED_LOADS = {"HW-1": (0.5, 1.0, 2.0), "HW-2": (0.25,)}
"""What the exact mapping is asked to carry, each, in what the table on the CPU carries."""

HOT_ROWS = (1_000, 10_000, 100_000, 1_000_000)
"""Sizes of hot stores that the exact mapping may choose, rows of each feature."""

ZIPF = 1.05
"""Exponent of the law that ids follow, for the share of lookups a hot store answers."""

SWITCHING, GREEDY = "table, switching", "greedy (recalled)"
EXACT, EXACT_OURS = "exact mapping", "exact, stored too"
"""Names of the policies beside the static ones."""

NO_DEADLINE_S = 1e3

NUM_CLASSES = 16

NUM_SAMPLES = 4000
"""Sample queries that stand for the distribution of sizes."""


@dataclass(frozen=True, slots=True)
class DesignPointSpec:
    """One CPU-GPU design point with one model family.

    Args:
        name: such as `HW-1`.
        network: data set.
        assumptions: of service times.
        mean_size: candidates a query, on average.
        deadline_s: of a query.
        seed: of sample sizes.
    """

    name: str
    network: Network
    assumptions: Assumptions
    mean_size: float = MEAN_SIZE
    deadline_s: float = DEADLINE_S
    seed: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """A rule and the paths it keeps ready.

    Args:
        policy: name.
        chosen: positions among the problem's candidates.
        why_not: what falls short where nothing is kept.
    """

    policy: str
    chosen: tuple[int, ...]
    why_not: str = ""


def quality_of(network: Network, representation: Representation) -> float:
    """The paper's accuracy; stored vectors and hot stores are those of what was trained.

    `select` lies between table and hybrid; its value is not known, so the middle is taken.
    """
    kind = representation.name.split(",")[0]
    if kind == "select":
        ends = [ACCURACY[network.name, name].value for name in ("table", "hybrid")]
        return sum(ends) / 2
    return ACCURACY[network.name, kind].value


def ours(network: Network) -> tuple[Representation, ...]:
    """What the paper does not serve: vectors made once, and hot stores before computed ones."""
    hot = [hot_store(network, kind, rows, ZIPF) for kind in (DHE, HYBRID) for rows in HOT_ROWS]
    return (*STORED, *hot)


def problem_of(
    spec: DesignPointSpec, representations: Sequence[Representation], rates_qps: Sequence[float]
) -> PathProblem:
    """All representations on both platforms as candidates.

    Raises:
        StudyError: no such design point.
    """
    if spec.name not in HW_MEMORY_BYTES:
        known = ", ".join(HW_MEMORY_BYTES)
        raise StudyError(f"no CPU-GPU design point {spec.name!r}; known: {known}")
    candidates = [
        PathCandidate(path=_path(spec, name, chip, representation))
        for name, chip in CHIPS.items()
        for representation in representations
    ]
    target = PathTarget(
        loads=tuple(LoadLevel(rate_qps=rate) for rate in rates_qps),
        service_level=ServiceLevel(deadline_s=spec.deadline_s),
    )
    return PathProblem(tuple(candidates), HW_MEMORY_BYTES[spec.name], classes_of(spec), target)


def _path(
    spec: DesignPointSpec, name: str, chip: str, representation: Representation
) -> ServablePath:
    work = cost(spec.network, representation)
    on = machine(SYSTEMS[chip], work, spec.assumptions, name=name)
    quality = quality_of(spec.network, representation)
    return servable(on, spec.network, representation, quality, spec.assumptions)


@cache
def classes_of(spec: DesignPointSpec) -> tuple[SizeClass, ...]:
    """Classes of the sizes of sample queries."""
    rng = rng_for(spec.seed, "mprec sizes")
    drawn = query_sizes(spec.assumptions, rng, NUM_SAMPLES, spec.mean_size)
    return size_classes(drawn, NUM_CLASSES)


def choices(problem: PathProblem) -> list[Choice]:
    """Every static choice that fits, switching between tables, and the recalled mapping."""
    names = [candidate.path.name for candidate in problem.candidates]
    found = [Choice(name, (p,)) for p, name in enumerate(names) if problem.fits([p])]
    tables = tuple(p for p, name in enumerate(names) if name.startswith("table on "))
    if problem.fits(tables):
        found.append(Choice(SWITCHING, tables))
    return [*found, Choice(GREEDY, _recalled(problem))]


def _recalled(problem: PathProblem) -> tuple[int, ...]:
    """The recalled mapping, which knows table, DHE and hybrid."""
    known = [p for p, c in enumerate(problem.candidates) if not c.path.name.startswith("select")]
    fewer = dataclasses.replace(problem, candidates=tuple(problem.candidates[p] for p in known))
    return tuple(known[p] for p in greedy_mapping(fewer))


def exact_choice(problem: PathProblem, policy: str) -> Choice:
    """What the exact mapping keeps; nothing, and why, where no set serves the load."""
    plan = plan_paths(problem)
    if plan.menu is None:
        return Choice(policy, (), plan.reason)
    names = [candidate.path.name for candidate in problem.candidates]
    return Choice(policy, tuple(names.index(path.name) for path in plan.menu.paths))


def reference_qps(spec: DesignPointSpec) -> float:
    """What the table on the CPU carries without a deadline, with HW-1's memory and sizes.

    Loads are stated in it.
    """
    roomy = dataclasses.replace(spec, name="HW-1", mean_size=MEAN_SIZE, deadline_s=NO_DEADLINE_S)
    return capacity_qps(paper_problem(roomy), (0,))[0]


def correct_per_s(problem: PathProblem, chosen: Sequence[int]) -> tuple[float, float, float]:
    """What a set of paths carries at most.

    Returns:
        Queries a second; mean accuracy there, the best that still carries all of it; correct
        predictions a second.
    """
    if not chosen:
        return 0.0, 0.0, 0.0
    rate_qps, _ = capacity_qps(problem, chosen)
    routing = best_routing(problem, chosen, rate_qps * (1 - 1e-9)) if rate_qps else None
    if routing is None:
        return 0.0, 0.0, 0.0
    sizes = np.array([np.mean(one.sizes) for one in problem.classes])
    correct = float((routing.shares.T @ problem.quality) @ sizes)
    return rate_qps, routing.quality, rate_qps * correct


def paper_problem(spec: DesignPointSpec, rates_qps: Sequence[float] = (1.0,)) -> PathProblem:
    """With the paper's four representations."""
    return problem_of(spec, PAPER, rates_qps)


def full_problem(spec: DesignPointSpec, rates_qps: Sequence[float]) -> PathProblem:
    """With ours as well."""
    return problem_of(spec, (*PAPER, *ours(spec.network)), rates_qps)
