"""The cut at the candidate's side: what is known of an item becomes one stored record.

In serving the items are known in advance. Whatever the candidate's side hands to the pairs is
computed once an item and stored side by side; what is left for a pair reads the record.

Letters: I items, W width of a record.
"""

from dataclasses import dataclass

import numpy as np

from recfunnel.compile.evaluate import evaluate_side
from recfunnel.compile.rewrite import Draft, View, tidy
from recfunnel.compile.widths import Parameters, node_widths
from recfunnel.core.arrays import FloatArray, IntArray
from recfunnel.core.errors import InvalidInput
from recfunnel.core.features import Features
from recfunnel.core.graph import Concat, Linear, RankingGraph, Record, reads

STEP_BYTES = 64 * 2**20
"""Values of the candidate's side held at once while records are made, in float64."""

MACS_PER_NUMBER = 8
"""What reading one more number of a record is reckoned to cost, in multiply-adds. Records that come
from memory at 65 million cache lines a second cost about 50 a number (one core, AVX-512, float32),
records in the cache a few. Queries of MovieLens' DLRMs are 3 to 9 % faster for it."""


@dataclass(frozen=True, eq=False, slots=True)
class CatalogueSplit:
    """A model cut in two.

    Args:
        items: the candidate's side; what stands in for its score is the record, `width` wide.
        item_parameters: what it reads.
        pairs: the rest, which reads records instead of the candidate's features.
        pair_parameters: what it reads.
        width: W.
    """

    items: RankingGraph
    item_parameters: Parameters
    pairs: RankingGraph
    pair_parameters: Parameters
    width: int


def split_catalogue(graph: RankingGraph, parameters: Parameters) -> CatalogueSplit:
    """Cut a graph where the candidate's side ends.

    Stored is what pairs read of the candidate's side, each once: vectors, and layers on vectors as
    their results, unless the layer's input is so much shorter that computing it anew is less than
    reading it (see `MACS_PER_NUMBER`). A concatenation's parts that are read alone as well are
    stored with it. The score itself is stored when it depends on the item alone. `RowSum` still
    reads the item's id.

    Args:
        graph: hoisted, so that work on the item alone is known to be.
        parameters: by name.

    Returns:
        Both halves; W is 0 when nothing is read of the candidate but by `RowSum`.
    """
    view = View(graph, parameters)
    anew = _computed_anew(view)
    stored = _frontier(view, anew)
    places: dict[int, Record] = {}
    parts: list[int] = []
    width = 0
    for position in sorted(stored, key=lambda p: (not isinstance(view[p], Concat), p)):
        if position not in places:
            places[position] = Record(start=width, stop=width + view.widths[position])
            _place_parts(view, position, width, places)
            parts.append(position)
            width += view.widths[position]
    items = _items(view, parts)
    pairs = _pairs(view, {position: places[position] for position in stored}, anew)
    return CatalogueSplit(*items, *pairs, width)


def compile_records(
    split: CatalogueSplit, items: Features, *, step_bytes: int = STEP_BYTES
) -> FloatArray:
    """The record of every item.

    Args:
        split: of the model.
        items: features of I items.
        step_bytes: bounds the memory used besides the result.

    Returns:
        (I, W), computed in float64 and rounded to float32.
    """
    records = np.empty((len(items), split.width), np.float32)
    if split.width:
        widths = node_widths(split.items, split.item_parameters)
        step = max(1, step_bytes // (8 * sum(widths)))
        for start in range(0, len(items), step):
            rows = np.arange(start, min(start + step, len(items)))
            records[rows] = _records_of(split, items.take(rows))
    return records


def update_records(
    split: CatalogueSplit, records: FloatArray, rows: IntArray, items: Features
) -> None:
    """Make the records of some items anew, in place.

    Args:
        split: of the model.
        records: (I, W) of all items.
        rows: whose records; each 0 to I - 1.
        items: features of these items, in the order of `rows`.

    Raises:
        InvalidInput: the numbers of rows differ.
    """
    if len(items) != len(rows):
        raise InvalidInput(f"{len(items)} items for {len(rows)} records; one each")
    if len(rows) and split.width:
        records[rows] = _records_of(split, items)


def _records_of(split: CatalogueSplit, items: Features) -> FloatArray:
    values = evaluate_side(split.items, split.item_parameters, items, "candidate")
    return values[split.items.score_of].astype(np.float32)


def _computed_anew(view: View) -> set[int]:
    """Layers of the candidate's side that are cheaper to compute for a pair than to read."""
    found = set()
    for position, op in enumerate(view.graph.nodes):
        if isinstance(op, Linear) and view.sides[position] == "candidate":
            K, N = view.widths[op.x_of], view.widths[position]
            if position != view.graph.score_of and K * N < MACS_PER_NUMBER * (N - K):
                found.add(position)
    return found.intersection(_frontier(view, set()))


def _frontier(view: View, anew: set[int]) -> list[int]:
    """Nodes of the candidate's side that pairs read; the score, if it is one."""
    found = {
        read
        for position, op in enumerate(view.graph.nodes)
        if view.sides[position] == "pair" or position in anew
        for read in reads(op)
        if view.sides[read] == "candidate" and read not in anew
    }
    score = view.graph.score_of
    if view.sides[score] == "candidate":
        found.add(score)
    return [p for p in sorted(found) if not isinstance(view[p], Record)]


def _place_parts(view: View, position: int, start: int, places: dict[int, Record]) -> None:
    """Where the parts of a stored concatenation lie."""
    op = view[position]
    if isinstance(op, Concat):
        for part in op.parts_of:
            stop = start + view.widths[part]
            places.setdefault(part, Record(start=start, stop=stop))
            _place_parts(view, part, start, places)
            start = stop


def _items(view: View, parts: list[int]) -> tuple[RankingGraph, Parameters]:
    draft = Draft(view.parameters, view.graph.computed)
    for position, op in enumerate(view.graph.nodes):
        if view.sides[position] == "candidate":
            draft.move(position, draft.copy(op))
    if not parts:
        return RankingGraph(nodes=(Record(start=0, stop=0),), score_of=0), {}
    record = draft.concat(draft.all_at(parts))
    return tidy(draft.finish(record), draft.parameters)


def _pairs(
    view: View, stored: dict[int, Record], anew: set[int]
) -> tuple[RankingGraph, Parameters]:
    draft = Draft(view.parameters, view.graph.computed)
    for position, op in enumerate(view.graph.nodes):
        if position in stored:
            draft.move(position, draft.add(stored[position]))
        elif view.sides[position] != "candidate" or position in anew or isinstance(op, Record):
            draft.move(position, draft.copy(op))
    return tidy(draft.finish(draft.at(view.graph.score_of)), draft.parameters)
