"""What is exported to ONNX computes what the graph means, in every library that reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recfunnel.compile.catalogue import compile_records
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.passes import compile_graph
from recfunnel.compile.widths import width_of
from recfunnel.core.features import Features, FeatureSchema
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
    Multiply,
    PairDots,
    Pool,
    RankingGraph,
    Relu,
    RowSum,
    ScaledLinear,
    Slice,
    Sum,
    parameters_of,
    side_of,
)
from recfunnel.core.onnx_session import OnnxSession
from recfunnel.models.base import ModelSpec
from recfunnel.models.dlrm import DLRM
from recfunnel.models.ease import EASE
from recfunnel.models.matrix_factorisation import MatrixFactorisation
from recfunnel.models.neumf import NeuMF
from recfunnel.models.popularity import Popularity
from recfunnel.models.reranker import Reranker
from recfunnel.runtime import onnx_nodes
from recfunnel.runtime.export_onnx import export_onnx, write_onnx
from recfunnel.runtime.feeds import GIVEN, RECORDS, SCORES, feeds_of
from recfunnel.runtime.openvino import Compiled, OpenVINO
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise, random_features

NUM_QUERIES, NUM_ITEMS, DIM = 3, 6, 2
WIDE = 2 * DIM
"""Every random node is this wide: two vectors, so that any may be read by any."""


class GraphBuilding:
    """A random graph, node by node, with parameters that fit."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.nodes: list[AnyOp] = []
        self.parameters: dict[str, NDArray[Any]] = {}
        self.wide: list[int] = []
        self.rng = np.random.default_rng(draw(st.integers(0, 1000)))

    def parameter(self, *shape: int) -> str:
        name = f"p{len(self.parameters)}"
        scale = 1 / np.sqrt(shape[-1])
        self.parameters[name] = (scale * self.rng.normal(size=shape)).astype(np.float32)
        return name

    def add(self, op: AnyOp) -> int:
        self.nodes.append(op)
        return len(self.nodes) - 1

    def pick(self) -> int:
        return self.draw(st.sampled_from(self.wide))

    def back_to_width(self, x: int) -> int:
        """A layer that brings any width to the common one."""
        widths: list[int] = []
        for op in self.nodes:
            widths.append(width_of(op, widths, self.parameters))
        return self.add(
            Linear(x_of=x, weight=self.parameter(WIDE, widths[x]), bias=self.parameter(WIDE))
        )

    def row(self) -> Affine:
        x = self.pick()
        names = [self.parameter(WIDE), self.parameter(WIDE), self.parameter(WIDE)]
        self.parameters[names[1]] = np.abs(self.parameters[names[1]]) + 1
        return Affine(x_of=x, subtract=names[0], divide=names[1], multiply=names[2])

    def sides(self) -> list[Any]:
        sides: list[Any] = []
        for op in self.nodes:
            sides.append(side_of(op, sides))
        return sides


