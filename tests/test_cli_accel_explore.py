"""`recfunnel accel explore`: a run folder in, the designs that nothing beats out."""

from pathlib import Path

import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.errors import StudyError
from recfunnel.core.graph import (
    Concat,
    CrossDots,
    Dense,
    Linear,
    Lookup,
    PairDots,
    Pool,
    RankingGraph,
    Relu,
    RowSum,
    Slice,
    Sum,
)
from recfunnel.hardware.accel.graph_work import graph_work, rows_once


def dlrm_like() -> tuple[RankingGraph, dict[str, tuple[int, ...]]]:
    """Two context vectors, one candidate vector and a bottom network, of 4 numbers each."""
    nodes = (
        Dense(side="context", columns=(0,)),
        Dense(side="candidate", columns=(0, 1)),
        Linear(x_of=0, weight="first_context"),
        Linear(x_of=1, weight="first_items"),
        Sum(terms_of=(2, 3)),
        Relu(x_of=4),
        Linear(x_of=5, weight="second"),
        Lookup(side="context", column=0, table="user"),
        Pool(side="context", column=0, table="history"),
        Lookup(side="candidate", column=0, table="item"),
        Concat(parts_of=(7, 8)),
        PairDots(x_of=10, dim=4),
        CrossDots(x_of=6, y_of=10, dim=4),
        CrossDots(x_of=9, y_of=10, dim=4),
        CrossDots(x_of=9, y_of=6, dim=4),
        Concat(parts_of=(6, 11, 12, 13, 14)),
        Linear(x_of=15, weight="top"),
        Slice(x_of=16, start=0, stop=8),
        Linear(x_of=17, weight="last"),
    )
    shapes = {
        "first_context": (16, 1), "first_items": (16, 2), "second": (4, 16), "user": (50, 4),
        "history": (70, 4), "item": (70, 4), "top": (8, 10), "last": (8,),
    }  # fmt: skip
    return RankingGraph(nodes=nodes, score_of=18), shapes


def test_a_graph_is_the_layers_it_was_split_from() -> None:
    graph, shapes = dlrm_like()
    work = graph_work("model", graph, shapes, 10)

    sizes = [(layer.num_inputs, layer.num_outputs) for layer in work.shape.layers]
    assert sizes == [(3, 16), (16, 4), (10, 8), (8, 1)]
    assert work.shape.interaction is not None
    assert work.shape.interaction.num_dots == 1 + 2 + 2 + 1
    assert (work.shape.interaction.num_vectors, work.shape.interaction.width) == (4, 4)
    assert (work.num_tables, work.vector_bytes, work.num_dense) == (3, 8, 3)
    assert rows_once(graph) == 2


def test_what_the_accelerator_has_no_unit_for_is_named() -> None:
    graph = RankingGraph(nodes=(RowSum(list_column=0, id_column=0, table="gram"),), score_of=0)
    with pytest.raises(StudyError, match="'ease' has row_sum"):
        graph_work("ease", graph, {"gram": (5, 5)}, 10)


def test_a_folder_without_scores_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["accel", "explore", str(tmp_path), "-q"]) == 2
    assert "holds no scores" in capsys.readouterr().err


def test_an_unknown_policy_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["accel", "explore", str(tmp_path), "--policy", "fifo", "-q"]) == 2
    assert "no filter policy 'fifo'; known: quota" in capsys.readouterr().err
