"""Searching the accelerator's designs: nothing better is missed, and every bound is held."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from accel_world import LARGE, SMALL
from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import QuerySet
from recfunnel.core.errors import StudyError
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.core.model import ScoreTable
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.accel.chip import Chip
from recfunnel.hardware.accel.design import Design, StageUse
from recfunnel.hardware.accel.fits import check_fits, used_elements, used_embedding_bytes
from recfunnel.hardware.accel.hot_rows import HotRows
from recfunnel.hardware.accel.work import QueryWork
from recfunnel.plan.accel.evaluate import chip_of, limit_qps, price, times_for
from recfunnel.plan.accel.explore import AccelEffort, explore
from recfunnel.plan.accel.filters import FilteredBook, running_share
from recfunnel.plan.accel.problem import (
    MIB,
    AccelModel,
    AccelPipeline,
    AccelProblem,
    AccelSpace,
    AccelTarget,
)
from recfunnel.plan.accel.space import all_designs, cuts, on_chip, pipelines
from recfunnel.quality.book import ScoreBook
from recfunnel.simulate.accel_load import accel_load, saturated_qps
from recfunnel.workload.poisson import Poisson

NUM_ITEMS = 600
EFFORT = AccelEffort(num_finalists=6, num_queries=300, num_replications=2)
CURVE = HotRows(num_tables=26, curve=((1000.0, 0.1), (100_000.0, 0.5)))
SPACE = AccelSpace(
    keep_counts=(128,),
    array_sides=(64,),
    sub_array_sides=(32, 64),
    sub_batches=(1, 4),
    policies=("quota", "host"),
    row_sram_bytes=(4 * MIB,),
    static_eighths=(4,),
)


def problem() -> AccelProblem:
    models = {
        name: AccelModel(name=name, work=work, demand=CURVE)
        for name, work in (("small", SMALL), ("large", LARGE))
    }
    return AccelProblem(chip=Chip(), models=models, num_in=NUM_ITEMS, num_answers=64)


def quality(num_queries: int = 20) -> FilteredBook:
    """Scores of two models, the large one nearer to what is relevant."""
    rng = rng_for(3, "accel quality")
    truth = rng.normal(size=(num_queries, NUM_ITEMS))
    noise = {"small": 1.5, "large": 0.5}
    scores = {
        name: (truth + width * rng.normal(size=truth.shape)).astype(np.float32)
        for name, width in noise.items()
    }
    best = np.sort(np.argsort(-truth, axis=1)[:, :20], axis=1)
    relevant = Ragged(best.ravel(), np.arange(num_queries + 1) * 20, np.ones(best.size, np.float32))
    none = Ragged(np.zeros(0, np.int64), np.zeros(num_queries + 1, np.int64), None)
    schema = FeatureSchema(
        (Feature(name="item", side="candidate", kind="categorical", cardinality=NUM_ITEMS),)
    )
    queries = QuerySet(
        schema,
        Features(np.zeros((num_queries, 0), np.int64), np.zeros((num_queries, 0), np.float32)),
        Features(np.arange(NUM_ITEMS)[:, None], np.zeros((NUM_ITEMS, 0), np.float32)),
        None,
        none,
        relevant,
    )
    book = ScoreBook(queries, [ScoreTable(n, s) for n, s in scores.items()], k=64, num_threads=1)
    return FilteredBook(book, scores)


def test_hits_rise_with_what_is_held_and_shared_rows_are_fetched_once() -> None:
    demand = HotRows(num_tables=4, curve=((10.0, 0.2), (1000.0, 0.9)), once=1)

    shares = demand.hit_share([0, 10, 100, 1000, 10**6])
    assert shares[0] == 0
    assert (np.diff(shares) >= 0).all()
    assert shares[[1, 3, 4]].tolist() == pytest.approx([0.2, 0.9, 0.9])
    assert demand.fetched(100, 1000) == pytest.approx(100 * 3 * 0.1 + 1)


def test_every_design_fits_the_array_and_the_memory() -> None:
    space = AccelSpace()
    for pipeline in pipelines(("small", "large"), space, NUM_ITEMS, 64):
        columns = all_designs(
            pipeline, ("quota",) * len(pipeline.models), 4, (1.1, 1.0)[: len(pipeline.models)],
            space, (128, 16 * MIB),
        )  # fmt: skip
        assert (used_elements(columns) <= 128**2).all()
        assert (used_embedding_bytes(columns) <= 16 * MIB).all()


def test_a_cut_is_placed_on_the_array() -> None:
    work = QueryWork(num_in=NUM_ITEMS, stages=(SMALL, replace(LARGE, num_out=64)))
    for cut in cuts(2, 128, (16, 32, 64, 128)):
        shared = cut[1, 2] == 0
        stages = tuple(
            StageUse(
                rows=int(side),
                cols=int(side),
                copies=int(copies),
                shares_with=0 if shared and stage else None,
            )
            for stage, (side, copies, _) in enumerate(cut)
        )
        check_fits(Chip(), work, Design(stages=stages))


def test_no_design_beats_the_front_before_load() -> None:
    """With every efficient design simulated, brute force finds no lone query answered sooner."""
    made, book = problem(), quality()
    effort = replace(EFFORT, num_finalists=10_000)
    found = explore(made, SPACE, AccelTarget(rate_qps=50), book, effort=effort)
    soonest = []
    for pipeline in pipelines(tuple(made.models), SPACE, NUM_ITEMS, 64):
        for sub_batches in SPACE.sub_batches:
            for policy in ("quota", "host"):
                stages = len(pipeline.models)
                policies = on_chip(policy, stages) if policy == "quota" else ("host",) * stages
                ranked = book.ranked(pipeline, policies, sub_batches)
                columns = all_designs(
                    pipeline, policies, sub_batches, ranked.overshoot, SPACE, (64, 4 * MIB)
                )
                chip = chip_of(made, 64, 4 * MIB, 4 * MIB)
                priced = price(made, pipeline, chip, columns, 50.0)
                soonest.append((priced.alone_s.min(), ranked.ndcg.mean()))

    best = max(ndcg for _, ndcg in soonest)
    assert found.points[0].ndcg.mean == pytest.approx(best)
    assert found.num_designs == 4 * (
        2 * len(cuts(1, 64, (32, 64))) + 3 * len(cuts(2, 64, (32, 64)))
    )
    assert min(p.alone_s for p in found.points) == pytest.approx(min(s for s, _ in soonest))


def test_points_hold_what_the_simulator_says_of_them() -> None:
    found = explore(problem(), SPACE, AccelTarget(rate_qps=500), quality(), effort=EFFORT)
    assert found.points
    assert found.shortfall is None
    assert found.simulated
    for point in found.points:
        assert point.alone_s <= point.p99_s.mean
        assert point.throughput_qps.mean > 500


def test_the_busiest_unit_bounds_the_saturated_throughput() -> None:
    made = problem()
    pipeline = AccelPipeline(models=("small", "large"), kept=(NUM_ITEMS, 128, 64))
    chip = chip_of(made, 64, 4 * MIB, 4 * MIB)
    columns = all_designs(pipeline, ("quota", "quota"), 4, (1.1, 1.0), SPACE, (64, 4 * MIB))
    times = times_for(made, pipeline, chip, columns)
    limit = limit_qps(times)
    for place in range(0, len(columns), 5):
        reached = saturated_qps(times.one(place), np.zeros(600, np.int64))
        assert 0.5 * limit[place] < reached <= limit[place] * 1.02


@pytest.mark.parametrize(
    ("bound", "names"),
    [
        ({"max_area_mm2": 1.0}, "area"),
        ({"max_power_w": 0.01}, "power"),
        ({"min_ndcg": 0.999}, "NDCG"),
        ({"rate_qps": 1e7}, "throughput"),
        ({"max_p99_s": 1e-6}, "p99"),
        ({"max_area_mm2": 1.0, "min_ndcg": 0.999}, "area"),
    ],
)
def test_a_bound_that_nothing_meets_is_named_with_both_numbers(
    bound: dict[str, float], names: str
) -> None:
    found = explore(problem(), SPACE, AccelTarget(**bound), quality(), effort=EFFORT)

    assert not found.points
    assert found.shortfall is not None
    assert names in found.shortfall.requirement
    assert found.shortfall.needed == next(iter(bound.values()))
    less = found.shortfall.available < found.shortfall.needed
    assert less == (names in ("NDCG", "throughput"))


def test_a_bound_is_held_by_every_point() -> None:
    free = explore(problem(), SPACE, AccelTarget(rate_qps=200), quality(), effort=EFFORT)
    area = float(np.median([point.area_mm2 for point in free.points]))
    bound = AccelTarget(rate_qps=200, max_area_mm2=area)
    held = explore(problem(), SPACE, bound, quality(), effort=EFFORT)

    assert max(point.area_mm2 for point in held.points) <= area
    assert max(point.area_mm2 for point in free.points) > area


def test_a_search_goes_on_from_what_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = AccelTarget(rate_qps=200)
    first = explore(problem(), SPACE, target, quality(), effort=EFFORT, folder=tmp_path)
    monkeypatch.setattr(FilteredBook, "ranked", None)
    monkeypatch.setattr("recfunnel.plan.accel.explore.accel_load", None)

    again = explore(problem(), SPACE, target, quality(), effort=EFFORT, folder=tmp_path)
    assert again == first


def test_what_filters_pass_is_the_work_of_the_next_stage() -> None:
    book = quality()
    pipeline = AccelPipeline(models=("small", "large"), kept=(NUM_ITEMS, 128, 64))

    assert book.ranked(pipeline, ("host", "host"), 4).overshoot == (1.0, 1.0)
    assert book.ranked(pipeline, ("quota", "quota"), 4).overshoot[0] > 1.0
    # runs that pass what is above the threshold so far pass more than is wanted by themselves
    assert running_share(1.25, 8) == pytest.approx(1.205, abs=1e-3)
    assert running_share(1.0, 8) == 1.0


def test_the_designs_are_counted_before_they_are_gone_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, target = problem(), AccelTarget(rate_qps=50)
    number = explore(made, SPACE, target, quality(), effort=EFFORT).num_designs
    monkeypatch.setattr("recfunnel.plan.accel.explore.MOST_DESIGNS", number - 1)

    with pytest.raises(StudyError, match=f"{number:,} designs"):
        explore(made, SPACE, target, quality(), effort=EFFORT)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"array_sides": (48,)}, "powers of two"),
        ({"array_sides": (16,), "sub_array_sides": (32,)}, "do not fit"),
        ({"max_stages": 4}, "1 to 3"),
        ({"sub_batches": (0,)}, "1 or more"),
        ({"static_eighths": (9,)}, "0 to 8"),
    ],
)
def test_a_space_without_sense_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        AccelSpace(**changes)


def test_the_same_arrivals_meet_every_design() -> None:
    made = problem()
    pipeline = AccelPipeline(models=("small",), kept=(NUM_ITEMS, 64))
    chip = chip_of(made, 64, 4 * MIB, 4 * MIB)
    columns = all_designs(pipeline, ("quota",), 1, (1.0,), SPACE, (64, 4 * MIB))
    times = times_for(made, pipeline, chip, columns)
    first, second = (accel_load(times.one(i), Poisson(), num_queries=200, seed=4) for i in (0, 1))
    np.testing.assert_array_equal(first.unit_times, second.unit_times)
