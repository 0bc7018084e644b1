"""Models whose tables are computed for each call, on the tile machine."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compile_world import SCHEMA, RandomGraph
from native_machine_world import World, assert_close, each_isa, with_id
from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.lower import lower
from recfunnel.compile.program import Precision, Program, hot_arrays
from recfunnel.compile.store_computed import store_computed
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.codes import MultiplyShift
from recfunnel.core.computed import Decoded, DecoderLayer, HashedRows, QuotientRemainder
from recfunnel.core.errors import DataError, InvalidInput, ModelError
from recfunnel.core.features import FeatureSchema
from recfunnel.core.graph import (
    AnyOp,
    Concat,
    Linear,
    Lookup,
    Pool,
    RankingGraph,
    RowSum,
    Sum,
)
from recfunnel.runtime import _native
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine
from recfunnel.runtime.native_tables import NativeRows

MANY = 3000
"""Ids of each feature."""

WIDE_SCHEMA = FeatureSchema(
    features=tuple(
        msgspec.structs.replace(feature, cardinality=feature.cardinality and MANY)
        for feature in SCHEMA.features
    )
)


def computed_graph() -> tuple[RankingGraph, dict[str, FloatArray]]:
    """All kinds of computed tables, looked up and pooled on both sides; four nodes share one."""
    rng = np.random.default_rng(0)
    arrays = {
        "deep.w": rng.normal(size=(40, 64)) / 8,
        "deep.b": rng.normal(size=40),
        "head.w": rng.normal(size=(5, 40)) / 6,
        "head.b": rng.normal(size=5),
        "few": rng.normal(size=(50, 5)),
        "high": rng.normal(size=(60, 3)),
        "low": rng.normal(size=(50, 3)),
        "layer": rng.normal(size=(1, 5 * 5 + 3 + 3)),
    }
    layers = (
        DecoderLayer(weight="deep.w", bias="deep.b", activation="relu"),
        DecoderLayer(weight="head.w", bias="head.b", activation="mish"),
    )
    computed = (
        Decoded(name="deep", num_ids=MANY, dim=5, codes=MultiplyShift(num_codes=64), layers=layers),
        HashedRows(name="hashed", num_ids=MANY, dim=5, table="few"),
        QuotientRemainder(
            name="split", num_ids=MANY, dim=3, quotient="high", remainder="low", num_remainders=50
        ),
    )
    nodes: tuple[AnyOp, ...] = (
        Lookup(side="context", column=0, table="deep"),
        Pool(side="context", column=0, table="deep", norm="l2"),
        Lookup(side="candidate", column=1, table="deep"),
        Pool(side="candidate", column=0, table="deep", norm="mean"),
        Lookup(side="candidate", column=0, table="hashed"),
        Lookup(side="candidate", column=0, table="split"),
        Pool(side="context", column=0, table="split"),
        Concat(parts_of=(0, 1, 2, 3, 4, 5, 6)),
        Linear(x_of=7, weight="layer"),
    )
    graph = RankingGraph(nodes=nodes, score_of=8, computed=computed)
    return graph, {name: array.astype(np.float32) for name, array in arrays.items()}


class ComputedWorld(World):
    """A graph whose tables stay computed, some rows of one kept."""

    def __init__(self, seed: int = 0, num_items: int = 200, num_candidates: int = 90) -> None:
        super().__init__(
            *computed_graph(),
            seed=seed,
            num_items=num_items,
            num_candidates=num_candidates,
            schema=WIDE_SCHEMA,
        )

    def program(
        self, hot: Mapping[str, IntArray] | None = None, precision: Precision = "float32"
    ) -> Program:
        program = lower(self.graph, self.parameters, self.schema, decoders=precision)
        arrays = dict(program.arrays)
        make = NativeRows(precision)
        for name, ids in (hot or {}).items():
            rows, index = hot_arrays(name)
            table = self.graph.computed_by_name[name]
            arrays[rows] = make(table, self.parameters, ids)
            arrays[index] = _native.hot_index(ids.astype(np.uint32))
        return Program(msgspec.structs.replace(program.listing, hot=tuple(hot or ())), arrays)

    def computed_machine(
        self,
        hot: Mapping[str, IntArray] | None = None,
        precision: Precision = "float32",
        **options: Any,
    ) -> NativeMachine:
        return NativeMachine(
            "model", self.program(hot, precision), self.items, options=MachineOptions(**options)
        )


WORLD = ComputedWorld(seed=2)


@given(seed=st.integers(0, 10**6), num_candidates=st.integers(1, 120))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_scores_are_what_the_graph_means(seed: int, num_candidates: int) -> None:
    made = RandomGraph(seed, 10, computed=True)
    names = made.graph.computed_by_name
    assume(names)
    world = World(made.graph, made.parameters, seed=seed, num_candidates=num_candidates)
    scores = world.machine().score(world.context, world.candidates, world.given)
    assert_close(scores, world.expected(world.candidates))


@each_isa
@pytest.mark.parametrize("num_threads", [1, 2])
def test_every_way_of_reading_a_computed_table_is_right(isa: str, num_threads: int) -> None:
    machine = WORLD.computed_machine(isa=isa, num_threads=num_threads)
    for candidates in (WORLD.candidates, WORLD.candidates[:, :3], None):
        scores = machine.score(WORLD.context, candidates)
        assert_close(scores, WORLD.expected(candidates))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("num_hot", [1, 40, 1500, MANY])
def test_kept_rows_change_no_bit(precision: Precision, num_hot: int) -> None:
    hot = np.sort(np.random.default_rng(num_hot).permutation(MANY)[:num_hot])
    without = WORLD.computed_machine(precision=precision)
    for tables in ({"deep": hot}, {"deep": hot, "hashed": hot, "split": hot}):
        kept = WORLD.computed_machine(tables, precision)
        expected = without.score(WORLD.context, WORLD.candidates)
        assert np.array_equal(kept.score(WORLD.context, WORLD.candidates), expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_rows_stored_whole_change_no_bit(precision: Precision) -> None:
    expected = WORLD.computed_machine(precision=precision).score(WORLD.context, WORLD.candidates)
    found = stored_machine(precision).score(WORLD.context, WORLD.candidates)
    assert np.array_equal(found, expected)


def test_a_score_depends_on_the_query_and_the_candidate_alone() -> None:
    machine = WORLD.computed_machine()
    whole = machine.score(WORLD.context, WORLD.candidates)
    alone = replace(
        WORLD.context,
        categorical=WORLD.context.categorical[1:2],
        dense=WORLD.context.dense[1:2],
        multi_valued=tuple(lists.take(np.array([1])) for lists in WORLD.context.multi_valued),
    )
    for columns in (slice(0, 1), slice(3, 10), slice(7, 90)):
        found = machine.score(alone, np.ascontiguousarray(WORLD.candidates[1:2, columns]))
        assert np.array_equal(found[0], whole[1, columns])


def test_the_best_are_those_of_all_scores() -> None:
    alone = ComputedWorld(seed=4)
    context = replace(
        alone.context,
        categorical=alone.context.categorical[:1],
        dense=alone.context.dense[:1],
        multi_valued=tuple(lists.take(np.array([0])) for lists in alone.context.multi_valued),
    )
    machine = alone.computed_machine(num_threads=2)
    scores = machine.score(context, None)[0]
    positions, found = machine.top_k(context, None, 20)
    assert np.array_equal(found, scores[positions])
    assert found.min() >= np.sort(scores)[-20]


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    machine = WORLD.computed_machine(num_threads=2)
    worlds = [ComputedWorld(seed) for seed in range(4)]
    expected = [machine.score(world.context, world.candidates) for world in worlds]

    def call(number: int) -> bool:
        world = worlds[number % 4]
        found = machine.score(world.context, world.candidates)
        return bool(np.array_equal(found, expected[number % 4]))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, range(60)))


def test_rows_grow_with_a_call_and_shrink_again() -> None:
    """More different ids than the hash table of ids begins with."""
    large = ComputedWorld(num_items=2500, num_candidates=2500)
    machine = large.computed_machine()
    few = machine.score(large.context, large.candidates[:, :5].copy())
    assert_close(machine.score(large.context, large.candidates), large.expected(large.candidates))
    assert np.array_equal(machine.score(large.context, large.candidates[:, :5].copy()), few)


def stored_machine(precision: Precision = "float32") -> NativeMachine:
    """Every table stored whole: the same function makes the rows, ahead of time."""
    stored = store_computed(
        WORLD.graph, WORLD.parameters, budget=Budget(NO_LIMIT), make_rows=NativeRows(precision)
    )
    assert not stored[0].computed
    return NativeMachine("model", lower(*stored, WORLD.schema), WORLD.items)


def allocations(machine: NativeMachine) -> int:
    """Of 20 warm calls."""
    out = machine.score(WORLD.context, WORLD.candidates)
    for _ in range(3):
        machine.score(WORLD.context, WORLD.candidates, out=out)
    before = _native.num_allocations()
    for _ in range(20):
        machine.score(WORLD.context, WORLD.candidates, out=out)
    return _native.num_allocations() - before


@pytest.mark.skipif(_native.num_allocations() < 0, reason="allocations are not counted here")
def test_making_rows_allocates_nothing_once_it_is_warm() -> None:
    """What a stored table's call allocates is for the lists it is given."""
    machine = WORLD.computed_machine({"deep": np.arange(0, MANY, 3)}, num_threads=2)
    assert allocations(machine) == allocations(stored_machine())


