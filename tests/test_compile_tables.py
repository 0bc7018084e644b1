"""Folding and materialising change no score, and keep to their budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import Call, random_graph
from recfunnel.compile.budget import Budget
from recfunnel.compile.fold import fold
from recfunnel.compile.hoist import hoist
from recfunnel.compile.join import join
from recfunnel.compile.materialise import materialise
from recfunnel.compile.rewrite import Model
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Concat,
    Dense,
    Linear,
    Lookup,
    Multiply,
    Pool,
    RankingGraph,
    Relu,
    Slice,
    Sum,
)
from recfunnel.models.neumf import NeuMF
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise

RNG = np.random.default_rng(0)
SEEDS = st.integers(0, 10**6)
BUDGETS = st.sampled_from([0, 400, 10**9])
ITEM = Lookup(side="candidate", column=0, table="t")
OTHER = Lookup(side="candidate", column=1, table="u")
MANY = 10**9


def last(*nodes: AnyOp, **shapes: tuple[int, ...]) -> Model:
    parameters = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    return RankingGraph(nodes=nodes, score_of=len(nodes) - 1), parameters


def size(model: Model) -> int:
    return sum(array.nbytes for array in model[1].values())


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS, budget=BUDGETS)
def test_folding_changes_no_score(seed: int, budget: int) -> None:
    model = random_graph(seed)

    Call(seed).assert_equal(model, fold(*hoist(*model), budget=Budget(budget)))
    Call(seed).assert_equal(model, fold(*model, budget=Budget(budget)))


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS, budget=BUDGETS)
def test_materialising_changes_no_score(seed: int, budget: int) -> None:
    model = random_graph(seed)

    Call(seed).assert_equal(model, materialise(*model, budget=Budget(budget)))


@pytest.mark.parametrize(("spare", "made"), [(-1, False), (0, True)])
def test_a_materialised_table_keeps_to_the_budget(spare: int, made: bool) -> None:
    """(6, 8) float64 in place of (6, 1) and a (8, 1) layer."""
    model = last(
        ITEM,
        Linear(x_of=0, weight="w"),
        Relu(x_of=1),
        Dense(side="context", columns=(0,)),
        Linear(x_of=3, weight="v"),
        Multiply(x_of=2, y_of=4),
        Linear(x_of=5, weight="h"),
        t=(6, 1),
        w=(8, 1),
        v=(8, 1),
        h=(8,),
    )

    after = materialise(*model, budget=Budget(8 * (6 * 8 - 6 - 8) + spare))

    assert (after[0] != model[0]) == made
    if made:
        assert size(after) - size(model) == 8 * (6 * 8 - 6 - 8)


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS, budget=BUDGETS, folded=st.booleans())
def test_joining_changes_no_score(seed: int, budget: int, folded: bool) -> None:
    model = random_graph(seed)
    before = fold(*hoist(*model), budget=Budget(MANY)) if folded else model

    Call(seed).assert_equal(model, join(*before, budget=Budget(budget)))


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_joined_features_are_looked_up_once_and_read_whole(seed: int) -> None:
    graph, parameters = join(*hoist(*random_graph(seed)), budget=Budget(MANY))

    found = [(op.side, op.column) for op in graph.nodes if isinstance(op, Lookup)]
    assert len(found) == len(set(found))
    assert join(graph, parameters, budget=Budget(0))[0] == graph


@pytest.mark.parametrize("outputs", [1, 5])
def test_a_layer_on_a_lookup_is_a_lookup(outputs: int) -> None:
    model = last(
        ITEM,
        Linear(x_of=0, weight="w", bias="b"),
        Relu(x_of=1),
        Linear(x_of=2, weight="h"),
        t=(6, 4),
        w=(outputs, 4),
        b=(outputs,),
        h=(outputs,),
    )

    graph, parameters = fold(*model, budget=Budget(MANY))

    assert [type(op) for op in graph.nodes] == [Lookup, Relu, Linear]
    Call(0).assert_equal(model, (graph, parameters))


def test_a_layer_on_pools_keeps_their_norm_and_its_bias() -> None:
    model = last(
        Pool(side="candidate", column=0, table="t", norm="l2"),
        Linear(x_of=0, weight="w", bias="b"),
        t=(6, 4),
        w=(1, 4),
        b=(1,),
    )

    graph, parameters = fold(*model, budget=Budget(MANY))

    assert [type(op) for op in graph.nodes] == [Pool, Affine]
    Call(0).assert_equal(model, (graph, parameters))


def test_what_is_no_lookup_keeps_its_layer() -> None:
    model = last(
        ITEM,
        OTHER,
        Dense(side="candidate", columns=(0, 1)),
        Relu(x_of=2),
        Concat(parts_of=(0, 3, 1)),
        Linear(x_of=4, weight="w", bias="b"),
        t=(6, 3),
        u=(6, 5),
        w=(1, 10),
        b=(1,),
    )

    graph, parameters = fold(*model, budget=Budget(MANY))

    assert sorted(type(op).__name__ for op in graph.nodes) == sorted(
        ["Dense", "Relu", "Linear", "Lookup", "Lookup", "Sum"]
    )
    Call(0).assert_equal(model, (graph, parameters))


def test_a_sum_with_a_layer_folds_both_and_one_with_anything_else_stays() -> None:
    nodes: list[AnyOp] = [
        ITEM,
        Dense(side="candidate", columns=(0, 1)),
        Linear(x_of=1, weight="d", bias="c"),
        Sum(terms_of=(0, 2)),
        Linear(x_of=3, weight="w", bias="b"),
    ]
    shapes = {"t": (6, 4), "d": (4, 2), "c": (4,), "w": (1, 4), "b": (1,)}
    layer = last(*nodes, **shapes)
    nodes[1] = Dense(side="candidate", columns=(0, 1, 2, 3))
    nodes[2] = Relu(x_of=1)
    other = last(*nodes, **shapes)

    kinds = {type(op) for op in fold(*layer, budget=Budget(MANY))[0].nodes}
    assert kinds == {Lookup, Dense, Linear, Sum}
    assert fold(*other, budget=Budget(MANY))[0] == other[0]
    Call(0).assert_equal(layer, fold(*layer, budget=Budget(MANY)))


@pytest.mark.parametrize(("budget", "folds"), [(6 * 4 * 8 - 1, False), (6 * 4 * 8, True)])
def test_tables_grow_by_no_more_than_the_budget(budget: int, folds: bool) -> None:
    """From (6, 4) to (6, 8) float64; the layer's weight, which goes too, is given to another."""
    model = last(
        ITEM,
        Linear(x_of=0, weight="w"),
        Relu(x_of=1),
        Dense(side="context", columns=(0, 1, 2, 3)),
        Linear(x_of=3, weight="w"),
        Multiply(x_of=2, y_of=4),
        Linear(x_of=5, weight="h"),
        t=(6, 4),
        w=(8, 4),
        h=(8,),
    )

    graph, _ = fold(*model, budget=Budget(budget))

    assert (graph != model[0]) == folds


