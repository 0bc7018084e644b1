"""Ranking graphs: what they refuse, which side a node is on, and that they survive storage."""

from pathlib import Path

import pytest

from recfunnel.core.errors import ModelError
from recfunnel.core.graph import (
    Concat,
    CrossDots,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    RankingGraph,
    Record,
    Relu,
    RowSum,
    Slice,
    Sum,
    parameters_of,
    reads,
    with_reads,
)
from recfunnel.core.graph_builder import GraphBuilder
from recfunnel.core.storage import read_json, write_json

USER = Lookup(side="context", column=0, table="users")
ITEM = Lookup(side="candidate", column=0, table="items")


def two_towers() -> RankingGraph:
    nodes = (
        USER,
        ITEM,
        Linear(x_of=1, weight="w", bias="b"),
        CrossDots(x_of=2, y_of=0, dim=4),
        Given(width=1),
        Sum(terms_of=(3, 4)),
    )
    return RankingGraph(nodes=nodes, score_of=5)


def test_a_side_follows_from_what_is_read() -> None:
    sides = two_towers().sides()

    assert sides == ("context", "candidate", "candidate", "pair", "pair", "pair")


@pytest.mark.parametrize("op", [Given(width=2), RowSum(list_column=0, id_column=0, table="t")])
def test_what_needs_both_is_of_the_pair(op: Given | RowSum) -> None:
    assert RankingGraph(nodes=(op,), score_of=0).sides() == ("pair",)


def test_a_record_is_the_candidates() -> None:
    assert RankingGraph(nodes=(Record(start=0, stop=1),), score_of=0).sides() == ("candidate",)


@pytest.mark.parametrize("read", [0, 1, -1])
def test_a_node_reads_only_earlier_ones(read: int) -> None:
    with pytest.raises(ModelError, match=f"node 0 of a ranking graph reads node {read}"):
        RankingGraph(nodes=(Relu(x_of=read), USER), score_of=0)


def test_the_score_is_one_of_the_nodes() -> None:
    with pytest.raises(ModelError, match="1 nodes has no node 1"):
        RankingGraph(nodes=(USER,), score_of=1)


def test_an_operation_names_what_it_reads_and_can_read_elsewhere() -> None:
    op = CrossDots(x_of=3, y_of=1, dim=2)

    assert reads(op) == (3, 1)
    assert with_reads(op, {3: 0, 1: 7}) == CrossDots(x_of=0, y_of=7, dim=2)
    assert reads(Concat(parts_of=(2, 2, 5))) == (2, 2, 5)
    assert with_reads(Slice(x_of=4, start=1, stop=3), {4: 0}) == Slice(x_of=0, start=1, stop=3)
    assert reads(USER) == ()


def test_parameters_are_named_once_whoever_reads_them() -> None:
    assert two_towers().parameter_names == {"users", "items", "w", "b"}
    assert parameters_of(Linear(x_of=0, weight="w")) == ("w",)


def test_a_graph_survives_storage(tmp_path: Path) -> None:
    write_json(tmp_path / "graph.json", two_towers())

    assert read_json(tmp_path / "graph.json", RankingGraph) == two_towers()


def test_the_builder_writes_no_node_twice() -> None:
    builder = GraphBuilder()
    first, again = builder.add(USER), builder.add(USER)
    item = builder.add(ITEM)
    score = builder.sum([builder.add(Multiply(x_of=first, y_of=item))])

    assert first == again
    assert builder.concat([item]) == item
    assert builder.finish(score).nodes == (USER, ITEM, Multiply(x_of=0, y_of=1))
    assert Dense(side="context", columns=(0,)) != Dense(side="candidate", columns=(0,))
