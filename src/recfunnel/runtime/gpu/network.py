"""A ranking graph's arithmetic in torch, on any device.

Values of nodes are (Q, 1, w) on the context's side, (1 or Q, C, w) on the others, so that all of
them broadcast. Nothing here waits for the device or depends on a value, so a CUDA graph can record
it.

In low precision the layers and dots of pairs take and give bfloat16, but for those 1 wide: they are
scores or parts of one, and eight bits would make ties of them. The context's side, paid once a
query, stays in float32.

Letters: Q queries, C candidates, w width of a node, K inputs and N outputs of a layer, U and V
vectors side by side, d dimensions.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recfunnel.compile.rewrite import View
from recfunnel.core.graph import (
    Affine,
    Concat,
    CrossDots,
    CrossLinear,
    Dense,
    Given,
    Linear,
    Lookup,
    Multiply,
    PairDots,
    Pool,
    Record,
    Relu,
    RowSum,
    ScaledLinear,
    Slice,
    Sum,
    parameters_of,
)

Values = dict[int, Tensor]
"""Values of nodes, by position."""

SIDE_ORDER = ("context", "candidate", "pair")

_OWN_MEMORY = (Linear, CrossDots, PairDots, CrossLinear, ScaledLinear)
"""What makes its result anew, so that whoever alone reads it may overwrite it."""


class Network:
    """Some nodes of a graph, those that compute and do not read features.

    Args:
        view: the graph.
        positions: of the nodes, rising; leaves among them are left to the caller.
        device: where it runs.
        low: whether layers and dots of pairs run in bfloat16.
    """

    def __init__(
        self, view: View, positions: Iterable[int], device: str, *, low: bool = False
    ) -> None:
        leaves = (Lookup, Pool, RowSum, Dense, Given, Record)
        self._view, self._low = view, low
        self._steps = [p for p in positions if not isinstance(view[p], leaves)]
        self._fused = dict(pair for p in self._steps if (pair := self._layer_in_sum(p)) is not None)
        self._parameters: dict[tuple[str, torch.dtype], Tensor] = {}
        self._triangles: dict[int, Tensor] = {}
        for position in self._steps:
            self._prepare(position, device)

    @property
    def parameter_bytes(self) -> int:
        """Memory of its layers on the device."""
        return sum(tensor.nbytes for tensor in self._parameters.values())

    def parameter(self, name: str, dtype: torch.dtype) -> Tensor:
        """A layer's parameter on the device, weights as (N, K)."""
        return self._parameters[name, dtype]

    def run(
        self,
        values: Values,
        instead: Mapping[int, Callable[[Values], Tensor]] | None = None,
        without: frozenset[int] = frozenset(),
    ) -> None:
        """Compute all nodes.

        Args:
            values: of the leaves and of nodes computed elsewhere; receives those of these nodes.
            instead: what computes a node in another way, by position.
            without: nodes that nobody needs then.
        """
        left_out = without.union(self._fused.values())
        for position in self._steps:
            if instead and position in instead:
                values[position] = instead[position](values)
            elif position not in left_out:
                values[position] = self._value(position, values)

    def dtype_of(self, position: int) -> torch.dtype:
        """Type in which a layer or dots are computed."""
        pair = self._view.sides[position] == "pair"
        return torch.bfloat16 if self._low and pair and self._wide(position) else torch.float32

    def _wide(self, position: int) -> bool:
        return self._view.widths[position] > 1

    def _prepare(self, position: int, device: str) -> None:
        op, dtype = self._view[position], self.dtype_of(position)
        for name in parameters_of(op):
            array = np.array(self._view.parameters[name], np.float32)
            if isinstance(op, Linear | CrossLinear | ScaledLinear) and name != getattr(
                op, "bias", ""
            ):
                array = np.atleast_2d(array)
            if isinstance(op, CrossLinear | ScaledLinear | Affine):
                dtype = torch.float32
            tensor = torch.from_numpy(array).to(device=device, dtype=dtype)
            self._parameters[name, dtype] = tensor
        if isinstance(op, PairDots):
            V = self._view.widths[op.x_of] // op.dim
            low, high = np.tril_indices(V, -1)
            self._triangles[V] = torch.from_numpy(low * V + high).to(device)

    def _layer_in_sum(self, position: int) -> tuple[int, int] | None:
        """The layer that a sum can have added to its other terms in one pass."""
        op = self._view[position]
        if not isinstance(op, Sum) or len(op.terms_of) < 2 or not self._wide(position):
            return None
        for term in op.terms_of:
            layer = self._view[term]
            once = self._view.is_read_once(term) and op.terms_of.count(term) == 1
            if isinstance(layer, Linear) and once and self._view.sides[term] == "pair":
                return position, term
        return None

    def _value(self, position: int, values: Values) -> Tensor:
        op, dtype = self._view[position], self.dtype_of(position)
        match op:
            case Affine():
                return self._affine(op, values[op.x_of])
            case Linear():
                bias = self._parameters[op.bias, dtype] if op.bias else None
                x = values[op.x_of].to(dtype)
                return functional.linear(x, self._parameters[op.weight, dtype], bias)
            case Relu():
                x = values[op.x_of]
                return x.relu_() if self._may_overwrite(op.x_of) else x.relu()
            case Sum():
                return self._sum(position, op, values)
            case Multiply():
                return values[op.x_of] * values[op.y_of]
            case Concat():
                return _side_by_side([values[part] for part in op.parts_of])
            case Slice():
                return values[op.x_of][..., op.start : op.stop]
            case PairDots():
                return self._pair_dots(op, values[op.x_of].to(dtype))
            case CrossDots():
                return cross_dots(values[op.x_of].to(dtype), values[op.y_of].to(dtype), op.dim)
            case CrossLinear():
                return self._cross_linear(op, values[op.x_of], values[op.y_of], dtype)
            case ScaledLinear():
                return self._scaled_linear(op, values[op.x_of], values[op.y_of], dtype)
        raise AssertionError(f"{type(op).__name__} is a leaf")

    def _may_overwrite(self, position: int) -> bool:
        op, once = self._view[position], self._view.is_read_once(position)
        sums = isinstance(op, Sum) and len(op.terms_of) > 1
        return once and position in self._steps and (sums or isinstance(op, _OWN_MEMORY))

    def _affine(self, op: Affine, x: Tensor) -> Tensor:
        def part(name: str) -> Tensor:
            return self._parameters[name, torch.float32]

        if op.subtract:
            x = x - part(op.subtract)
        if op.divide:
            x = x / part(op.divide)
        return x * part(op.multiply) if op.multiply else x

    def _sum(self, position: int, op: Sum, values: Values) -> Tensor:
        """Small terms first; the layer among them, where there is one, on top of the others."""
        layer = self._fused.get(position)
        others = [term for term in op.terms_of if term != layer]
        others.sort(key=lambda term: SIDE_ORDER.index(self._view.sides[term]))
        terms = [values[term] for term in others]
        if layer is None:
            return reduce(torch.add, terms)
        linear, dtype = self._view[layer], self.dtype_of(layer)
        assert isinstance(linear, Linear)
        if linear.bias:
            terms.insert(0, self._parameters[linear.bias, dtype])
        x = values[linear.x_of].to(dtype)
        weight = self._parameters[linear.weight, dtype].T
        known = reduce(torch.add, terms).to(dtype).expand(*x.shape[:2], -1)
        if len(x) == 1:
            return torch.addmm(known[0], x[0], weight).unsqueeze(0)
        return torch.baddbmm(known, x, weight.expand(len(x), -1, -1))

    def _pair_dots(self, op: PairDots, x: Tensor) -> Tensor:
        vectors = x.reshape(x.shape[0] * x.shape[1], -1, op.dim)
        dots = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        found = dots.index_select(1, self._triangles[vectors.shape[1]])
        return found.view(*x.shape[:2], -1)

    def query_matrix(self, position: int, values: Values) -> Tensor:
        """(Q, N, K), a layer on what item and context share as one matrix a query on the item's.

        Args:
            position: of a layer on dots, a `CrossLinear` or a `ScaledLinear`; y is the context's.
            values: y among them.
        """
        op = self._view[position]
        if isinstance(op, ScaledLinear):
            base = self._parameters[op.base, torch.float32] if op.base else None
            return scaled_matrix(self._parameters[op.weight, torch.float32], base, values[op.y_of])
        if isinstance(op, CrossLinear):
            return dots_matrix(self._parameters[op.weight, torch.float32], values[op.y_of], op.dim)
        assert isinstance(op, Linear)
        dots = self._view[op.x_of]
        assert isinstance(dots, CrossDots)
        weight = self._parameters[op.weight, self.dtype_of(position)].float()
        return dots_matrix(weight, values[dots.y_of], dots.dim)

    def layer_bias(self, position: int) -> Tensor | None:
        """(N,), the bias of such a layer; None without."""
        bias = getattr(self._view[position], "bias", "")
        return self._parameters[bias, self.dtype_of(position)] if bias else None

    def _cross_linear(self, op: CrossLinear, x: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
        weight = self._parameters[op.weight, torch.float32]
        if y.shape[1] != 1:
            return functional.linear(cross_dots(x.float(), y.float(), op.dim), weight).to(dtype)
        matrix = dots_matrix(weight, y, op.dim)
        return torch.matmul(x.to(dtype), matrix.to(dtype).transpose(1, 2))

    def _scaled_linear(self, op: ScaledLinear, x: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
        weight = self._parameters[op.weight, torch.float32]
        base = self._parameters[op.base, torch.float32] if op.base else None
        if y.shape[1] != 1:
            scaled = functional.linear(x.float() * y.float(), weight)
            whole = scaled if base is None else scaled + functional.linear(x.float(), base)
            return whole.to(dtype)
        matrix = scaled_matrix(weight, base, y)
        return torch.matmul(x.to(dtype), matrix.to(dtype).transpose(1, 2))


def dots_matrix(weight: Tensor, y: Tensor, dim: int) -> Tensor:
    """(Q, N, V·d): what x is multiplied by where a layer (N, V·U) reads the dots of x and y.

    Args:
        weight: (N, V·U).
        y: (Q, 1, U·d).
        dim: d.
    """
    U = y.shape[2] // dim
    matrix = torch.matmul(weight.view(-1, U), y.reshape(len(y), U, dim).float())
    return matrix.view(len(y), len(weight), -1)


def scaled_matrix(weight: Tensor, base: Tensor | None, y: Tensor) -> Tensor:
    """(Q, N, K): what x is multiplied by where a layer (N, K) reads x times y, and another x."""
    return weight * y if base is None else torch.addcmul(base, weight, y)


def cross_dots(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """Dots of each vector of x with each of y: (Q, C, V·U), x outermost.

    Args:
        x: (1 or Q, C, V·d).
        y: (Q, 1 or C, U·d).
        dim: d.
    """
    U = y.shape[2] // dim
    if y.shape[1] != 1:
        vectors = x.reshape(*x.shape[:2], -1, dim)
        others = y.reshape(*y.shape[:2], U, dim)
        return torch.matmul(vectors, others.transpose(2, 3)).flatten(2)
    rows = x.reshape(len(x), -1, dim)
    dots = torch.matmul(rows, y.reshape(len(y), U, dim).transpose(1, 2))
    return dots.view(len(dots), x.shape[1], -1)


def _side_by_side(parts: list[Tensor]) -> Tensor:
    shape = np.broadcast_shapes(*(tuple(part.shape[:2]) for part in parts))
    return torch.cat([part.expand(*shape, -1) for part in parts], dim=2)
