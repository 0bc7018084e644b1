"""Lowering copies nothing it need not, shares rows, and a stored program fits one model only."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compile_world import SCHEMA, random_graph
from recfunnel.compile.lower import lower
from recfunnel.compile.lower_fingerprint import fingerprint
from recfunnel.compile.lower_storage import from_storage, row_bytes, to_storage
from recfunnel.compile.program import (
    AnyStep,
    CopyTile,
    Layer,
    LookupRow,
    Precision,
    Storage,
    Tile,
    load_program,
    save_program,
)
from recfunnel.core.errors import StorageError
from recfunnel.core.graph import (
    AnyOp,
    Concat,
    Linear,
    Lookup,
    PairDots,
    RankingGraph,
    Relu,
    Slice,
    Sum,
)

TABLES = {"user": np.zeros((6, 4), np.float32), "item": np.ones((6, 4), np.float32)}
USER = Lookup(side="context", column=0, table="user")
ITEM = Lookup(side="candidate", column=0, table="item")
OTHER = Lookup(side="candidate", column=1, table="item")
LAYERS = {
    "wide": np.ones((3, 8), np.float32),
    "narrow": np.ones((3, 4), np.float32),
    "head": np.ones((1, 3), np.float32),
    "bias": np.arange(3, dtype=np.float32),
}


def lowered(*nodes: AnyOp) -> tuple[tuple[AnyStep, ...], tuple[AnyStep, ...]]:
    """Both lists of steps of a graph whose last node is the score."""
    graph = RankingGraph(nodes=nodes, score_of=len(nodes) - 1)
    listing = lower(graph, TABLES | LAYERS, SCHEMA).listing
    return listing.query, listing.block


def test_parts_of_a_concatenation_are_written_where_they_belong() -> None:
    _, block = lowered(
        ITEM,
        OTHER,
        Concat(parts_of=(0, 1)),
        Linear(x_of=2, weight="wide"),
        Linear(x_of=3, weight="head"),
    )
    assert [type(step) for step in block] == [LookupRow, LookupRow, Layer, Layer]
    first, second, layer = block[0], block[1], block[2]
    assert isinstance(first, LookupRow)
    assert isinstance(second, LookupRow)
    assert isinstance(layer, Layer)
    assert second.out.row == first.out.row + 4 == layer.x.row + 4


def test_a_slice_is_a_view() -> None:
    _, block = lowered(
        ITEM,
        Concat(parts_of=(0, 0)),
        Slice(x_of=1, start=2, stop=6),
        Linear(x_of=2, weight="narrow"),
        Linear(x_of=3, weight="head"),
    )
    assert [type(step) for step in block] == [LookupRow, CopyTile, Layer, Layer]


def test_what_the_query_adds_and_every_bias_start_the_first_layer() -> None:
    query, block = lowered(
        USER,
        Linear(x_of=0, weight="narrow", bias="bias"),
        ITEM,
        Linear(x_of=2, weight="narrow", bias="bias"),
        Sum(terms_of=(1, 3)),
        Relu(x_of=4),
        Linear(x_of=5, weight="head"),
    )
    assert [type(step) for step in query] == [LookupRow, Layer]
    assert [type(step) for step in block] == [LookupRow, Layer, Layer]
    once, first = query[1], block[1]
    assert isinstance(once, Layer)
    assert isinstance(first, Layer)
    assert first.bias_at == once.out
    assert first.bias == ""
    assert first.relu
    assert once.bias.startswith("made")


def test_values_that_are_not_needed_at_once_share_rows() -> None:
    nodes: list[AnyOp] = [ITEM, Linear(x_of=0, weight="narrow")]
    parameters = TABLES | LAYERS | {"square": np.ones((3, 3), np.float32)}
    for position in range(1, 21):
        nodes.append(Linear(x_of=position, weight="square"))
    nodes.append(Linear(x_of=len(nodes) - 1, weight="head"))
    graph = RankingGraph(nodes=tuple(nodes), score_of=len(nodes) - 1)
    assert lower(graph, parameters, SCHEMA).listing.block_rows <= 4 + 3 + 3


def test_what_the_score_does_not_need_is_left_out() -> None:
    query, block = lowered(
        USER, ITEM, Linear(x_of=0, weight="narrow"), Slice(x_of=1, start=0, stop=1)
    )
    assert query == ()
    assert len(block) == 1


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_no_step_reads_rows_that_nothing_wrote(seed: int) -> None:
    """That rows are not written over too early is held by equality of scores, in the machine's."""
    graph, parameters = random_graph(seed)
    listing = lower(graph, parameters, SCHEMA).listing
    written: set[tuple[bool, int]] = set()
    for number, step in enumerate((*listing.query, *listing.block)):
        for name in ("x", "y", "bias_at", "addend"):
            tile = getattr(step, name, None)
            if isinstance(tile, Tile):
                rows = [(tile.per_block, row) for row in range(tile.row, tile.row + tile.width)]
                assert written.issuperset(rows), (number, step)
        out = getattr(step, "out", None)
        if isinstance(out, Tile):
            written |= {(out.per_block, out.row + i) for i in range(out.width)}


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16", "int8"])
def test_stored_rows_are_near_what_they_were(storage: Storage) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    rows[3] = 0
    stored = to_storage(rows, storage)
    assert stored.nbytes == 50 * row_bytes(12, storage)
    steps = {"float32": 0.0, "float16": 2**-11, "bfloat16": 2**-8, "int8": 0.5 / 127}
    bound = steps[storage] * np.abs(rows).max(axis=1, keepdims=True) * 1.001
    assert (np.abs(from_storage(stored, storage) - rows) <= bound).all()


