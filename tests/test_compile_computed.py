"""Computed tables: what their rows are, and that storing them changes no score.

Letters: n ids, d dimensions.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from compile_world import NUM_IDS, Call, random_graph
from recfunnel.compile.bind_query import bind_query
from recfunnel.compile.budget import Budget
from recfunnel.compile.catalogue import compile_records, split_catalogue
from recfunnel.compile.computed import computed_rows, stored_table
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.fold import fold
from recfunnel.compile.hoist import hoist
from recfunnel.compile.join import join
from recfunnel.compile.materialise import materialise
from recfunnel.compile.passes import CompileOptions, compile_graph
from recfunnel.compile.rewrite import Model
from recfunnel.compile.store_computed import refuse_computed, store_computed
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.compile.work import graph_work
from recfunnel.core.codes import MultiplyShift
from recfunnel.core.computed import (
    AnyComputed,
    BatchNorm,
    Decoded,
    DecoderLayer,
    HashedRows,
    QuotientRemainder,
)
from recfunnel.core.errors import InvalidInput, ModelError
from recfunnel.core.graph import Linear, Lookup, Multiply, RankingGraph, RowSum
from recfunnel.core.hashing import buckets

RNG = np.random.default_rng(0)
SEEDS = st.integers(0, 10**6)
BUDGETS = st.sampled_from([0, 400, 10**9])
MANY = 10**9


@dataclass(frozen=True)
class Example:
    """A computed table and what it reads."""

    table: AnyComputed
    parameters: dict[str, NDArray[Any]]


def decoded(num_ids: int = 1000, *widths: int, **changes: object) -> Example:
    """A decoder of mish layers on 32 codes, its parameters float32."""
    chain = (32, *(widths or (40, 24, 5)))
    parameters, layers = {}, []
    for number, (num_inputs, num_outputs) in enumerate(pairwise(chain)):
        scale = 1 / np.sqrt(num_inputs)
        parameters[f"w{number}"] = scale * RNG.normal(size=(num_outputs, num_inputs))
        parameters[f"b{number}"] = scale * RNG.normal(size=num_outputs)
        layers.append(DecoderLayer(weight=f"w{number}", bias=f"b{number}", activation="mish"))
    fields = {"name": "made", "num_ids": num_ids, "dim": chain[-1], "layers": tuple(layers)}
    table = Decoded(**(fields | {"codes": MultiplyShift(num_codes=32)} | changes))  # type: ignore[arg-type]
    return Example(table, {k: v.astype(np.float32) for k, v in parameters.items()})


def with_layer(example: Example, number: int, **changes: object) -> Example:
    assert isinstance(example.table, Decoded)
    layers = list(example.table.layers)
    layers[number] = msgspec.structs.replace(layers[number], **changes)
    return Example(msgspec.structs.replace(example.table, layers=tuple(layers)), example.parameters)


def looked_up(example: Example) -> Model:
    """A graph whose score is a layer on a candidate's row."""
    nodes = (Lookup(side="candidate", column=0, table="made"), Linear(x_of=0, weight="head"))
    head = np.linspace(-1, 1, example.table.dim).astype(np.float32)
    graph = RankingGraph(nodes=nodes, score_of=1, computed=(example.table,))
    return graph, example.parameters | {"head": head}


# What a row is.


def test_a_decoded_row_is_the_network_on_the_codes() -> None:
    example = decoded(1000, 7, 3)
    p, ids = example.parameters, np.array([3, 999])
    assert isinstance(example.table, Decoded)

    found = computed_rows(example.table, p, ids)

    x = example.table.codes.codes(ids) * 2 / 255 - 1
    for w, b in (("w0", "b0"), ("w1", "b1")):
        x = x @ p[w].T.astype(float) + p[b]
        x = x * np.tanh(np.log(1 + np.exp(x)))
    assert_allclose(found, x, rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "of"),
    [
        ("none", lambda x: x),
        ("relu", lambda x: np.where(x > 0, x, 0)),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    ],
)
def test_an_activation_follows_the_norm_which_follows_the_layer(activation: str, of: Any) -> None:
    norm = BatchNorm(mean="m", variance="v", weight="g", bias="s", epsilon=0.01)
    example = with_layer(decoded(1000, 3), 0, norm=norm, activation=activation)
    p = example.parameters | {
        name: RNG.normal(size=3).astype(np.float32) ** power
        for name, power in (("m", 1), ("v", 2), ("g", 1), ("s", 1))
    }
    assert isinstance(example.table, Decoded)
    ids = np.arange(50)

    found = computed_rows(example.table, p, ids)

    x = example.table.codes.encode(ids) @ p["w0"].T.astype(float) + p["b0"]
    x = (x - p["m"]) / np.sqrt(p["v"].astype(float) + 0.01) * p["g"] + p["s"]
    assert_allclose(found, of(x), rtol=1e-6, atol=1e-7)