def test_tables_made_are_limited_whatever_they_replace() -> None:
    budget = Budget(growth_bytes=10, made_bytes=100)

    assert not budget.take(made_bytes=101, freed_bytes=101)
    assert not budget.take(made_bytes=50, freed_bytes=39)
    assert budget.take(made_bytes=50, freed_bytes=44)
    assert not budget.take(made_bytes=5, freed_bytes=0)
    assert budget.take(made_bytes=50, freed_bytes=60)
    assert budget == Budget(growth_bytes=4, made_bytes=0)


def test_a_row_never_becomes_more_than_four_times_as_wide() -> None:
    shapes = {"t": (6, 2), "w": (9, 2), "h": (9,)}
    nodes = (ITEM, Linear(x_of=0, weight="w"), Relu(x_of=1), Linear(x_of=2, weight="h"))
    model = last(*nodes, **shapes)

    assert fold(*model, budget=Budget(MANY))[0] == model[0]


def test_neumfs_first_layer_goes_into_the_tables() -> None:
    spec = NeuMF(mf_dim=3, mlp_dim=4, hidden=(5, 2), without=("history", "genres"))
    module = spec.build(EXAMPLE_SCHEMA)
    fill_with_noise(module)
    parameters = {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}
    graph = spec.graph(EXAMPLE_SCHEMA)
    assert graph is not None

    folded = fold(*hoist(graph, parameters), budget=Budget(MANY))
    joined = join(*folded, budget=Budget(0))

    assert size(joined) < size(folded)
    assert sum(isinstance(op, Lookup) for op in joined[0].nodes) == 3
    Call(0, EXAMPLE_SCHEMA, 0).assert_equal((graph, parameters), joined)
    items = {i for i, side in enumerate(folded[0].sides()) if side == "candidate"}
    layers = [op for i, op in enumerate(folded[0].nodes) if i in items and isinstance(op, Linear)]
    assert all(isinstance(folded[0].nodes[op.x_of], Dense) for op in layers)
    Call(0, EXAMPLE_SCHEMA, 0).assert_equal((graph, parameters), folded)


def test_a_computed_embedding_becomes_a_table() -> None:
    model = last(
        ITEM,
        Linear(x_of=0, weight="w1", bias="b1"),
        Relu(x_of=1),
        Linear(x_of=2, weight="w2"),
        Dense(side="context", columns=(0, 1, 2)),
        Multiply(x_of=3, y_of=4),
        Linear(x_of=5, weight="h"),
        t=(6, 4),
        w1=(7, 4),
        b1=(7,),
        w2=(3, 7),
        h=(3,),
    )

    graph, parameters = materialise(*model, budget=Budget(0))

    assert [type(op) for op in graph.nodes] == [Lookup, Dense, Multiply, Linear]
    assert sorted(array.shape for array in parameters.values()) == [(3,), (6, 3)]
    Call(0).assert_equal(model, (graph, parameters))


def test_rows_of_one_id_that_are_added_become_one_table() -> None:
    model = last(
        ITEM,
        OTHER,
        Lookup(side="candidate", column=0, table="v"),
        Sum(terms_of=(0, 1, 2)),
        Relu(x_of=3),
        Linear(x_of=4, weight="w"),
        t=(6, 4),
        u=(6, 4),
        v=(6, 4),
        w=(1, 4),
    )

    graph, parameters = materialise(*model, budget=Budget(0))

    assert sum(isinstance(op, Lookup) for op in graph.nodes) == 2
    Call(0).assert_equal(model, (graph, parameters))


def test_what_depends_on_two_ids_is_no_table() -> None:
    model = last(
        ITEM,
        OTHER,
        Sum(terms_of=(0, 1)),
        Relu(x_of=2),
        Linear(x_of=3, weight="w"),
        t=(6, 4),
        u=(6, 4),
        w=(1, 4),
    )

    assert materialise(*model, budget=Budget(MANY))[0] == model[0]


def test_copies_alone_are_no_reason_for_a_table() -> None:
    model = last(
        ITEM,
        Slice(x_of=0, start=1, stop=3),
        Dense(side="context", columns=(0, 1)),
        Multiply(x_of=1, y_of=2),
        Linear(x_of=3, weight="w"),
        t=(6, 4),
        w=(1, 2),
    )

    assert materialise(*model, budget=Budget(MANY))[0] == model[0]
