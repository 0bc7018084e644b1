"""Binding the query changes no score, and each layer keeps the form that is less work."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import Call, random_graph
from recfunnel.compile.bind_query import bind_query
from recfunnel.compile.hoist import hoist
from recfunnel.compile.rewrite import Model
from recfunnel.core.graph import (
    AnyOp,
    CrossDots,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    RankingGraph,
    Relu,
    ScaledLinear,
    Sum,
)
from recfunnel.models.dlrm import DLRM
from recfunnel.models.reranker import Reranker
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise

RNG = np.random.default_rng(0)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**6), num_candidates=st.sampled_from([0, 1, 30, 10**6]))
def test_binding_changes_no_score(seed: int, num_candidates: int) -> None:
    model = random_graph(seed)
    call, hoisted = Call(seed), hoist(*model)

    call.assert_equal(model, bind_query(*hoisted, num_candidates=num_candidates))
    call.assert_equal(model, bind_query(*model, num_candidates=num_candidates))


def layer_on_dots(num_items: int, num_context: int, dim: int, num_outputs: int) -> Model:
    """DLRM's first top layer on the dots across."""
    nodes: list[AnyOp] = [
        Lookup(side="candidate", column=0, table="items"),
        Lookup(side="context", column=0, table="users"),
        CrossDots(x_of=0, y_of=1, dim=dim),
        Linear(x_of=2, weight="w", bias="b"),
        Relu(x_of=3),
        Linear(x_of=4, weight="h"),
    ]
    parameters = {
        "items": RNG.normal(size=(6, num_items * dim)),
        "users": RNG.normal(size=(6, num_context * dim)),
        "w": RNG.normal(size=(num_outputs, num_items * num_context)),
        "b": RNG.normal(size=num_outputs),
        "h": RNG.normal(size=num_outputs),
    }
    return RankingGraph(nodes=tuple(nodes), score_of=5), parameters


@pytest.mark.parametrize(
    ("dim", "num_outputs", "num_candidates", "matrix"),
    [
        (4, 64, 4, False),  # RecPipe's small, medium and large DLRM, 10 item and 17 context vectors
        (4, 64, 8, True),
        (16, 64, 32, False),
        (16, 64, 64, True),
        (32, 96, 10**6, False),
    ],
)
def test_dots_become_a_matrix_where_that_is_less_work(
    dim: int, num_outputs: int, num_candidates: int, matrix: bool
) -> None:
    model = layer_on_dots(10, 17, dim, num_outputs)

    graph, _ = bind_query(*model, num_candidates=num_candidates)

    assert any(isinstance(op, CrossLinear) for op in graph.nodes) == matrix
    Call(0).assert_equal(model, bind_query(*model, num_candidates=num_candidates))


def test_product_and_its_base_become_one_layer_and_the_bias_finds_another() -> None:
    nodes = (
        Dense(side="candidate", columns=(0, 1, 2)),
        Dense(side="context", columns=(0, 1, 2)),
        Multiply(x_of=1, y_of=0),
        Linear(x_of=2, weight="product"),
        Linear(x_of=0, weight="item", bias="b"),
        Linear(x_of=1, weight="user", bias="c"),
        Sum(terms_of=(3, 4, 5)),
        Relu(x_of=6),
        Linear(x_of=7, weight="h"),
    )
    shapes = {"product": (5, 3), "item": (5, 3), "user": (5, 3), "b": (5,), "c": (5,), "h": (5,)}
    model = (
        RankingGraph(nodes=nodes, score_of=8),
        {name: RNG.normal(size=shape) for name, shape in shapes.items()},
    )

    graph, parameters = bind_query(*model, num_candidates=100)

    scaled = [op for op in graph.nodes if isinstance(op, ScaledLinear)]
    assert [op.base for op in scaled] == ["item"]
    assert sum(isinstance(op, Linear) for op in graph.nodes) == 2
    Call(0).assert_equal(model, (graph, parameters))


def test_a_bases_bias_stays_where_no_other_layer_is_added() -> None:
    nodes = (
        Dense(side="candidate", columns=(0, 1, 2)),
        Dense(side="context", columns=(0, 1, 2)),
        Multiply(x_of=0, y_of=1),
        Linear(x_of=2, weight="product"),
        Linear(x_of=0, weight="item", bias="b"),
        Sum(terms_of=(3, 4)),
        Relu(x_of=5),
        Linear(x_of=6, weight="h"),
    )
    shapes = {"product": (5, 3), "item": (5, 3), "b": (5,), "h": (5,)}
    parameters = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    model = (RankingGraph(nodes=nodes, score_of=7), parameters)

    bound = bind_query(*model, num_candidates=100)

    assert [op.base for op in bound[0].nodes if isinstance(op, ScaledLinear)] == ["item"]
    Call(0).assert_equal(model, bound)


def test_a_product_alone_is_a_matrix_only_for_more_candidates_than_outputs() -> None:
    nodes = (
        Dense(side="candidate", columns=(0, 1, 2)),
        Dense(side="context", columns=(0, 1, 2)),
        Multiply(x_of=0, y_of=1),
        Linear(x_of=2, weight="w", bias="b"),
        Relu(x_of=3),
        Linear(x_of=4, weight="h"),
    )
    shapes = {"w": (5, 3), "b": (5,), "h": (5,)}
    parameters = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    model = (RankingGraph(nodes=nodes, score_of=5), parameters)

    assert bind_query(*model, num_candidates=5)[0] == model[0]
    bound = bind_query(*model, num_candidates=6)
    assert any(isinstance(op, ScaledLinear) for op in bound[0].nodes)
    Call(0).assert_equal(model, bound)


def test_a_product_of_two_pair_values_stays() -> None:
    nodes = (
        Given(width=2),
        Relu(x_of=0),
        Multiply(x_of=0, y_of=1),
        Linear(x_of=2, weight="w"),
    )
    model = (RankingGraph(nodes=nodes, score_of=3), {"w": RNG.normal(size=2)})

    assert bind_query(*model, num_candidates=10**6)[0] == model[0]


@pytest.mark.parametrize(
    ("spec", "num_scores"),
    [
        (DLRM(embedding_dim=4, bottom=(6,), top=(7,)), 0),
        (Reranker(embedding_dim=4, hidden=(5, 3), use_history=True, factor_dim=3), 2),
    ],
)
def test_a_trained_models_graph_binds(spec: DLRM | Reranker, num_scores: int) -> None:
    module = spec.build(EXAMPLE_SCHEMA, num_scores)
    fill_with_noise(module)
    graph = spec.graph(EXAMPLE_SCHEMA, num_scores)
    assert graph is not None
    parameters = {n: t.double().numpy() for n, t in module.state_dict().items()}
    bound = bind_query(*hoist(graph, parameters), num_candidates=512)

    kinds = {type(op) for op in bound[0].nodes}
    assert kinds & {CrossLinear, ScaledLinear}
    assert Multiply not in kinds
    bases = [op.base for op in bound[0].nodes if isinstance(op, ScaledLinear)]
    assert all(bases)
    Call(1, EXAMPLE_SCHEMA, num_scores).assert_equal((graph, parameters), bound)