@st.composite
def graphs(draw: st.DrawFn) -> tuple[RankingGraph, dict[str, NDArray[Any]]]:
    """Every kind of node, reading nodes of any side."""
    build = GraphBuilding(draw)
    sources: list[AnyOp] = [
        Lookup(side="context", column=0, table=build.parameter(9, WIDE)),
        Lookup(side="context", column=1, table=build.parameter(4, WIDE)),
        Lookup(side="candidate", column=0, table=build.parameter(15, WIDE)),
        Dense(side="context", columns=(0,)),
        Dense(side="candidate", columns=(1,)),
        Dense(side="candidate", columns=(0, 1)),
        Given(width=2),
    ]
    for side, size in (("context", 15), ("candidate", 5)):
        for norm in ("sum", "mean", "l2"):
            table = build.parameter(size, WIDE)
            sources.append(Pool(side=side, column=0, table=table, norm=norm))
    for weighting in ("", build.parameter(3), build.parameter(1)):
        table = build.parameter(15, 15)
        sources.append(RowSum(list_column=0, id_column=0, table=table, weighting=weighting))
    sources.append(Lookup(side="candidate", column=0, table=build.parameter(15)))
    for op in draw(st.permutations(sources))[: draw(st.integers(2, 6))]:
        build.wide.append(build.back_to_width(build.add(op)))
    for _ in range(draw(st.integers(0, 8))):
        x, y = build.pick(), build.pick()
        square = build.parameter(WIDE, WIDE)
        made: list[AnyOp] = [
            Relu(x_of=x),
            Sum(terms_of=(x, y, build.pick())),
            Multiply(x_of=x, y_of=y),
            Concat(parts_of=(x, y)),
            Slice(x_of=x, start=1, stop=3),
            PairDots(x_of=x, dim=1),
            CrossDots(x_of=x, y_of=y, dim=DIM),
            CrossLinear(x_of=x, y_of=y, dim=DIM, weight=build.parameter(3, 4)),
            ScaledLinear(x_of=x, y_of=y, weight=square, base=draw(st.sampled_from(["", square]))),
            build.row(),
        ]
        last = build.add(draw(st.sampled_from(made)))
        if isinstance(build.nodes[last], PairDots | CrossDots) and draw(st.booleans()):
            last = build.add(draw(st.sampled_from([Relu(x_of=last), Concat(parts_of=(last, x))])))
        if isinstance(build.nodes[last], PairDots) and draw(st.booleans()):
            last = build.add(Slice(x_of=last, start=1, stop=5))
        build.wide.append(build.back_to_width(last))
    total = build.add(Sum(terms_of=tuple(build.wide)))
    score = build.add(Linear(x_of=total, weight=build.parameter(WIDE)))
    graph = RankingGraph(nodes=tuple(build.nodes), score_of=score)
    return graph, {n: build.parameters[n] for op in graph.nodes for n in parameters_of(op)}


ROWS = np.random.default_rng(7)
CONTEXT = random_features(EXAMPLE_SCHEMA, "context", NUM_QUERIES, ROWS)
ITEMS = random_features(EXAMPLE_SCHEMA, "candidate", NUM_ITEMS, ROWS)
SCORED = ROWS.normal(size=(NUM_QUERIES, NUM_ITEMS, 2)).astype(np.float32)

Run = Any


def run_in_onnx(file: bytes) -> Run:
    session = OnnxSession("it", file)
    return lambda feeds: session(feeds, SCORES)


def run_in_openvino(file: bytes) -> Run:
    compiled = Compiled("it", OpenVINO(), 1, file, {})
    return lambda feeds: compiled(feeds).copy()


