"""Several paths executed side by side: the answers are those of each path, the choices replay."""

from collections.abc import Iterator
from pathlib import Path as Folder

import numpy as np
import pytest

from recfunnel.core.errors import InvalidInput, ModelError, StudyError
from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of
from recfunnel.core.servable import PathMenu, PathStation, ServablePath, ServiceTimes
from recfunnel.runtime.cascade import Cascade
from recfunnel.runtime.paths_engine import PathsEngine
from recfunnel.runtime.paths_run import PathsRun, SizedLoad
from recfunnel.runtime.paths_server import sized
from recfunnel.runtime.server import stored_question
from recfunnel.schedule.base import Conditions, SchedulerSpec
from recfunnel.schedule.fixed import FixedPath
from recfunnel.schedule.greedy import MostAccurateInTime
from recfunnel.schedule.marginal_value import MarginalValue
from recfunnel.schedule.outcome import Outcome
from recfunnel.simulate.paths import replay_paths
from serving_world import Recipe, load_recipe, make_world, query_set

NUM_ITEMS = 200
QUICK_S, SLOW_S = 0.001, 0.006
RECIPES = [
    Recipe(name="quick", seed=1, sleep_s=QUICK_S),
    Recipe(name="slow", seed=2, sleep_s=SLOW_S),
    Recipe(name="back", seed=3, score_inputs=("quick",)),
    Recipe(name="broken", fails_if_there="/"),
]
STAGES = {"quick": ("quick",), "slow": ("slow",), "two": ("quick", "back"), "broken": ("broken",)}


def servable(
    name: str, quality: float, seconds: float, platform: str = "cpu", num_servers: int = 2
) -> ServablePath:
    models = STAGES[name]
    sizes = (NUM_ITEMS, 5) if len(models) == 1 else (NUM_ITEMS, 20, 5)
    station = Station(platform=platform, num_stages=len(models), num_servers=num_servers)
    service = ServiceTimes(
        num_candidates=(1, NUM_ITEMS), median_s=(seconds,) * 2, tail_s=(seconds * 1.2,) * 2
    )
    return ServablePath(
        name=name,
        quality=quality,
        stations=(PathStation(platform=platform, service=service, num_servers=num_servers),),
        path=Path(pipeline=pipeline_of(models, sizes), mapping=Mapping(stations=(station,))),
    )


MENU = PathMenu(
    paths=(
        servable("quick", 0.7, 0.0013),
        servable("slow", 0.8, 0.0065),
        servable("two", 0.75, 0.0014),
    )
)
CONDITIONS = Conditions(0.02, np.array([10, 100, 200]))


def load_of(num_queries: int, rate_qps: float, seed: int = 0) -> SizedLoad:
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.standard_exponential(num_queries)) / rate_qps
    rows = np.arange(num_queries) % 20
    return SizedLoad(arrival_s, rows, rng.integers(20, NUM_ITEMS + 1, num_queries))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PathsEngine]:
    with PathsEngine(make_world(tmp_path_factory.mktemp("world"), RECIPES)) as engine:
        engine.prepare(MENU)
        yield engine


def expected(name: str, row: int, size: int) -> list[int]:
    """What a path answers in one process."""
    models = {recipe.name: load_recipe(recipe, NUM_ITEMS) for recipe in RECIPES[:3]}
    path = servable(name, 0.5, 1.0).path
    assert path is not None
    cascade = Cascade(path.pipeline, models, NUM_ITEMS)
    question = sized(stored_question(query_set(50, NUM_ITEMS), row), path.pipeline, size)
    return cascade.rank(question).columns.tolist()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_path_answers_what_it_answers_alone(engine: PathsEngine, index: int) -> None:
    load = load_of(20, 100.0)
    run = engine.run(load, FixedPath(index=index), CONDITIONS)
    assert (run.outcome.path == index).all()
    assert run.outcome.answered.all()
    name = MENU.paths[index].name
    for query, row in enumerate(load.query_rows.tolist()):
        answer = [int(column) for column in run.answers[query] if column >= 0]
        assert answer == expected(name, row, int(load.num_candidates[query]))


def replayed(menu: PathMenu, spec: SchedulerSpec, load: SizedLoad, run: PathsRun) -> Outcome:
    policy = spec.build(menu, CONDITIONS)
    times = (load.arrival_s, load.num_candidates, run.events)
    return replay_paths(menu, policy, CONDITIONS.deadline_s, *times)


