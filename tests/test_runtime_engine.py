"""The engine: an exact open-loop first-come-first-served queue, whose processes always end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path as Folder

import numpy as np
import psutil
import pytest

from recfunnel.core.arrays import DoubleArray
from recfunnel.core.errors import InvalidInput, ModelError, StorageError, StudyError, WorkerError
from recfunnel.core.pipeline import Mapping, Path, Pipeline, Station, pipeline_of
from recfunnel.runtime.arena import Arena, Slots, new_file, run_layout
from recfunnel.runtime.cascade import Cascade, Survivors
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.generator import send_all
from recfunnel.runtime.noise import Disturbance, Reading, disturbance
from recfunnel.runtime.placement import assign_cores, spare_cores
from recfunnel.runtime.served import OpenLoad, ServedRun
from recfunnel.runtime.server import stored_question
from serving_world import Recipe, load_recipe, make_world, query_set

NUM_ITEMS = 200
RECIPES = [
    Recipe(name="front", seed=1),
    Recipe(name="back", seed=2, score_inputs=("front",)),
    Recipe(name="slow", sleep_s=0.004),
]
TWO_STAGES = pipeline_of(("front", "back"), (NUM_ITEMS, 20, 5))


def path_of(pipeline: Pipeline, *servers: int) -> Path:
    """Stages spread over stations of that many servers each."""
    together = len(pipeline.stages) if len(servers) == 1 else 1
    stations = [Station(platform="cpu", num_stages=together, num_servers=n) for n in servers]
    return Path(pipeline=pipeline, mapping=Mapping(stations=tuple(stations)))


def load_of(arrival_s: DoubleArray, warmup: int = 0) -> OpenLoad:
    return OpenLoad(arrival_s, np.arange(arrival_s.size) % 3, warmup=warmup)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    setup = make_world(tmp_path_factory.mktemp("world"), RECIPES)
    with Engine(setup) as engine:
        yield engine


@pytest.mark.parametrize("servers", [(1,), (2,), (1, 1), (2, 1)])
def test_answers_what_the_cascade_answers_in_one_process(
    engine: Engine, servers: tuple[int, ...]
) -> None:
    models = {r.name: load_recipe(r, NUM_ITEMS) for r in RECIPES[:2]}
    cascade = Cascade(TWO_STAGES, models, NUM_ITEMS)
    queries = query_set(50, NUM_ITEMS)
    engine.prepare(path_of(TWO_STAGES, *servers))

    run = engine.run(load_of(np.linspace(0, 0.1, 50)))

    assert run.complete
    for row in range(3):
        expected = cascade.rank(stored_question(queries, row)).columns
        assert (run.answers[row::3] == expected).all()


def test_a_burst_is_worked_off_first_come_first_served(engine: Engine) -> None:
    engine.prepare(path_of(pipeline_of(("slow",), (NUM_ITEMS, 5)), 1))

    run = engine.run(load_of(np.zeros(12)))

    service_s = run.service_s[0]
    assert (np.diff(run.latency_s) > 0).all()
    # One server, all at once: query i waits for all before it, and for nothing else but hand-over.
    waited_s = run.latency_s - np.cumsum(service_s)
    assert (waited_s >= 0).all()
    assert np.median(np.diff(waited_s)) < 0.001


def test_two_servers_share_one_queue(engine: Engine) -> None:
    engine.prepare(path_of(pipeline_of(("slow",), (NUM_ITEMS, 5)), 2))

    run = engine.run(load_of(np.zeros(20)))

    total_s = run.service_s.sum()
    assert total_s / 2 <= run.latency_s.max() < 0.75 * total_s


def test_latency_counts_from_the_scheduled_time_of_an_overloaded_run(engine: Engine) -> None:
    """4 ms of work every 1 ms: a closed loop would hide the queue, an open loop shows it."""
    engine.prepare(path_of(pipeline_of(("slow",), (NUM_ITEMS, 5)), 1))
    arrival_s = np.arange(40) * 0.001

    run = engine.run(load_of(arrival_s))

    ends_s = arrival_s + run.latency_s
    assert (np.diff(ends_s) >= 0.004).all()
    assert run.latency_s[-1] > 39 * 0.003
    assert run.throughput_qps < 250


def test_an_overloaded_run_is_given_up_and_says_so(engine: Engine) -> None:
    engine.prepare(path_of(pipeline_of(("slow",), (NUM_ITEMS, 5)), 1))
    began = time.monotonic()

    run = engine.run(load_of(np.linspace(0, 0.1, 500)), drain_s=0.1)

    assert time.monotonic() - began < 10
    assert not run.complete
    assert np.isinf(run.quantile_s(0.99))
    assert np.isfinite(run.latency_s[:5]).all()


def test_warm_up_queries_are_left_out(engine: Engine) -> None:
    engine.prepare(path_of(TWO_STAGES, 1))

    run = engine.run(load_of(np.linspace(0, 0.05, 30), warmup=10))

    assert run.latency_s.shape == (20,)
    assert run.service_s.shape == (1, 20)
    assert run.answers.shape == (20, 5)


def test_an_empty_station_measures_the_hand_over_alone(engine: Engine) -> None:
    engine.prepare_empty(num_servers=1, num_threads=1)

    run = engine.run(load_of(np.linspace(0, 0.2, 50)))

    assert run.complete
    assert np.median(run.service_s) < 0.002


def test_a_workers_exception_is_raised_here_and_nothing_is_left_running(tmp_path: Folder) -> None:
    trigger = tmp_path / "trigger"
    broken = Recipe(name="broken", fails_if_there=str(trigger))
    with Engine(make_world(tmp_path, [*RECIPES, broken])) as engine:
        engine.prepare(path_of(pipeline_of(("broken",), (NUM_ITEMS, 5)), 1))
        ids = engine.process_ids
        trigger.touch()

        with pytest.raises(WorkerError, match=r"'station 0 server 0' failed: .*no score today"):
            engine.run(load_of(np.linspace(0, 5.0, 100)))

        assert not any(psutil.pid_exists(process_id) for process_id in ids)
        engine.prepare(path_of(TWO_STAGES, 1))
        assert engine.run(load_of(np.linspace(0, 0.05, 10))).complete


def test_a_killed_worker_is_an_error_and_nothing_is_left_running(tmp_path: Folder) -> None:
    with Engine(make_world(tmp_path, RECIPES)) as engine:
        engine.prepare(path_of(TWO_STAGES, 2))
        ids = engine.process_ids
        os.kill(ids[1], signal.SIGKILL)

        with pytest.raises(WorkerError, match="killed by signal 9"):
            engine.run(load_of(np.linspace(0, 2.0, 100)))

        assert not any(psutil.pid_exists(process_id) for process_id in ids)


_SCRIPT = """
import sys, pathlib, numpy as np
sys.path.insert(0, sys.argv[2])
from serving_world import Recipe, make_world
from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.served import OpenLoad
if __name__ == "__main__":
    setup = make_world(pathlib.Path(sys.argv[1]), [Recipe(name="a")])
    station = Station(platform="cpu", num_stages=1)
    path = Path(pipeline=pipeline_of(("a",), (200, 5)), mapping=Mapping(stations=(station,)))
    with Engine(setup) as engine:
        engine.prepare(path)
        print(*engine.process_ids, flush=True)
        engine.run(OpenLoad(np.linspace(0, 60, 100), np.zeros(100, np.int64)))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_the_process_that_started_it(
    tmp_path: Folder, number: signal.Signals
) -> None:
    script = tmp_path / "serve.py"
    script.write_text(_SCRIPT)
    arguments = [sys.executable, str(script), str(tmp_path / "world"), str(Folder(__file__).parent)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        ids = [int(word) for word in process.stdout.readline().split()]
        time.sleep(0.3)
        process.send_signal(number)
        process.wait(20)
    assert len(ids) == 2
    deadline = time.monotonic() + 10
    while any(map(_alive, ids)):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.05)


