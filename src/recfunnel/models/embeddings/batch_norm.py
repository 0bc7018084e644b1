"""Batch normalisation of rows that stand for several each.

Letters: n rows, N columns.
"""

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """(x - mean) / √(variance + epsilon) · weight + bias, column by column.

    While fitting, mean and variance are those of the batch, in which row i occurs counts[i] times:
    what `torch.nn.BatchNorm1d` computes of the rows repeated. Running ones are kept for later, the
    variance with its denominator one less.

    Args:
        width: N.
        epsilon: added to the variance.
        momentum: share of the newest batch in the running mean and variance.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, width: int, epsilon: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.epsilon, self.momentum = epsilon, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_variance", torch.ones(width))

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """(n, N) from rows (n, N) and how often each occurs, (n,)."""
        if not self.training or not x.shape[0]:
            return self._normalised(x, self.running_mean, self.running_variance)
        num_rows = counts.sum().to(x.dtype)
        shares = (counts / num_rows).unsqueeze(1)
        mean = (shares * x).sum(dim=0)
        variance = (shares * (x - mean).square()).sum(dim=0)
        with torch.no_grad():
            unbiased = variance * (num_rows / (num_rows - 1).clamp_min(1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_variance.lerp_(unbiased, self.momentum)
        return self._normalised(x, mean, variance)

    def _normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        return torch.addcmul(self.bias - mean * scale, x, scale)
