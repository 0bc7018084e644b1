"""The tile machine refuses what it cannot run, by name, and reads nothing it should not."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import NUM_SCORES, random_graph
from native_machine_world import World, bound_graph, each_isa, simple_world, with_id
from recfunnel.core.arrays import IntArray, Ragged
from recfunnel.core.errors import DataError, InvalidInput, ModelError, RecfunnelError
from recfunnel.core.features import Features
from recfunnel.runtime.native_machine import MOST_THREADS


@pytest.mark.parametrize("bad", [-1, 6, 2**62, -(2**63)])
def test_an_id_outside_its_table_is_named_and_not_read(bad: int) -> None:
    world = simple_world()
    machine = world.machine()
    wrong = with_id(world.context, 2, 1, bad)
    with pytest.raises(
        DataError, match=rf"'context.categorical1' has id {bad} in row 2, .* 0 to 5"
    ):
        machine.score(wrong, world.candidates, world.given)
    lists = Ragged.from_rows([[1], [], [2, bad]])
    wrong = replace(world.context, multi_valued=(lists,))
    with pytest.raises(DataError, match=rf"'context.multi_valued0' has id {bad} in row 2"):
        machine.score(wrong, world.candidates, world.given)
    machine.score(world.context, world.candidates, world.given)


@pytest.mark.parametrize("bad", [-1, 9, 2**62])
def test_a_candidate_that_is_no_item_is_named(bad: int) -> None:
    for num_threads in (1, 2):
        world = World(simple_world().graph, simple_world().parameters, num_candidates=2000)
        world.candidates[1, 1700] = bad
        machine = world.machine(num_threads=num_threads)
        message = rf"candidate 1700 of query 1 is item {bad}, allowed 0 to 8"
        with pytest.raises(InvalidInput, match=message):
            machine.score(world.context, world.candidates, world.given)


def test_more_threads_than_the_processors_can_run_are_refused() -> None:
    world, processors = simple_world(), os.cpu_count() or 1
    bound = 8 * processors
    if bound >= MOST_THREADS:
        pytest.skip(f"{processors} processors can run all {MOST_THREADS} threads one may ask for")
    with pytest.raises(InvalidInput, match=rf"1 to {bound} threads .* not {bound + 1}"):
        world.machine(num_threads=bound + 1)
    world.machine(num_threads=bound)


@pytest.mark.parametrize("bad", [-1, 6])
def test_items_with_ids_outside_their_tables_are_refused_at_once(bad: int) -> None:
    world = simple_world()
    world.items = with_id(world.items, 4, 1, bad)
    with pytest.raises(DataError, match=rf"'candidate.categorical1' has id {bad} in row 4"):
        world.machine()
    world = simple_world()
    rows = [[0] for _ in range(9)]
    rows[7] = [1, bad]
    world.items = replace(world.items, multi_valued=(Ragged.from_rows(rows),))
    with pytest.raises(DataError, match=r"'candidate.multi_valued0'"):
        world.machine()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    world = simple_world()
    machine = world.machine()
    dense = world.context.dense.copy()
    dense[1, 2] = bad
    with pytest.raises(ModelError, match=r"'context.dense2' is not finite in row 1"):
        machine.score(replace(world.context, dense=dense), world.candidates, world.given)
    assert world.given is not None
    world.given[2, 3, 1] = bad
    with pytest.raises(ModelError, match="given score 1 of candidate 3 of query 2"):
        machine.score(world.context, world.candidates, world.given)
    dense = world.items.dense.copy()
    dense[5, 3] = bad
    world.items = replace(world.items, dense=dense)
    with pytest.raises(DataError, match=r"'candidate.dense3' is not finite in row 5"):
        world.machine()


@each_isa
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_a_model_error(isa: str, bad: float) -> None:
    """Also where a Relu would have hidden it."""
    graph, parameters = bound_graph(4, 20)
    world = World(graph, parameters, num_candidates=100)
    world.parameters["items"][3, 2] = bad
    world.items = with_id(world.items, 8, 0, 3)
    world.candidates[:] = 0
    world.items.categorical[0, 0] = 0
    world.candidates[1, 90] = 8
    with pytest.raises(ModelError, match=r"at \(1, 90\)"):
        world.machine(isa=isa).score(world.context, world.candidates)


def test_wrong_types_and_shapes_are_said() -> None:
    world = simple_world()
    machine, context, given_scores = world.machine(), world.context, world.given
    assert given_scores is not None
    calls = [
        ("candidates must be int64 of 2", context, world.candidates.astype(np.int32), given_scores),
        ("candidates must be int64 of 2", context, world.candidates[0], given_scores),
        ("given scores must be float32", context, world.candidates, given_scores.astype(float)),
        ("given scores have shape", context, world.candidates, given_scores[:, 1:]),
        ("reads 2 given scores", context, world.candidates, None),
        ("candidates of 2 queries for a context of 3", context, world.candidates[1:], given_scores),
        (
            "categorical feature 1 of the context, which has 0",
            Features(np.zeros((3, 0), np.int64), context.dense, context.multi_valued),
            world.candidates,
            given_scores,
        ),
        (
            "dense features must be float32",
            replace(context, dense=context.dense.astype(np.float64)),  # type: ignore[arg-type]
            world.candidates,
            given_scores,
        ),
    ]
    for message, asked, candidates, extra in calls:
        with pytest.raises(InvalidInput, match=message):
            machine.score(asked, candidates, extra)


def test_excluded_positions_must_exist_and_queries_come_one_by_one() -> None:
    world = simple_world()
    machine = world.machine()
    assert world.given is not None
    one = world.context.row(0), world.candidates[:1], 3, world.given[:1]
    with pytest.raises(InvalidInput, match="excluded positions run from 2 to 20"):
        machine.top_k(*one, np.array([20, 2]))
    with pytest.raises(InvalidInput, match="scores of one query, not of 3"):
        machine.top_k(world.context, world.candidates, 3, world.given)


def test_a_damaged_program_is_refused_before_it_runs() -> None:
    """Tiles out of their arenas, layers that do not fit, arrays that are not there."""
    from recfunnel.runtime import _native

    program = _native.Program(8, 8, (True, 0, 1, False))
    program.array("layer", np.ones((3, 4), np.float32))
    program.array("table", np.ones((3, 4), np.float32))
    program.table("table", "float32")
    out, x = (True, 0, 3, False), (True, 3, 4, False)
    layer = {
        "out": out,
        "x": x,
        "weight": "layer",
        "built": False,
        "precision": "float32",
        "bias": "",
        "bias_at": None,
        "addend": None,
        "relu": False,
    }
    wrong = [
        ("linear", layer | {"x": (True, 5, 4, False)}),
        ("linear", layer | {"x": (True, -1, 4, False)}),
        ("linear", layer | {"x": (True, 3, 5, False)}),
        ("linear", layer | {"x": (False, 0, 4, False)}),
        ("linear", layer | {"x": (True, 2, 4, False)}),
        ("linear", layer | {"weight": "absent"}),
        ("linear", layer | {"weight": "absent", "built": True}),
        ("linear", layer | {"precision": "float8"}),
        ("linear", layer | {"bias": "layer"}),
        ("linear", layer | {"bias_at": (False, 6, 3, False)}),
        ("linear", layer | {"addend": (True, 1, 3, False)}),
        ("lookup", {"out": out, "column": 0, "table": "table"}),
        ("lookup", {"out": (True, 0, 4, False), "column": -1, "table": "table"}),
        ("pool", {"out": (True, 0, 4, False), "column": 0, "table": "table", "norm": "max"}),
        ("pair_dots", {"out": (True, 0, 2, False), "x": (True, 2, 6, False), "dim": 2}),
        ("cross_dots", {"out": (True, 0, 1, False), "x": x, "y": x, "dim": 3}),
        ("record", {"out": out, "start": -1}),
        ("linear", layer | {"x": (True, 3, 4, True)}),
        ("linear", layer | {"out": (True, 7, 3, True)}),
        ("linear", layer | {"out": (True, 0, 3, True), "addend": (True, 1, 3, False)}),
        ("relu", {"out": (True, 0, 2, True), "x": (True, 0, 2, True)}),
        ("pair_dots", {"out": (True, 0, 1, False), "x": (True, 2, 6, True), "dim": 3}),
        ("copy", {"out": (True, 0, 4, True), "x": (True, 4, 4, False)}),
        ("copy", {"out": (False, 0, 4, False), "x": (True, 0, 4, False)}),
    ]
    for method, fields in wrong:
        with pytest.raises(_native.ProgramError):
            getattr(program, method)(**fields)
    program.linear(**layer)  # type: ignore[attr-defined]


@pytest.mark.parametrize("num_inputs", [66_000, 66_001])
def test_layers_wider_than_int8_adds_up_are_refused(num_inputs: int) -> None:
    from recfunnel.runtime import _native

    program = _native.Program(num_inputs, num_inputs + 1, (True, 0, 1, False))
    program.array("layer", np.ones((1, num_inputs), np.float32))
    layer = {
        "out": (True, 0, 1, False),
        "x": (True, 1, num_inputs, False),
        "weight": "layer",
        "built": False,
    }
    rest = {"bias": "", "bias_at": None, "addend": None, "relu": False}
    slot = {"slot": "made", "y": (False, 0, num_inputs, False), "weight": "layer", "base": ""}

    def make(precision: str) -> None:
        program.linear(**layer, **rest, precision=precision)  # type: ignore[attr-defined]
        program.build_scaled(**slot, precision=precision)  # type: ignore[attr-defined]

    if num_inputs <= 66_000:
        make("int8")
        return
    with pytest.raises(_native.ProgramError, match="66001 inputs, int8 adds up at most 66000"):
        make("int8")
    make("bfloat16")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_call_crashes(data: st.DataObject) -> None:
    """Random graphs, and calls of which any part may be wrong: an answer or a deliberate error."""
    draw = data.draw
    world = World(*random_graph(draw(st.integers(0, 300))), num_items=draw(st.integers(1, 9)))
    ids = st.sampled_from([0, 1, 5, 5, 3, 6, -1, 2**40, -(2**63), 2**63 - 1])
    num_queries, num_columns = draw(st.integers(0, 3)), draw(st.integers(0, 70))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    bad_ids = [draw(ids) for _ in range(4)]

    def some(shape: tuple[int, ...], likely: int, top: int) -> IntArray:
        values = rng.integers(0, top, shape)
        return np.where(rng.random(shape) < likely / 100, rng.choice(bad_ids, shape), values)

    wrong = draw(st.sampled_from([0, 0, 1, 30]))
    lengths = rng.integers(0, 4, num_queries)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    lists = Ragged(some((int(offsets[-1]),), wrong, 6), offsets)
    dense = rng.normal(size=(num_queries, draw(st.sampled_from([4, 4, 4, 2])))).astype(np.float32)
    if wrong and dense.size:
        dense.flat[0] = draw(st.sampled_from([0.0, np.nan, np.inf, 3e38]))
    context = Features(some((num_queries, 2), wrong, 6), dense, (lists,))
    candidates = some((num_queries, num_columns), wrong, len(world.items))
    width = draw(st.sampled_from([NUM_SCORES, NUM_SCORES, NUM_SCORES, 1]))
    scores = rng.normal(size=(num_queries, num_columns, width)).astype(np.float32)
    machine = world.machine(num_threads=draw(st.sampled_from([1, 2])))
    try:
        found = machine.score(context, candidates, scores)
        assert found.shape == (num_queries, num_columns)
        if num_queries == 1:
            machine.top_k(context, candidates, 5, scores, some((3,), wrong, num_columns + 1))
    except RecfunnelError:
        pass
