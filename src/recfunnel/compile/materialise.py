"""What depends on a single id becomes a table: computed once for every id, looked up after.

First the tables that are computed as such (deep hash embeddings, say), then layers on lookups.
"""

import msgspec
import numpy as np

from recfunnel.compile.budget import NO_LIMIT, Budget
from recfunnel.compile.computed import RowMaker, computed_rows
from recfunnel.compile.evaluate import evaluate_side
from recfunnel.compile.rewrite import Draft, Model, View, sweep, tidy
from recfunnel.compile.simplify import simplify
from recfunnel.compile.store_computed import store_computed
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray, IntArray
from recfunnel.core.features import Features, Side
from recfunnel.core.graph import (
    Concat,
    Lookup,
    RankingGraph,
    Slice,
    Sum,
    parameters_of,
    reads,
)

Origin = tuple[Side, int]
"""A side, and one of its categorical features by column."""

IDS_AT_ONCE = 1 << 14

COPIES = (Lookup, Slice, Concat)
"""Operations that compute nothing; they alone are no reason for a table."""


def materialise(
    graph: RankingGraph,
    parameters: Parameters,
    *,
    budget: Budget,
    largest_computed_bytes: int = NO_LIMIT,
    make_rows: RowMaker = computed_rows,
) -> Model:
    """Turn what depends on one categorical feature alone into a lookup.

    Computed tables come first, see `store_computed`. Then the largest such parts are taken whole,
    terms of sums among them; each is computed for every id. One is left as it is where its table
    would cost more than what is left of the budget.

    Args:
        graph: any.
        parameters: by name.
        budget: what new tables may cost.
        largest_computed_bytes: computed tables that would be larger stay computed.
        make_rows: who computes their rows.

    Returns:
        An equal graph and its parameters.
    """
    graph, parameters = store_computed(
        graph,
        parameters,
        budget=budget,
        largest_bytes=largest_computed_bytes,
        make_rows=make_rows,
    )
    graph, parameters = sweep(*simplify(graph, parameters), _by_feature)
    while True:
        view = View(graph, parameters)
        for position in _roots(view):
            if budget.take(_num_bytes(view, position), view.dead_bytes(position, [])):
                graph, parameters = _with_table(view, position)
                break
        else:
            return simplify(graph, parameters)


def _by_feature(view: View, draft: Draft, position: int) -> int | None:
    """Terms of a sum that depend on the same feature alone are summed by themselves."""
    op, origins = view[position], _origins(view)
    if not isinstance(op, Sum) or origins[position] is not None:
        return None
    groups: dict[object, list[int]] = {}
    for number, term in enumerate(op.terms_of):
        groups.setdefault(origins[term] or number, []).append(draft.at(term))
    return draft.sum([draft.sum(group) for group in groups.values()])


def _roots(view: View) -> list[int]:
    """The last nodes that depend on one feature alone and compute something."""
    origins = _origins(view)
    computes: list[bool] = []
    for op in view.graph.nodes:
        computes.append(not isinstance(op, COPIES) or any(computes[i] for i in reads(op)))
    return [
        position
        for position, origin in enumerate(origins)
        if origin is not None
        and computes[position]
        and (
            position == view.graph.score_of
            or any(origins[reader] is None for reader in view.readers[position])
        )
    ]


def _origins(view: View) -> list[Origin | None]:
    """The one feature each node depends on; None where it depends on more, or on no id."""
    found: list[Origin | None] = []
    for op in view.graph.nodes:
        if isinstance(op, Lookup):
            found.append((op.side, op.column) if view.is_stored(op.table) else None)
            continue
        below = {found[read] for read in reads(op)}
        found.append(below.pop() if len(below) == 1 else None)
    return found


def _num_bytes(view: View, position: int) -> int:
    """Of the table that would stand for a node."""
    return _num_ids(view, position) * view.widths[position] * _dtype(view, position).itemsize


def _with_table(view: View, position: int) -> Model:
    draft = Draft(view.parameters, view.graph.computed)
    for number, op in enumerate(view.graph.nodes):
        new = draft.add(_as_lookup(view, draft, position)) if number == position else None
        draft.move(number, draft.copy(op) if new is None else new)
    return tidy(draft.finish(draft.at(view.graph.score_of)), draft.parameters)


def _as_lookup(view: View, draft: Draft, position: int) -> Lookup:
    origin = _origins(view)[position]
    assert origin is not None
    side, column = origin
    names = [name for node in _below(view, position) for name in parameters_of(view[node])]
    part = tidy(msgspec.structs.replace(view.graph, score_of=position), view.parameters)
    num_ids = _num_ids(view, position)
    table = np.empty((num_ids, view.widths[position]), _dtype(view, position))
    for start in range(0, num_ids, IDS_AT_ONCE):
        ids = np.arange(start, min(start + IDS_AT_ONCE, num_ids))
        table[ids] = _values(part, side, column, ids)
    name = f"{_tables(view, position)[0]}.made"
    return Lookup(side=side, column=column, table=draft.make(name, table, *names))


def _values(part: Model, side: Side, column: int, ids: IntArray) -> DoubleArray:
    categorical = np.zeros((ids.size, column + 1), np.int64)
    categorical[:, column] = ids
    features = Features(categorical, np.zeros((ids.size, 0), np.float32))
    return evaluate_side(*part, features, side)[part[0].score_of]


def _below(view: View, position: int) -> list[int]:
    found, waiting = set(), [position]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += reads(view[node])
    return sorted(found)


def _num_ids(view: View, position: int) -> int:
    """Ids that every table below has."""
    return min(int(view.parameters[table].shape[0]) for table in _tables(view, position))


def _tables(view: View, position: int) -> list[str]:
    """Tables looked up below a node."""
    return [op.table for node in _below(view, position) if isinstance(op := view[node], Lookup)]


def _dtype(view: View, position: int) -> np.dtype[np.floating]:
    names = {name for node in _below(view, position) for name in parameters_of(view[node])}
    return np.result_type(np.float32, *(view.parameters[name].dtype for name in names))
