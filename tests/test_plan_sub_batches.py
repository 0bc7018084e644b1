"""The planner prices sub-batches, judges what shares lose, and chooses them where they pay."""

import dataclasses

import msgspec
import numpy as np
import pytest

from plan_world import make_inputs, make_profiles, make_target
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import (
    Keep,
    Mapping,
    Path,
    Pipeline,
    Station,
    pipeline_of,
    stage_scorers,
)
from recfunnel.core.results import LatencyProfile
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.planner import make_plan
from recfunnel.plan.service import StationCurves
from recfunnel.plan.space import SearchSpace, enumerate_pipelines
from recfunnel.profile.request import sizes_of
from recfunnel.profile.runtimes import RuntimeChoice
from recfunnel.profile.service import draw_service

MODELS: dict[str, tuple[str, ...]] = {"m0": (), "m1": (), "m2": ()}
PLAIN = pipeline_of(("m0", "m2"), (120, 20, 10))
LATE_S = 3e-5


def cut(sub_batches: int, keep: Keep = "all") -> Pipeline:
    return Pipeline(stages=PLAIN.stages, sub_batches=sub_batches, keep=keep)


def on_two_cores(profile: LatencyProfile) -> LatencyProfile:
    """Long calls split over two cores, one of them late; short ones stay on one."""
    long = (profile.batch_sizes >= 60) & profile.model.startswith("m")
    split_s = profile.latency_s / 2 + LATE_S
    latency_s = np.where(long[:, None], split_s, profile.latency_s)
    return dataclasses.replace(profile, num_threads=2, latency_s=latency_s)


def by_items(profile: LatencyProfile) -> LatencyProfile:
    """A model whose calls cost nothing but their items; later models cost more."""
    if not profile.model.startswith("m"):
        return profile
    item_s = 3e-6 * 3.0 ** int(profile.model[1:])
    spread = profile.latency_s / profile.latency_s.mean(axis=1, keepdims=True)
    latency_s = item_s * profile.batch_sizes[:, None] * np.sort(spread, axis=0)
    return dataclasses.replace(profile, latency_s=latency_s)


def both(profiles: tuple[LatencyProfile, ...]) -> tuple[LatencyProfile, ...]:
    one = tuple(map(by_items, profiles))
    return (*one, *map(on_two_cores, one))


SIZES = [1, 5, 10, 20, 30, 40, 60, 120]
PROFILES = both(make_profiles(3, SIZES, np.random.default_rng(0)))


def mean_s(model: str, size: int, threads: int) -> float:
    found = next(p for p in PROFILES if (p.model, p.num_threads) == (model, threads))
    return float(found.latency_s[found.batch_sizes.tolist().index(size)].mean())


def curve_mean_s(pipeline: Pipeline, threads: int) -> float:
    curves = StationCurves(PROFILES, MODELS, np.ones(1))
    return float(curves.station(pipeline, range(2), 0, "cpu", threads).mean())


