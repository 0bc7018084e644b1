"""Networks a user might bring: good ones, and ones that break a rule."""

import torch
from torch import Tensor, nn

from recfunnel.core.features import FeatureSchema
from recfunnel.models.base import TensorFeatures


class Dense(nn.Module):
    """A linear model of the item's dense features, and of the scores it is given."""

    def __init__(
        self, schema: FeatureSchema, num_score_inputs: int = 0, *, shift: float = 0.0
    ) -> None:
        super().__init__()
        self.shift = shift
        num_inputs = len(schema.select("candidate", "dense")) + num_score_inputs
        self.linear = nn.Linear(num_inputs, 1)

    def forward(
        self,
        context: TensorFeatures,
        items: TensorFeatures,
        columns: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        everything = torch.arange(len(items)).expand(len(context), -1)
        inputs = items.dense[everything if columns is None else columns]
        if given is not None:
            inputs = torch.cat([inputs, given], dim=2)
        scores: Tensor = self.linear(inputs)
        return scores.squeeze(2) + self.shift


class Broken(nn.Module):
    """Returns whatever it is told to."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(
        self,
        context: TensorFeatures,
        items: TensorFeatures,
        columns: Tensor | None = None,
        given: Tensor | None = None,
    ) -> object:
        num_columns = len(items) if columns is None else columns.shape[1]
        scores = torch.zeros(len(context), num_columns)
        if self.fault == "shape":
            return scores[:, :-1]
        if self.fault == "nan":
            scores[0, 1] = torch.nan
            return scores
        return scores.tolist()


class NotANetwork:
    """Something else."""


class ReadsWhileBuilt(nn.Module):
    """Cannot be built without real numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = float(torch.ones(1).sum())
