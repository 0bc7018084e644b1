"""One row an id: tables looked up by the same feature lie side by side.

A row is one stretch of memory to wait for, two tables are two; and columns nobody reads are not
fetched along.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from recfunnel.compile.budget import Budget
from recfunnel.compile.rewrite import Draft, Model, View, tidy
from recfunnel.compile.simplify import simplify
from recfunnel.compile.widths import Parameters
from recfunnel.core.graph import Lookup, Pool, RankingGraph, Slice, parameters_of

Piece = tuple[int, int, int]
"""Columns that are read of a lookup or pool: its position, first column, one past the last."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Lookups, or pools, of one feature, and where each piece of them goes in the joined row."""

    nodes: tuple[int, ...]
    starts: dict[Piece, int]
    width: int


def join(graph: RankingGraph, parameters: Parameters, *, budget: Budget) -> Model:
    """Put tables that one feature looks up side by side, without the columns nobody reads.

    Left alone are features with a single table that is read whole, tables of different lengths,
    and those whose joined table would cost more than what is left of the budget.

    Args:
        graph: any.
        parameters: by name.
        budget: what new tables may cost.

    Returns:
        An equal graph and its parameters.
    """
    graph, parameters = simplify(graph, parameters)
    view, draft = View(graph, parameters), Draft(parameters, graph.computed)
    group_of: dict[int, _Group] = {}
    for group in _groups(view):
        if budget.take(*_made_and_freed(view, group)):
            group_of |= dict.fromkeys(group.nodes, group)
    pieces = {piece: group for group in group_of.values() for piece in group.starts}
    rows: dict[tuple[int, ...], int] = {}
    for position, op in enumerate(graph.nodes):
        if position in group_of:
            group = group_of[position]
            if group.nodes not in rows:
                rows[group.nodes] = _row(view, draft, group)
            row, whole = rows[group.nodes], (position, 0, view.widths[position])
            is_read = whole in group.starts
            draft.move(position, _columns(draft, group, row, whole) if is_read else row)
            continue
        piece = (op.x_of, op.start, op.stop) if isinstance(op, Slice) else None
        if piece in pieces:
            group = pieces[piece]
            draft.move(position, _columns(draft, group, rows[group.nodes], piece))
        else:
            draft.move(position, draft.copy(op))
    return simplify(*tidy(draft.finish(draft.at(graph.score_of)), draft.parameters))


def _groups(view: View) -> list[_Group]:
    by_feature: dict[tuple[object, ...], list[int]] = {}
    for position, op in enumerate(view.graph.nodes):
        if not isinstance(op, Lookup | Pool) or not view.is_stored(op.table):
            continue
        if isinstance(op, Lookup):
            by_feature.setdefault(("id", op.side, op.column), []).append(position)
        else:
            by_feature.setdefault(("list", op.side, op.column, op.norm), []).append(position)
    found = (_group(view, nodes) for nodes in by_feature.values())
    return [group for group in found if group is not None]


def _group(view: View, nodes: list[int]) -> _Group | None:
    """What is read of some lookups; None where joining them gains nothing or cannot be."""
    starts: dict[Piece, int] = {}
    width = 0
    for node in nodes:
        for piece in _pieces(view, node):
            starts[piece] = width
            width += piece[2] - piece[1]
    tables = [name for node in nodes for name in parameters_of(view[node])]
    lengths = {view.parameters[name].shape[0] for name in tables}
    if len(lengths) > 1 or width == 0 or (len(nodes) == 1 and width >= view.widths[nodes[0]]):
        return None
    return _Group(tuple(nodes), starts, width)


def _pieces(view: View, node: int) -> list[Piece]:
    """The whole, or the slices when nothing but slices of it is read."""
    slices = [op for reader in view.readers[node] if isinstance(op := view[reader], Slice)]
    if len(slices) < len(view.readers[node]) or node == view.graph.score_of:
        return [(node, 0, view.widths[node])]
    return sorted({(node, op.start, op.stop) for op in slices})


def _made_and_freed(view: View, group: _Group) -> tuple[int, int]:
    """Bytes of the joined table, and of those that nobody would read any more."""
    others = [op for i, op in enumerate(view.graph.nodes) if i not in group.nodes]
    kept = {name for op in others for name in parameters_of(op)}
    own = {name for node in group.nodes for name in parameters_of(view[node])}
    table = view.parameters[next(iter(own))]
    freed = sum(view.parameters[name].nbytes for name in own - kept)
    return int(table.shape[0]) * group.width * table.itemsize, freed


def _row(view: View, draft: Draft, group: _Group) -> int:
    """The lookup or pool of the joined table."""
    tables, names = [], []
    for node, first, stop in group.starts:
        (name,) = parameters_of(view[node])
        table = view.parameters[name]
        tables.append((table[:, None] if table.ndim == 1 else table)[:, first:stop])
        names.append(name)
    made = draft.make(f"{names[0]}.joined", np.concatenate(tables, axis=1), *names)
    op = view[group.nodes[0]]
    assert isinstance(op, Lookup | Pool)
    return draft.add(msgspec.structs.replace(op, table=made))


def _columns(draft: Draft, group: _Group, row: int, piece: Piece) -> int:
    start = group.starts[piece]
    return draft.add(Slice(x_of=row, start=start, stop=start + piece[2] - piece[1]))
