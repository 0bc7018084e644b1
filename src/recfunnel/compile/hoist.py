"""Each piece of work on the side where its inputs are known, not later.

What depends on the context alone is then paid once a query, what depends on the item alone once an
item; only what needs both is paid for every pair.

Letters: V and U vectors side by side, d dimensions, K inputs of a layer.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from recfunnel.compile.rewrite import Draft, Model, View, sweep_until_settled
from recfunnel.compile.simplify import simplify
from recfunnel.compile.widths import Parameters
from recfunnel.core.graph import (
    Affine,
    Concat,
    CrossDots,
    Linear,
    NodeSide,
    PairDots,
    RankingGraph,
    Relu,
    Sum,
)

Columns = NDArray[np.int64]
Part = tuple[int, NodeSide, Columns]
"""A node of the new graph, its side, and the columns it has in the old value."""

ORDER: tuple[NodeSide, ...] = ("context", "candidate", "pair")


def hoist(graph: RankingGraph, parameters: Parameters) -> Model:
    """Split every node that mixes sides, where it can be split.

    Linear layers over several sides become one a side; dots of all pairs become the dots within
    each side and those across, the columns of the layer after them reordered; sums add up each side
    by itself first; what works column by column moves into concatenations.

    Returns:
        An equal graph and its parameters.
    """
    while True:
        split = simplify(*sweep_until_settled(*simplify(graph, parameters), _split))
        if split[0] == graph:
            return split
        graph, parameters = split


def _split(view: View, draft: Draft, position: int) -> int | None:
    if view.sides[position] != "pair":
        return None
    match view[position]:
        case Linear() as op:
            return _linear_over_sum(view, draft, op) or _linear_over_parts(view, draft, op)
        case Sum() as op:
            return _sum(view, draft, op)
        case Relu() | Affine() as op if _is_mixed(view, op.x_of):
            return _column_by_column(view, draft, op)
        case CrossDots() as op if _is_turned(view, op) and 1 in _counts(view, op):
            return draft.add(CrossDots(x_of=draft.at(op.y_of), y_of=draft.at(op.x_of), dim=op.dim))
    return None


def _is_mixed(view: View, position: int) -> bool:
    """Whether parts of a concatenation are known at different times."""
    op = view[position]
    return isinstance(op, Concat) and len({view.sides[part] for part in op.parts_of}) > 1


def _is_turned(view: View, op: CrossDots) -> bool:
    """Whether its first vectors are the context's: the other way round is the usual one."""
    return view.sides[op.x_of] == "context" and view.sides[op.y_of] != "context"


def _counts(view: View, op: CrossDots) -> tuple[int, int]:
    """V and U."""
    return view.widths[op.x_of] // op.dim, view.widths[op.y_of] // op.dim


def _by_side(view: View, positions: Sequence[int]) -> list[tuple[NodeSide, list[int]]]:
    """Positions of each side that occurs, in `ORDER`."""
    found = [(side, [p for p in positions if view.sides[p] == side]) for side in ORDER]
    return [(side, group) for side, group in found if group]


def _sum(view: View, draft: Draft, op: Sum) -> int | None:
    """One term for each of context and candidate."""
    groups = _by_side(view, op.terms_of)
    if all(len(group) == 1 for side, group in groups if side != "pair"):
        return None
    terms: list[int] = []
    for side, group in groups:
        moved = draft.all_at(group)
        terms += moved if side == "pair" else [draft.sum(moved)]
    return draft.sum(terms)


def _linear_over_sum(view: View, draft: Draft, op: Linear) -> int | None:
    """A layer on a sum is the sum of the layer on each side, where no term needs both sides."""
    inner = view[op.x_of]
    if not isinstance(inner, Sum) or any(view.sides[term] == "pair" for term in inner.terms_of):
        return None
    terms, bias = [], op.bias
    for _, group in _by_side(view, inner.terms_of):
        terms.append(draft.linear(draft.sum(draft.all_at(group)), op.weight, bias))
        bias = ""
    return draft.sum(terms)


def _linear_over_parts(view: View, draft: Draft, op: Linear) -> int | None:
    """One layer a side, on the columns that side has."""
    if not _comes_apart(view, op.x_of):
        return None
    parts = _parts(view, draft, op.x_of)
    weight, terms, bias = view.weight(op.weight), [], op.bias
    for side in ORDER:
        own = [(node, columns) for node, found, columns in parts if found == side]
        if own:
            columns = np.concatenate([columns for _, columns in own])
            name = draft.make(f"{op.weight}.{side}", weight[:, columns], op.weight)
            terms.append(draft.linear(draft.concat([node for node, _ in own]), name, bias))
            bias = ""
    return draft.sum(terms)


