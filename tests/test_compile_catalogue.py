"""A compiled catalogue scores as the whole graph does, and an item can be renewed alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from compile_world import Call, random_graph
from recfunnel.compile.bind_query import bind_query
from recfunnel.compile.catalogue import (
    CatalogueSplit,
    compile_records,
    split_catalogue,
    update_records,
)
from recfunnel.compile.evaluate import evaluate
from recfunnel.compile.hoist import hoist
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Features
from recfunnel.core.graph import (
    AnyOp,
    Concat,
    CrossDots,
    Dense,
    Linear,
    Lookup,
    RankingGraph,
    Record,
    Relu,
    RowSum,
    Sum,
)

RNG = np.random.default_rng(0)
ITEM = Dense(side="candidate", columns=(0, 1, 2, 3))
USER = Dense(side="context", columns=(0, 1, 2, 3))


def last(*nodes: AnyOp) -> RankingGraph:
    return RankingGraph(nodes=nodes, score_of=len(nodes) - 1)


def from_records(split: CatalogueSplit, call: Call) -> np.ndarray:
    """Scores by way of records, nothing but ids being known of the items."""
    unknown = Features.empty(5)
    items = Features(call.items.categorical, unknown.dense)
    records = compile_records(split, call.items)
    return evaluate(
        split.pairs,
        split.pair_parameters,
        call.context,
        items,
        call.candidates,
        call.given,
        records,
    )


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**6), bound=st.booleans())
def test_records_stand_in_for_items(seed: int, bound: bool) -> None:
    model = random_graph(seed)
    call, compiled = Call(seed), hoist(*model)
    if bound:
        compiled = bind_query(*compiled, num_candidates=100)
    split = split_catalogue(*compiled)

    expected = call.scores(*model)
    scale = max(1.0, float(np.abs(call.scores(*compiled)).max()))
    assert_allclose(from_records(split, call), expected, rtol=1e-4, atol=1e-4 * scale)
    assert all(op.side == "context" for op in split.pairs.nodes if isinstance(op, Lookup | Dense))


def test_a_layer_on_the_item_that_is_only_added_is_stored_as_its_result() -> None:
    graph = last(
        ITEM,
        USER,
        Linear(x_of=0, weight="w"),
        Linear(x_of=1, weight="v"),
        Sum(terms_of=(2, 3)),
        Relu(x_of=4),
        Linear(x_of=5, weight="h"),
    )
    parameters = {"w": RNG.normal(size=(2, 4)), "v": RNG.normal(size=(2, 4)), "h": np.ones(2)}

    split = split_catalogue(graph, parameters)

    assert split.width == 2
    assert split.pair_parameters.keys() == {"v", "h"}
    assert split.item_parameters.keys() == {"w"}


def test_parts_of_a_stored_value_are_not_stored_again() -> None:
    graph = last(
        Dense(side="candidate", columns=(0, 1)),
        Dense(side="candidate", columns=(2, 3)),
        Concat(parts_of=(0, 1)),
        USER,
        CrossDots(x_of=2, y_of=3, dim=2),
        CrossDots(x_of=1, y_of=3, dim=2),
        Concat(parts_of=(4, 5)),
        Linear(x_of=6, weight="w"),
    )

    split = split_catalogue(graph, {"w": RNG.normal(size=6)})

    assert split.width == 4
    assert {op for op in split.pairs.nodes if isinstance(op, Record)} == {
        Record(start=0, stop=4),
        Record(start=2, stop=4),
    }


def test_a_score_of_the_item_alone_is_its_record() -> None:
    graph = last(Lookup(side="candidate", column=0, table="t"))
    call = Call(0)

    split = split_catalogue(graph, {"t": np.arange(6.0)})

    assert split.pairs.nodes == (Record(start=0, stop=1),)
    assert_array_equal(from_records(split, call), call.scores(graph, {"t": np.arange(6.0)}))


def test_nothing_is_stored_where_the_pairs_read_only_ids() -> None:
    graph = last(RowSum(list_column=0, id_column=0, table="t"))

    split = split_catalogue(graph, {"t": np.eye(6)})

    assert split.width == 0
    assert compile_records(split, Call(0).items).shape == (5, 0)
    assert split.pairs == graph


@pytest.mark.parametrize("step_bytes", [1, 500, 10**6])
def test_the_size_of_a_step_changes_no_record(step_bytes: int) -> None:
    split, call = split_catalogue(*hoist(*random_graph(3))), Call(3)

    assert_array_equal(
        compile_records(split, call.items, step_bytes=step_bytes),
        compile_records(split, call.items),
    )


def test_one_item_is_renewed_alone() -> None:
    split, call = split_catalogue(*hoist(*random_graph(3))), Call(3)
    records, rows = compile_records(split, call.items), np.array([3, 1])
    changed = Call(4).items.take(rows)
    before = records.copy()

    update_records(split, records, rows, changed)

    assert_array_equal(records[rows], compile_records(split, changed))
    assert_array_equal(np.delete(records, rows, axis=0), np.delete(before, rows, axis=0))
    assert not np.array_equal(records, before)
    with pytest.raises(InvalidInput, match="2 items for 1 records"):
        update_records(split, records, rows[:1], changed)


@pytest.mark.parametrize(("num_inputs", "width"), [(1, 1), (6, 6), (8, 64)])
def test_a_layer_with_few_inputs_is_computed_anew(num_inputs: int, width: int) -> None:
    """Storing 6 numbers and 6 x 64 multiply-adds beat storing 64 numbers; 8 do not."""
    graph = last(
        Lookup(side="candidate", column=0, table="t"),
        USER,
        Linear(x_of=0, weight="w", bias="b"),
        Linear(x_of=1, weight="v"),
        Sum(terms_of=(2, 3)),
        Relu(x_of=4),
        Linear(x_of=5, weight="h"),
    )
    shapes = {"t": (6, num_inputs), "w": (64, num_inputs), "b": (64,), "v": (64, 4), "h": (64,)}
    parameters = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    split, call = split_catalogue(graph, parameters), Call(0)

    assert split.width == width
    assert_allclose(from_records(split, call), call.scores(graph, parameters), rtol=1e-4, atol=1e-4)
