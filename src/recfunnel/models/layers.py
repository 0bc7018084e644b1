"""Dense layers, arranged so that each piece is computed where its inputs become known."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from recfunnel.core.graph import Linear
from recfunnel.core.graph_builder import GraphBuilder


class SplitLinear(nn.Module):
    """A linear layer whose input is a concatenation of three parts known at different times.

    The shares of the three parts add up to what one linear layer over the whole input gives; the
    bias is added in `context`. A part may be 0 wide. Drawn as one `nn.Linear` over the whole width.

    Args:
        num_context: width of the part that is constant in a query.
        num_items: width of the part that is constant for an item.
        num_mixed: width of the part that differs for every pair.
        num_outputs: width of the result.
    """

    def __init__(self, num_context: int, num_items: int, num_mixed: int, num_outputs: int) -> None:
        super().__init__()
        whole = nn.Linear(num_context + num_items + num_mixed, num_outputs)
        parts = torch.split(whole.weight.detach(), [num_context, num_items, num_mixed], dim=1)
        self.weight_context, self.weight_items, self.weight_mixed = (
            nn.Parameter(part.clone()) for part in parts
        )
        self.bias = whole.bias

    def context(self, inputs: Tensor) -> Tensor:
        """Share of the context part, bias included: (..., num_context) to (..., num_outputs)."""
        return functional.linear(inputs, self.weight_context, self.bias)

    def items(self, inputs: Tensor) -> Tensor:
        """Share of the item part: (..., num_items) to (..., num_outputs)."""
        return functional.linear(inputs, self.weight_items)

    def add_mixed(self, share: Tensor, inputs: Tensor) -> Tensor:
        """What is known of each candidate so far, plus the share of the mixed part, in one pass.

        Args:
            share: (Q or 1, C, num_outputs).
            inputs: (Q, C, num_mixed).

        Returns:
            (Q, C, num_outputs), new memory.
        """
        weight = self.weight_mixed.T.expand(inputs.shape[0], -1, -1)
        return torch.baddbmm(share, inputs, weight)

    def whole_weight(self) -> Tensor:
        """(num_outputs, width), the weight of the one layer this equals."""
        return torch.cat([self.weight_context, self.weight_items, self.weight_mixed], dim=1)


def after_first(widths: Sequence[int], *, end_with_relu: bool = False) -> nn.Sequential:
    """The rest of a ReLU network whose first linear layer is computed elsewhere.

    Args:
        widths: outputs of the first layer, then of each layer that follows.
        end_with_relu: whether the last layer is rectified as well.

    Returns:
        ReLU, linear, ReLU, ..., linear; called with the first layer's outputs, which it may
        overwrite.
    """
    steps: list[nn.Module] = []
    for num_inputs, num_outputs in pairwise(widths):
        steps += [nn.ReLU(inplace=True), nn.Linear(num_inputs, num_outputs)]
    if end_with_relu:
        steps.append(nn.ReLU(inplace=True))
    return nn.Sequential(*steps)


def add_split_linear(
    graph: GraphBuilder,
    name: str,
    *,
    context: Sequence[int] = (),
    items: Sequence[int] = (),
    mixed: Sequence[int] = (),
) -> int | None:
    """Write a `SplitLinear` into a graph.

    Args:
        graph: being written.
        name: of the `SplitLinear` in its network.
        context: positions of what stands side by side in the context's part.
        items: likewise in the item's.
        mixed: likewise in the part that differs for every pair.

    Returns:
        The position of the sum of all parts, the bias in the first there is; None without any.
    """
    terms: list[int] = []
    for part, inputs in (("context", context), ("items", items), ("mixed", mixed)):
        if inputs:
            bias = "" if terms else f"{name}.bias"
            weight = f"{name}.weight_{part}"
            terms.append(graph.add(Linear(x_of=graph.concat(inputs), weight=weight, bias=bias)))
    return graph.sum(terms) if terms else None


def add_after_first(
    graph: GraphBuilder, x: int, name: str, num_layers: int, *, end_with_relu: bool = False
) -> int:
    """Write the network of `after_first` into a graph.

    Args:
        graph: being written.
        x: position of the first layer's outputs.
        name: of the network's rest in the whole.
        num_layers: linear layers in that rest.
        end_with_relu: as given to `after_first`.

    Returns:
        The position of its last operation.
    """
    names = [f"{name}.{2 * layer + 1}" for layer in range(num_layers)]
    return graph.layers(x, names, end_with_relu=end_with_relu)


def dots(context: Tensor, items: Tensor) -> Tensor:
    """Dot of each query's vector with each of its candidates'.

    Args:
        context: (Q, d).
        items: (Q, C, d), or (1, C, d) where all queries share their candidates.

    Returns:
        (Q, C).
    """
    if items.shape[0] == 1:
        return functional.linear(context, items[0])
    return torch.matmul(items, context.unsqueeze(2)).squeeze(2)


def macs(widths: Sequence[int]) -> int:
    """Multiply-adds of a chain of linear layers with these widths, input first."""
    return sum(i * o for i, o in pairwise(widths))


def num_parameters(widths: Sequence[int]) -> int:
    """Weights and biases of a chain of linear layers with these widths, input first."""
    return sum(i * o + o for i, o in pairwise(widths))