def test_a_hashed_row_is_that_of_its_bucket() -> None:
    rows = RNG.normal(size=(7, 2)).astype(np.float32)
    table = HashedRows(name="made", num_ids=100, dim=2, table="t", seed=4)

    found = computed_rows(table, {"t": rows}, np.arange(100))

    assert (found == rows[buckets(np.arange(100), 7, 4)]).all()


@pytest.mark.parametrize("combine", ["multiply", "add"])
def test_a_quotient_and_a_remainder_tell_every_id_apart(combine: str) -> None:
    q, r = RNG.normal(size=(4, 2)), RNG.normal(size=(3, 2))
    table = QuotientRemainder(
        name="made",
        num_ids=10,
        dim=2,
        quotient="q",
        remainder="r",
        num_remainders=3,
        combine=combine,  # type: ignore[arg-type]
    )

    found = computed_rows(table, {"q": q, "r": r}, np.arange(10))

    for i, row in enumerate(found):
        expected = q[i // 3] * r[i % 3] if combine == "multiply" else q[i // 3] + r[i % 3]
        assert row.tolist() == expected.tolist()
    assert len(np.unique(found, axis=0)) == 10


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 300))
def test_a_row_is_the_same_to_the_last_bit_whatever_it_is_made_with(seed: int, count: int) -> None:
    example = decoded(1000, 130, 64, 16)
    whole = computed_rows(example.table, example.parameters, np.arange(1000))
    ids = np.random.default_rng(seed).integers(0, 1000, count)

    assert (computed_rows(example.table, example.parameters, ids) == whole[ids]).all()


@pytest.mark.parametrize("identifier", [-1, 1000])
def test_an_id_outside_the_table_is_refused(identifier: int) -> None:
    example = decoded(1000)

    with pytest.raises(InvalidInput, match=f"'made' has rows 0 to 999, asked for {identifier}"):
        computed_rows(example.table, example.parameters, np.array([identifier]))


# Shapes that do not fit.


def without(example: Example, name: str, array: NDArray[Any] | None) -> Example:
    parameters = {k: v for k, v in example.parameters.items() if k != name}
    return Example(example.table, parameters if array is None else parameters | {name: array})


QR = QuotientRemainder(
    name="made", num_ids=10, dim=2, quotient="q", remainder="r", num_remainders=3
)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (decoded(10, 4, codes=MultiplyShift(num_codes=31)), "w0 has shape .4, 32., must .* 31"),
        (decoded(10, 4, dim=5), "last layer's output has shape .4,., must have .5,."),
        (without(decoded(10, 4), "b0", np.zeros(3)), "b0 has shape .3,., must have .4,."),
        (without(decoded(10, 4), "b0", None), "'made' reads the parameter 'b0', which is not"),
        (without(decoded(10, 4), "made", np.zeros(4)), "both a parameter and a computed table"),
        (
            Example(HashedRows(name="made", num_ids=9, dim=2, table="t"), {"t": np.zeros((4, 3))}),
            "t has shape .4, 3., must have .4, 2.",
        ),
        (Example(QR, {"q": np.zeros((3, 2)), "r": np.zeros((3, 2))}), "q has shape .3, 2., .*4"),
        (Example(QR, {"q": np.zeros((4, 2)), "r": np.zeros((4, 2))}), "r has shape .4, 2., .*3"),
    ],
)
def test_shapes_that_do_not_chain_are_refused(example: Example, message: str) -> None:
    graph = RankingGraph(
        nodes=(Lookup(side="context", column=0, table="made"),),
        score_of=0,
        computed=(example.table,),
    )

    with pytest.raises(ModelError, match=message):
        node_widths(graph, example.parameters)


