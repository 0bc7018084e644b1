"""Scores straight from records: one step that means what the steps it stands for mean."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compile_world import SCHEMA
from native_machine_world import ISAS, assert_close, each_isa, runs
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.lower import lower
from recfunnel.compile.lower_storage import from_storage, to_storage
from recfunnel.compile.program import LoadRecord, Precision, Program, RecordScore, Storage
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import FloatArray
from recfunnel.core.errors import InvalidInput, ModelError
from recfunnel.core.features import Features
from recfunnel.core.graph import (
    AnyOp,
    CrossDots,
    CrossLinear,
    Linear,
    Lookup,
    RankingGraph,
    Record,
    Relu,
    Sum,
)
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine
from recfunnel.testing.model import random_features

NUM_ITEMS = 77

Reads = Literal["columns", "bound", "dots"]
"""What the hidden layer multiplies: columns of a record by weights or by weights built for the
query, or dots of the record's vectors with the query's."""

USER_LAYER = 2
"""Its node."""

STORAGES: tuple[Storage, ...] = ("float32", "float16", "bfloat16", "int8")


@dataclass(frozen=True)
class Shape:
    """Of a model on records: `num_x` vectors of `dim` a record, `num_y` a query, N outputs."""

    reads: Reads = "bound"
    num_x: int = 3
    num_y: int = 2
    dim: int = 4
    num_outputs: int = 16
    adds: bool = True

    @property
    def record_width(self) -> int:
        return self.num_x * self.dim + (self.num_outputs if self.adds else 0)


def graph_of(shape: Shape) -> RankingGraph:
    width = shape.num_x * shape.dim
    nodes: list[AnyOp] = [
        Record(start=0, stop=width),
        Lookup(side="context", column=0, table="users"),
        Linear(x_of=1, weight="user_layer", bias="bias"),
    ]
    if shape.reads == "columns":
        nodes.append(Linear(x_of=0, weight="layer"))
    elif shape.reads == "bound":
        nodes.append(CrossLinear(x_of=0, y_of=1, dim=shape.dim, weight="cross"))
    else:
        nodes.append(CrossDots(x_of=0, y_of=1, dim=shape.dim))
        nodes.append(Linear(x_of=3, weight="cross"))
    terms = [2, len(nodes) - 1]
    if shape.adds:
        terms.append(len(nodes))
        nodes.append(Record(start=width, stop=shape.record_width))
    nodes.append(Sum(terms_of=tuple(terms)))
    nodes.append(Relu(x_of=len(nodes) - 1))
    nodes.append(Linear(x_of=len(nodes) - 1, weight="head", bias="head_bias"))
    return RankingGraph(nodes=tuple(nodes), score_of=len(nodes) - 1)


def in_levels(rows: FloatArray) -> FloatArray:
    """Each row rounded to 256 levels between its smallest and its largest value, 0 among them."""
    lowest, highest = np.minimum(rows.min(1), 0), np.maximum(rows.max(1), 0)
    scale = ((highest - lowest) / np.float32(255))[:, None]
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    zero = np.rint(-lowest[:, None] * inverse)
    levels: FloatArray = (np.clip(np.rint(rows * inverse) + zero, 0, 255) - zero) * scale
    return levels


def in_signed_levels(rows: FloatArray) -> FloatArray:
    """Each row rounded to 255 levels, between minus and plus its largest value."""
    scale = (np.abs(rows).max(1) / np.float32(127))[:, None]
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    levels: FloatArray = np.rint(rows * inverse) * scale
    return levels


class RecordWorld:
    """A model on records, its parameters drawn by `draw`, and what to call it with."""

    def __init__(self, shape: Shape, *, whole_numbers: bool = False) -> None:
        rng = np.random.default_rng(shape.num_x + 100 * shape.num_y + 10_000 * shape.dim)

        def draw(*size: int) -> FloatArray:
            if whole_numbers:
                return rng.integers(-1, 2, size).astype(np.float32)
            return rng.normal(size=size).astype(np.float32)

        self.shape, self.graph = shape, graph_of(shape)
        N, width = shape.num_outputs, shape.num_x * shape.dim
        self.parameters: Parameters = {
            "users": draw(6, shape.num_y * shape.dim),
            "user_layer": draw(N, shape.num_y * shape.dim),
            "bias": draw(N),
            "layer": draw(N, width),
            "cross": draw(N, shape.num_x * shape.num_y),
            "head": draw(1, N),
            "head_bias": draw(1),
        }
        self.records = draw(NUM_ITEMS, shape.record_width)
        self.context = random_features(SCHEMA, "context", 2, rng)

    def candidates(self, count: int) -> NDArray[np.int64]:
        return np.random.default_rng(count).integers(0, NUM_ITEMS, (2, count))

    def program(self, precision: Precision = "float32") -> Program:
        low = dict.fromkeys(range(len(self.graph.nodes)), precision)
        del low[USER_LAYER]  # once a query, and short
        if self.shape.reads == "dots" and precision == "int8":
            low[USER_LAYER + 1] = "bfloat16"  # as `choose_precisions` has it
        return lower(self.graph, self.parameters, SCHEMA, low if precision != "float32" else {})

    def int8_expected(self, storage: Storage, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """By the oracle, of a layer on columns whose weights and inputs are rounded to levels.

        The levels of a record in int8 are its own; others have 256, from smallest to largest.
        """
        records = from_storage(to_storage(self.records, storage), storage)
        width = self.shape.num_x * self.shape.dim
        if storage != "int8":
            records[:, :width] = in_levels(records[:, :width])
        layer = in_signed_levels(self.parameters["layer"])
        items, parameters = Features.empty(NUM_ITEMS), {**self.parameters, "layer": layer}
        return evaluate(self.graph, parameters, self.context, items, candidates, records=records)

    def int8_dots_expected(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """By numpy: dots of a record's levels with the query's, and these rounded to levels."""
        shape, N = self.shape, self.shape.num_outputs
        records = from_storage(to_storage(self.records, "int8"), "int8")
        layer = in_signed_levels(self.parameters["cross"])
        head, bias = self.parameters["head"], self.parameters["bias"]
        scores = np.empty(candidates.shape)
        for query, rows in enumerate(candidates):
            user = self.parameters["users"][self.context.categorical[query, 0]]
            y = in_signed_levels(user.reshape(shape.num_y, shape.dim))
            x = records[rows, : shape.num_x * shape.dim].reshape(-1, shape.num_x, shape.dim)
            dots = np.einsum("cvd,ud->cvu", x, y).reshape(len(rows), -1)
            hidden = in_levels(dots) @ layer.T + self.parameters["user_layer"] @ user + bias
            if shape.adds:
                hidden += records[rows, -N:]
            scores[query] = np.maximum(hidden, 0) @ head[0] + self.parameters["head_bias"]
        return scores

    def machine(
        self, storage: Storage, precision: Precision = "float32", **options: Any
    ) -> NativeMachine:
        stored = to_storage(self.records, storage)
        program = self.program(precision)
        assert [type(step) for step in program.listing.block] == [RecordScore]
        made = MachineOptions(**options)
        return NativeMachine("model", program, Features.empty(NUM_ITEMS), stored, storage, made)

    def expected(self, storage: Storage, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """By the oracle, which is given the records as they are stored."""
        records = from_storage(to_storage(self.records, storage), storage)
        items = Features.empty(NUM_ITEMS)
        return evaluate(
            self.graph, self.parameters, self.context, items, candidates, records=records
        )


shapes = st.builds(
    Shape,
    reads=st.sampled_from(("columns", "bound", "dots")),
    num_x=st.integers(1, 30),
    num_y=st.integers(1, 40),
    dim=st.sampled_from((1, 2, 3, 4, 7, 8, 16, 32, 33, 64)),
    num_outputs=st.sampled_from((16, 32, 48, 64, 80, 96, 144)),
    adds=st.booleans(),
)


@given(shape=shapes, storage=st.sampled_from(STORAGES), count=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_scores_are_what_the_graph_means(shape: Shape, storage: Storage, count: int) -> None:
    """Any shape and storage, on every instruction set, any number of candidates."""
    world = RecordWorld(shape)
    candidates = world.candidates(count)
    expected = world.expected(storage, candidates)
    for isa in filter(runs, ISAS):
        assert_close(world.machine(storage, isa=isa).score(world.context, candidates), expected)


@given(shape=shapes, storage=st.sampled_from(STORAGES[:3]), count=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_bfloat16_is_exact_where_nothing_is_rounded(
    shape: Shape, storage: Storage, count: int
) -> None:
    """On whole numbers that bfloat16 can tell apart: every product meets its own partner."""
    shape = replace(shape, num_y=min(shape.num_y, 3)) if shape.reads == "bound" else shape
    world = RecordWorld(shape, whole_numbers=True)
    candidates = world.candidates(count)
    expected = world.expected(storage, candidates)
    for isa in filter(runs, ISAS):
        scores = world.machine(storage, "bfloat16", isa=isa).score(world.context, candidates)
        np.testing.assert_array_equal(scores, expected)


@given(shape=shapes, storage=st.sampled_from(STORAGES), count=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_int8_is_exact_between_its_levels(shape: Shape, storage: Storage, count: int) -> None:
    """Weights have levels of their own for each output; sums of products are whole numbers."""
    world = RecordWorld(replace(shape, reads="columns"))
    candidates = world.candidates(count)
    expected = world.int8_expected(storage, candidates)
    for isa in filter(runs, ISAS):
        scores = world.machine(storage, "int8", isa=isa).score(world.context, candidates)
        assert_close(scores, expected)


@given(shape=shapes, count=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_int8_weights_built_for_a_query_meet_the_records_own_levels(
    shape: Shape, count: int
) -> None:
    """On whole numbers from -1 to 1, which have levels among 255 of both signs."""
    world = RecordWorld(replace(shape, reads="bound", num_y=1), whole_numbers=True)
    candidates = world.candidates(count)
    expected = world.expected("int8", candidates)
    for isa in filter(runs, ISAS):
        scores = world.machine("int8", "int8", isa=isa).score(world.context, candidates)
        assert_close(scores, expected)


@given(
    shape=st.builds(
        Shape,
        reads=st.just("dots"),
        num_x=st.integers(1, 12),
        num_y=st.integers(1, 24),
        dim=st.sampled_from((4, 8, 16, 32, 36, 64)),
        num_outputs=st.sampled_from((16, 64, 96)),
        adds=st.booleans(),
    ),
    count=st.integers(20, 100),
)
@settings(max_examples=60, deadline=None)
def test_int8_dots_are_exact_between_levels(shape: Shape, count: int) -> None:
    """But for the few that lie so near the middle of two levels that they are rounded otherwise."""
    world = RecordWorld(shape)
    candidates = world.candidates(count)
    expected = world.int8_dots_expected(candidates)
    for isa in filter(runs, ISAS):
        scores = world.machine("int8", "int8", isa=isa).score(world.context, candidates)
        error = np.abs(scores - expected) / np.abs(expected).max()
        assert np.quantile(error, 0.25) < 1e-5
        assert error.max() < 5e-3


@each_isa
@pytest.mark.parametrize("reads", ["columns", "bound", "dots"])
@pytest.mark.parametrize("storage", STORAGES)
def test_int8_is_off_by_its_rounding(isa: str, reads: Reads, storage: Storage) -> None:
    world = RecordWorld(Shape(reads, 10, 17, 4, 64))
    candidates = world.candidates(100)
    expected = world.expected("float32", candidates)
    scores = world.machine(storage, "int8", isa=isa).score(world.context, candidates)
    error = np.abs(scores - expected).max() / np.abs(expected).max()
    assert 1e-4 < error < 3e-2


@each_isa
@pytest.mark.parametrize("reads", ["columns", "bound", "dots"])
def test_bfloat16_is_off_by_its_rounding(isa: str, reads: Reads) -> None:
    world = RecordWorld(Shape(reads, 10, 17, 32, 96))
    candidates = world.candidates(100)
    expected = world.expected("bfloat16", candidates)
    scores = world.machine("bfloat16", "bfloat16", isa=isa).score(world.context, candidates)
    error = np.abs(scores - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < 1e-2


@each_isa
@pytest.mark.parametrize(
    ("reads", "storage", "precision"),
    [
        *product(("columns", "bound", "dots"), ("bfloat16",), ("float32", "bfloat16")),
        *product(("columns", "bound", "dots"), ("bfloat16", "int8"), ("int8",)),
    ],
)
def test_a_score_depends_on_the_query_and_the_candidate_alone(
    isa: str, reads: Reads, storage: Storage, precision: Precision
) -> None:
    """To the bit: whatever the neighbours, the lanes and the threads."""
    world = RecordWorld(Shape(reads, 5, 18, 8, 112))
    candidates = world.candidates(1500)
    whole = world.machine(storage, precision, isa=isa).score(world.context, candidates)
    for options in ({"lanes": 16}, {"num_threads": 2, "lanes": 32}):
        other = world.machine(storage, precision, isa=isa, **options)
        np.testing.assert_array_equal(other.score(world.context, candidates), whole)
        for start, stop in ((3, 4), (100, 107), (900, 960)):
            part = other.score(world.context, np.ascontiguousarray(candidates[:, start:stop]))
            np.testing.assert_array_equal(part, whole[:, start:stop])


@each_isa
def test_the_best_of_all_items_are_found_in_order(isa: str) -> None:
    world = RecordWorld(Shape("dots", 10, 17, 8, 64))
    machine = world.machine("bfloat16", isa=isa)
    one = world.context.row(0)
    every = machine.score(one, None)[0]
    positions, scores = machine.top_k(one, None, 9)
    np.testing.assert_array_equal(positions, np.sort(np.argsort(-every, kind="stable")[:9]))
    np.testing.assert_array_equal(scores, every[positions])


def test_a_layer_of_outputs_that_do_not_fill_registers_keeps_its_tiles() -> None:
    block = RecordWorld(Shape(num_outputs=20)).program().listing.block
    assert RecordScore not in map(type, block)
    assert LoadRecord in map(type, block)


def test_what_something_else_reads_stays_a_tile() -> None:
    """A head that also adds up the record's own columns."""
    world = RecordWorld(Shape(num_x=1, dim=1, num_outputs=16, adds=False))
    nodes = world.graph.nodes
    parameters = {**world.parameters, "one": np.ones((1, 1), np.float32)}
    last = len(nodes)
    graph = RankingGraph(
        nodes=(*nodes, Linear(x_of=0, weight="one"), Sum(terms_of=(last - 1, last))),
        score_of=last + 1,
    )
    program = lower(graph, parameters, SCHEMA)
    assert RecordScore not in map(type, program.listing.block)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 11}, "what record_score's layer reads is 11 wide, must be 12"),
        ({"constant": 1 << 24}, "records are read from 0"),
        ({"start": -1}, "records are read from 0"),
        ({"dim": 5}, "whole vectors"),
        ({"head": "layer"}, "must be a float32 matrix of one output"),
        ({"weight": "none"}, "the slot 'none' was not built"),
    ],
)
def test_a_step_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    shape = Shape("dots") if "dim" in changes else Shape("bound")
    world = RecordWorld(shape)
    program = world.program()
    (step,) = program.listing.block
    arrays = {**program.arrays, "layer": world.parameters["layer"]}
    broken = {name: getattr(step, name) for name in step.__struct_fields__} | changes
    listing = program.listing
    wrong = Program(
        type(listing)(
            **{
                name: getattr(listing, name)
                for name in listing.__struct_fields__
                if name != "block"
            },
            block=(RecordScore(**broken),),
        ),
        arrays,
    )
    with pytest.raises(ModelError, match=message):
        NativeMachine("model", wrong, Features.empty(NUM_ITEMS), world.records)


def test_records_that_are_too_short_are_refused() -> None:
    """The machine is told how wide they must be by the step alone."""
    world = RecordWorld(Shape("dots"))
    short = world.records[:, :-1].copy()
    with pytest.raises(InvalidInput, match=r"reads records 28 wide of 77 items; .* 27 wide"):
        NativeMachine("model", world.program(), Features.empty(NUM_ITEMS), short)