def _alive(process_id: int) -> bool:
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_missing_model_folder_keeps_its_error_class(tmp_path: Folder) -> None:
    setup = make_world(tmp_path, RECIPES)
    (tmp_path / "models" / "slow" / "recipe.json").unlink()
    with Engine(setup) as engine, pytest.raises(StorageError, match=r"recipe\.json does not exist"):
        engine.prepare(path_of(pipeline_of(("slow",), (NUM_ITEMS, 5)), 1))


def test_a_load_without_a_path_and_an_unknown_model_are_refused(tmp_path: Folder) -> None:
    with Engine(make_world(tmp_path, RECIPES)) as engine:
        with pytest.raises(StudyError, match="prepare a path"):
            engine.run(load_of(np.zeros(3)))
        with pytest.raises(StudyError, match="no model 'nobody'"):
            engine.prepare(path_of(pipeline_of(("nobody",), (NUM_ITEMS, 5)), 1))
        assert engine.process_ids == ()


def test_times_and_queries_must_match() -> None:
    with pytest.raises(InvalidInput, match="3 times for 2 queries"):
        OpenLoad(np.zeros(3), np.zeros(2, np.int64))


def test_the_generator_keeps_its_schedule_whatever_sending_costs() -> None:
    """A fake clock: sending takes 3 s, queries are due every 2 s; lags add up by 1 s each."""
    path = path_of(TWO_STAGES, 1)
    layout = run_layout(path, ((), ()), 4)
    descriptor = new_file(layout)
    arena = Arena(layout, descriptor)
    os.close(descriptor)
    arena["start_s"][0], arena["give_up_s"][0] = 100.0, 1e9
    arena["arrival_s"][:] = [0.0, 2.0, 4.0, 20.0]
    time_s = [90.0]
    sent: list[int] = []

    def wait(due_s: float) -> bool:
        time_s[0] = max(time_s[0], due_s)
        return True

    def send(query: int) -> None:
        sent.append(query)
        time_s[0] += 3.0

    send_all(arena, send, clock=lambda: time_s[0], wait=wait)

    assert sent == [0, 1, 2, 3]
    assert arena["lag_s"].tolist() == [0.0, 1.0, 2.0, 0.0]


