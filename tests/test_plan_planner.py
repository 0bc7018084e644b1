"""Plans: what they promise holds, they depend on nothing else, and infeasible is an answer."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_world import make_inputs, make_target
from recfunnel.core.errors import StorageError, StudyError
from recfunnel.core.results import Estimate, ServingPlan, Shortfall
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.planner import PlanResult, make_plan
from recfunnel.plan.select import Target, meets
from recfunnel.plan.serving import load_plan, save_plan
from recfunnel.plan.store import EstimateStore
from recfunnel.plan.versus import ratio

INPUTS = make_inputs(0, num_models=3, simulated=400)


def plan(target: Target, inputs: PlanInputs = INPUTS, folder: Path | None = None) -> PlanResult:
    return make_plan(inputs, target, store_folder=folder, num_jobs=1)


def best_ndcg(target: Target) -> float:
    """Of the points that meet the target; 0 when none does."""
    points = plan(target).plan.front.points
    return max((p.objectives.ndcg.mean for p in points if meets(p, target)), default=0.0)


@settings(deadline=None, max_examples=12)
@given(st.floats(3e-4, 5e-3), st.floats(1.0, 4.0))
def test_a_looser_deadline_never_lowers_the_best_quality(deadline_s: float, factor: float) -> None:
    tight, loose = (make_target(1000.0, d) for d in (deadline_s, factor * deadline_s))
    assert best_ndcg(tight) <= best_ndcg(loose)


@settings(deadline=None, max_examples=12)
@given(st.floats(100.0, 5000.0), st.floats(1.0, 4.0))
def test_more_load_never_raises_the_best_quality(rate_qps: float, factor: float) -> None:
    light, heavy = (make_target(r, 2e-3) for r in (rate_qps, factor * rate_qps))
    assert best_ndcg(heavy) <= best_ndcg(light)


@pytest.mark.parametrize("objective", ["quality", "capacity"])
def test_what_is_chosen_is_on_the_front_and_meets_the_deadline(objective: str) -> None:
    target = make_target(1000.0, 3e-3, objective)
    result = plan(target)
    chosen = result.plan.chosen
    assert chosen is not None
    assert chosen in result.plan.front.points
    assert chosen.objectives.tail_latency_s.mean <= 3e-3
    assert chosen.path.pipeline.name in result.plan.reason


def test_of_points_the_queries_cannot_tell_apart_the_one_of_most_capacity_is_chosen() -> None:
    target = msgspec.structs.replace(make_target(300.0, 5e-3), tolerance=0.99)
    result = plan(target)
    chosen = result.plan.chosen
    assert chosen is not None
    able = [p for p in result.plan.front.points if meets(p, target)]
    top = max(able, key=lambda p: p.objectives.ndcg.mean)
    best = INPUTS.quality.ndcg(top.path.pipeline)
    for point in able:
        if point.objectives.capacity_qps.mean > chosen.objectives.capacity_qps.mean:
            lost = Estimate.of(best - INPUTS.quality.ndcg(point.path.pipeline))
            # 1.6 instead of 1.96: a bootstrap interval of 60 queries is not quite the normal one
            assert lost.mean > 1.6 * lost.stderr


def test_quality_never_risks_more_than_the_tolerance() -> None:
    target = msgspec.structs.replace(make_target(300.0, 5e-3), tolerance=0.0)
    chosen = plan(target).plan.chosen
    assert chosen is not None
    assert chosen.objectives.ndcg.mean == best_ndcg(target)


def test_capacity_gives_up_no_more_than_the_tolerance() -> None:
    for tolerance in (0.0, 0.02, 0.2):
        target = msgspec.structs.replace(make_target(300.0, 5e-3, "capacity"), tolerance=tolerance)
        chosen = plan(target).plan.chosen
        assert chosen is not None
        assert chosen.objectives.ndcg.mean >= (1 - tolerance) * best_ndcg(target)


def test_every_single_model_is_a_baseline_even_outside_the_space() -> None:
    space = msgspec.structs.replace(INPUTS.space, models=("m0", "m1"))
    result = plan(make_target(), msgspec_replace(INPUTS, space=space))
    assert [p.path.pipeline.models for p in result.plan.baselines] == [("m0",), ("m1",), ("m2",)]
    assert all("m2" not in p.path.pipeline.models for p in result.plan.front.points)
    assert result.versus_single is not None
    assert result.versus_single.single.path.pipeline.models == ("m2",)


def msgspec_replace(inputs: PlanInputs, **changes: object) -> PlanInputs:
    fields = {name: getattr(inputs, name) for name in PlanInputs.__slots__}
    return PlanInputs(**(fields | changes))


def test_the_comparison_with_the_best_single_model_has_both_numbers() -> None:
    result = plan(make_target())
    versus, chosen = result.versus_single, result.plan.chosen
    assert versus is not None
    assert chosen is not None
    ndcg = INPUTS.quality.ndcg
    gain = ndcg(chosen.path.pipeline) - ndcg(versus.single.path.pipeline)
    assert versus.ndcg.difference.mean == pytest.approx(gain.mean())
    single_qps = versus.single.objectives.capacity_qps.mean
    assert versus.capacity_ratio.mean * single_qps == pytest.approx(
        chosen.objectives.capacity_qps.mean
    )


def test_a_deadline_no_lone_query_meets_says_so_and_how_long_it_takes() -> None:
    shortfall = short(plan(make_target(300.0, 1e-5)))
    assert shortfall.unit == "s"
    assert shortfall.needed == 1e-5 < shortfall.available
    relaxed = make_target(300.0, 1.2 * shortfall.available)
    assert plan(relaxed).plan.chosen is not None
    assert not any("cores" in remedy for remedy in shortfall.remedies)


def test_too_much_load_says_what_can_be_served() -> None:
    # 4,000 queries a replication know their own load to 2 %
    inputs = make_inputs(0, num_models=3, simulated=4000)
    shortfall = short(plan(make_target(20_000.0, 5e-3), inputs))
    assert (shortfall.needed, shortfall.unit) == (20_000.0, "queries/s")
    assert plan(make_target(0.95 * shortfall.available, 5e-3), inputs).plan.chosen is not None
    assert plan(make_target(1.05 * shortfall.available, 5e-3), inputs).plan.chosen is None


@settings(deadline=None, max_examples=15)
@given(st.floats(5000.0, 8000.0))
def test_what_is_available_is_never_said_to_be_enough(rate_qps: float) -> None:
    made = plan(make_target(rate_qps, 5e-3)).plan
    if made.shortfall is not None and made.shortfall.unit == "queries/s":
        assert made.shortfall.available <= made.shortfall.needed
    elif made.shortfall is not None:
        assert made.shortfall.available > made.shortfall.needed


def test_so_many_cores_are_enough_and_one_less_is_not() -> None:
    target = make_target(20_000.0, 5e-3)
    shortfall = short(plan(target))
    cores = int(next(r for r in shortfall.remedies if "cores" in r).split()[0])
    bigger = [
        msgspec.structs.replace(INPUTS.platform, num_cores=count) for count in (cores, cores - 1)
    ]
    enough, too_few = (plan(target, msgspec_replace(INPUTS, platform=p)) for p in bigger)
    assert enough.plan.chosen is not None
    assert too_few.plan.chosen is None


def test_a_deadline_remedy_is_feasible() -> None:
    target = make_target(4500.0, 4.5e-4)
    shortfall = short(plan(target))
    remedy = next(r for r in shortfall.remedies if r.startswith("a deadline of"))
    needed_s = float(remedy.split()[3]) / 1000
    assert plan(make_target(4500.0, 1.01 * needed_s)).plan.chosen is not None
    assert plan(make_target(4500.0, 0.97 * needed_s)).plan.chosen is None


def test_memory_that_holds_nothing_is_the_binding_constraint() -> None:
    small = msgspec.structs.replace(INPUTS.platform, memory_bytes=1000)
    sizes = {"m0": 600, "m1": 700, "m2": 800}
    shortfall = short(
        plan(make_target(), msgspec_replace(INPUTS, platform=small, model_bytes=sizes))
    )
    assert (shortfall.needed, shortfall.available, shortfall.unit) == (1200.0, 1000.0, "bytes")


def test_paths_beyond_the_memory_are_not_chosen() -> None:
    small = msgspec.structs.replace(INPUTS.platform, memory_bytes=1400)
    sizes = {"m0": 600, "m1": 700, "m2": 800}
    inputs = msgspec_replace(INPUTS, platform=small, model_bytes=sizes)
    result = plan(make_target(), inputs)
    assert result.counts.too_large > 0
    for point in result.plan.front.points:
        needed = sum(
            s.num_servers * sum(sizes[m] for m in models)
            for s, models in zip(
                point.path.mapping.stations, station_models(point.path), strict=True
            )
        )
        assert needed <= 1400


def station_models(path: object) -> list[tuple[str, ...]]:
    models = list(path.pipeline.models)  # type: ignore[attr-defined]
    found = []
    for station in path.mapping.stations:  # type: ignore[attr-defined]
        found.append(tuple(models[: station.num_stages]))
        models = models[station.num_stages :]
    return found


def short(result: PlanResult) -> Shortfall:
    assert result.plan.chosen is None
    assert result.plan.shortfall is not None
    assert f"{result.plan.shortfall.available:.4g}" in result.plan.reason
    return result.plan.shortfall


def test_jobs_and_what_is_stored_change_nothing(tmp_path: Path) -> None:
    target = make_target(1000.0)
    alone = plan(target)
    jobs = make_plan(INPUTS, target, num_jobs=3)
    plan(make_target(500.0, 0.004, "capacity"), folder=tmp_path)
    stored = plan(target, folder=tmp_path)
    again = plan(target, folder=tmp_path)
    assert alone.plan == jobs.plan == stored.plan == again.plan
    assert alone.points == jobs.points == stored.points == again.points
    assert again.counts.simulated == 0


def test_capacity_is_not_simulated_again_for_another_load(tmp_path: Path) -> None:
    first = plan(make_target(1000.0), folder=tmp_path)
    other = plan(make_target(1010.0), folder=tmp_path)
    fresh = plan(make_target(1010.0))
    assert other.plan == fresh.plan
    assert other.counts.simulated < 0.8 * fresh.counts.simulated
    assert first.plan.content_hash != other.plan.content_hash


def test_other_profiles_or_scores_use_nothing_stored(tmp_path: Path) -> None:
    plan(make_target(), folder=tmp_path)
    slower = tuple(
        type(p)(p.model, p.platform, 1, p.batch_sizes, 1.5 * p.latency_s, p.source)
        for p in INPUTS.profiles
    )
    changed = msgspec_replace(INPUTS, profiles=slower)
    assert plan(make_target(), changed, tmp_path).plan == plan(make_target(), changed).plan


def test_a_plan_survives_its_file_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    # the baseline m2 cannot carry this load, so an infinite tail goes through the file too
    target = make_target(4500.0, 3e-3)
    made = plan(target).plan
    tails = [p.objectives.tail_latency_s.mean for p in made.baselines]
    assert math.inf in tails
    save_plan(tmp_path / "plan.json", made)
    assert load_plan(tmp_path / "plan.json") == made

    changed = msgspec.structs.replace(made, rate_qps=made.rate_qps + 1)
    save_plan(tmp_path / "plan.json", changed)
    with pytest.raises(StorageError, match="was changed after it was made"):
        load_plan(tmp_path / "plan.json")


def test_the_hash_names_the_models_too() -> None:
    hashes = {
        plan(make_target(), msgspec_replace(INPUTS, quality_key=key)).plan.content_hash
        for key in ("one", "two")
    }
    assert len(hashes) == 2


def test_a_result_is_a_stored_value() -> None:
    result = plan(make_target())
    assert isinstance(result.plan, ServingPlan)
    assert msgspec.convert(msgspec.to_builtins(result), PlanResult) == result


@pytest.mark.parametrize(("rate_qps", "tolerance"), [(0.0, 0.1), (-1.0, 0.1), (1.0, -0.1)])
def test_a_target_that_makes_no_sense_is_refused(rate_qps: float, tolerance: float) -> None:
    level = make_target().service_level
    with pytest.raises(StudyError, match="must be"):
        Target(rate_qps=rate_qps, service_level=level, tolerance=tolerance)


def test_a_damaged_store_says_which_file_to_delete(tmp_path: Path) -> None:
    store = EstimateStore(tmp_path)
    store.put("tail-1", "path", Estimate(mean=math.inf, stderr=0.0, num_samples=3))
    store.save()
    assert EstimateStore(tmp_path).get("tail-1", "path") == store.get("tail-1", "path")
    (tmp_path / "tail-1.json").write_text("{")
    with pytest.raises(StorageError, match=r"delete tail-1\.json"):
        EstimateStore(tmp_path).get("tail-1", "path")


def test_the_error_of_a_ratio_is_that_of_drawing_both() -> None:
    rng = np.random.default_rng(0)
    over, under = (Estimate(mean=m, stderr=s, num_samples=5) for m, s in ((300.0, 3.0), (100.0, 2)))
    drawn = rng.normal(300, 3, 100_000) / rng.normal(100, 2, 100_000)
    assert ratio(over, under).mean == pytest.approx(drawn.mean(), rel=1e-3)
    assert ratio(over, under).stderr == pytest.approx(drawn.std(), rel=0.02)
    assert ratio(over, Estimate.exact(0.0)).mean == math.inf