def scores_of(
    run: Run, inputs: frozenset[str], items: Features, more: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """(Q, N), query by query."""
    found = []
    for query in range(NUM_QUERIES):
        feeds = feeds_of(CONTEXT.row(query), "context", inputs)
        feeds |= feeds_of(items, "candidate", inputs) | dict(more)
        feeds |= {GIVEN: SCORED[query]} if GIVEN in inputs else {}
        found.append(np.broadcast_to(run(feeds), (NUM_ITEMS,)))
    return np.stack(found)


@pytest.mark.parametrize("load", [run_in_onnx, run_in_openvino])
@settings(max_examples=40, deadline=None)
@given(made=graphs())
def test_a_random_graph_scores_as_it_means(
    load: Any, made: tuple[RankingGraph, dict[str, NDArray[Any]]]
) -> None:
    graph, parameters = made
    expected = evaluate(graph, parameters, CONTEXT, ITEMS, None, SCORED)
    export = export_onnx(graph, parameters, EXAMPLE_SCHEMA)
    run = load(export.proto.SerializeToString())
    scores = scores_of(run, export.inputs, ITEMS, {})
    assert np.abs(scores - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("load", [run_in_onnx, run_in_openvino])
@settings(max_examples=40, deadline=None)
@given(made=graphs())
def test_a_compiled_graph_on_a_compiled_catalogue_scores_the_same(
    load: Any, made: tuple[RankingGraph, dict[str, NDArray[Any]]]
) -> None:
    graph, parameters = made
    expected = evaluate(graph, parameters, CONTEXT, ITEMS, None, SCORED)
    compiled = compile_graph(graph, parameters)
    assert compiled.split is not None
    records = compile_records(compiled.split, ITEMS)
    export = export_onnx(compiled.pair_graph, compiled.pair_parameters, EXAMPLE_SCHEMA)
    run = load(export.proto.SerializeToString())
    more = {RECORDS: records} if RECORDS in export.inputs else {}
    scores = scores_of(run, export.inputs, ITEMS, more)
    assert not any(name.startswith("candidate_dense") for name in export.inputs)
    assert np.abs(scores - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


MODELS: dict[str, tuple[ModelSpec, int]] = {
    "dlrm": (DLRM(embedding_dim=8, bottom=(16,), top=(32, 16)), 0),
    "neumf": (NeuMF(mf_dim=8, mlp_dim=8, hidden=(16, 8), use_features=True), 0),
    "matrix_factorisation": (MatrixFactorisation(num_factors=16, item_bias=True), 0),
    "ease": (EASE(rating_weights=(0.1, 0.5, 1.0)), 0),
    "popularity": (Popularity(), 0),
    "reranker": (Reranker(embedding_dim=8, hidden=(16, 8), use_history=True, factor_dim=2), 2),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("load", [run_in_onnx, run_in_openvino])
def test_every_built_in_model_scores_as_it_means(load: Any, name: str) -> None:
    graph, parameters, schema = built(name)
    num_inputs = MODELS[name][1]
    expected = evaluate(graph, parameters, CONTEXT, ITEMS, None, SCORED if num_inputs else None)
    export = export_onnx(graph, parameters, schema)
    scores = scores_of(load(export.proto.SerializeToString()), export.inputs, ITEMS, {})
    assert np.abs(scores - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def built(name: str) -> tuple[RankingGraph, dict[str, NDArray[Any]], FeatureSchema]:
    spec, num_inputs = MODELS[name]
    module = spec.build(EXAMPLE_SCHEMA, num_inputs)
    fill_with_noise(module)
    graph = spec.graph(EXAMPLE_SCHEMA, num_inputs)
    assert graph is not None
    parameters = {key: value.numpy() for key, value in module.state_dict().items()}
    return graph, parameters, EXAMPLE_SCHEMA


def test_big_tables_stay_outside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_nodes, "TABLE_BYTES", 64)
    graph, parameters, schema = built("dlrm")
    export = export_onnx(graph, parameters, schema)
    assert export.tables
    for name, table in export.tables.items():
        assert np.shares_memory(table, parameters[name.removeprefix("parameters/")])
    expected = evaluate(graph, parameters, CONTEXT, ITEMS)
    file = write_onnx(export, tmp_path / "exported")
    onnx.checker.check_model(str(file))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    scores = scores_of(lambda feeds: session.run([SCORES], feeds)[0], export.inputs, ITEMS, {})
    assert np.abs(scores - expected).max() <= 1e-5 * np.abs(expected).max()
    inside = sum(len(tensor.raw_data) for tensor in onnx.load(file, load_external_data=False)
                 .graph.initializer)  # fmt: skip
    assert inside < sum(table.nbytes for table in parameters.values())


def test_dots_of_pairs_need_no_gather_before_a_layer() -> None:
    graph, parameters, schema = built("dlrm")
    proto = export_onnx(graph, parameters, schema).proto
    constants = {tensor.name: tensor.dims for tensor in proto.graph.initializer}
    gathered = [node for node in proto.graph.node if node.op_type == "Gather"]
    # What is gathered are features by column and table rows by id, no value that was computed.
    made = {node.output[0] for node in proto.graph.node if node.op_type != "Gather"}
    assert not [node for node in gathered if node.input[0] in made - set(constants)]