@pytest.mark.parametrize(("sub_batches", "threads", "turns"), [(2, 2, 1), (4, 2, 2), (4, 1, 4)])
def test_a_query_costs_its_busiest_core_and_the_start_of_the_others(
    sub_batches: int, threads: int, turns: int
) -> None:
    parts = mean_s("m0", 120 // sub_batches, 1) + mean_s("m2", 20 // sub_batches, 1)
    around = mean_s("top_k", 120, threads) + mean_s("top_k", 20, threads)
    around += mean_s("hand_over", 1, threads)
    start = LATE_S if threads == 2 else 0.0

    wanted = turns * parts + around + start
    # 1024 grid points stand for 50 samples: their means agree to a few parts in a thousand
    assert curve_mean_s(cut(sub_batches), threads) == pytest.approx(wanted, rel=5e-3)


@pytest.mark.parametrize("keep", ["all", "share"])
def test_predictions_draw_what_the_search_adds_up(keep: Keep) -> None:
    station = Station(platform="cpu", num_stages=2, num_threads=2)
    path = Path(pipeline=cut(4, keep), mapping=Mapping(stations=(station,)))
    rng = np.random.default_rng(3)
    drawn = draw_service(path, stage_scorers(PLAIN, MODELS), PROFILES, np.ones(20_000), rng)

    assert drawn.mean() == pytest.approx(curve_mean_s(cut(4, keep), 2), rel=6e-3)


def test_every_size_a_sub_batch_is_called_at_is_profiled() -> None:
    assert sizes_of([cut(8)], MODELS) == {"m0": (15, 120), "m2": (3, 20)}
    assert sizes_of([cut(8)], MODELS, 0.1)["m0"] == (2, 12, 15, 120)


def inputs_with(*keeps: Keep, num_cores: int = 2) -> PlanInputs:
    plain = make_inputs(0, num_models=3, simulated=400, num_cores=num_cores)
    profiles = both(make_profiles(3, SIZES, np.random.default_rng(0)))
    space = msgspec.structs.replace(
        plain.space, thread_counts=(1, 2), sub_batches=(1, 2), keeps=keeps
    )
    return dataclasses.replace(plain, space=space, profiles=profiles)


def test_where_stages_split_badly_sub_batches_shorten_the_tail() -> None:
    target = make_target(50.0, 5e-3)
    found = make_plan(inputs_with("all"), target, num_jobs=1).plan.front.points
    plain = dataclasses.replace(
        inputs_with("all"),
        space=msgspec.structs.replace(inputs_with("all").space, sub_batches=(1,)),
    )
    without = make_plan(plain, target, num_jobs=1).plan.front.points
    for point in without:
        if len(point.path.pipeline.stages) < 2:
            continue
        matched = [
            p.objectives.tail_latency_s.mean
            for p in found
            if p.objectives.ndcg.mean >= point.objectives.ndcg.mean
        ]
        assert min(matched) <= point.objectives.tail_latency_s.mean
    assert any(p.path.pipeline.sub_batches == 2 for p in found)


def test_what_shares_lose_is_measured_and_not_assumed() -> None:
    inputs = inputs_with("all", "share")
    result = make_plan(inputs, make_target(50.0, 5e-3), num_jobs=1)
    shares = [p for p in result.points if p.path.pipeline.keep == "share"]
    for point in result.points:
        ndcg = inputs.quality.ndcg(point.path.pipeline).mean()
        assert point.objectives.ndcg.mean == pytest.approx(ndcg, rel=1e-12)
    assert all(p.path.pipeline.sub_batches == 2 for p in shares)


def test_models_whose_runtime_takes_a_query_whole_are_not_cut() -> None:
    chosen = {
        (model, "cpu", threads, size): "slow" if (model, size) == ("m2", 10) else "native"
        for model in MODELS
        for threads in (1, 2)
        for size in SIZES
    }
    inputs = dataclasses.replace(
        inputs_with("all"),
        runtimes=RuntimeChoice(chosen),
        runtimes_of_sub_batches=frozenset({"native"}),
    )
    assert not inputs.can_be_cut(cut(2))  # m2 is called with sub-batches of 10
    assert inputs.can_be_cut(PLAIN)
    assert inputs.can_be_cut(Pipeline(stages=PLAIN.stages[:1], sub_batches=2))


def test_a_path_of_sub_batches_names_the_runtimes_of_its_calls_on_one_core() -> None:
    choice = RuntimeChoice(
        {("m0", "cpu", 2, 120): "a", ("m0", "cpu", 1, 60): "b", ("m2", "cpu", 1, 10): "b"}
    )
    station = Station(platform="cpu", num_stages=2, num_threads=2)
    path = Path(pipeline=cut(2), mapping=Mapping(stations=(station,)))

    assert choice.named(path, MODELS).runtimes == (("m0", "b"), ("m2", "b"))


def test_pipelines_of_several_stages_come_with_every_cut() -> None:
    space = SearchSpace(
        max_stages=2, keep_counts=(20,), num_answers=5, sub_batches=(1, 4), keeps=("all", "share")
    )
    found = enumerate_pipelines(space, ("a", "b"), 100)

    cuts = [(p.sub_batches, p.keep) for p in found if p.models == ("a", "b")]
    assert cuts == [(1, "all"), (4, "all"), (4, "share")]
    assert all(p.sub_batches == 1 for p in found if len(p.stages) == 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sub_batches": (0,)}, "at least 1"),
        ({"sub_batches": ()}, "at least 1"),
        ({"keeps": ()}, "at least one of"),
        ({"sub_batches": (1, 65)}, "keep-count 64 cannot be shared by 65"),
        ({"sub_batches": (2, 2)}, "names 2 twice"),
        ({"sub_batches": (2,), "thread_counts": (2,)}, "add 1 to thread_counts"),
    ],
)
def test_cuts_that_cannot_be_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        SearchSpace(**wrong)  # type: ignore[arg-type]
