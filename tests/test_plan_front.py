"""The pruned search finds the front that simulating every design finds."""

import numpy as np
import pytest

from plan_world import make_inputs, make_target
from recfunnel.core.results import DesignPoint, ParetoFront
from recfunnel.plan.draws import CommonDraws
from recfunnel.plan.evaluate import Evaluator
from recfunnel.plan.hypervolume import hypervolume
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.mappings import enumerate_mappings
from recfunnel.plan.planner import make_plan
from recfunnel.plan.prune import Placement
from recfunnel.plan.search import front_of
from recfunnel.plan.select import Target
from recfunnel.plan.service import StationCurves
from recfunnel.plan.space import enumerate_pipelines
from recfunnel.plan.store import EstimateStore
from recfunnel.simulate.capacity import RATE_TOLERANCE


def every_point(inputs: PlanInputs, target: Target) -> list[DesignPoint]:
    """Simulate every pipeline on every mapping; nothing is pruned or bounded."""
    draws = CommonDraws(inputs.workload, inputs.seed)
    curves = StationCurves(inputs.profiles, inputs.all_score_inputs, draws.fractions)
    evaluator = Evaluator(curves, draws, EstimateStore(None), "all")
    level = target.service_level
    designs = []
    for pipeline in enumerate_pipelines(inputs.space, inputs.models, inputs.num_candidates):
        ndcg = inputs.quality.reports([pipeline])[0].ndcg
        for mapping in enumerate_mappings(len(pipeline.stages), inputs.platform.num_cores):
            sizes = tuple(station.num_stages for station in mapping.stations)
            placement = Placement(pipeline, sizes, ndcg)
            designs.append(evaluator.design(placement, mapping, level.quantile))
    # no shortcut by the steady bound either: the simulator itself says what is steady
    tails = [evaluator.load(d.path).tail(target.rate_qps, level.quantile) for d in designs]
    points = evaluator.points(designs, target.rate_qps, level)
    assert [p.objectives.tail_latency_s.mean for p in points] == [t.mean for t in tails]
    return points


def costs_of(front: ParetoFront) -> np.ndarray:
    return np.array([p.objectives.as_costs() for p in front.points])


def volume(costs: np.ndarray) -> float:
    return hypervolume(costs, np.array([0.0, 0.02, 0.0]))


def check_against_brute_force(inputs: PlanInputs, target: Target) -> None:
    # Capacity comes from a root finder that stops at a relative 1e-3, so two designs it cannot
    # tell apart may swap places: the only allowance made.
    result = make_plan(inputs, target, num_jobs=1)
    found, wanted = costs_of(result.plan.front), costs_of(front_of(every_point(inputs, target)))
    for these, others, says in (
        (wanted, found, "a point of the front was pruned"),
        (found, wanted, "a point is not on the front"),
    ):
        for point in these:
            slack = np.array([0.0, 0.0, RATE_TOLERANCE * abs(point[2])])
            assert (others <= point + slack).all(axis=1).any(), says
    assert volume(found) == pytest.approx(volume(wanted), rel=RATE_TOLERANCE)


@pytest.mark.parametrize(("seed", "rate_qps"), [(0, 200.0), (1, 1500.0), (4, 3000.0)])
def test_the_front_is_that_of_simulating_everything(seed: int, rate_qps: float) -> None:
    check_against_brute_force(make_inputs(seed, num_models=3, simulated=400), make_target(rate_qps))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num_cores", [1, 2])
def test_so_it_is_where_designs_differ_by_little(seed: int, num_cores: int) -> None:
    # keep-counts one item apart: neighbours differ by 1 % or so in time and in quality
    keep_counts = tuple(range(16, 31))
    inputs = make_inputs(
        seed,
        num_models=3,
        max_stages=2,
        keep_counts=keep_counts,
        simulated=300,
        num_cores=num_cores,
        call_noise=0.0,
    )
    check_against_brute_force(inputs, make_target(300.0 * num_cores))


@pytest.mark.parametrize("seed", range(3))
def test_where_queries_may_overtake_the_front_covers_as_much_to_a_thousandth(seed: int) -> None:
    # several servers before the last station: rule (b) is proven for means only, see `plan.prune`
    inputs = make_inputs(seed, num_models=3, max_stages=2, simulated=400, num_cores=5)
    target = make_target(2500.0)
    found = costs_of(make_plan(inputs, target, num_jobs=1).plan.front)
    wanted = costs_of(front_of(every_point(inputs, target)))
    assert volume(found) == pytest.approx(volume(wanted), rel=RATE_TOLERANCE)


def test_pruning_leaves_little_to_simulate() -> None:
    counts = make_plan(make_inputs(1, num_models=5), make_target(), num_jobs=1).counts
    assert counts.beaten > 0.5 * counts.designs
    assert counts.simulated < 0.2 * counts.designs


def test_a_weak_front_stage_is_dropped_without_judging_what_follows() -> None:
    # one item of 400 kept by a poor model bounds quality far below what fast good models reach
    inputs = make_inputs(2, num_models=4, keep_counts=(1, 2), k=1, num_items=400)
    counts = make_plan(inputs, make_target(), num_jobs=1).counts
    assert counts.unjudged > 0


def test_points_come_with_what_simulating_them_alone_gives() -> None:
    inputs, target = make_inputs(3), make_target()
    result = make_plan(inputs, target, num_jobs=1)
    draws = CommonDraws(inputs.workload, inputs.seed)
    curves = StationCurves(inputs.profiles, inputs.all_score_inputs, draws.fractions)
    evaluator = Evaluator(curves, draws, EstimateStore(None), "alone")
    for point in result.plan.front.points:
        load = evaluator.load(point.path)
        level = target.service_level
        assert point.objectives.tail_latency_s == load.tail(target.rate_qps, level.quantile)
        assert point.objectives.capacity_qps == load.capacity(level)
        ndcg = inputs.quality.ndcg(point.path.pipeline)
        assert point.objectives.ndcg.mean == pytest.approx(ndcg.mean())


def test_no_front_point_holds_a_design_that_cannot_carry_the_load() -> None:
    result = make_plan(make_inputs(0), make_target(rate_qps=4000.0), num_jobs=1)
    assert result.counts.not_steady > 0
    for point in result.plan.front.points:
        assert np.isfinite(point.objectives.tail_latency_s.mean)