@pytest.mark.parametrize(
    "spec",
    [
        FixedPath(),
        MostAccurateInTime(queue_aware=True),
        MarginalValue(),
        MarginalValue(sheds="never"),
    ],
)
@pytest.mark.parametrize("rate_qps", [100.0, 900.0])
def test_a_run_simulated_again_makes_the_same_choices(
    engine: PathsEngine, spec: SchedulerSpec, rate_qps: float
) -> None:
    load = load_of(200, rate_qps)
    run = engine.run(load, spec, CONDITIONS)
    again = replayed(MENU, spec, load, run)
    assert np.array_equal(again.path, run.outcome.path)
    served = run.outcome.answered
    assert served.any()
    # the dispatcher hears of an answer a moment after the server gave it
    late_s = again.latency_s[served] - run.outcome.latency_s[served]
    assert (late_s > 0).all()
    assert np.median(late_s) < 0.005


def used(run: PathsRun, index: int) -> float:
    return float((run.outcome.path == index).mean())


def test_more_load_moves_queries_to_the_quicker_paths(engine: PathsEngine) -> None:
    calm = engine.run(load_of(100, 40.0), MarginalValue(), CONDITIONS)
    busy = engine.run(load_of(400, 700.0), MarginalValue(), CONDITIONS)
    assert used(calm, 1) > 0.8
    assert used(busy, 1) < 0.5


def test_work_is_what_the_servers_spent(engine: PathsEngine) -> None:
    run = engine.run(load_of(30, 50.0), FixedPath(index=1), CONDITIONS)
    assert (run.outcome.work_s >= SLOW_S).all()
    assert (run.outcome.latency_s >= run.outcome.work_s).all()
    assert np.median(run.decision_s) < 0.005


def test_a_run_that_is_given_up_leaves_queries_unanswered(engine: PathsEngine) -> None:
    run = engine.run(load_of(100, 1e5), FixedPath(index=1), CONDITIONS, drain_s=0.05)
    assert 0 < run.outcome.answered.sum() < 100
    assert (run.outcome.path == 1).all()  # given up, not turned away
    assert engine.run(load_of(5, 50.0), FixedPath(), CONDITIONS).outcome.answered.all()


def test_platforms_have_servers_of_their_own(tmp_path: Folder) -> None:
    menu = PathMenu(
        paths=(
            servable("quick", 0.7, 0.0013, num_servers=1),
            servable("slow", 0.8, 0.0065, platform="other", num_servers=1),
        )
    )
    with PathsEngine(make_world(tmp_path, RECIPES)) as engine:
        engine.prepare(menu)
        for index in (0, 1):
            run = engine.run(load_of(10, 50.0), FixedPath(index=index), CONDITIONS)
            assert run.outcome.answered.all()


def in_two_stations(quality: float = 0.75, num_servers: int = 1) -> ServablePath:
    """`quick` on one platform, `back`, which reads its scores, on another."""
    whole = servable("two", quality, 0.0014, num_servers=num_servers)
    assert whole.path is not None
    service = whole.stations[0].service
    names = ("cpu", "other")
    return ServablePath(
        name="two",
        quality=quality,
        stations=tuple(
            PathStation(platform=name, service=service, num_servers=num_servers) for name in names
        ),
        path=Path(
            pipeline=whole.path.pipeline,
            mapping=Mapping(
                stations=tuple(
                    Station(platform=name, num_stages=1, num_servers=num_servers) for name in names
                )
            ),
        ),
    )


STATIONS_MENU = PathMenu(
    paths=(
        servable("quick", 0.7, 0.0013, num_servers=1),
        in_two_stations(),
        servable("slow", 0.8, 0.0065, platform="other", num_servers=1),
    )
)


@pytest.fixture(scope="module")
def stations_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PathsEngine]:
    with PathsEngine(make_world(tmp_path_factory.mktemp("world"), RECIPES)) as engine:
        engine.prepare(STATIONS_MENU)
        yield engine


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_path_of_several_stations_answers_what_it_answers_alone(
    stations_engine: PathsEngine, index: int
) -> None:
    load = load_of(40, 400.0)  # close enough that several queries lie between the stations
    run = stations_engine.run(load, FixedPath(index=index), CONDITIONS)
    assert run.outcome.answered.all()
    name = STATIONS_MENU.paths[index].name
    for query, row in enumerate(load.query_rows.tolist()):
        answer = [int(column) for column in run.answers[query] if column >= 0]
        assert answer == expected(name, row, int(load.num_candidates[query]))


