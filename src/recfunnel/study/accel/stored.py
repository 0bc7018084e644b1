"""A finished model as the accelerator sees it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recfunnel.compile.safetensors import map_safetensors
from recfunnel.core.errors import StudyError
from recfunnel.core.graph import GRAPH_FILE, PARAMETERS_FILE, RankingGraph
from recfunnel.core.storage import read_json
from recfunnel.hardware.accel.graph_work import graph_work, rows_once
from recfunnel.hardware.accel.hot_rows import HotRows
from recfunnel.plan.accel.problem import AccelModel

WORD_BYTES = 2
"""Of a number in a table."""


def stored_model(models: Path, name: str, num_answers: int) -> AccelModel:
    """A model as it was trained; every candidate of every query is ranked, so rows are even.

    Args:
        models: folder of finished models.
        name: of one of them.
        num_answers: candidates wanted of it.

    Raises:
        StudyError: it has no graph, or none that the accelerator could run.
    """
    folder = models / name
    if not (folder / GRAPH_FILE).exists():
        raise StudyError(f"{name!r} has no graph; the accelerator cannot be told its layers")
    graph = read_json(folder / GRAPH_FILE, RankingGraph)
    shapes = {n: a.shape for n, a in map_safetensors(folder / PARAMETERS_FILE).items()}
    work = graph_work(name, graph, shapes, num_answers, word_bytes=WORD_BYTES)
    num_rows = _item_rows(graph, shapes)
    points = 2.0 ** np.arange(0, np.ceil(np.log2(num_rows)))
    curve = [(float(n), float(n) / num_rows) for n in points if n < num_rows]
    demand = HotRows(
        num_tables=work.num_tables,
        curve=(*curve, (float(num_rows), 1.0)),
        once=rows_once(graph),
    )
    return AccelModel(name=name, work=work, demand=demand)


def _item_rows(graph: RankingGraph, shapes: Mapping[str, tuple[int, ...]]) -> int:
    tables = {
        table: shapes[table][0]
        for op in graph.nodes
        if (table := getattr(op, "table", "")) and getattr(op, "side", "") == "candidate"
    }
    return max(1, sum(tables.values()))
