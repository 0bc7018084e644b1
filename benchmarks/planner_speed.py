"""Reprints "seconds to plan and to re-plan" at the size of MovieLens-1M.

    python benchmarks/planner_speed.py [--models 10] [--stages 3] [--cores 2] [--jobs 2]

Made-up models (the truth plus noise of falling size) of rising cost, with the measured-like spread
of a profile: every profiled query is somewhat slow or fast in all models, calls jitter, and a few
are hit by something else. The first plan judges every pipeline; then another load, another
deadline and another objective are planned from what is stored.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.model import ScoreTable
from recfunnel.core.platform import Platform
from recfunnel.core.results import LatencyProfile
from recfunnel.core.workload import ServiceLevel, Workload
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.planner import PlanResult, make_plan
from recfunnel.plan.select import Objective, Target
from recfunnel.plan.space import SearchSpace
from recfunnel.profile.request import HAND_OVER
from recfunnel.quality.book import ScoreBook
from recfunnel.runtime.timing import TOP_K
from recfunnel.workload.fixed import Fixed
from recfunnel.workload.poisson import Poisson

NUM_QUERIES, NUM_ITEMS, K, NUM_SAMPLES = 2500, 3706, 64, 200
TARGETS: tuple[tuple[str, float, float, Objective], ...] = (
    ("first plan, nothing stored", 200.0, 0.025, "quality"),
    ("the same again", 200.0, 0.025, "quality"),
    ("another load", 300.0, 0.025, "quality"),
    ("another deadline", 200.0, 0.015, "quality"),
    ("another objective", 200.0, 0.025, "capacity"),
    ("both others", 120.0, 0.040, "capacity"),
    ("too much load", 20_000.0, 0.025, "quality"),
)


def generated_book(num_models: int, rng: np.random.Generator) -> ScoreBook:
    """About ten relevant items a query; models see the truth through noise, half of it shared."""
    truth = rng.standard_normal((NUM_QUERIES, NUM_ITEMS), dtype=np.float32)
    shared = rng.standard_normal(truth.shape, dtype=np.float32)
    relevant = [np.argpartition(-row, 10)[:10] for row in truth]
    queries = QuerySet(
        schema=FeatureSchema(features=()),
        context=Features.empty(NUM_QUERIES),
        items=Features.empty(NUM_ITEMS),
        candidates=None,
        excluded=Ragged.from_rows([[]] * NUM_QUERIES),
        relevance=Ragged.from_rows(relevant, [[1.0] * 10] * NUM_QUERIES),
    )
    tables = []
    for index, noise in enumerate(np.linspace(1.0, 0.45, num_models)):
        own = rng.standard_normal(truth.shape, dtype=np.float32)
        tables.append(ScoreTable(f"model{index}", truth + np.float32(noise) * (shared + own)))
    return ScoreBook(queries, tables, K)


def generated_profiles(
    num_models: int, sizes: tuple[int, ...], rng: np.random.Generator
) -> tuple[LatencyProfile, ...]:
    """From 0.3 ms to 30 ms for all items; 1 call in 200 takes up to twice as long."""
    query = rng.lognormal(0.0, 0.08, NUM_SAMPLES)
    batch = np.array(sizes)

    def profile(name: str, fixed_s: float, all_s: float) -> LatencyProfile:
        shape = (batch.size, NUM_SAMPLES)
        jitter = rng.lognormal(0.0, 0.03, shape) * (1 + (rng.random(shape) < 0.005))
        times = (fixed_s + all_s * batch[:, None] / NUM_ITEMS) * query * jitter
        return LatencyProfile(name, "cpu", 1, batch, times, "modelled")

    costs_s = 3e-4 * 100 ** np.linspace(0, 1, num_models) * rng.uniform(0.7, 1.4, num_models)
    taken_over = rng.uniform(3e-5, 6e-5, (1, NUM_SAMPLES))
    return (
        *(profile(f"model{i}", 1e-4, float(cost_s)) for i, cost_s in enumerate(costs_s)),
        profile(TOP_K, 1e-5, 3e-5),
        LatencyProfile(HAND_OVER, "cpu", 1, np.array([1]), taken_over, "modelled"),
    )


def generated_inputs(num_models: int, num_stages: int, num_cores: int) -> PlanInputs:
    """The whole made-up study."""
    rng = np.random.default_rng(0)
    space = SearchSpace(max_stages=num_stages, num_answers=K)
    return PlanInputs(
        space=space,
        models=tuple(f"model{i}" for i in range(num_models)),
        num_candidates=NUM_ITEMS,
        quality=generated_book(num_models, rng),
        quality_key="made up",
        profiles=generated_profiles(num_models, (*space.keep_counts, NUM_ITEMS), rng),
        platform=Platform(
            name="cpu",
            description="made up",
            memory_bytes=2**34,
            bandwidth_bytes_per_s=2e10,
            compute_flops_per_s=1e11,
            launch_overhead_s=1e-5,
            num_cores=num_cores,
        ),
        workload=Workload(
            arrivals=Poisson(),
            sizes=Fixed(),
            rate_qps=200.0,
            service_level=ServiceLevel(deadline_s=0.025),
        ),
    )


def line(name: str, seconds: float, result: PlanResult) -> str:
    """One row of the table."""
    counts = result.counts
    chosen = result.plan.chosen
    return (
        f"{name:<28}{seconds:>7.1f} s{counts.pipelines:>8}{counts.designs:>8}{counts.unjudged:>7}"
        f"{counts.beaten:>8}{counts.not_steady:>7}{counts.bounded:>7}{counts.simulated:>7}"
        f"{len(result.plan.front.points):>6}  {chosen.path.pipeline.name if chosen else '-'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("models", 10), ("stages", 3), ("cores", 2), ("jobs", os.cpu_count())):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    inputs = generated_inputs(options.models, options.stages, options.cores)
    print(f"{options.models} models, {options.stages} stages, {options.cores} cores")
    print(
        f"{'plan':<28}{'seconds':>9}{'pipel.':>8}{'designs':>8}{'unjud.':>7}{'beaten':>8}"
        f"{'unst.':>7}{'bound.':>7}{'simul.':>7}{'front':>6}  chosen"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, rate_qps, deadline_s, objective in TARGETS:
            level = ServiceLevel(deadline_s=deadline_s)
            target = Target(rate_qps=rate_qps, service_level=level, objective=objective)
            start = time.perf_counter()
            result = make_plan(inputs, target, store_folder=Path(folder), num_jobs=options.jobs)
            print(line(name, time.perf_counter() - start, result), flush=True)


if __name__ == "__main__":
    main()
