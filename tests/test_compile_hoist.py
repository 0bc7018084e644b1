"""Simplifying and hoisting change no score, and leave nothing on a later side than it must be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import Call, random_graph
from recfunnel.compile.hoist import hoist
from recfunnel.compile.rewrite import Model
from recfunnel.compile.simplify import simplify
from recfunnel.core.graph import (
    Affine,
    AnyOp,
    Concat,
    CrossDots,
    Dense,
    Given,
    Linear,
    Lookup,
    PairDots,
    RankingGraph,
    Relu,
    Slice,
    Sum,
    reads,
)
from recfunnel.core.graph_builder import GraphBuilder

SEEDS = st.integers(0, 10**6)
RNG = np.random.default_rng(0)
USER = Dense(side="context", columns=(0, 1))
ITEM = Dense(side="candidate", columns=(0, 1))


def last(*nodes: AnyOp, **shapes: tuple[int, ...]) -> Model:
    parameters = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    return RankingGraph(nodes=nodes, score_of=len(nodes) - 1), parameters


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_simplifying_changes_no_score(seed: int) -> None:
    model = random_graph(seed)

    Call(seed).assert_equal(model, simplify(*model))


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_hoisting_changes_no_score(seed: int) -> None:
    model = random_graph(seed)

    Call(seed).assert_equal(model, hoist(*model))


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_what_is_hoisted_is_settled(seed: int) -> None:
    once = hoist(*random_graph(seed))

    assert hoist(*once)[0] == once[0]


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS)
def test_no_layer_is_left_on_parts_of_several_sides(seed: int) -> None:
    graph, _ = hoist(*random_graph(seed))
    sides = graph.sides()

    for op in graph.nodes:
        if isinstance(op, Linear | Relu | Affine):
            inner = graph.nodes[op.x_of]
            if isinstance(inner, Concat):
                assert len({sides[part] for part in inner.parts_of}) == 1
        if isinstance(op, Sum):
            for side in ("context", "candidate"):
                if any(sides[term] != side for term in op.terms_of):
                    assert sum(sides[term] == side for term in op.terms_of) <= 1


def test_dead_and_equal_nodes_go() -> None:
    model = last(
        USER,
        ITEM,
        Relu(x_of=0),
        Relu(x_of=0),
        Linear(x_of=1, weight="dead"),
        Sum(terms_of=(2, 3)),
        Linear(x_of=5, weight="w"),
        dead=(3, 2),
        w=(1, 2),
    )

    graph, parameters = simplify(*model)

    assert graph.nodes == (USER, Relu(x_of=0), Sum(terms_of=(1, 1)), Linear(x_of=2, weight="w"))
    assert set(parameters) == {"w"}


def test_a_chain_of_affine_and_linear_becomes_one_layer() -> None:
    model = last(
        USER,
        Affine(x_of=0, subtract="s", divide="d"),
        Linear(x_of=1, weight="w1", bias="b1"),
        Linear(x_of=2, weight="w2"),
        s=(2,),
        d=(2,),
        w1=(5, 2),
        b1=(5,),
        w2=(1, 5),
    )

    graph, _ = simplify(*model)

    assert [type(op) for op in graph.nodes] == [Dense, Linear]
    Call(0).assert_equal(model, simplify(*model))


def test_a_bottleneck_stays() -> None:
    wide, narrow = (9, 1), (1, 9)
    model = last(
        Dense(side="context", columns=(0, 1, 2, 3)),
        Linear(x_of=0, weight="w1"),
        Linear(x_of=1, weight="w2"),
        Relu(x_of=2),
        Linear(x_of=3, weight="w3"),
        w1=(1, 4),
        w2=wide,
        w3=narrow,
    )

    assert len(simplify(*model)[0].nodes) == 5


def test_a_shift_that_would_cancel_is_not_folded() -> None:
    nodes = (USER, Affine(x_of=0, subtract="s", divide="d"), Linear(x_of=1, weight="w"))
    graph = RankingGraph(nodes=nodes, score_of=2)
    near = {"s": np.array([10.0, 0.0]), "d": np.ones(2), "w": np.ones((1, 2))}
    far = near | {"s": np.array([1e4, 0.0])}

    assert len(simplify(graph, near)[0].nodes) == 2
    assert simplify(graph, far)[0] == graph


def test_a_slice_reaches_the_part_it_cuts() -> None:
    model = last(
        USER,
        ITEM,
        Concat(parts_of=(0, 1)),
        Slice(x_of=2, start=2, stop=4),
        Linear(x_of=3, weight="w"),
        w=(1, 2),
    )

    assert simplify(*model)[0].nodes == (ITEM, Linear(x_of=0, weight="w"))


def test_a_slice_of_a_slice_is_one() -> None:
    model = last(
        Dense(side="context", columns=(0, 1, 2, 3)),
        Slice(x_of=0, start=1, stop=4),
        Slice(x_of=1, start=1, stop=3),
        Linear(x_of=2, weight="w"),
        w=(1, 2),
    )

    assert simplify(*model)[0].nodes[1] == Slice(x_of=0, start=2, stop=4)
    Call(0).assert_equal(model, simplify(*model))


def naive_dlrm(
    num_context: int, num_items: int, dim: int, order: np.ndarray, *, mixed_bottom: bool = False
) -> Model:
    """All features in one concatenation, all dots at once, one top layer."""
    builder, parameters = GraphBuilder(), {}

    def parameter(name: str, *shape: int) -> str:
        parameters[name] = RNG.normal(size=shape)
        return name

    numbers = [builder.add(USER)] + ([builder.add(ITEM)] if mixed_bottom else [])
    inputs = builder.concat(numbers)
    bottom = builder.add(
        Linear(
            x_of=inputs,
            weight=parameter("bottom", dim, 2 * len(numbers)),
            bias=parameter("bottom.b", dim),
        )
    )
    vectors = [builder.add(Relu(x_of=bottom))]
    for number in range(num_context + num_items):
        side = "context" if number < num_context else "candidate"
        table = parameter(f"t{number}", 6, dim)
        vectors.append(builder.add(Lookup(side=side, column=number % 2, table=table)))
    whole = builder.concat([vectors[i] for i in order])
    dots = builder.add(PairDots(x_of=whole, dim=dim))
    top = builder.concat([vectors[0], dots])
    width = dim + len(vectors) * (len(vectors) - 1) // 2
    hidden = builder.add(
        Linear(x_of=top, weight=parameter("top", 7, width), bias=parameter("top.b", 7))
    )
    relu = builder.add(Relu(x_of=hidden))
    score = builder.add(Linear(x_of=relu, weight=parameter("head", 7), bias=parameter("h.b", 1)))
    return builder.finish(score), parameters


@pytest.mark.parametrize("mixed_bottom", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_naive_dlrm_comes_out_fully_split(mixed_bottom: bool, shuffled: bool) -> None:
    order = np.arange(27)
    if shuffled:
        order = np.random.default_rng(1).permutation(27)
    model = naive_dlrm(16, 10, 4, order, mixed_bottom=mixed_bottom)

    graph, parameters = hoist(*model)

    Call(0).assert_equal(model, (graph, parameters))
    sides = graph.sides()
    pairs = [op for op, side in zip(graph.nodes, sides, strict=True) if side == "pair"]
    assert not any(isinstance(op, PairDots) for op in pairs)
    dots = [op for op in graph.nodes if isinstance(op, CrossDots)]
    assert all(sides[op.y_of] == "context" or sides[op.x_of] == "pair" for op in dots)
    assert len(dots) == (3 if mixed_bottom else 1)
    in_layers = {part for op in pairs if isinstance(op, Linear) for part in reads(op)}
    assert all(sides[part] == "pair" for part in in_layers)
    widths = sum(
        parameters[op.weight].shape[1] for op in graph.nodes if isinstance(op, Linear)
        and parameters[op.weight].shape[0] == 7 and op.weight.startswith("top")
    )  # fmt: skip
    assert widths == 4 + 27 * 26 // 2


def test_dots_with_the_context_first_are_turned_round() -> None:
    model = last(
        Dense(side="context", columns=(0, 1, 2, 3)),
        ITEM,
        CrossDots(x_of=0, y_of=1, dim=2),
        Linear(x_of=2, weight="w"),
        w=(1, 2),
    )

    graph, _ = hoist(*model)
    dots = next(op for op in graph.nodes if isinstance(op, CrossDots))

    assert graph.sides()[dots.y_of] == "context"
    Call(0).assert_equal(model, hoist(*model))


def test_a_layer_on_a_sum_of_both_sides_is_paid_once_on_each() -> None:
    model = last(
        USER,
        ITEM,
        Sum(terms_of=(0, 1)),
        Linear(x_of=2, weight="w", bias="b"),
        Relu(x_of=3),
        Linear(x_of=4, weight="h"),
        w=(5, 2),
        b=(5,),
        h=(1, 5),
    )

    graph, _ = hoist(*model)

    assert [graph.sides()[i] for i, op in enumerate(graph.nodes) if isinstance(op, Linear)] == [
        "context",
        "candidate",
        "pair",
    ]
    Call(0).assert_equal(model, hoist(*model))


def test_given_scores_stay_where_they_are() -> None:
    model = last(
        USER,
        Given(width=2),
        Concat(parts_of=(0, 1)),
        Relu(x_of=2),
        Linear(x_of=3, weight="w"),
        w=(1, 4),
    )

    graph, _ = hoist(*model)

    assert sum(side == "context" for side in graph.sides()) == 3
    Call(0).assert_equal(model, hoist(*model))