def test_computed_tables_that_cannot_be_are_refused() -> None:
    with pytest.raises(ModelError, match="needs a name, at least one id and one dimension"):
        HashedRows(name="made", num_ids=0, dim=2, table="t")
    with pytest.raises(ModelError, match="'made' has no layer"):
        Decoded(name="made", num_ids=1, dim=1, codes=MultiplyShift(num_codes=1), layers=())
    with pytest.raises(ModelError, match="0 remainders"):
        msgspec.structs.replace(QR, num_remainders=0)
    with pytest.raises(ModelError, match="different names; got made, made"):
        RankingGraph(
            nodes=(Lookup(side="context", column=0, table="made"),), score_of=0, computed=(QR, QR)
        )


def test_a_graph_with_computed_tables_survives_being_stored() -> None:
    graph, _ = random_graph(3, computed=True)

    assert graph.computed
    assert msgspec.json.decode(msgspec.json.encode(graph), type=RankingGraph) == graph


# Passes.


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS, budget=BUDGETS)
def test_storing_computed_tables_changes_no_score(seed: int, budget: int) -> None:
    model = random_graph(seed, computed=True)

    after = store_computed(*model, budget=Budget(budget))

    Call(seed).assert_equal(model, after)
    if budget == MANY:
        assert not after[0].computed


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, budget=BUDGETS)
def test_no_pass_changes_a_score_of_computed_tables(seed: int, budget: int) -> None:
    model, call = random_graph(seed, computed=True), Call(seed)

    call.assert_equal(model, materialise(*model, budget=Budget(budget)))
    hoisted = hoist(*model)
    call.assert_equal(model, bind_query(*hoisted, num_candidates=64))
    call.assert_equal(model, fold(*hoisted, budget=Budget(budget)))
    call.assert_equal(model, join(*hoisted, budget=Budget(budget)))


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, kept=st.booleans())
def test_a_compiled_model_has_the_same_scores(seed: int, kept: bool) -> None:
    model, call = random_graph(seed, computed=True), Call(seed)
    options = CompileOptions(largest_computed_bytes=0 if kept else MANY)

    compiled = compile_graph(*model, options)

    call.assert_equal(model, (compiled.graph, compiled.parameters))
    assert kept or not compiled.graph.computed


def test_records_hold_what_is_computed() -> None:
    """A catalogue's records are made of computed rows as of stored ones."""
    model, call = looked_up(decoded(NUM_IDS)), Call(0)
    split = split_catalogue(*hoist(*model))

    records = compile_records(split, call.items)

    found = evaluate(
        split.pairs, split.pair_parameters, call.context, call.items, None, None, records
    )
    assert_allclose(found, evaluate(*model, call.context, call.items), rtol=1e-6)


def test_stored_scores_are_the_computed_ones_to_the_last_bit() -> None:
    """Where rows are rounded to float32 both ways."""
    example = decoded(NUM_IDS)
    graph, parameters = looked_up(example)
    rows = stored_table(example.table, example.parameters)
    stored = store_computed(graph, parameters, budget=Budget(MANY))

    assert stored[1]["made"].dtype == np.float32
    assert (stored[1]["made"] == rows).all()
    some = np.array([4, 1, 1, 3])
    assert (stored_table(example.table, example.parameters, some) == rows[some]).all()
    assert stored[0].nodes == graph.nodes
    assert set(stored[1]) == {"made", "head"}


def test_only_what_there_is_room_for_is_stored_and_what_saves_most_first() -> None:
    """Of two equal decoders the smaller feature's table is made."""
    example = decoded(60, 4)
    large = msgspec.structs.replace(example.table, name="large")
    small = msgspec.structs.replace(example.table, name="small", num_ids=6)
    nodes = tuple(Lookup(side="context", column=0, table=t.name) for t in (large, small))
    graph = RankingGraph(
        nodes=(*nodes, Multiply(x_of=0, y_of=1)), score_of=2, computed=(large, small)
    )

    assert store(graph, example, 4 * 6 * 4 - 1).computed == (large, small)
    assert store(graph, example, 4 * 6 * 4).computed == (large,)
    assert store(graph, example, 4 * 66 * 4).computed == ()


