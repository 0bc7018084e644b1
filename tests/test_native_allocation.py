"""A warm call asks for no memory but that of its answer, however the model is run."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recfunnel.bench.model import BenchModel, build_model
from recfunnel.bench.ours import OurEngine
from recfunnel.bench.queries import (
    Draw,
    Workload,
    catalogue_items,
    catalogue_workload,
    plain_workload,
)
from recfunnel.bench.results import Way
from recfunnel.bench.shapes import shape_named
from recfunnel.core.errors import InvalidInput
from recfunnel.core.pipeline import pipeline_of
from recfunnel.runtime import _native
from recfunnel.runtime.cascade import Cascade, OneByOne, Question
from recfunnel.runtime.native_machine import NativeMachine
from recfunnel.runtime.native_stages import NativeStages

NUM_ITEMS, NUM_CANDIDATES, NUM_CALLS = 900, 300, 100

Ask = Callable[[int], object]

pytestmark = pytest.mark.skipif(
    _native.num_allocations() < 0, reason="allocations are not counted in this build"
)


@pytest.fixture(scope="module")
def model() -> BenchModel:
    return build_model(shape_named("RM_small"), num_rows=2000, seed=0)


@pytest.fixture(scope="module")
def catalogue(model: BenchModel) -> Workload:
    items = catalogue_items(model, NUM_ITEMS, 0)
    return catalogue_workload(model, items, Draw(NUM_CANDIDATES, 30 * NUM_CANDIDATES))


@pytest.fixture(scope="module")
def plain(model: BenchModel) -> Workload:
    return plain_workload(model, Draw(NUM_CANDIDATES, 30 * NUM_CANDIDATES))


def allocations(ask: Ask, warm_up: int = 3) -> int:
    for number in range(warm_up):
        ask(number)
    before = _native.num_allocations()
    for number in range(NUM_CALLS):
        ask(number)
    return _native.num_allocations() - before


def scoring(machine: NativeMachine, asked: Workload) -> Ask:
    def ask(number: int) -> object:
        query = number % asked.num_queries
        return machine.score(asked.context.row(query), asked.candidates[query : query + 1])

    return ask


def test_the_count_sees_what_a_machine_takes_when_it_is_made(
    model: BenchModel, catalogue: Workload
) -> None:
    before = _native.num_allocations()
    machine, _ = OurEngine(model).machine(catalogue, "hoisted", "float32")
    made = _native.num_allocations()
    assert made > before + 100
    scoring(machine, catalogue)(0)  # the first call finds no workspace yet
    assert _native.num_allocations() > made


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_no_plain_call_allocates(
    model: BenchModel, plain: Workload, precision: str, num_threads: int
) -> None:
    machine, _ = OurEngine(model).machine(plain, "plain", precision, num_threads)  # type: ignore[arg-type]
    # A second thread's first task may come late: its workspace is taken before the first call ends.
    assert allocations(scoring(machine, plain)) == 0


@pytest.mark.parametrize("way", ["hoisted", "compiled"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_no_call_on_a_catalogue_allocates(
    model: BenchModel, catalogue: Workload, way: Way, precision: str
) -> None:
    machine, _ = OurEngine(model).machine(catalogue, way, precision)  # type: ignore[arg-type]
    assert allocations(scoring(machine, catalogue)) == 0


def test_no_choice_of_the_best_allocates(model: BenchModel, catalogue: Workload) -> None:
    machine, _ = OurEngine(model).machine(catalogue, "compiled", "bfloat16")
    excluded = np.arange(0, NUM_CANDIDATES, 7)

    def ask(number: int) -> object:
        query = number % catalogue.num_queries
        rows = catalogue.candidates[query : query + 1]
        return machine.top_k(catalogue.context.row(query), rows, 20, excluded=excluded)

    assert allocations(ask) == 0


def test_no_cascade_allocates(model: BenchModel, catalogue: Workload) -> None:
    class Loaded:
        score_inputs = ()

        def __init__(self, name: str) -> None:
            self.name = name

    machines = {
        name: OurEngine(model).machine(catalogue, way, "float32")[0]
        for name, way in (("first", "compiled"), ("second", "hoisted"))
    }
    pipeline = pipeline_of(("first", "second"), (NUM_CANDIDATES, 100, 10))
    models = {name: Loaded(name) for name in machines}
    cascade = Cascade(pipeline, models, NUM_ITEMS)  # type: ignore[arg-type]
    stages = NativeStages(OneByOne(cascade, range(2)), machines)
    nothing = np.empty(0, np.int64)

    def ask(number: int) -> object:
        query = number % catalogue.num_queries
        rows = catalogue.candidates[query]
        return stages.run(Question(catalogue.context.row(query), nothing, rows), None)

    assert allocations(ask) == 0


def test_scores_are_written_where_the_caller_wants_them(
    model: BenchModel, catalogue: Workload
) -> None:
    machine, _ = OurEngine(model).machine(catalogue, "hoisted", "float32")
    context, rows = catalogue.context.row(0), catalogue.candidates[:1]
    out = np.full((1, NUM_CANDIDATES), np.nan, np.float32)
    assert machine.score(context, rows, out=out) is out
    np.testing.assert_array_equal(out, machine.score(context, rows))


def test_scores_are_written_after_inputs_were_copied(
    model: BenchModel, catalogue: Workload
) -> None:
    machine, _ = OurEngine(model).machine(catalogue, "hoisted", "float32")
    apart = np.repeat(catalogue.candidates[:1], 2, axis=1)[:, ::2]
    out = np.zeros((1, NUM_CANDIDATES), np.float32)
    assert machine.score(catalogue.context.row(0), apart, out=out) is out
    np.testing.assert_array_equal(
        out, machine.score(catalogue.context.row(0), catalogue.candidates[:1])
    )


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((1, NUM_CANDIDATES)), "out must be a float32 array, not float64"),
        (np.zeros((1, NUM_CANDIDATES - 1), np.float32), r"out has shape \(1, 299\), must have \(1"),
        (np.zeros(NUM_CANDIDATES, np.float32), r"out has shape \(300\), must have \(1, 300\)"),
        (np.zeros((1, 2 * NUM_CANDIDATES), np.float32)[:, ::2], "contiguous and writeable"),
        (np.frombuffer(bytes(4 * NUM_CANDIDATES), np.float32)[None], "contiguous and writeable"),
        ([0.0], "out must be a float32 array, not <class 'list'>"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(
    model: BenchModel, catalogue: Workload, out: object, message: str
) -> None:
    machine, _ = OurEngine(model).machine(catalogue, "hoisted", "float32")
    with pytest.raises(InvalidInput, match=message):
        machine.score(catalogue.context.row(0), catalogue.candidates[:1], out=out)  # type: ignore[arg-type]


def test_a_task_split_covers_every_candidate_once(model: BenchModel, plain: Workload) -> None:
    engine = OurEngine(model)
    alone, _ = engine.machine(plain, "plain", "float32", 1)
    for size in (256, 257, 300, 511, 512, 513, 1024, 3000):
        rows = np.resize(plain.candidates, (1, size))
        asked = replace(plain, candidates=rows)
        shared, _ = engine.machine(asked, "plain", "float32", 3)
        np.testing.assert_array_equal(
            shared.score(plain.context.row(0), rows), alone.score(plain.context.row(0), rows)
        )
