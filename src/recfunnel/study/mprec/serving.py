"""MP-Rec's serving experiment, simulated on modelled times under every policy."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from recfunnel.core.errors import StudyError
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.seeds import rng_for
from recfunnel.core.servable import PathMenu
from recfunnel.plan.paths.problem import PathProblem
from recfunnel.report.mprec import Axis, SimulatedServing, SweepPoint
from recfunnel.schedule.base import Conditions, Scheduler, SchedulerSpec
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.greedy import MostAccurateInTime
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.schedule.metrics import Delivered, delivered
from recfunnel.schedule.switching import FastestOf
from recfunnel.simulate.paths import draw_service, simulate_paths
from recfunnel.study.mprec.design_points import (
    EXACT,
    EXACT_OURS,
    GREEDY,
    PLANNED_LOADS,
    SWITCHING,
    Choice,
    DesignPointSpec,
    choices,
    exact_choice,
    full_problem,
    paper_problem,
    reference_qps,
)
from recfunnel.study.mprec.published import MEAN_SIZE, NUM_QUERIES, TRIVIAL_ACCURACY
from recfunnel.study.mprec.service import query_sizes

QUEUE_AWARE, GREEDY_OURS = "greedy, queue-aware", "greedy's paths, ours"

SWEPT = (SWITCHING, GREEDY, QUEUE_AWARE, EXACT, EXACT_OURS)
"""Policies of the sweeps, beside the static table on either platform."""

LOADS = (0.25, 0.5, 1.0, 2.0, 3.0)
"""In what the table on the CPU carries."""

TARGETS_S = (0.0025, 0.005, 0.010, 0.020, 0.050, 0.200)
MEAN_SIZES = (32, 64, 128, 256, 512)

USUAL_LOAD = 1.0

NUM_TYPICAL = 1000
"""Sizes a policy may know in advance."""


@dataclass(frozen=True, eq=False, slots=True)
class Policy:
    """Paths kept ready and the rule that chooses among them.

    Args:
        name: for people.
        problem: the paths were chosen from.
        choice: which are kept.
        scheduler: the rule.
    """

    name: str
    problem: PathProblem
    choice: Choice
    scheduler: SchedulerSpec

    @property
    def menu(self) -> PathMenu | None:
        """The paths; None where none is kept."""
        if not self.choice.chosen:
            return None
        return PathMenu(paths=tuple(self.problem.candidates[p].path for p in self.choice.chosen))


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is served.

    Args:
        rate_qps: offered.
        mean_size: candidates a query.
        deadline_s: target.
        num_queries: of one replication.
        num_replications: with arrivals and sizes of their own, the same for every policy.
    """

    rate_qps: float
    mean_size: float
    deadline_s: float
    num_queries: int
    num_replications: int


@cache
def policies_of(spec: DesignPointSpec) -> tuple[Policy, ...]:
    """Every policy of a design point, static ones first, the exact mappings last."""
    rates_qps = [share * reference_qps(spec) for share in PLANNED_LOADS[spec.name]]
    paper, full = paper_problem(spec, rates_qps), full_problem(spec, rates_qps)
    found = [(paper, choice) for choice in choices(paper)]
    found += [(paper, exact_choice(paper, EXACT)), (full, exact_choice(full, EXACT_OURS))]
    return tuple(
        Policy(name, problem, choice, rule)
        for problem, choice in found
        for name, rule in _rules(choice.policy)
    )


def _rules(kept: str) -> list[tuple[str, SchedulerSpec]]:
    """The rules that choose among the paths of a mapping."""
    if kept == SWITCHING:
        return [(kept, FastestOf())]
    if kept in (EXACT, EXACT_OURS):
        return [(kept, MarginalValue())]
    if kept == GREEDY:
        return [
            (GREEDY, MostAccurateInTime()),
            (QUEUE_AWARE, MostAccurateInTime(queue_aware=True)),
            (GREEDY_OURS, MarginalValue()),
        ]
    return [(kept, FixedPath())]


