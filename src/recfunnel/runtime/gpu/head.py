"""One hidden layer and its head as one kernel, where a graph ends in them.

What is found is score = w · ReLU(matrix · state + share + offset) + bias, where the matrix and the
offset are a query's, state and share an item's: DLRM with one hidden top layer once its context is
hoisted, and a re-ranker with one hidden layer. State and share are then read where they lie, and
neither they nor the hidden layer are written anywhere.

Letters: N items, B candidates, K numbers of a state, H hidden units.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recfunnel.compile.rewrite import View
from recfunnel.core.graph import CrossDots, CrossLinear, Linear, Relu, ScaledLinear, Sum
from recfunnel.runtime.gpu.network import Network, Values

MOST_HIDDEN = 256
"""Hidden units of a candidate have to stay in a processor's registers."""


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """Where a graph ends so.

    Args:
        head: position of the layer 1 wide.
        layer: of what is a matrix times the state.
        inside: of all nodes that the kernel stands for, but for the head.
        state: of the item's node that the layer reads.
        share: of the item's own share of the hidden layer; None without.
        offset: of the context's; None without.
    """

    head: int
    layer: int
    inside: frozenset[int]
    state: int
    share: int | None
    offset: int | None


def find_head(view: View) -> HeadPlan | None:
    """The end of a graph that one kernel can compute; None when it ends otherwise."""
    for head, op in enumerate(view.graph.nodes):
        if isinstance(op, Linear) and view.widths[head] == 1 and view.sides[head] == "pair":
            plan = _plan(view, head, op)
            if plan is not None:
                return plan
    return None


def _plan(view: View, head: int, op: Linear) -> HeadPlan | None:
    relu = view[op.x_of]
    total = view[relu.x_of] if isinstance(relu, Relu) else None
    if not isinstance(relu, Relu) or not isinstance(total, Sum):
        return None
    terms = {
        side: [term for term in total.terms_of if view.sides[term] == side]
        for side in ("pair", "candidate", "context")
    }
    if len(terms["pair"]) != 1 or max(map(len, terms.values())) > 1:
        return None
    found = _state_of(view, terms["pair"][0])
    if found is None or view.widths[relu.x_of] > MOST_HIDDEN:
        return None
    state, between = found
    inside = frozenset((op.x_of, relu.x_of, terms["pair"][0], *between))
    if not all(view.is_read_once(position) for position in inside):
        return None
    share, offset = (terms[side][0] if terms[side] else None for side in ("candidate", "context"))
    return HeadPlan(head, terms["pair"][0], inside, state, share, offset)


def _state_of(view: View, position: int) -> tuple[int, tuple[int, ...]] | None:
    """The item's node that a matrix of the query multiplies, and what lies between."""
    op = view[position]
    between: tuple[int, ...] = ()
    if isinstance(op, Linear):
        between, op = (op.x_of,), view[op.x_of]
        if not isinstance(op, CrossDots):
            return None
    elif not isinstance(op, CrossLinear | ScaledLinear):
        return None
    fits = view.sides[op.x_of] == "candidate" and view.sides[op.y_of] == "context"
    return (op.x_of, between) if fits else None


class FusedHead:
    """The end of a graph in one kernel.

    Args:
        plan: where it is.
        view: the graph.
        network: computes the rest, and holds the parameters.
        states: of items, (N, w) by position.
    """

    def __init__(
        self, plan: HeadPlan, view: View, network: Network, states: Mapping[int, Tensor]
    ) -> None:
        op = view[plan.head]
        assert isinstance(op, Linear)
        self.inside = plan.inside
        self._plan, self._network = plan, network
        self._state = states[plan.state]
        self._share = None if plan.share is None else states[plan.share]
        self._weights = network.parameter(op.weight, torch.float32).reshape(-1)
        zero = torch.zeros(1, device=self._weights.device)
        self._bias = network.parameter(op.bias, torch.float32) if op.bias else zero
        mine = {plan.head, *plan.inside}
        own = [plan.state] if plan.share is None else [plan.state, plan.share]
        self.ungathered = frozenset(p for p in own if mine.issuperset(view.readers[p]))
        """Items' nodes that nothing else reads: no rows of theirs need be picked."""

    def in_place(self, rows: Tensor | None, first_item: int, num_columns: int) -> "Instead":
        """What the network calls where the head would be.

        Args:
            rows: int32 (B,), of the candidates; None for a run of items.
            first_item: of that run.
            num_columns: B.
        """
        from recfunnel.runtime.gpu.triton_head import head_scores

        def value(values: Values) -> Tensor:
            matrix = self._network.query_matrix(self._plan.layer, values)[0]
            offset = self._network.layer_bias(self._plan.layer)
            if self._plan.offset is not None:
                own = values[self._plan.offset][0, 0]
                offset = own if offset is None else own + offset
            if offset is None:
                offset = torch.zeros_like(self._weights)
            scores = head_scores(
                self._state,
                self._share,
                matrix.to(self._state.dtype).contiguous(),
                offset.float().contiguous(),
                self._weights,
                self._bias,
                rows,
                first_item,
                num_columns,
            )
            return scores.view(1, num_columns, 1)

        return {self._plan.head: value}


Instead = dict[int, Callable[[Values], Tensor]]
"""What computes a node in place of the network, by position."""


def triton_is_installed() -> bool:
    """Whether kernels can be made."""
    return importlib.util.find_spec("triton") is not None
