"""The tile machine computes what the graph means, the same way whoever runs beside it."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import SCHEMA, random_graph
from native_machine_world import (
    ISAS,
    USER_VECTORS,
    World,
    assert_close,
    bound_graph,
    each_isa,
    runs,
    simple_world,
)
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.lower import lower
from recfunnel.compile.lower_storage import from_storage, to_storage
from recfunnel.compile.program import DotsOfPairs, LookupRow, Precision, Storage
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import FloatArray
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
    RankingGraph,
    Record,
    Relu,
    RowSum,
    Sum,
)
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine
from recfunnel.runtime.top_k import top_k
from recfunnel.testing.model import random_features


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


@each_isa
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


@each_isa
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


@each_isa
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


@each_isa
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


@each_isa
@pytest.mark.parametrize("num_candidates", [1, 60, 600])
def test_sums_of_rows_are_the_same_picked_or_whole(isa: str, num_candidates: int) -> None:
    world = row_sum_world(3000, num_candidates)
    scores = world.machine(isa=isa).score(world.context, world.candidates)
    assert_close(scores, world.expected(world.candidates))


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