def test_survivors_cross_shared_memory_unchanged() -> None:
    path = path_of(TWO_STAGES, 1, 1)
    layout = run_layout(path, (("front",), ()), 3000)
    descriptor = new_file(layout)
    here, there = Arena(layout, descriptor), Arena(layout, descriptor)
    os.close(descriptor)
    sent = Survivors(np.array([3, 9, 11]), {"front": np.array([0.5, -1.0, 2.0], np.float32)})

    Slots(here, 0, ("front",)).put(2999, sent)
    got = Slots(there, 0, ("front",)).get(2999)

    np.testing.assert_array_equal(got.columns, sent.columns)
    np.testing.assert_array_equal(got.scores["front"], sent.scores["front"])


def test_cores_are_handed_out_in_order_and_shared_when_they_run_out() -> None:
    tandem = Mapping(
        stations=(
            Station(platform="cpu", num_stages=1, num_servers=2),
            Station(platform="cpu", num_stages=1, num_threads=2),
        )
    )
    assert assign_cores(tandem, (4, 5, 6, 7)) == (((4,), (5,)), ((6, 7),))
    assert assign_cores(tandem, (0, 1)) == (((0,), (1,)), ((0, 1),))


def test_what_is_urgent_keeps_off_the_servers_cores_while_there_are_others() -> None:
    one = Mapping(stations=(Station(platform="cpu", num_stages=1, num_servers=2),))
    assert spare_cores(assign_cores(one, (4, 5, 6, 7)), (4, 5, 6, 7)) == (6, 7)
    assert spare_cores(assign_cores(one, (0, 1)), (0, 1)) == (0, 1)


def test_foreign_work_and_steal_pollute_a_measurement() -> None:
    before = Reading(time_s=0.0, busy_s=10.0, steal_s=1.0, own_s=5.0)
    cores = psutil.cpu_count() or 1

    quiet = disturbance(before, Reading(time_s=1.0, busy_s=11.0, steal_s=1.0, own_s=6.0))
    busy = disturbance(before, Reading(time_s=1.0, busy_s=11.0, steal_s=1.0, own_s=5.5))
    stolen = disturbance(before, Reading(time_s=1.0, busy_s=10.0, steal_s=1.2, own_s=5.0))

    assert quiet == Disturbance(seconds=1.0, steal_share=0.0, foreign_share=0.0)
    assert not quiet.polluted
    assert busy.foreign_share == pytest.approx(0.5 / cores)
    assert stolen.steal_share == pytest.approx(0.2 / cores)
    assert busy.polluted == (0.5 / cores > 0.05)


def test_quantiles_of_a_run_count_unanswered_queries_as_infinite() -> None:
    latency_s = np.array([0.1] * 98 + [np.inf] * 2)
    run = ServedRun(
        np.arange(100.0),
        latency_s,
        np.zeros((1, 100)),
        np.zeros(100),
        np.zeros((100, 1), np.int32),
        1.0,
        (0.5,),
        Disturbance(seconds=1.0, steal_share=0.0, foreign_share=0.0),
    )
    assert run.quantile_s(0.5) == 0.1
    assert np.isinf(run.quantile_s(0.99))
    assert not run.complete


def test_a_model_error_stays_a_model_error() -> None:
    from recfunnel.runtime.crew import Member, _error_of
    from recfunnel.runtime.messages import Failure

    member = Member("w", None, None)  # type: ignore[arg-type]
    error = _error_of(member, Failure("ModelError", "wrong shape", "trace"))
    assert isinstance(error, ModelError)
    assert str(error) == "wrong shape"
    assert "trace" in str(error.__cause__)