def test_a_stored_program_is_the_same_and_repeats_no_table(tmp_path: Path) -> None:
    graph, parameters = random_graph(5)
    parameters = {name: array.astype(np.float32) for name, array in parameters.items()}
    program = lower(graph, parameters, SCHEMA)
    save_program(tmp_path / "program", program, parameters)
    again = load_program(tmp_path / "program", parameters, fingerprint(graph, parameters))
    assert again.listing == program.listing
    assert again.arrays.keys() == program.arrays.keys()
    for name, array in program.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    whole = [name for name, array in program.arrays.items() if parameters.get(name) is array]
    assert whole
    assert len(list((tmp_path / "program").glob("*.npy"))) == len(program.arrays) - len(whole)


def test_a_program_of_other_parameters_is_refused(tmp_path: Path) -> None:
    graph, parameters = random_graph(5)
    program = lower(graph, parameters, SCHEMA)
    save_program(tmp_path / "program", program, parameters)
    name = next(iter(graph.parameter_names))
    changed = {**parameters, name: parameters[name] + 1}
    with pytest.raises(StorageError, match="compiled from other parameters"):
        load_program(tmp_path / "program", changed, fingerprint(graph, changed))


def dots_of_vectors(*readers: AnyOp, bfloat16: tuple[int, ...]) -> tuple[AnyStep, ...]:
    """A block of two item vectors, their dots, and what else reads them."""
    nodes = (ITEM, OTHER, Concat(parts_of=(0, 1)), PairDots(x_of=2, dim=4), *readers)
    graph = RankingGraph(nodes=nodes, score_of=len(nodes) - 1)
    low: dict[int, Precision] = dict.fromkeys(bfloat16, "bfloat16")
    return lower(graph, TABLES | LAYERS, SCHEMA, low).listing.block


def test_vectors_only_bfloat16_reads_are_rounded_when_they_are_looked_up() -> None:
    layer, head = Linear(x_of=2, weight="wide"), Linear(x_of=4, weight="head")
    both = Sum(terms_of=(3, 5))

    block = dots_of_vectors(layer, head, both, bfloat16=(3, 4))

    assert [step.out.pairs for step in block if isinstance(step, LookupRow)] == [True, True]
    assert not dots_of_vectors(layer, head, both, bfloat16=(3,))[0].out.pairs
    assert not dots_of_vectors(layer, head, both, bfloat16=(4,))[0].out.pairs


def test_rounded_numbers_take_half_the_rows() -> None:
    nodes = (ITEM, Linear(x_of=0, weight="narrow"), Linear(x_of=1, weight="head"))
    graph = RankingGraph(nodes=nodes, score_of=2)

    whole = lower(graph, TABLES | LAYERS, SCHEMA).listing
    rounded = lower(graph, TABLES | LAYERS, SCHEMA, {1: "bfloat16", 2: "bfloat16"}).listing

    assert whole.block_rows == 4 + 3
    assert rounded.block_rows == 2 + 2
    assert not rounded.result.pairs