@pytest.mark.parametrize("spec", [FixedPath(index=1), MarginalValue()])
def test_a_run_over_several_stations_makes_the_same_choices_again(
    stations_engine: PathsEngine, spec: SchedulerSpec
) -> None:
    load = load_of(200, 500.0)
    run = stations_engine.run(load, spec, CONDITIONS)
    again = replayed(STATIONS_MENU, spec, load, run)
    assert np.array_equal(again.path, run.outcome.path)
    assert used(run, 1) > 0.1
    both = run.outcome.path == 1
    assert (run.outcome.work_s[both] >= QUICK_S).all()
    served = run.outcome.answered
    late_s = again.latency_s[served] - run.outcome.latency_s[served]
    assert (late_s > 0).all()
    assert np.median(late_s) < 0.005


def by_size(seconds: float) -> ServablePath:
    """`slow`, as if its time were proportional to the candidates."""
    whole = servable("slow", 0.8, 1.0)
    service = ServiceTimes(
        num_candidates=(1, NUM_ITEMS),
        median_s=(seconds / NUM_ITEMS, seconds),
        tail_s=(1.1 * seconds / NUM_ITEMS, 1.1 * seconds),
    )
    station = PathStation(platform="cpu", service=service, num_servers=2)
    return ServablePath(name="slow", quality=0.8, stations=(station,), path=whole.path)


def test_a_query_cut_over_two_servers_is_answered_as_a_whole_one(engine: PathsEngine) -> None:
    menu = PathMenu(paths=(by_size(0.03),))
    spec = MarginalValue(splits=True, learning=0.0)
    engine.prepare(menu)
    try:
        load = load_of(40, 15.0)
        run = engine.run(load, spec, CONDITIONS)
    finally:
        engine.prepare(MENU)
    cut = run.outcome.num_parts == 2
    # cut are those that would take most of 20 ms whole
    assert cut[load.num_candidates > 160].any()
    assert not cut[load.num_candidates < 90].any()
    for query in np.flatnonzero(run.outcome.answered).tolist():
        row, size = int(load.query_rows[query]), int(load.num_candidates[query])
        answer = [int(column) for column in run.answers[query] if column >= 0]
        assert answer == expected("slow", row, size)
    assert (run.outcome.work_s[cut] >= 2 * SLOW_S).all()
    again = replayed(menu, spec, load, run)
    assert np.array_equal(again.num_parts, run.outcome.num_parts)
    assert np.array_equal(again.path, run.outcome.path)


def test_what_cannot_be_executed_is_refused(tmp_path: Folder) -> None:
    simulated = ServablePath(name="s", quality=0.5, stations=MENU.paths[0].stations)
    more = servable("slow", 0.8, 0.006)
    wrong = ServablePath(
        name="w",
        quality=0.5,
        stations=more.stations,
        path=servable("quick", 0.5, 1.0, num_servers=1).path,
    )
    half = ServablePath(name="h", quality=0.5, stations=in_two_stations().stations, path=more.path)
    with PathsEngine(make_world(tmp_path, RECIPES)) as engine:
        with pytest.raises(StudyError, match="prepare a menu"):
            engine.run(load_of(5, 10.0), FixedPath(), CONDITIONS)
        with pytest.raises(StudyError, match="says nothing of what is executed"):
            engine.prepare(PathMenu(paths=(simulated,)))
        with pytest.raises(StudyError, match="executed in 1 stations but profiled in 2"):
            engine.prepare(PathMenu(paths=(half,)))
        with pytest.raises(StudyError, match="executed by 1 servers on 'cpu' but profiled for 2"):
            engine.prepare(PathMenu(paths=(wrong,)))
        engine.prepare(PathMenu(paths=(more,)))
        with pytest.raises(StudyError, match="index 4 but the menu has 1 paths"):
            engine.run(load_of(5, 10.0), FixedPath(index=4), CONDITIONS)
    with pytest.raises(InvalidInput, match="give as many of each"):
        SizedLoad(np.zeros(2), np.zeros(1, np.int64), np.ones(2, np.int64))
    with pytest.raises(InvalidInput, match="at least 1"):
        SizedLoad(np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int64))


def test_a_model_that_fails_ends_the_run_with_its_reason(tmp_path: Folder) -> None:
    flag = tmp_path / "now"
    recipes = [Recipe(name="broken", fails_if_there=str(flag))]
    with PathsEngine(make_world(tmp_path / "world", recipes)) as engine:
        engine.prepare(PathMenu(paths=(servable("broken", 0.5, 0.001),)))
        flag.touch()
        with pytest.raises((ModelError, Exception), match="no score today"):
            engine.run(load_of(5, 10.0), FixedPath(), CONDITIONS)
