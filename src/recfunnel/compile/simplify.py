"""The same graph with fewer nodes: nothing twice, nothing unread, nothing that changes nothing.

Letters: K inputs and N outputs of a layer, M outputs of the layer before it.
"""

import numpy as np

from recfunnel.compile.rewrite import Draft, Model, View, doubles, sweep_until_settled
from recfunnel.compile.widths import Parameters
from recfunnel.core.arrays import DoubleArray
from recfunnel.core.graph import Affine, Concat, Linear, RankingGraph, Relu, Slice, Sum

LARGEST_SHIFT = 64.0
"""An affine step that moves values by more than this many of its units is not folded into the layer
after it: the layer's bias would cancel most of its product, and float32 keeps seven digits."""


def simplify(graph: RankingGraph, parameters: Parameters) -> Model:
    """Drop dead nodes, merge equal ones, flatten sums and concatenations.

    Affine steps and linear layers are folded into the layer that follows.

    Returns:
        An equal graph and its parameters.
    """
    return sweep_until_settled(graph, parameters, _simpler)


def _simpler(view: View, draft: Draft, position: int) -> int | None:
    match view[position]:
        case Concat() as op:
            return _concat(view, draft, op)
        case Sum() as op:
            return _sum(view, draft, position, op)
        case Slice() as op:
            return _slice(view, draft, op)
        case Relu() as op if isinstance(view[op.x_of], Relu):
            return draft.at(op.x_of)
        case Affine(subtract="", divide="", multiply="") as op:
            return draft.at(op.x_of)
        case Linear() as op:
            return _after_affine(view, draft, op) or _after_linear(view, draft, op)
    return None


def _concat(view: View, draft: Draft, op: Concat) -> int | None:
    """Without concatenations inside, and without empty parts."""
    parts: list[int] = []
    for part in op.parts_of:
        inner = view[part]
        parts += inner.parts_of if isinstance(inner, Concat) else (part,)
    wide = [part for part in parts if view.widths[part]] or parts[:1]
    return None if wide == list(op.parts_of) and len(wide) > 1 else draft.concat(draft.all_at(wide))


def _sum(view: View, draft: Draft, position: int, op: Sum) -> int | None:
    """Without sums of its own side inside that nobody else reads."""
    terms: list[int] = []
    for term in op.terms_of:
        inner, same = view[term], view.sides[term] == view.sides[position]
        flat = isinstance(inner, Sum) and same and view.is_read_once(term)
        terms += inner.terms_of if flat and isinstance(inner, Sum) else (term,)
    return None if terms == list(op.terms_of) and len(terms) > 1 else draft.sum(draft.all_at(terms))


def _slice(view: View, draft: Draft, op: Slice) -> int | None:
    """Of what lies below slices, concatenations, and sums and layers read by slices alone."""
    x, start, stop = op.x_of, op.start, op.stop
    if (start, stop) == (0, view.widths[x]):
        return draft.at(x)
    match view[x]:
        case Slice() as inner:
            start, stop = start + inner.start, stop + inner.start
            return draft.add(Slice(x_of=draft.at(inner.x_of), start=start, stop=stop))
        case Concat() as inner:
            return draft.concat(_slices_of_parts(view, draft, inner, start, stop))
        case Sum() as inner if _splits(view, x, inner):
            return draft.sum([_part(draft, term, start, stop) for term in inner.terms_of])
        case Linear() as inner if _is_only_sliced(view, x):
            rows = view.weight(inner.weight)[start:stop]
            weight = draft.make(f"{inner.weight}.rows", rows, inner.weight)
            bias = inner.bias
            if bias:
                bias = draft.make(f"{bias}.rows", view.parameters[bias][start:stop], bias)
            return draft.linear(draft.at(inner.x_of), weight, bias)
    return None


def _splits(view: View, position: int, op: Sum) -> bool:
    """Whether columns of a sum are better summed each where they are known and needed."""
    mixed = len({view.sides[term] for term in op.terms_of}) > 1
    return mixed or _is_only_sliced(view, position)


def _is_only_sliced(view: View, position: int) -> bool:
    """Whether only slices of a value are read."""
    alone = all(isinstance(view[reader], Slice) for reader in view.readers[position])
    return alone and position != view.graph.score_of


def _part(draft: Draft, x: int, start: int, stop: int) -> int:
    return draft.add(Slice(x_of=draft.at(x), start=start, stop=stop))


def _slices_of_parts(view: View, draft: Draft, op: Concat, start: int, stop: int) -> list[int]:
    found, begin = [], 0
    for part in op.parts_of:
        low, high = max(start - begin, 0), min(stop - begin, view.widths[part])
        if low < high:
            found.append(_part(draft, part, low, high))
        begin += view.widths[part]
    return found or [_part(draft, op.parts_of[0], 0, 0)]


def _after_affine(view: View, draft: Draft, op: Linear) -> int | None:
    """W((x - s) / d · m) + b is (W · m / d) x + b - (W · m / d) s; also part by part."""
    inner = view[op.x_of]
    parts = inner.parts_of if isinstance(inner, Concat) else (op.x_of,)
    weight = doubles(view.weight(op.weight)).copy()
    bias = np.zeros(weight.shape[0]) + (doubles(view.parameters[op.bias]) if op.bias else 0.0)
    inputs, begin, names = [], 0, [op.weight, *filter(None, [op.bias])]
    for part in parts:
        span, step = slice(begin, begin + view.widths[part]), view[part]
        begin = span.stop
        if isinstance(step, Affine) and (scale := _scale(view, step)) is not None:
            weight[:, span] *= scale
            names += filter(None, (step.subtract, step.divide, step.multiply))
            if step.subtract:
                bias -= weight[:, span] @ doubles(view.parameters[step.subtract])
            part = step.x_of  # what stands in its place
        inputs.append(draft.at(part))
    if inputs == draft.all_at(parts):
        return None
    made = draft.make(f"{op.weight}.scaled", weight, *names)
    shifted = draft.make(f"{op.weight}.bias", bias, *names) if bias.any() else ""
    return draft.linear(draft.concat(inputs), made, shifted)


def _scale(view: View, step: Affine) -> DoubleArray | None:
    """What each column is multiplied by; None where its shift is too large to be folded."""
    ones = np.ones(view.widths[step.x_of])
    divide, multiply, subtract = (
        doubles(view.parameters[name]) if name else default
        for name, default in (
            (step.divide, ones),
            (step.multiply, ones),
            (step.subtract, 0.0 * ones),
        )
    )
    if not divide.all() or (np.abs(subtract / divide) > LARGEST_SHIFT).any():
        return None
    return multiply / divide


def _after_linear(view: View, draft: Draft, op: Linear) -> int | None:
    """W(V x + c) + b is (W V) x + W c + b: one layer where that is no more work."""
    inner = view[op.x_of]
    if not isinstance(inner, Linear) or not view.is_read_once(op.x_of):
        return None
    outer_weight, inner_weight = doubles(view.weight(op.weight)), doubles(view.weight(inner.weight))
    (N, M), K = outer_weight.shape, inner_weight.shape[1]
    if N * K > N * M + M * K:
        return None
    names = [op.weight, inner.weight]
    weight = draft.make(f"{op.weight}.merged", outer_weight @ inner_weight, *names)
    bias = np.zeros(N) + (doubles(view.parameters[op.bias]) if op.bias else 0.0)
    if inner.bias:
        bias += outer_weight @ doubles(view.parameters[inner.bias])
    has_bias = op.bias or inner.bias
    made = draft.make(f"{op.weight}.bias", bias, *names) if has_bias else ""
    return draft.linear(draft.at(inner.x_of), weight, made)
