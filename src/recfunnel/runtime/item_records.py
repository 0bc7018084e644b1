"""What a graph computes of each item alone, computed once for the whole catalogue.

Letters: I items, C candidates.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.compile.evaluate import evaluate_side
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.arrays import FloatArray
from recfunnel.core.features import Features
from recfunnel.core.graph import AnyOp, RankingGraph, Record, reads, with_reads

ITEMS_AT_ONCE = 1 << 14


@dataclass(frozen=True, eq=False, slots=True)
class RecordedGraph:
    """A graph whose item side is read from records.

    Args:
        graph: reads records, no features of candidates but ids that `RowSum` needs.
        recorded: positions in the whole graph of what a record holds, side by side.
    """

    graph: RankingGraph
    recorded: tuple[int, ...]


def record_items(graph: RankingGraph, parameters: Parameters) -> RecordedGraph:
    """Cut a graph where what is known of an item meets what is known of the query.

    Args:
        graph: a whole model.
        parameters: by name.

    Returns:
        The rest, and what the records must hold.
    """
    sides, widths = graph.sides(), node_widths(graph, parameters)
    kept = _needed(graph)
    read = {
        below
        for position in kept
        if sides[position] == "pair"
        for below in reads(graph.nodes[position])
    }
    recorded = [i for i in kept if sides[i] == "candidate" and i in read | {graph.score_of}]
    nodes: list[AnyOp] = []
    moved: dict[int, int] = {}
    start = 0
    for position in recorded:
        moved[position] = len(nodes)
        nodes.append(Record(start=start, stop=start + widths[position]))
        start += widths[position]
    for position in kept:
        if sides[position] != "candidate":
            moved[position] = len(nodes)
            nodes.append(with_reads(graph.nodes[position], moved))
    rest = RankingGraph(nodes=tuple(nodes), score_of=moved[graph.score_of])
    return RecordedGraph(rest, tuple(recorded))


def make_records(
    graph: RankingGraph, parameters: Parameters, recorded: tuple[int, ...], items: Features
) -> FloatArray:
    """The record of every item.

    Args:
        graph: the whole model.
        parameters: by name.
        recorded: positions of what a record holds.
        items: features of all items.

    Returns:
        float32 (I, width), made in steps that bound memory.
    """
    if not recorded:
        return np.zeros((len(items), 0), np.float32)
    width = sum(node_widths(graph, parameters)[position] for position in recorded)
    records = np.empty((len(items), width), np.float32)
    for start in range(0, len(items), ITEMS_AT_ONCE):
        rows = np.arange(start, min(start + ITEMS_AT_ONCE, len(items)))
        found = evaluate_side(graph, parameters, items.take(rows), "candidate")
        records[rows] = np.concatenate([found[position] for position in recorded], axis=1)
    return records


def _needed(graph: RankingGraph) -> list[int]:
    """Positions of all nodes the score depends on, rising."""
    needed, open_ = {graph.score_of}, [graph.score_of]
    while open_:
        below = set(reads(graph.nodes[open_.pop()])) - needed
        needed |= below
        open_ += below
    return sorted(needed)
