"""All passes together change no score, each can be left out, and their work is counted exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from compile_world import Call, random_graph
from recfunnel.cli.explain import in_words
from recfunnel.compile.catalogue import compile_records
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.passes import PASSES, Compiled, CompileOptions, compile_graph
from recfunnel.compile.precision import choose_precisions
from recfunnel.compile.rewrite import Model
from recfunnel.compile.work import graph_work
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Feature, FeatureSchema
from recfunnel.core.graph import (
    CrossLinear,
    Dense,
    Linear,
    Lookup,
    Multiply,
    Pool,
    RankingGraph,
    Relu,
    RowSum,
    ScaledLinear,
)
from recfunnel.models.base import ModelSpec
from recfunnel.models.dlrm import DLRM, RECPIPE_SHAPES
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise

SPECS: list[tuple[ModelSpec, int]] = [
    (DLRM(embedding_dim=4, bottom=(6, 5), top=(7, 3)), 0),
    (DLRM(embedding_dim=4, bottom=(6,), top=(7,), without=("activity",)), 0),
    (NeuMF(mf_dim=2, mlp_dim=3, hidden=(4, 3)), 0),
    (MatrixFactorisation(num_factors=3, item_bias=True), 0),
    (EASE(), 0),
    (Popularity(), 0),
    (Reranker(embedding_dim=4, hidden=(5, 3), use_history=True, factor_dim=2), 2),
]


def fitted(spec: ModelSpec, num_scores: int, schema: FeatureSchema = EXAMPLE_SCHEMA) -> Model:
    """A graph with random parameters."""
    module = spec.build(schema, num_scores)
    fill_with_noise(module)
    graph = spec.graph(schema, num_scores)
    assert graph is not None
    return graph, {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def by_records(compiled: Compiled, call: Call) -> np.ndarray:
    assert compiled.split is not None
    return evaluate(
        compiled.pair_graph,
        compiled.pair_parameters,
        call.context,
        call.items,
        call.candidates,
        call.given,
        compile_records(compiled.split, call.items),
    )


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    without=st.sets(st.sampled_from(PASSES)),
    num_candidates=st.sampled_from([1, 64, 10**6]),
)
def test_any_choice_of_passes_changes_no_score(
    seed: int, without: set[str], num_candidates: int
) -> None:
    model = random_graph(seed)
    options = CompileOptions(without=tuple(without), num_candidates=num_candidates)

    compiled = compile_graph(*model, options)

    Call(seed).assert_equal(model, (compiled.graph, compiled.parameters))
    assert [report.name for report in compiled.reports] == [p for p in PASSES if p not in without]


@pytest.mark.parametrize(("spec", "num_scores"), SPECS)
@pytest.mark.parametrize("without", [(), *((name,) for name in PASSES)])
def test_every_model_compiles_whatever_is_left_out(
    spec: ModelSpec, num_scores: int, without: tuple[str, ...]
) -> None:
    model, call = fitted(spec, num_scores), Call(1, EXAMPLE_SCHEMA, num_scores)
    options = CompileOptions(without=without)

    compiled = compile_graph(*model, options)

    expected = call.scores(*model)
    found = call.scores(compiled.graph, compiled.parameters)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (compiled.split is None) == ("catalogue" in without)
    if compiled.split is not None:
        assert_allclose(by_records(compiled, call), expected, rtol=1e-5, atol=1e-5)


def criteo_like(num_context: int, num_items: int) -> FeatureSchema:
    features = [Feature(name=f"d{i}", side="context", kind="dense") for i in range(13)]
    for number in range(num_context + num_items):
        side = "context" if number < num_context else "candidate"
        name = f"c{number}"
        features.append(Feature(name=name, side=side, kind="categorical", cardinality=11))
    return FeatureSchema(features=tuple(features))


@pytest.mark.parametrize(
    ("size", "vectors", "matrix", "record"),
    [("small", 4, True, 40 + 64), ("medium", 16, True, 160 + 64), ("large", 32, False, 320 + 96)],
)
def test_recpipes_models_come_out_as_reckoned_by_hand(
    size: str, vectors: int, matrix: bool, record: int
) -> None:
    spec = RECPIPE_SHAPES[size]
    compiled = compile_graph(*fitted(spec, 0, criteo_like(16, 10)))
    assert compiled.split is not None
    work, d, N = compiled.reports[-1].after, vectors, spec.top[0]

    assert compiled.split.width == record
    on_dots = 10 * 17 * d + 10 * 17 * N
    assert work.flops_per_candidate == 2 * ((10 * d * N if matrix else on_dots) + N)
    assert work.bytes_per_candidate == 4 * record
    assert any(isinstance(op, CrossLinear) for op in compiled.pair_graph.nodes) == matrix


@pytest.mark.parametrize(
    "spec", [s for s, _ in SPECS if isinstance(s, DLRM | MatrixFactorisation | Popularity)]
)
def test_the_graph_is_as_much_work_as_the_model_states(spec: ModelSpec) -> None:
    """Other models state the cost of a form that only passes reach."""
    schema = FeatureSchema(
        features=tuple(f for f in EXAMPLE_SCHEMA.features if f.kind != "multi_valued"),
        item_id="item",
        context_id="user",
    )
    cost, work = spec.cost(schema), graph_work(*fitted(spec, 0, schema))

    assert work.flops_per_query == cost.flops_per_query
    assert work.flops_per_candidate == pytest.approx(cost.flops_per_item, abs=1)
    assert work.parameter_bytes == cost.parameter_bytes


def test_work_is_counted_once_on_the_side_it_is_done() -> None:
    nodes = (
        Lookup(side="candidate", column=0, table="t"),
        Pool(side="context", column=0, table="u"),
        ScaledLinear(x_of=0, y_of=1, weight="w", base="v"),
        Dense(side="candidate", columns=(0, 1, 3)),
        Multiply(x_of=2, y_of=3),
        Dense(side="candidate", columns=(1,)),
        RowSum(list_column=0, id_column=0, table="r"),
        Linear(x_of=4, weight="h"),
    )
    shapes = {"t": (9, 5), "u": (9, 5), "w": (3, 5), "v": (3, 5), "r": (9, 9), "h": (3,)}
    parameters = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    work = graph_work(RankingGraph(nodes=nodes, score_of=7), parameters)

    assert work.flops_per_query == 2 * 5 + 2 * 3 * 5
    assert work.flops_per_candidate == 2 * 3 * 5 + 3 + 2 + 2 * 3
    assert work.bytes_per_query == 8 + 4 * 5
    assert work.bytes_per_candidate == 8 + 4 * 5 + 4 * 3 + 4
    assert work.parameter_bytes == 4 * (45 + 45 + 15 + 15 + 81 + 3)


def test_a_layer_on_dots_makes_its_matrix_once_a_query() -> None:
    """N 3, V 5 and U 4 vectors of d 2: N V U d to make it, N V d to use it."""
    nodes = (
        Lookup(side="candidate", column=0, table="t"),
        Lookup(side="context", column=0, table="u"),
        CrossLinear(x_of=0, y_of=1, dim=2, weight="w"),
        Linear(x_of=2, weight="h"),
    )
    shapes = {"t": (9, 10), "u": (9, 8), "w": (3, 20), "h": (3,)}
    parameters = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    work = graph_work(RankingGraph(nodes=nodes, score_of=3), parameters)

    assert work.flops_per_query == 2 * 3 * 5 * 4 * 2
    assert work.flops_per_candidate == 2 * 3 * 5 * 2 + 2 * 3


def test_only_long_layers_of_candidates_take_fewer_bits() -> None:
    nodes = (
        Lookup(side="candidate", column=0, table="t"),
        Lookup(side="context", column=0, table="u"),
        Linear(x_of=0, weight="long"),
        Linear(x_of=1, weight="long"),
        Multiply(x_of=2, y_of=3),
        Relu(x_of=4),
        Linear(x_of=5, weight="short"),
        RowSum(list_column=0, id_column=0, table="r"),
    )
    shapes = {"t": (9, 64), "u": (9, 64), "long": (31, 64), "short": (1, 31), "r": (9, 9)}
    parameters = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    model = RankingGraph(nodes=nodes, score_of=6), parameters

    chosen = choose_precisions(*model, layers="bfloat16", tables="float16")

    assert chosen.layers == {2: "bfloat16"}
    assert chosen.tables == {"t": "float16", "u": "float16"}
    assert choose_precisions(*model).layers == {}


def test_a_large_layer_of_the_context_takes_bfloat16_for_its_weights_are_read_once() -> None:
    nodes = (
        Lookup(side="context", column=0, table="u"),
        Linear(x_of=0, weight="large"),
        Linear(x_of=1, weight="small"),
    )
    shapes = {"u": (9, 64), "large": (128, 64), "small": (1, 128)}
    parameters = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    model = RankingGraph(nodes=nodes, score_of=2), parameters

    assert choose_precisions(*model, layers="int8").layers == {1: "bfloat16"}
    assert choose_precisions(*model).layers == {}


@pytest.mark.parametrize(("num_inputs", "precision"), [(66_000, "int8"), (66_001, "bfloat16")])
def test_layers_wider_than_int8_adds_up_take_bfloat16(num_inputs: int, precision: str) -> None:
    dense = Dense(side="candidate", columns=tuple(range(num_inputs)))
    nodes = (dense, Linear(x_of=0, weight="layer", bias=""))
    model = RankingGraph(nodes=nodes, score_of=1), {"layer": np.ones((1, num_inputs), np.float32)}

    compiled = compile_graph(*model, CompileOptions(layers="int8", without=("catalogue",)))
    is_wide = precision == "bfloat16"
    assert compiled.precisions.layers == {1: precision}
    assert compiled.reports[-1].too_wide == is_wide
    assert ("1 in bfloat16: too many inputs for int8" in in_words(compiled.reports[-1])) == is_wide


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"without": ("hoits",)}, "no pass 'hoits'; did you mean 'hoist'?"),
        ({"without": ("quantum",)}, "no pass 'quantum'; known: simplify, materialise"),
        ({"num_candidates": 0}, "num_candidates is 0"),
        ({"max_growth_bytes": -1}, "max_growth_bytes is -1"),
        ({"max_made_bytes": -1}, "max_made_bytes is -1"),
    ],
)
def test_wrong_options_are_said(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        CompileOptions(**wrong)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_parameters_no_pass_changes_are_not_copied() -> None:
    graph, parameters = fitted(RECPIPE_SHAPES["small"], 0, criteo_like(3, 2))

    compiled = compile_graph(graph, parameters)

    for name in compiled.graph.parameter_names & parameters.keys():
        assert compiled.parameters[name] is parameters[name]
    tables = {op.table for op in compiled.graph.nodes if isinstance(op, Lookup)}
    assert tables <= parameters.keys()
