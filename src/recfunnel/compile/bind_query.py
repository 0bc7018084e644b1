"""Layers on products with the context become one matrix a query, where that is less work.

A layer on dots with the context's vectors, or on a product with the context's values, is linear in
what the candidate brings: once the query is known, it is a plain layer.

Letters: V vectors of the candidate and U of the context, d dimensions, K inputs and N outputs of a
layer, B candidates a query.
"""

from collections.abc import Callable

import numpy as np

from recfunnel.compile.rewrite import Draft, Model, View, doubles, sweep, sweep_until_settled
from recfunnel.compile.simplify import simplify
from recfunnel.compile.widths import Parameters
from recfunnel.core.graph import (
    Concat,
    CrossDots,
    CrossLinear,
    Linear,
    Multiply,
    RankingGraph,
    ScaledLinear,
    Sum,
)


def bind_query(graph: RankingGraph, parameters: Parameters, *, num_candidates: int) -> Model:
    """Turn layers on products with the context into matrices made once a query.

    Each layer keeps the form that is less work for this many candidates, in multiply-adds:

    * a layer on dots: B (V U d + V U N) as dots, B V d N + N V U d as a matrix. The matrix wins
      for small d, the dots for large d or few candidates.
    * a layer on a product: B K more as it is, N K as a matrix, which also takes in a layer on the
      product's other factor that is added to it.

    Args:
        graph: hoisted, so that what depends on the context alone is known to.
        parameters: by name.
        num_candidates: B, how many a query usually has.

    Returns:
        An equal graph and its parameters.
    """
    bound = simplify(*sweep(graph, parameters, _binder(num_candidates)))
    return simplify(*sweep_until_settled(*bound, _with_base))


def _binder(num_candidates: int) -> Callable[[View, Draft, int], int | None]:
    def bind(view: View, draft: Draft, position: int) -> int | None:
        op = view[position]
        if isinstance(op, Linear) and view.sides[position] == "pair":
            return _bind(view, draft, position, op, num_candidates)
        return None

    return bind


def _bind(view: View, draft: Draft, position: int, op: Linear, num_candidates: int) -> int | None:
    inner = view[op.x_of]
    parts = inner.parts_of if isinstance(inner, Concat) else (op.x_of,)
    weight, begin = view.weight(op.weight), 0
    terms: list[int] = []
    rest: list[tuple[int, slice]] = []
    for part in parts:
        columns = slice(begin, begin + view.widths[part])
        begin = columns.stop
        if _pays(view, position, part, weight.shape[0], num_candidates):
            name = draft.make(f"{op.weight}.bound", weight[:, columns], op.weight)
            terms.append(_bound(view, draft, part, name))
        else:
            rest.append((part, columns))
    if not terms:
        return None
    if not rest:
        return draft.add_bias(draft.sum(terms), op.bias)
    kept = np.concatenate([weight[:, columns] for _, columns in rest], axis=1)
    name = draft.make(f"{op.weight}.rest", kept, op.weight)
    x = draft.concat([draft.at(part) for part, _ in rest])
    return draft.sum([draft.linear(x, name, op.bias), *terms])


def _pays(view: View, layer: int, part: int, num_outputs: int, num_candidates: int) -> bool:
    """Whether a part of a layer's input is better turned into a matrix."""
    op, N, B = view[part], num_outputs, num_candidates
    if view.sides[part] != "pair":
        return False
    if isinstance(op, CrossDots) and view.sides[op.y_of] == "context":
        d, V, U = op.dim, view.widths[op.x_of] // op.dim, view.widths[op.y_of] // op.dim
        dots = V * U * d if view.is_read_once(part) else 0
        return B * (dots + V * U * N) > B * V * d * N + N * V * U * d
    if isinstance(op, Multiply) and _factors(view, op) is not None:
        K = view.widths[part]
        has_base = any(base.x_of == _other_factor(view, op) for base in _beside(view, layer))
        return B * (K * view.is_read_once(part) + N * K * has_base) > N * K
    return False


def _factors(view: View, op: Multiply) -> tuple[int, int] | None:
    """The candidate's or pair's factor and the context's; None without one of the context."""
    for x, y in ((op.x_of, op.y_of), (op.y_of, op.x_of)):
        if view.sides[y] == "context" and view.sides[x] != "context":
            return x, y
    return None


def _other_factor(view: View, op: Multiply) -> int:
    factors = _factors(view, op)
    return -1 if factors is None else factors[0]


def _beside(view: View, layer: int) -> list[Linear]:
    """Layers that are added to a layer, and to nothing else."""
    readers = [view[reader] for reader in view.readers[layer]]
    if len(readers) != 1 or not isinstance(readers[0], Sum) or not view.is_read_once(layer):
        return []
    found = [(term, view[term]) for term in readers[0].terms_of if term != layer]
    return [op for term, op in found if isinstance(op, Linear) and view.is_read_once(term)]


def _bound(view: View, draft: Draft, part: int, weight: str) -> int:
    op = view[part]
    if isinstance(op, CrossDots):
        x, y = draft.at(op.x_of), draft.at(op.y_of)
        return draft.add(CrossLinear(x_of=x, y_of=y, dim=op.dim, weight=weight))
    assert isinstance(op, Multiply)
    factors = _factors(view, op)
    assert factors is not None
    x, y = draft.all_at(factors)
    return draft.add(ScaledLinear(x_of=x, y_of=y, weight=weight))


def _with_base(view: View, draft: Draft, position: int) -> int | None:
    """Take a layer on x into a scaled layer on x that it is added to."""
    op = view[position]
    if not isinstance(op, Sum):
        return None
    for term in op.terms_of:
        scaled = view[term]
        if not isinstance(scaled, ScaledLinear) or scaled.base or not view.is_read_once(term):
            continue
        for other in op.terms_of:
            base = view[other]
            if isinstance(base, Linear) and base.x_of == scaled.x_of and view.is_read_once(other):
                return _merged(view, draft, op, (term, scaled), (other, base))
    return None


def _merged(
    view: View,
    draft: Draft,
    op: Sum,
    scaled: tuple[int, ScaledLinear],
    base: tuple[int, Linear],
) -> int:
    x, y = draft.at(scaled[1].x_of), draft.at(scaled[1].y_of)
    layer = ScaledLinear(x_of=x, y_of=y, weight=scaled[1].weight, base=base[1].weight)
    others = [term for term in op.terms_of if term not in (scaled[0], base[0])]
    moved, bias = draft.all_at(others), base[1].bias
    for number, term in enumerate(others):
        other = view[term]
        if bias and isinstance(other, Linear) and view.is_read_once(term):
            moved[number], bias = _with_bias(view, draft, other, bias), ""
    return draft.add_bias(draft.sum([*moved, draft.add(layer)]), bias)


def _with_bias(view: View, draft: Draft, op: Linear, bias: str) -> int:
    """A layer with another bias on top of its own."""
    x = draft.at(op.x_of)
    if not op.bias:
        return draft.linear(x, op.weight, bias)
    total = doubles(view.parameters[op.bias]) + doubles(view.parameters[bias])
    return draft.linear(x, op.weight, draft.make(f"{op.bias}.sum", total, op.bias, bias))
