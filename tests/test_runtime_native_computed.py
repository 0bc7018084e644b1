"""The native runtime on models with computed tables: stored, kept in a hot store, or computed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfunnel.compile.computed import row_flops
from recfunnel.compile.id_counts import (
    INDEX_BYTES,
    choose_hot_ids,
    count_ids,
    load_id_counts,
    save_id_counts,
)
from recfunnel.compile.load import StoredGraph
from recfunnel.compile.program import Program, hot_arrays
from recfunnel.core.arrays import FloatArray, Ragged
from recfunnel.core.errors import InvalidInput, ModelError, StorageError
from recfunnel.core.features import Features
from recfunnel.runtime.native import Native
from recfunnel.runtime.native_compile import compile_model
from recfunnel.runtime.native_files import compiled_form
from recfunnel.runtime.native_machine import MachineOptions, NativeMachine
from test_native_computed import MANY, WIDE_SCHEMA, ComputedWorld, computed_graph

WORLD = ComputedWorld(seed=2)
COMPUTED = {"largest_computed_bytes": 0}
"""Nothing is stored whole."""


def stored(counted: bool = True) -> StoredGraph:
    graph, parameters = computed_graph()
    counts = count_ids(graph, WORLD.context, WORLD.items, WORLD.candidates) if counted else None
    return StoredGraph("model", graph, parameters, WIDE_SCHEMA, (), counts)


def scores(runtime: Native, **options: Any) -> FloatArray:
    model = runtime.load_graph(stored(**options), WORLD.items)
    return model.score(WORLD.context, WORLD.candidates)


@pytest.mark.parametrize("catalogue", ["compiled", "hoisted"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_hot_store_of_any_size_changes_no_bit(catalogue: Any, precision: Any) -> None:
    plain = {"catalogue": catalogue, "precision": precision, **COMPUTED}
    expected = scores(Native(**plain))
    for size in (1, 1000, 20_000, 10**6):
        assert np.array_equal(scores(Native(**plain, hot_store_bytes=size)), expected)


def test_stored_whole_or_computed_scores_are_the_same() -> None:
    """To the last bit, where no pass folds a layer into a table that is stored."""
    for catalogue in ("compiled", "hoisted"):
        computed = scores(Native(catalogue=catalogue, **COMPUTED))  # type: ignore[arg-type]
        np.testing.assert_allclose(
            scores(Native(catalogue=catalogue)),  # type: ignore[arg-type]
            computed,
            rtol=0,
            atol=1e-5 * np.abs(computed).max(),
        )


def test_only_tables_up_to_a_size_are_stored_whole() -> None:
    """Of 3,000 ids: two tables of 60,000 bytes and one of 36,000."""
    for largest, left in ((0, 3), (36_000, 2), (59_999, 2), (60_000, 0)):
        program, _ = compile_model(
            stored(), Native(catalogue="hoisted", largest_computed_bytes=largest).form
        )
        assert len(program.listing.computed) == left


def test_the_store_takes_no_more_than_it_may() -> None:
    for size in (0, 100, 5000):
        form = Native(catalogue="hoisted", hot_store_bytes=size, **COMPUTED).form
        program, _ = compile_model(stored(), form)
        taken = sum(
            program.arrays[name].nbytes
            for table in program.listing.hot
            for name in hot_arrays(table)
        )
        row = 4 * 5 + INDEX_BYTES
        assert max(0, size - row - INDEX_BYTES) <= taken <= size


def test_a_store_without_counts_is_refused_with_a_remedy() -> None:
    with pytest.raises(
        ModelError, match=r"no id_counts.npz; count a window .* hot_store_bytes to 0"
    ):
        scores(Native(hot_store_bytes=1000, **COMPUTED), counted=False)
    scores(Native(hot_store_bytes=1000), counted=False)  # nothing stays computed


def test_a_compiled_form_in_files_holds_the_kept_rows(tmp_path: Path) -> None:
    """It is read again; and made anew where other ids were counted."""
    form = Native(hot_store_bytes=3000, **COMPUTED).form
    options = MachineOptions()

    def read(model: StoredGraph) -> tuple[Program, FloatArray, tuple[str, ...]]:
        program, records, said = compiled_form(tmp_path, model, WORLD.items, form, options)
        machine = NativeMachine("m", program, WORLD.items, records.stored, records.storage)
        return program, machine.score(WORLD.context, WORLD.candidates), said

    model = stored()
    _, made, said = read(model)
    assert said == ()
    program, found, said = read(model)
    assert said == ()
    assert np.array_equal(made, found)
    assert np.array_equal(made, scores(Native(**COMPUTED)))
    assert len(program.arrays[hot_arrays("deep")[0]]) > 50
    ids = np.arange(100)
    _, found, said = read(replace(model, id_counts={"deep": (ids, ids)}))
    assert "compiled from other counts of ids" in said[0]
    assert np.array_equal(made, found)


def test_it_says_what_is_computed_and_what_is_kept() -> None:
    def remarks(**options: Any) -> tuple[str, ...]:
        return Native(**options).load_graph(stored(), WORLD.items).remarks

    assert remarks() == ()
    (said,) = remarks(catalogue="hoisted", **COMPUTED)
    assert said == "rows of deep, hashed, split are computed in each query in float32; none is kept"
    (said,) = remarks(precision="int8", hot_store_bytes=5000, largest_computed_bytes=36_000)
    assert said.startswith("rows of deep are computed in each query in int8; 1")
    assert said.endswith(" frequent rows are kept (0.0 MB)")


def test_sizes_below_0_are_refused() -> None:
    with pytest.raises(InvalidInput, match="hot_store_bytes is -1, must not be below 0"):
        Native(hot_store_bytes=-1)


def test_ids_are_counted_once_a_query() -> None:
    graph, _ = computed_graph()
    context = Features(
        np.array([[7, 0], [8, 0]]),
        np.zeros((2, 4), np.float32),
        (Ragged.from_rows([[7, 9], []]),),
    )
    items = Features(
        np.array([[1, 7], [1, 5], [2, 5]]),
        np.zeros((3, 4), np.float32),
        (Ragged.from_rows([[9], [9, 9], [4]]),),
    )
    counts = count_ids(graph, context, items, np.array([[0, 1], [2, 2]]))
    assert {name: dict(zip(*map(list, both), strict=True)) for name, both in counts.items()} == {
        "deep": {4: 1, 5: 2, 7: 1, 8: 1, 9: 1},
        "hashed": {1: 1, 2: 1},
        "split": {1: 1, 2: 1, 7: 1, 9: 1},
    }


def test_the_rows_kept_save_most_arithmetic_a_byte() -> None:
    """Of one decoder the most frequent; rows that cost no arithmetic are not worth keeping."""
    graph, parameters = computed_graph()
    counts = {
        "deep": (np.array([3, 5, 8]), np.array([1, 9, 4])),
        "hashed": (np.array([1]), np.array([1000])),
        "split": (np.array([1]), np.array([1000])),
    }
    assert row_flops(graph.computed_by_name["deep"], parameters) == 2 * (64 * 40 + 40 * 5)
    row = 4 * 5 + INDEX_BYTES
    for budget, kept in ((row - 1, []), (row, [5]), (2 * row, [5, 8]), (9 * row, [3, 5, 8])):
        hot = choose_hot_ids(graph.computed, parameters, counts, int(np.ceil(budget + INDEX_BYTES)))
        assert set(hot) == ({"deep"} if kept else set())
        assert list(hot.get("deep", [])) == kept


def test_counts_are_kept_beside_a_model(tmp_path: Path) -> None:
    assert load_id_counts(tmp_path) is None
    counts = stored().id_counts
    assert counts is not None
    save_id_counts(tmp_path, counts)
    found = load_id_counts(tmp_path)
    assert found is not None
    assert set(found) == set(counts) == {"deep", "hashed", "split"}
    for name, (ids, number) in counts.items():
        assert np.array_equal(found[name][0], ids)
        assert np.array_equal(found[name][1], number)
        assert ids.size
        assert ids.max() < MANY
    (tmp_path / "id_counts.npz").write_bytes(b"torn")
    with pytest.raises(StorageError, match=r"id_counts.npz is damaged .* anew"):
        load_id_counts(tmp_path)
