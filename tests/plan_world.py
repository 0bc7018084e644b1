"""A made-up study for the planner: scores of rising quality, profiles of rising cost."""

import numpy as np

from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.features import Features, FeatureSchema
from recfunnel.core.model import ScoreTable
from recfunnel.core.platform import Platform
from recfunnel.core.results import LatencyProfile
from recfunnel.core.workload import ServiceLevel, Workload
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.select import Target
from recfunnel.plan.space import SearchSpace
from recfunnel.profile.request import HAND_OVER
from recfunnel.quality.book import ScoreBook
from recfunnel.runtime.timing import TOP_K
from recfunnel.workload.fixed import Fixed
from recfunnel.workload.poisson import Poisson


def make_book(
    num_models: int, num_queries: int, num_items: int, k: int, rng: np.random.Generator
) -> ScoreBook:
    """Models whose scores are the truth plus noise; later models have less of it."""
    truth = rng.normal(size=(num_queries, num_items)).astype(np.float32)
    best = np.argsort(-truth, axis=1)[:, : max(2, num_items // 20)]
    queries = QuerySet(
        schema=FeatureSchema(features=()),
        context=Features.empty(num_queries),
        items=Features.empty(num_items),
        candidates=None,
        excluded=Ragged.from_rows([[] for _ in range(num_queries)]),
        relevance=Ragged.from_rows(best.tolist(), np.ones(best.shape).tolist()),
    )
    noises = np.linspace(1.5, 0.4, num_models) * rng.uniform(0.8, 1.2, num_models)
    tables = [
        ScoreTable(f"m{i}", (truth + noise * rng.normal(size=truth.shape)).astype(np.float32))
        for i, noise in enumerate(noises)
    ]
    return ScoreBook(queries, tables, k, num_threads=1)


def make_profiles(
    num_models: int,
    sizes: list[int],
    rng: np.random.Generator,
    num_samples: int = 50,
    call_noise: float = 0.05,
) -> tuple[LatencyProfile, ...]:
    """Later models cost more an item; every profiled query is a little slow or fast in all."""
    query = rng.lognormal(0.0, 0.15, num_samples)
    batch = np.array(sorted(sizes), np.int64)

    def profile(model: str, fixed_s: float, item_s: float, noise: float) -> LatencyProfile:
        jitter = rng.lognormal(0.0, noise, (batch.size, num_samples))
        times = (fixed_s + item_s * batch)[:, None] * query * np.sort(jitter, axis=0)
        return LatencyProfile(model, "cpu", 1, batch, times, "modelled")

    costs = 1e-7 * 4.0 ** np.linspace(0, 3, num_models) * rng.uniform(0.5, 2.0, num_models)
    hand_over = LatencyProfile(
        HAND_OVER, "cpu", 1, np.array([1]), rng.uniform(2e-5, 4e-5, (1, num_samples)), "modelled"
    )
    models = [profile(f"m{i}", 2e-4, cost, call_noise) for i, cost in enumerate(costs)]
    return (*models, profile(TOP_K, 2e-5, 5e-9, call_noise), hand_over)


def make_inputs(
    seed: int = 0,
    *,
    num_models: int = 4,
    num_items: int = 120,
    num_queries: int = 60,
    num_cores: int = 2,
    keep_counts: tuple[int, ...] = (10, 20, 40),
    max_stages: int = 3,
    k: int = 10,
    simulated: int = 800,
    memory_bytes: int = 2**30,
    call_noise: float = 0.05,
) -> PlanInputs:
    """The whole study of one seed."""
    rng = np.random.default_rng(seed)
    book = make_book(num_models, num_queries, num_items, k, rng)
    profiles = make_profiles(num_models, [*keep_counts, num_items], rng, call_noise=call_noise)
    return PlanInputs(
        space=SearchSpace(max_stages=max_stages, keep_counts=keep_counts, num_answers=k),
        models=tuple(f"m{i}" for i in range(num_models)),
        num_candidates=num_items,
        quality=book,
        quality_key=f"made-up-{seed}",
        profiles=profiles,
        platform=Platform(
            name="cpu",
            description="made up",
            memory_bytes=memory_bytes,
            bandwidth_bytes_per_s=1e10,
            compute_flops_per_s=1e11,
            launch_overhead_s=1e-5,
            num_cores=num_cores,
        ),
        workload=Workload(
            arrivals=Poisson(),
            sizes=Fixed(),
            rate_qps=100.0,
            service_level=ServiceLevel(deadline_s=0.025),
            num_queries=simulated,
            num_replications=3,
        ),
        seed=seed,
    )


def make_target(
    rate_qps: float = 300.0, deadline_s: float = 0.01, objective: str = "quality"
) -> Target:
    """p99 within a deadline at a load."""
    level = ServiceLevel(deadline_s=deadline_s)
    return Target(rate_qps=rate_qps, service_level=level, objective=objective)  # type: ignore[arg-type]