def test_ids_of_the_context_outside_a_computed_table_are_refused() -> None:
    machine = WORLD.computed_machine()
    wrong = with_id(WORLD.context, 2, 0, MANY)
    with pytest.raises(
        DataError, match=r"'context.categorical0' has id 3000 in row 2, .* 0 to 2999"
    ):
        machine.score(wrong, WORLD.candidates)
    lists = WORLD.context.multi_valued[0]
    values = lists.values.copy()
    assert values.size
    values[-1] = -1
    wrong = replace(WORLD.context, multi_valued=(replace(lists, values=values),))
    with pytest.raises(DataError, match=r"'context.multi_valued0' has id -1"):
        machine.score(wrong, WORLD.candidates)
    assert_close(machine.score(WORLD.context, None), WORLD.expected(None))  # it goes on


def test_ids_of_items_outside_a_computed_table_are_refused() -> None:
    items = with_id(WORLD.items, 7, 1, MANY)
    with pytest.raises(DataError, match=r"'candidate.categorical1' has id 3000 in row 7"):
        NativeMachine("model", WORLD.program(), items)


def test_candidates_that_are_no_items_are_refused() -> None:
    machine = WORLD.computed_machine()
    wrong = WORLD.candidates.copy()
    wrong[1, 30] = len(WORLD.items)
    with pytest.raises(InvalidInput, match="candidate 30 of query 1 is item 200"):
        machine.score(WORLD.context, wrong)


