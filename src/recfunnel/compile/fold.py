"""Layers on table rows become tables: what a layer makes of a row is known before any query.

Letters: K inputs and N outputs of a layer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recfunnel.compile.budget import Budget
from recfunnel.compile.rewrite import Draft, Model, View, doubles, sweep_until_settled
from recfunnel.compile.simplify import simplify
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray
from recfunnel.core.graph import (
    Concat,
    Linear,
    Lookup,
    Pool,
    RankingGraph,
    Slice,
    Sum,
)

LARGEST_WIDENING = 4
"""A row may become this many times wider, not more: what is read costs more than what is saved."""

ROWS_AT_ONCE = 1 << 16
"""Table rows multiplied at once, in float64; bounds memory."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What a layer's input adds up from.

    Args:
        node: a lookup, a pool, a linear layer or anything else.
        start: first column of it that is read.
        stop: one past the last.
        column: of the layer's weight that `start` meets.
        summed: whether it is a term of a sum, so that others meet the same columns.
    """

    node: int
    start: int
    stop: int
    column: int
    summed: bool


def fold(graph: RankingGraph, parameters: Parameters, *, budget: Budget) -> Model:
    """Turn layers on lookups and pools into lookups and pools in multiplied tables.

    Also through sums, concatenations and slices of them, and beside linear layers in sums. A row
    becomes at most 4 times as wide. A pool's norm stays: folding is linear.

    Args:
        graph: hoisted.
        parameters: by name.
        budget: what new tables may cost; layers beyond it stay.

    Returns:
        An equal graph and its parameters.
    """
    return simplify(*sweep_until_settled(*simplify(graph, parameters), _folder(budget)))


def _folder(budget: Budget) -> Callable[[View, Draft, int], int | None]:
    def rule(view: View, draft: Draft, position: int) -> int | None:
        op = view[position]
        if not isinstance(op, Linear):
            return None
        leaves = _leaves(view, op.x_of, 0, summed=False)
        tables = [leaf for leaf in leaves if _is_stored(view, leaf.node)]
        others = [leaf for leaf in leaves if leaf not in tables]
        if not tables or any(leaf.summed and not _merges(view, leaf) for leaf in others):
            return None
        N = view.widths[position]
        if any(LARGEST_WIDENING * (leaf.stop - leaf.start) < N for leaf in tables):
            return None
        made = sum(_num_bytes(view, leaf, N) for leaf in tables)
        if not budget.take(made, view.dead_bytes(position, [leaf.node for leaf in others])):
            return None
        return _folded(view, draft, op, tables, others)

    return rule


def _leaves(view: View, position: int, column: int, *, summed: bool) -> list[_Leaf]:
    """What a value is put together from, down to lookups, pools and all that is not linear."""
    match view[position]:
        case Sum() as op:
            terms = [_leaves(view, term, column, summed=True) for term in op.terms_of]
            return [leaf for found in terms for leaf in found]
        case Concat() as op:
            found = []
            for part in op.parts_of:
                found += _leaves(view, part, column, summed=summed)
                column += view.widths[part]
            return found
        case Slice() as op if _is_stored(view, op.x_of):
            return [_Leaf(op.x_of, op.start, op.stop, column, summed)]
    return [_Leaf(position, 0, view.widths[position], column, summed)]


def _is_stored(view: View, position: int) -> bool:
    """Whether a node is a lookup or pool in a stored table."""
    op = view[position]
    return isinstance(op, Lookup | Pool) and view.is_stored(op.table)


def _merges(view: View, leaf: _Leaf) -> bool:
    """Whether a term is a layer that merges into the one on top without more work."""
    op = view[leaf.node]
    return isinstance(op, Linear) and view.widths[op.x_of] <= view.widths[leaf.node]


def _num_bytes(view: View, leaf: _Leaf, width: int) -> int:
    """Of a leaf's table, multiplied to another width."""
    op = view[leaf.node]
    assert isinstance(op, Lookup | Pool)
    table = view.parameters[op.table]
    return int(table.shape[0]) * width * table.itemsize


def _folded(view: View, draft: Draft, op: Linear, tables: list[_Leaf], others: list[_Leaf]) -> int:
    bias = op.bias
    terms: list[int] = []
    for leaf in sorted(tables, key=lambda leaf: isinstance(view[leaf.node], Pool)):
        single = isinstance(view[leaf.node], Lookup)
        terms.append(_table(view, draft, op, leaf, bias if single else ""))
        bias = "" if single else bias
    rest = [leaf for leaf in others if not leaf.summed]
    if rest:
        columns = [np.arange(leaf.column, leaf.column + leaf.stop - leaf.start) for leaf in rest]
        weight = view.weight(op.weight)[:, np.concatenate(columns)]
        name = draft.make(f"{op.weight}.rest", weight, op.weight)
        x = draft.concat([draft.at(leaf.node) for leaf in rest])
        terms.append(draft.linear(x, name, bias))
        bias = ""
    for leaf in others:
        if leaf.summed:
            terms.append(_merged(view, draft, op, leaf, bias))
            bias = ""
    return draft.add_bias(draft.sum(terms), bias)


def _table(view: View, draft: Draft, op: Linear, leaf: _Leaf, bias: str) -> int:
    """A lookup or pool in the multiplied table."""
    source = view[leaf.node]
    assert isinstance(source, Lookup | Pool)
    table = view.parameters[source.table]
    rows = (table[:, None] if table.ndim == 1 else table)[:, leaf.start : leaf.stop]
    names = [source.table, op.weight, *filter(None, [bias])]
    dtype = np.result_type(np.float32, *(view.parameters[name].dtype for name in names))
    weight, shift = _columns(view, op, leaf).T, doubles(view.parameters[bias]) if bias else 0.0
    product = np.empty((rows.shape[0], weight.shape[1]), dtype)
    for start in range(0, rows.shape[0], ROWS_AT_ONCE):
        span = slice(start, start + ROWS_AT_ONCE)
        product[span] = doubles(rows[span]) @ weight + shift
    name = draft.make(f"{source.table}.folded", product, *names)
    if isinstance(source, Lookup):
        return draft.add(Lookup(side=source.side, column=source.column, table=name))
    pool = Pool(side=source.side, column=source.column, table=name, norm=source.norm)
    return draft.add(pool)


def _merged(view: View, draft: Draft, op: Linear, leaf: _Leaf, bias: str) -> int:
    """The layer on a term that is itself a layer."""
    inner = view[leaf.node]
    assert isinstance(inner, Linear)
    weight = _columns(view, op, leaf)
    names = [op.weight, inner.weight]
    made = draft.make(f"{op.weight}.merged", weight @ doubles(view.weight(inner.weight)), *names)
    total = np.zeros(weight.shape[0])
    if bias:
        total += doubles(view.parameters[bias])
    if inner.bias:
        total += weight @ doubles(view.parameters[inner.bias])
    has_bias = bias or inner.bias
    summed = draft.make(f"{op.weight}.bias", total, *names) if has_bias else ""
    return draft.linear(draft.at(inner.x_of), made, summed)


def _columns(view: View, op: Linear, leaf: _Leaf) -> DoubleArray:
    """(N, width of the leaf), the weights a leaf meets."""
    width = leaf.stop - leaf.start
    return doubles(view.weight(op.weight)[:, leaf.column : leaf.column + width])