def store(graph: RankingGraph, example: Example, made_bytes: int) -> RankingGraph:
    budget = Budget(MANY, made_bytes)
    return store_computed(graph, example.parameters, budget=budget)[0]


def test_a_table_above_the_largest_stays_computed() -> None:
    graph, parameters = looked_up(decoded(60, 4))

    def kept(largest: int) -> int:
        budget = Budget(MANY)
        return len(
            store_computed(graph, parameters, budget=budget, largest_bytes=largest)[0].computed
        )

    assert (kept(4 * 60 * 4 - 1), kept(4 * 60 * 4)) == (1, 0)


def test_rows_are_made_by_whom_one_says() -> None:
    example = decoded(60, 1)
    node = Lookup(side="candidate", column=0, table="made")
    graph = RankingGraph(nodes=(node,), score_of=0, computed=(example.table,))

    def make_rows(
        _table: AnyComputed, _parameters: Parameters, ids: NDArray[np.int64]
    ) -> NDArray[Any]:
        return 3.0 * ids[:, None]

    compiled = compile_graph(graph, example.parameters, make_rows=make_rows)

    assert compiled.parameters["made"].ravel().tolist() == [3.0 * i for i in range(60)]


def test_the_work_of_a_decoder_is_counted_until_it_is_stored() -> None:
    """32-40-24-5 is 2 (32·40 + 40·24 + 24·5) FLOPs; a stored row is 20 bytes."""
    graph, parameters = looked_up(decoded())
    before = graph_work(graph, parameters)
    after = graph_work(*store_computed(graph, parameters, budget=Budget(MANY)))

    assert before.flops_per_candidate == 2 * (32 * 40 + 40 * 24 + 24 * 5) + 2 * 5
    assert before.bytes_per_candidate == 8
    assert before.parameter_bytes == 4 * (32 * 40 + 40 + 40 * 24 + 24 + 24 * 5 + 5 + 5)
    assert after.flops_per_candidate == 2 * 5
    assert after.bytes_per_candidate == 8 + 20
    assert after.parameter_bytes == 4 * (1000 * 5 + 5)


def test_tables_that_save_most_arithmetic_a_byte_are_stored_first() -> None:
    """Room for one: a row of the larger table saves more, but there are ten times as many."""
    parameters, tables = {}, []
    for name, num_ids, width in (("large", 1000, 80), ("small", 100, 40)):
        for array, shape in (("w", (width, 32)), ("b", (width,)), ("v", (5, width)), ("c", (5,))):
            parameters[f"{name}.{array}"] = RNG.normal(size=shape).astype(np.float32)
        layers = (
            DecoderLayer(weight=f"{name}.w", bias=f"{name}.b", activation="relu"),
            DecoderLayer(weight=f"{name}.v", bias=f"{name}.c"),
        )
        codes = MultiplyShift(num_codes=32)
        tables.append(Decoded(name=name, num_ids=num_ids, dim=5, codes=codes, layers=layers))
    nodes = tuple(Lookup(side="candidate", column=0, table=table.name) for table in tables)
    graph = RankingGraph(
        nodes=(*nodes, Multiply(x_of=0, y_of=1)), score_of=2, computed=tuple(tables)
    )

    stored, _ = store_computed(graph, parameters, budget=Budget(MANY, made_bytes=21_000))

    assert [table.name for table in stored.computed] == ["large"]


def test_rows_that_are_summed_are_made_once_a_query() -> None:
    """A list counts as one lookup; the sum itself is one multiply-add a candidate."""
    example = decoded(5, 40, 24, 5)
    graph = RankingGraph(
        nodes=(RowSum(list_column=0, id_column=0, table=example.table.name),),
        score_of=0,
        computed=(example.table,),
    )

    work = graph_work(graph, example.parameters)

    assert work.flops_per_query == 2 * sum(
        array.size for array in example.parameters.values() if array.ndim == 2
    )
    assert work.flops_per_candidate == 2


def test_a_runtime_of_stored_tables_says_what_it_cannot_do() -> None:
    graph, parameters = looked_up(decoded())

    with pytest.raises(ModelError, match=r"'made' would be computed; .*max_made_bytes"):
        refuse_computed(graph, "this runtime")
    refuse_computed(store_computed(graph, parameters, budget=Budget(MANY))[0], "this runtime")