def test_an_index_that_names_other_rows_is_refused() -> None:
    program = WORLD.program({"deep": np.arange(10)})
    rows, index = hot_arrays("deep")
    wrong = program.arrays[index].copy()
    wrong[wrong[:, 1] == 3, 1] = 11
    with pytest.raises(ModelError, match="names a row or an id that is not there"):
        NativeMachine(
            "model", Program(program.listing, {**program.arrays, index: wrong}), WORLD.items
        )
    short = {**program.arrays, rows: program.arrays[rows][:, :4]}
    with pytest.raises(ModelError, match=r"hot rows are float32 \(count, 5\)"):
        NativeMachine("model", Program(program.listing, short), WORLD.items)


class RowSumWorld(World):
    """Listed rows of a computed table are summed, and read at the candidates' ids.

    The same list is pooled as well: its rows are made once.
    """

    def __init__(self, num_candidates: int) -> None:
        rng = np.random.default_rng(1)
        table = HashedRows(name="t", num_ids=MANY, dim=MANY, table="few")
        sums = RowSum(list_column=0, id_column=1, table="t", weighting="counts_as")
        pooled = Pool(side="context", column=0, table="t")
        nodes = (sums, pooled, Linear(x_of=1, weight="layer"), Sum(terms_of=(0, 2)))
        graph = RankingGraph(nodes=nodes, score_of=3, computed=(table,))
        arrays = {
            "few": rng.normal(size=(40, MANY)),
            "counts_as": np.array([0.3, 1.0, 1.5]),
            "layer": rng.normal(size=(1, MANY)) / MANY,
        }
        super().__init__(
            graph,
            {name: array.astype(np.float32) for name, array in arrays.items()},
            seed=2,
            num_items=200,
            num_candidates=num_candidates,
            schema=WIDE_SCHEMA,
        )


@each_isa
@pytest.mark.parametrize("num_candidates", [1, 60, 600])
def test_sums_of_computed_rows_are_the_same_picked_or_whole(isa: str, num_candidates: int) -> None:
    world = RowSumWorld(num_candidates)
    assert world.context.multi_valued[0].values.size > 3
    for num_threads in (1, 2):
        machine = world.machine(isa=isa, num_threads=num_threads)
        scores = machine.score(world.context, world.candidates)
        assert_close(scores, world.expected(world.candidates))


def test_a_listed_id_outside_a_table_that_is_summed_is_refused() -> None:
    world = RowSumWorld(5)
    lists = world.context.multi_valued[0]
    values = lists.values.copy()
    values[0] = MANY
    wrong = replace(world.context, multi_valued=(replace(lists, values=values),))
    with pytest.raises(DataError, match=r"'context.multi_valued0' has id 3000"):
        world.machine().score(wrong, world.candidates)