def _comes_apart(view: View, position: int) -> bool:
    """Whether a value has columns that are known at different times, or dots turned round."""
    match view[position]:
        case Concat() as op:
            mixed = len({view.sides[part] for part in op.parts_of}) > 1
            return mixed or any(_comes_apart(view, part) for part in op.parts_of)
        case PairDots() as op:
            return _vector_parts(view, op.x_of, op.dim) is not None and _is_mixed(view, op.x_of)
        case CrossDots() as op:
            mixed = _is_mixed(view, op.x_of) or _is_mixed(view, op.y_of)
            whole = all(
                _vector_parts(view, side, op.dim) is not None for side in (op.x_of, op.y_of)
            )
            return whole and (mixed or _is_turned(view, op))
    return False


def _parts(view: View, draft: Draft, position: int) -> list[Part]:
    """A value taken apart by sides; columns count from the value's first."""
    op = view[position]
    if isinstance(op, Concat):
        found, begin = [], 0
        for part in op.parts_of:
            found += [(n, s, begin + columns) for n, s, columns in _parts(view, draft, part)]
            begin += view.widths[part]
        return found
    if isinstance(op, PairDots) and _comes_apart(view, position):
        return _pair_parts(view, draft, op)
    if isinstance(op, CrossDots) and _comes_apart(view, position):
        return _cross_parts(view, draft, op)
    columns = np.arange(view.widths[position])
    return [(draft.at(position), view.sides[position], columns)]


def _vector_parts(view: View, position: int, dim: int) -> list[tuple[int, Columns]] | None:
    """Parts of vectors side by side, each with its vectors' numbers; None if a part cuts one."""
    op = view[position]
    parts = op.parts_of if isinstance(op, Concat) else (position,)
    found, begin = [], 0
    for part in parts:
        if view.widths[part] % dim:
            return None
        count = view.widths[part] // dim
        found.append((part, np.arange(begin, begin + count)))
        begin += count
    return found


class _Group:
    """The vectors of one side: where they lie in the new graph and which numbers they have."""

    def __init__(self, side: NodeSide, node: int, numbers: Columns) -> None:
        self.side, self.node, self.numbers = side, node, numbers


def _groups(view: View, draft: Draft, position: int, dim: int) -> list[_Group]:
    """Vectors side by side, one group for each side."""
    parts = _vector_parts(view, position, dim) or []
    groups = []
    for side in ORDER:
        own = [(part, numbers) for part, numbers in parts if view.sides[part] == side]
        if own:
            node = draft.concat(draft.all_at([part for part, _ in own]))
            groups.append(_Group(side, node, np.concatenate([numbers for _, numbers in own])))
    return groups


def _side_across(one: NodeSide, other: NodeSide) -> NodeSide:
    return one if one == other else "pair"


def _pair_parts(view: View, draft: Draft, op: PairDots) -> list[Part]:
    """Dots within each side's vectors, and across each two sides'."""
    groups = _groups(view, draft, op.x_of, op.dim)
    parts: list[Part] = []
    for group in groups:
        if group.numbers.size > 1:
            low, high = np.tril_indices(group.numbers.size, -1)
            columns = _pair_columns(group.numbers[low], group.numbers[high])
            parts.append((draft.add(PairDots(x_of=group.node, dim=op.dim)), group.side, columns))
    for later, earlier in combinations(groups[::-1], 2):
        dots = CrossDots(x_of=later.node, y_of=earlier.node, dim=op.dim)
        columns = _pair_columns(*np.meshgrid(later.numbers, earlier.numbers, indexing="ij"))
        parts.append((draft.add(dots), "pair", columns.ravel()))
    return parts


def _pair_columns(one: Columns, other: Columns) -> Columns:
    """The column `PairDots` gives to a pair of vectors."""
    high, low = np.maximum(one, other), np.minimum(one, other)
    columns: Columns = high * (high - 1) // 2 + low
    return columns


def _cross_parts(view: View, draft: Draft, op: CrossDots) -> list[Part]:
    """Dots of each side's vectors with each side's, the context's always second."""
    num_y = view.widths[op.y_of] // op.dim
    parts: list[Part] = []
    for x in _groups(view, draft, op.x_of, op.dim):
        for y in _groups(view, draft, op.y_of, op.dim):
            columns = x.numbers[:, None] * num_y + y.numbers
            first, second = x, y
            if ORDER.index(x.side) < ORDER.index(y.side):
                first, second, columns = y, x, columns.T
            dots = CrossDots(x_of=first.node, y_of=second.node, dim=op.dim)
            side = _side_across(x.side, y.side)
            parts.append((draft.add(dots), side, columns.ravel()))
    return parts


def _column_by_column(view: View, draft: Draft, op: Relu | Affine) -> int:
    """The operation on each part of a concatenation."""
    inner = view[op.x_of]
    assert isinstance(inner, Concat)
    parts, begin = [], 0
    for part in inner.parts_of:
        columns = slice(begin, begin + view.widths[part])
        begin = columns.stop
        if isinstance(op, Relu):
            parts.append(draft.add(Relu(x_of=draft.at(part))))
            continue
        names = {
            field: draft.make(f"{name}.part", view.parameters[name][columns], name)
            for field in ("subtract", "divide", "multiply")
            if (name := getattr(op, field))
        }
        parts.append(draft.add(Affine(x_of=draft.at(part), **names)))
    return draft.concat(parts)
