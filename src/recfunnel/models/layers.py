"""Dense layers, arranged so that each piece is computed where its inputs become known."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class SplitLinear(nn.Module):
    """A linear layer whose input is a concatenation of three parts known at different times.

    `context(x) + items(y) + mixed(z)` equals one linear layer on [x; y; z]; the bias is added in
    `context`. A part may be 0 wide. Drawn as one `nn.Linear` over the whole width.

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

    def mixed(self, inputs: Tensor) -> Tensor:
        """Share of the mixed part: (..., num_mixed) to (..., num_outputs)."""
        return functional.linear(inputs, self.weight_mixed)

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


def macs(widths: Sequence[int]) -> int:
    """Multiply-adds of a chain of linear layers with these widths, input first."""
    return sum(i * o for i, o in pairwise(widths))


def num_parameters(widths: Sequence[int]) -> int:
    """Weights and biases of a chain of linear layers with these widths, input first."""
    return sum(i * o + o for i, o in pairwise(widths))
