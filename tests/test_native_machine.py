"""The tile machine computes what the graph means, the same way whoever runs beside it."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compile_world import NUM_SCORES, SCHEMA, random_graph
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.lower import lower
from recfunnel.compile.lower_storage import from_storage, to_storage
from recfunnel.compile.program import DotsOfPairs, LookupRow, Precision, Storage
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import FloatArray, IntArray, Ragged
from recfunnel.core.errors import DataError, InvalidInput, ModelError, RecfunnelError
from recfunnel.core.features import Feature, Features, FeatureSchema
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Concat,
    CrossDots,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    PairDots,
    Pool,
    RankingGraph,
    Record,
    Relu,
    RowSum,
    ScaledLinear,
    Sum,
)
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine
from recfunnel.runtime.top_k import top_k
from recfunnel.testing.model import random_features

ISAS = ("portable", "avx2", "avx512", "avx512_bf16")


def runs(isa: str) -> bool:
    """Whether this processor runs an instruction set."""
    from recfunnel.runtime import _native

    try:
        _native.Program(0, 1, (True, 0, 1, False), isa)
    except RuntimeError:
        return False
    return True


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    """Each instruction set this processor runs."""
    name = str(request.param)
    if not runs(name):
        pytest.skip(f"this processor does not run {name}")
    return name


class World:
    """A graph in float32, and what to call it with.

    Args:
        graph: a whole model.
        parameters: by name.
        seed: of the features.
        num_items: I.
        num_candidates: C.
        schema: of the features.
    """

    def __init__(
        self,
        graph: RankingGraph,
        parameters: Parameters,
        *,
        seed: int = 0,
        num_items: int = 9,
        num_candidates: int = 20,
        schema: FeatureSchema = SCHEMA,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.graph, self.schema = graph, schema
        self.parameters = {name: array.astype(np.float32) for name, array in parameters.items()}
        self.context = random_features(schema, "context", 3, rng)
        self.items = random_features(schema, "candidate", num_items, rng)
        self.candidates: IntArray = rng.integers(0, num_items, (3, num_candidates))
        self.given = self.scores_of_others(num_candidates)

    def scores_of_others(self, num_columns: int) -> FloatArray | None:
        """Given scores, when the graph reads any."""
        rng = np.random.default_rng(7)
        widths = [op.width for op in self.graph.nodes if isinstance(op, Given)]
        return rng.normal(size=(3, num_columns, widths[0])).astype(np.float32) if widths else None

    def machine(self, **options: object) -> NativeMachine:
        """The graph as a program, bound to the items."""
        program = lower(self.graph, self.parameters, self.schema)
        made = MachineOptions(**options)  # type: ignore[arg-type]
        return NativeMachine("model", program, self.items, options=made)

    def expected(self, candidates: IntArray | None) -> NDArray[np.float64]:
        """Scores by the oracle."""
        columns = len(self.items) if candidates is None else candidates.shape[1]
        return evaluate(
            self.graph,
            self.parameters,
            self.context,
            self.items,
            candidates,
            self.scores_of_others(columns),
        )


def assert_close(scores: NDArray[np.float32], expected: NDArray[np.float64]) -> None:
    """Equal within 1e-5 of the largest."""
    assert scores.dtype == np.float32
    assert scores.shape == expected.shape
    if scores.size:
        assert np.abs(scores - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-3)


@given(seed=st.integers(0, 10**6), num_candidates=st.integers(1, 120))
@settings(max_examples=60, deadline=None)
def test_scores_are_what_the_graph_means(seed: int, num_candidates: int) -> None:
    """Any graph, on every instruction set, any number of candidates."""
    world = World(*random_graph(seed), seed=seed, num_candidates=num_candidates)
    for isa in filter(runs, ISAS):
        for lanes in (16, 48):
            machine = world.machine(isa=isa, lanes=lanes)
            scores = machine.score(world.context, world.candidates, world.given)
            assert_close(scores, world.expected(world.candidates))


def test_all_items_in_order_are_scored_without_a_list() -> None:
    for seed in range(20):
        world = World(*random_graph(seed), num_items=5)
        given_scores = world.scores_of_others(5)
        scores = world.machine().score(world.context, None, given_scores)
        assert_close(scores, world.expected(None))


USER_VECTORS, ITEM_VECTORS = 3, 4


def bound_graph(dim: int, width: int) -> tuple[RankingGraph, Parameters]:
    """Every kind of layer that is built for a query, added up, and a bias and a vector of its own.

    Letters as in `core.graph`: 3 vectors of the context, 4 of the candidate.
    """
    rng = np.random.default_rng(dim + width)
    nodes: list[AnyOp] = [
        Lookup(side="context", column=0, table="users"),
        Lookup(side="candidate", column=0, table="items"),
        CrossLinear(x_of=1, y_of=0, dim=dim, weight="cross"),
        Linear(x_of=0, weight="user_layer", bias="user_bias"),
        Linear(x_of=0, weight="to_items"),
        ScaledLinear(x_of=1, y_of=4, weight="scaled", base="base"),
        ScaledLinear(x_of=1, y_of=4, weight="scaled"),
        Lookup(side="candidate", column=1, table="constants"),
        Sum(terms_of=(2, 3, 5, 6, 7)),
        Relu(x_of=8),
        Linear(x_of=9, weight="head", bias="head_bias"),
    ]
    users, items = USER_VECTORS * dim, ITEM_VECTORS * dim
    shapes = {
        "users": (6, users),
        "items": (6, items),
        "cross": (width, ITEM_VECTORS * USER_VECTORS),
        "user_layer": (width, users),
        "user_bias": (width,),
        "to_items": (items, users),
        "scaled": (width, items),
        "base": (width, items),
        "constants": (6, width),
        "head": (1, width),
        "head_bias": (1,),
    }
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return RankingGraph(nodes=tuple(nodes), score_of=len(nodes) - 1), arrays


@pytest.mark.parametrize(("dim", "width"), [(1, 1), (4, 64), (5, 17), (16, 33)])
def test_layers_built_for_a_query_are_what_the_graph_means(isa: str, dim: int, width: int) -> None:
    world = World(*bound_graph(dim, width), num_candidates=75)
    scores = world.machine(isa=isa).score(world.context, world.candidates)
    assert_close(scores, world.expected(world.candidates))


def small_integers(rng: np.random.Generator, *shape: int) -> FloatArray:
    return rng.integers(-1, 2, shape).astype(np.float32)


def dots_graph(
    dim: int, num_vectors: int, rng: np.random.Generator
) -> tuple[RankingGraph, Parameters]:
    """Layers, dots of pairs and dots with the query, one read by the other, on small integers."""
    pairs, across = num_vectors * (num_vectors - 1) // 2, num_vectors * USER_VECTORS
    nodes: list[AnyOp] = [
        Lookup(side="context", column=0, table="users"),
        Lookup(side="candidate", column=0, table="first"),
        Linear(x_of=1, weight="to_vector"),
        *(Lookup(side="candidate", column=1, table=f"item{i}") for i in range(num_vectors - 1)),
    ]
    vectors = len(nodes)
    nodes += [
        Concat(parts_of=tuple(range(2, vectors))),
        PairDots(x_of=vectors, dim=dim),
        CrossDots(x_of=vectors, y_of=0, dim=dim),
        Concat(parts_of=(2, vectors + 1, vectors + 2)),
        Linear(x_of=vectors + 3, weight="layer"),
        Relu(x_of=vectors + 4),
        Linear(x_of=vectors + 5, weight="head"),
    ]
    shapes = {
        "users": (6, USER_VECTORS * dim),
        "first": (6, 5),
        "to_vector": (dim, 5),
        **{f"item{i}": (6, dim) for i in range(num_vectors - 1)},
        "layer": (7, dim + pairs + across),
        "head": (1, 7),
    }
    arrays = {name: small_integers(rng, *shape) for name, shape in shapes.items()}
    arrays["layer"] *= rng.random(arrays["layer"].shape) < 0.2
    return RankingGraph(nodes=tuple(nodes), score_of=len(nodes) - 1), arrays


@pytest.mark.parametrize(("dim", "num_vectors"), [(2, 4), (4, 8), (6, 5), (8, 9), (5, 4)])
@pytest.mark.parametrize("num_candidates", [1, 5, 75])
def test_what_is_kept_in_bfloat16_is_exact_on_small_integers(
    isa: str, dim: int, num_vectors: int, num_candidates: int
) -> None:
    """Integers up to 256 are bfloat16 numbers: nothing is rounded wherever they are kept so."""
    graph, parameters = dots_graph(dim, num_vectors, np.random.default_rng(dim))
    world = World(graph, parameters, num_candidates=num_candidates)
    low: dict[int, Precision] = {
        position: "bfloat16"
        for position, op in enumerate(graph.nodes)
        if isinstance(op, Linear | PairDots | CrossDots)
    }
    program = lower(graph, world.parameters, SCHEMA, low)
    machine = NativeMachine("model", program, world.items, options=MachineOptions(isa=isa))

    scores = machine.score(world.context, world.candidates)

    in_pairs = [type(step) for step in program.listing.block if step.out.pairs]  # type: ignore[union-attr]
    assert LookupRow in in_pairs
    assert (DotsOfPairs in in_pairs) == (dim % 2 == 0)
    np.testing.assert_array_equal(scores, world.expected(world.candidates))


def test_records_are_read_as_they_are_stored(isa: str) -> None:
    """Up to 5,000 candidates, all storages; the oracle is given the rounded records."""
    nodes: tuple[AnyOp, ...] = (
        Record(start=0, stop=12),
        Lookup(side="context", column=0, table="users"),
        CrossLinear(x_of=0, y_of=1, dim=4, weight="cross"),
        Record(start=12, stop=21),
        Sum(terms_of=(2, 3)),
        Relu(x_of=4),
        Linear(x_of=5, weight="head"),
    )
    rng = np.random.default_rng(0)
    parameters = {
        "users": rng.normal(size=(6, 8)).astype(np.float32),
        "cross": rng.normal(size=(9, 6)).astype(np.float32),
        "head": rng.normal(size=(1, 9)).astype(np.float32),
    }
    graph = RankingGraph(nodes=nodes, score_of=6)
    program = lower(graph, parameters, SCHEMA)
    items = Features.empty(777)
    plain = rng.normal(size=(777, 21)).astype(np.float32)
    context = random_features(SCHEMA, "context", 2, rng)
    storages: tuple[Storage, ...] = ("float32", "float16", "bfloat16", "int8")
    for storage in storages:
        stored = to_storage(plain, storage)
        machine = NativeMachine("model", program, items, stored, storage, MachineOptions(isa=isa))
        for count in (1, 7, 8, 300, 5000):
            candidates = rng.integers(0, 777, (2, count))
            records = from_storage(stored, storage)
            expected = evaluate(graph, parameters, context, items, candidates, records=records)
            assert_close(machine.score(context, candidates), expected)


def test_a_score_depends_on_the_query_and_the_candidate_alone(isa: str) -> None:
    """To the bit: whatever the neighbours, the lanes, the threads and the queries beside it."""
    for graph, parameters in [bound_graph(4, 20), *(random_graph(seed) for seed in range(12))]:
        world = World(graph, parameters, num_items=40, num_candidates=1500)
        given_scores = world.given
        whole = world.machine(isa=isa, lanes=48).score(
            world.context, world.candidates, given_scores
        )
        for options in ({"lanes": 16}, {"num_threads": 2}, {"num_threads": 3, "lanes": 32}):
            other = world.machine(isa=isa, **options)
            np.testing.assert_array_equal(
                other.score(world.context, world.candidates, given_scores), whole
            )
            alone = other.score(
                world.context.row(1),
                world.candidates[1:2],
                None if given_scores is None else given_scores[1:2],
            )
            np.testing.assert_array_equal(alone, whole[1:2])
        one = world.machine(isa=isa)
        for start, stop in ((3, 4), (100, 107), (900, 960)):
            part = one.score(
                world.context,
                np.ascontiguousarray(world.candidates[:, start:stop]),
                None if given_scores is None else given_scores[:, start:stop],
            )
            np.testing.assert_array_equal(part, whole[:, start:stop])


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    world = World(*bound_graph(4, 20), num_items=40, num_candidates=1200)
    machine = world.machine(num_threads=2)
    expected = machine.score(world.context, world.candidates)
    wrong: list[int] = []

    def call(number: int) -> None:
        for query in (number % 3,) * 30:
            span = slice(query, query + 1)
            found = machine.score(world.context.row(query), world.candidates[span])
            if not np.array_equal(found, expected[span]):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Sums of table rows over a list.


def row_sum_world(num_ids: int, num_candidates: int) -> World:
    """EASE with a weighting, for more ids than candidates or fewer."""
    rng = np.random.default_rng(num_ids)
    schema = FeatureSchema(
        features=(
            Feature(name="user", side="context", kind="categorical", cardinality=3),
            Feature(name="seen", side="context", kind="multi_valued", cardinality=num_ids),
            Feature(name="item", side="candidate", kind="categorical", cardinality=num_ids),
        )
    )
    graph = RankingGraph(
        nodes=(RowSum(list_column=0, id_column=0, table="table", weighting="counts_as"),),
        score_of=0,
    )
    parameters = {
        "table": rng.normal(size=(num_ids, num_ids)).astype(np.float32),
        "counts_as": np.array([0.3, 1.0, 1.5], np.float32),
    }
    return World(graph, parameters, schema=schema, num_items=num_ids, num_candidates=num_candidates)


@pytest.mark.parametrize("num_candidates", [1, 60, 600])
def test_sums_of_rows_are_the_same_picked_or_whole(isa: str, num_candidates: int) -> None:
    world = row_sum_world(3000, num_candidates)
    scores = world.machine(isa=isa).score(world.context, world.candidates)
    assert_close(scores, world.expected(world.candidates))


# What a call gets wrong.


def simple_world() -> World:
    """A lookup and a pool on both sides, a dense feature, and two given scores."""
    nodes: tuple[AnyOp, ...] = (
        Lookup(side="context", column=1, table="table"),
        Pool(side="context", column=0, table="table", norm="mean"),
        Dense(side="context", columns=(2,)),
        Lookup(side="candidate", column=1, table="table"),
        Pool(side="candidate", column=0, table="table", norm="l2"),
        Dense(side="candidate", columns=(3, 1)),
        Given(width=NUM_SCORES),
        Concat(parts_of=(0, 1, 2, 3, 4, 5, 6)),
        Linear(x_of=7, weight="layer"),
    )
    rng = np.random.default_rng(0)
    parameters = {
        "table": rng.normal(size=(6, 3)).astype(np.float32),
        "layer": rng.normal(size=(1, 12 + 5)).astype(np.float32),
    }
    return World(RankingGraph(nodes=nodes, score_of=8), parameters)


def with_id(features: Features, row: int, column: int, value: int) -> Features:
    """The same features with another id."""
    categorical = features.categorical.copy()
    categorical[row, column] = value
    return replace(features, categorical=categorical)


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


def test_arrays_that_are_not_contiguous_are_copied() -> None:
    world = simple_world()
    machine = world.machine()
    assert world.given is not None
    expected = machine.score(world.context, world.candidates, world.given)
    strange = replace(
        world.context,
        categorical=np.asfortranarray(world.context.categorical),
        dense=np.repeat(world.context.dense, 2, axis=1)[:, ::2],
    )
    found = machine.score(strange, np.asfortranarray(world.candidates), world.given[:, :, :])
    np.testing.assert_array_equal(found, expected)


def test_no_queries_and_no_candidates_give_empty_scores() -> None:
    world = simple_world()
    machine = world.machine()
    assert world.given is not None
    nobody = world.context.take(np.zeros(0, np.int64))
    assert machine.score(nobody, world.candidates[:0], world.given[:0]).shape == (0, 20)
    none = machine.score(world.context, world.candidates[:, :0], world.given[:, :0])
    assert none.shape == (3, 0)


# The best of them.


@given(
    seed=st.integers(0, 10**6),
    num_candidates=st.integers(1, 3000),
    k=st.integers(0, 400),
    num_threads=st.sampled_from([1, 2]),
    num_scores=st.sampled_from([2, 50, 100_000]),
)
@settings(max_examples=60, deadline=None)
def test_the_best_are_those_of_top_k(
    seed: int, num_candidates: int, k: int, num_threads: int, num_scores: int
) -> None:
    """Ties and excluded positions included."""
    rng = np.random.default_rng(seed)
    graph = RankingGraph(nodes=(Given(width=1),), score_of=0)
    program = lower(graph, {}, SCHEMA)
    items = Features.empty(num_candidates)
    machine = NativeMachine(
        "model", program, items, options=MachineOptions(num_threads=num_threads)
    )
    scores = rng.integers(0, num_scores, num_candidates).astype(np.float32) / 8 - 3
    excluded = rng.integers(0, num_candidates, rng.integers(0, 1 + num_candidates // 2))
    found, kept = machine.top_k(Features.empty(1), None, k, scores[None, :, None], excluded)
    expected = top_k(scores, k, excluded)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(kept, scores[expected])


def test_excluded_positions_must_exist_and_queries_come_one_by_one() -> None:
    world = simple_world()
    machine = world.machine()
    assert world.given is not None
    one = world.context.row(0), world.candidates[:1], 3, world.given[:1]
    with pytest.raises(InvalidInput, match="excluded positions run from 2 to 20"):
        machine.top_k(*one, np.array([20, 2]))
    with pytest.raises(InvalidInput, match="scores of one query, not of 3"):
        machine.top_k(world.context, world.candidates, 3, world.given)


# Programs that contradict themselves.


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


def test_affine_of_large_numbers_keeps_their_differences() -> None:
    """Seconds since 1970 leave their mean before they are scaled, not after."""
    graph = RankingGraph(
        nodes=(
            Dense(side="candidate", columns=(0, 1)),
            Affine(x_of=0, subtract="mean", divide="deviation"),
            Linear(x_of=1, weight="layer"),
        ),
        score_of=2,
    )
    parameters = {
        "mean": np.array([1.5e9, 0], np.float32),
        "deviation": np.array([1e4, 1], np.float32),
        "layer": np.ones((1, 2), np.float32),
    }
    world = World(graph, parameters, num_candidates=40)
    world.items.dense[:, 0] = 1.5e9 + 1000 * np.arange(9)
    scores = world.machine().score(world.context, world.candidates)
    assert_close(scores, world.expected(world.candidates))