def served(spec: DesignPointSpec, policy: Policy, experiment: Experiment) -> Delivered:
    """Simulate one policy; equal arrivals, sizes and luck for all of them.

    Raises:
        StudyError: the policy keeps no path.
    """
    menu, runs = policy.menu, []
    if menu is None:
        raise StudyError(f"{policy.name!r} keeps no path ready: {policy.choice.why_not}")
    for replication in range(experiment.num_replications):
        rng = rng_for(spec.seed, "mprec serving", replication)
        gaps_s = rng.exponential(1 / experiment.rate_qps, experiment.num_queries)
        sizes = query_sizes(spec.assumptions, rng, experiment.num_queries, experiment.mean_size)
        times_s = draw_service(menu, sizes, rng_for(spec.seed, "mprec luck", replication))
        rule = deepcopy(_fresh(spec, policy, experiment.mean_size, experiment.deadline_s))
        arrivals_s = np.cumsum(gaps_s)
        deadline_s = experiment.deadline_s
        runs.append(simulate_paths(menu, rule, deadline_s, arrivals_s, sizes, times_s))
    trivial = TRIVIAL_ACCURACY[spec.network.name].value
    return delivered(menu, runs, experiment.deadline_s, trivial)


@cache
def _fresh(spec: DesignPointSpec, policy: Policy, mean_size: float, deadline_s: float) -> Scheduler:
    """A policy that remembers nothing yet; what it solves in advance is solved once."""
    rng = rng_for(spec.seed, "mprec typical sizes")
    typical = query_sizes(spec.assumptions, rng, NUM_TYPICAL, mean_size)
    assert policy.menu is not None, "the caller looked"
    return policy.scheduler.build(policy.menu, Conditions(deadline_s, typical))


def usual(spec: DesignPointSpec, num_queries: int, num_replications: int) -> Experiment:
    """The paper's target and sizes at what the table on the CPU just carries."""
    rate_qps = USUAL_LOAD * reference_qps(spec)
    return Experiment(rate_qps, MEAN_SIZE, spec.deadline_s, num_queries, num_replications)


def simulated(found: Delivered, rate_qps: float) -> SimulatedServing:
    """The figures that are shown."""
    return SimulatedServing(
        rate_qps=rate_qps,
        delivered_quality=found.delivered_quality.mean,
        delivered_stderr=found.delivered_quality.stderr,
        violation_rate=found.violation_rate.mean,
        tcp_per_s=found.tcp_per_s.mean,
        corrected_tcp_per_s=found.corrected_tcp_per_s.mean,
        p99_s=found.p99_s.mean,
    )


def _sized(base: Experiment, mean: int) -> Experiment:
    """Queries of another mean size, as many candidates a second."""
    rate_qps = base.rate_qps * base.mean_size / mean
    return replace(base, mean_size=mean, rate_qps=rate_qps)


def sweeps(
    spec: DesignPointSpec, num_queries: int = NUM_QUERIES, progress: Progress = SILENT
) -> Iterator[SweepPoint]:
    """Load, target and query size varied one by one; paths are those kept for the usual ones."""
    wanted = ("table on cpu", "table on gpu", *SWEPT)
    policies = [p for p in policies_of(spec) if p.name in wanted and p.choice.chosen]
    base, reference = usual(spec, num_queries, 1), reference_qps(spec)
    settings: list[tuple[Axis, float, Experiment]] = [
        *(
            ("load", share * reference, replace(base, rate_qps=share * reference))
            for share in LOADS
        ),
        *(("target", target, replace(base, deadline_s=target)) for target in TARGETS_S),
        *(("query size", float(mean), _sized(base, mean)) for mean in MEAN_SIZES),
    ]
    label = f"sweeps, {spec.name}, {spec.network.name}"
    for axis, at, experiment in progress.track(settings, label):
        for policy in policies:
            found = served(spec, policy, experiment)
            yield SweepPoint(
                axis=axis,
                at=at,
                design_point=spec.name,
                network=spec.network.name,
                policy=policy.name,
                delivered_quality=found.delivered_quality.mean,
                violation_rate=found.violation_rate.mean,
                tcp_per_s=found.tcp_per_s.mean,
            )
